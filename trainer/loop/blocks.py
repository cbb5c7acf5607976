"""Splits a run's data into blocks, one for each compiled call, and delivers them to the replicas."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from data_pipeline import pipeline, sources
from data_pipeline.augment import Augment
from data_pipeline.dataset import Examples
from data_pipeline.examples import InMemory
from data_pipeline.own import augment as own_augment
from seedwise.errors import UserError
from trainer import strategy
from trainer.loop.scaling import float_type

#: Largest block of training images handed to one compiled call, in bytes.
BLOCK_BYTES = 64 * 2**20

#: Examples of one evaluation batch over all replicas (rounded up to a multiple of their number).
EVAL_BATCH = 1000


class Blocks:
    """A run's data, cut into blocks.

    Attributes:
      total_steps: training steps of the whole run.
      evaluations: the steps after which the model is evaluated; the last step is one.
      rungs: of a trial of successive halving, step -> share of the training; it is evaluated there too.
      end: the step after which it pauses; `total_steps`: it is trained to the end.
    """

    def __init__(
        self,
        config,
        devices,
        dataset: sources.Dataset,
        *,
        normalized: bool = False,
        rungs: Sequence[float] = (),
    ):
        """`normalized`: whether inputs are normalised by the moments of the training examples; `rungs`: shares, rising."""
        self._config, self._devices, self._dataset, self._normalized = config, devices, dataset, normalized
        self._image_bytes = dataset.train.image_bytes
        self._one_device = isinstance(devices, tf.distribute.OneDeviceStrategy)
        self._evaluated: dict[str, Iterable] = {}
        self.total_steps = config.steps if config.steps is not None else self.step_of_epoch(config.epochs)
        if config.eval_every_steps is not None:
            steps = set(range(config.eval_every_steps, self.total_steps, config.eval_every_steps))
        else:
            epochs = math.ceil(self.epochs_at(self.total_steps))
            every = config.eval_every_epochs
            steps = {self.step_of_epoch(epoch) for epoch in range(every, epochs + 1, every)}
        self.rungs = {math.ceil(share * self.total_steps): share for share in rungs}
        if len(self.rungs) < len(rungs):
            raise UserError(
                f'two rungs of tune.halving fall on one step: the training has {self.total_steps:,} steps, and pauses after '
                f'{", ".join(f"{share:.3g}" for share in rungs)} of it'
            )
        self.end = max(self.rungs, default=self.total_steps)
        self.evaluations = {step for step in steps if step < self.total_steps} | {self.total_steps} | {*self.rungs}

    def step_of_epoch(self, epochs: float) -> int:
        """Returns the number of steps in which each training example has been seen `epochs` times."""
        return math.ceil(epochs * self._dataset.train.count / self._config.global_batch_size)

    def epochs_at(self, step: int) -> float:
        """Returns how often each training example has been seen after `step` steps."""
        return step * self._config.global_batch_size / self._dataset.train.count

    def lengths(self, start: int) -> list[int]:
        """Returns the number of steps in each remaining training block, which ends at evaluations and has a size limit."""
        # What an own function of augmentation makes is float32.
        image_bytes = 4 * math.prod(self._dataset.image_shape) if self._config.data.augment.name else self._image_bytes
        longest = max(1, BLOCK_BYTES // (self._config.global_batch_size * image_bytes))
        longest = min(self._config.steps_per_call, longest)
        ends = [0, *sorted(step for step in self.evaluations if 0 < step <= self.end)]
        lengths = [
            # Blocks are split evenly, because shorter ones are padded to the longest. A resumed run gets the remaining ones.
            len(block)
            for first, end in itertools.pairwise(ends)
            for block in np.array_split(range(first, end), math.ceil((end - first) / longest))
            if block[0] >= start
        ]
        assert sum(lengths) == max(self.end - start, 0), 'a checkpoint within a block'
        return lengths

    def train(self, start: int, lengths: list[int]) -> Iterator:
        """Yields the training blocks of these lengths from step `start` on."""
        config, train = self._config, self._dataset.train
        augment = self._augment()
        options = {'seed': config.seed, 'batch': config.global_batch_size, 'start': start, 'blocks': lengths}
        options['weights'] = float_type(config.precision)
        # With one thread nothing can be prepared ahead of time: without tf.data a study's run trains in 7.3% less time, and
        # is evaluated in 8.6% less (54 runs in turn, 784-64-10, 5 epochs, AMD EPYC).
        if self._one_device and config.threads == 1 and isinstance(train, InMemory) and not augment:
            return pipeline.train_blocks_at_once(train, **options)
        return iter(
            strategy.distribute(
                self._devices, lambda part: pipeline.train_blocks(train, **options, part=part, augment=augment)
            )
        )

    def _augment(self) -> Augment:
        fields = dict(self._config.data.augment)
        name, options = fields.pop('name'), fields.pop('options')
        del fields['mixup']  # the training step mixes
        own = own_augment.build(name, dict(options), self._dataset.image_shape) if name else None
        zero = tuple(self._dataset.train.moments[0]) if self._normalized else ()
        return Augment(**fields, own=own, zero=zero)

    def evaluate(self, split: str, examples: Examples) -> Iterable:
        """Returns the evaluation blocks of a split's examples."""
        replicas = self._devices.num_replicas_in_sync
        batch = math.ceil(min(EVAL_BATCH, examples.count) / replicas) * replicas
        size = {'batch': batch, 'steps': max(1, BLOCK_BYTES // (batch * self._image_bytes))}
        if self._one_device and isinstance(examples, InMemory):
            return pipeline.eval_blocks_at_once(examples, **size)
        if split not in self._evaluated:  # cached: building the dataset takes longer than a small evaluation
            self._evaluated[split] = strategy.distribute(
                self._devices, lambda part: pipeline.eval_blocks(examples, **size, part=part)
            )
        return self._evaluated[split]
