"""tf.data: order, shard, batch, augment, prefetch.

Training examples form one endless stream: the first epoch's order, then the second's, and so on, cut into global batches.
Step s holds the examples at positions s * batch to (s + 1) * batch - 1 of it: a pure function of (seed, s), whatever the
number of replicas and wherever a run was resumed. No example is dropped, and none comes a second time before each has
come once; where the batch does not divide the epoch, one batch spans two.

Steps come in blocks, since many steps are compiled into one call. A block is images, uint8 or float32 in [0, 1], [steps,
batch of the replica, height, width, channels], labels int32 [steps, batch of the replica] and, if training data have
them, sample weights of the same shape as the labels.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from data_pipeline.augment import Augment, augmented
from data_pipeline.dataset import Examples
from data_pipeline.examples import InMemory


@dataclasses.dataclass(frozen=True)
class Part:
    """Which replicas of a global batch this input pipeline feeds: `local` of `replicas`, from number `first` on."""

    replicas: int = 1
    first: int = 0
    local: int = 1


def train_blocks(
    examples: Examples,
    *,
    seed: int,
    batch: int,
    start: int,
    blocks: Sequence[int],
    part: Part,
    augment: Augment | None = None,
    weights: str = 'float32',
) -> tf.data.Dataset:
    """Returns the training blocks from step `start` on, for one input pipeline.

    Args:
      examples: of the training split.
      seed: of order and augmentation.
      batch: global batch size, a multiple of `part.replicas`.
      start: first step.
      blocks: number of steps in each block, in their order.
      part: which replicas to feed; the elements for them alternate.
      augment: augmentation, drawn by step and place in the global batch, and so the same for any number of replicas.
      weights: type of the sample weights, if there are any.
    """
    epoch, skip = divmod(start * batch, examples.count)
    epochs = tf.data.Dataset.counter(tf.constant(epoch, tf.int64))
    keys = epochs.flat_map(_as_written(lambda e: examples.shuffled(seed, e), examples))
    sizes = [steps * batch for steps in blocks]
    keys = keys.rebatch([skip, *sizes]).skip(1) if skip else keys.rebatch(sizes)
    firsts = start + np.cumsum([0, *blocks[:-1]])
    keys = tf.data.Dataset.zip(keys, tf.data.Dataset.from_tensor_slices(firsts.astype(np.int64))).take(len(blocks))

    def local(x):
        return _local(tf.reshape(x, [-1, part.replicas, batch // part.replicas, *x.shape[2:]]), part)

    def block(keys, first):
        keys = local(tf.reshape(keys, [-1, batch]))
        images, labels = examples.fetch(keys)
        if augment:
            steps = first + tf.range(tf.shape(keys)[1], dtype=tf.int64)
            images = augmented(images, augment, seed, steps, batch, local)
        return images, labels, *examples.fetch_weights(keys, weights)

    return _for_replicas(keys.map(_as_written(block, examples), num_parallel_calls=2, deterministic=True), part)


def train_blocks_at_once(
    examples: InMemory, *, seed: int, batch: int, start: int, blocks: Sequence[int], weights: str = 'float32'
) -> Iterator[tuple[tf.Tensor, ...]]:
    """Yields the blocks of `train_blocks` for one replica without augmentation, each made when it is asked for.

    Setting up tf.data takes 0.1 s, which is noticeable in a run of half a second, and with a single thread nothing could be
    prepared ahead of time anyway.
    """
    position = start * batch
    for steps in blocks:
        keys, needed = [], steps * batch
        while needed:
            epoch, skip = divmod(position, examples.count)
            keys.append(examples.order(seed, epoch)[skip : skip + needed])
            position += len(keys[-1])
            needed -= len(keys[-1])
        with tf.device('CPU:0'):  # otherwise all examples would be copied to a GPU, just to gather this block there
            places = tf.constant(np.concatenate(keys).reshape(steps, batch))
            block = (*examples.fetch(places), *examples.fetch_weights(places, weights))
        yield block


def eval_blocks(examples: Examples, *, batch: int, steps: int, part: Part) -> tf.data.Dataset:
    """Returns all examples once, in blocks of `steps` batches (fewer in the last), with a mask for what pads the last.

    An element is (images, labels, mask bool [steps, batch of the replica]).
    """
    steps = min(steps, math.ceil(examples.count / batch))
    count = eval_block_count(examples, batch=batch, steps=steps)
    keys = examples.in_order().repeat().rebatch(steps * batch).take(count)

    def block(number, keys):
        position = number * steps * batch + tf.range(steps * batch, dtype=tf.int64)
        shape = [steps, part.replicas, batch // part.replicas]
        images, labels = examples.fetch(_local(tf.reshape(keys, shape), part))
        return images, labels, _local(tf.reshape(position < examples.count, shape), part)

    block = _as_written(block, examples)
    return _for_replicas(keys.enumerate().map(block, num_parallel_calls=2, deterministic=True), part)


def eval_blocks_at_once(examples: InMemory, *, batch: int, steps: int) -> Iterator[tuple[tf.Tensor, ...]]:
    """Yields the blocks of `eval_blocks` for one replica, each made when it is asked for."""
    steps = min(steps, math.ceil(examples.count / batch))
    for number in range(eval_block_count(examples, batch=batch, steps=steps)):
        position = np.arange(number * steps * batch, (number + 1) * steps * batch).reshape(steps, batch)
        with tf.device('CPU:0'):
            images, labels = examples.fetch(tf.constant(examples.indices[position % examples.count]))
            mask = tf.constant(position < examples.count)
        yield images, labels, mask


def eval_block_count(examples: Examples, *, batch: int, steps: int) -> int:
    """Returns the number of blocks that `eval_blocks` yields for each replica."""
    total = math.ceil(examples.count / batch)
    return math.ceil(total / min(steps, total))


def _as_written(function: Callable, examples: Examples) -> Callable:
    """Keeps AutoGraph, which takes 0.8 s of processor time for our functions, from converting one: none has a condition on a
    tensor. What decodes the records of a stream is TFDS's own, and is converted."""
    return tf.autograph.experimental.do_not_convert(function) if isinstance(examples, InMemory) else function


def _local(x: tf.Tensor, part: Part) -> tf.Tensor:
    """[steps, replicas, batch, ...] -> [local replicas, steps, batch, ...] of this part."""
    return tf.transpose(x[:, part.first : part.first + part.local], [1, 0, *range(2, len(x.shape))])


def _for_replicas(blocks: tf.data.Dataset, part: Part) -> tf.data.Dataset:
    """Gives each local replica an element of its own, in turn."""
    # Unbatching copies: with one replica, its only row is taken instead.
    first = tf.autograph.experimental.do_not_convert(lambda *arrays: tuple(array[0] for array in arrays))
    blocks = blocks.unbatch() if part.local > 1 else blocks.map(first)
    options = tf.data.Options()
    options.deterministic = True
    # All degrees of parallelism are fixed, so autotuning has nothing to do; its thread delayed a run's end by up to 2 s.
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return blocks.prefetch(2 * part.local).with_options(options)
