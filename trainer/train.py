"""One run, from config to result, in the order in which things happen."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipeline import sources
from data_pipeline.from_tfds import prepared
from data_pipeline.own import names
from seedwise import references, tensorflow_import
from seedwise.errors import Interrupted, UserError
from seedwise.references import running
from seedwise.signals import stop_requests
from trainer import losses, metrics, results, strategy
from trainer.checkpoints import Checkpoints, load_weights, save_model, weights_sha256
from trainer.cluster import Cluster
from trainer.cluster.meeting import wait_for_all
from trainer.config.check import check_classes, check_images, check_length
from trainer.loop import scaling
from trainer.loop.blocks import Blocks
from trainer.loop.evaluation import Metrics, Seen
from trainer.loop.reports import NOTHING, Totals
from trainer.machine import provenance
from trainer.machine.usage import Usage
from trainer.output.progress import Progress, warn
from trainer.steps import Program
from trainer.summaries import Summaries


def train(
    config, location: sources.Location, workdir: Path, cluster: Cluster | None = None, *, show: bool = True
) -> dict:
    """Trains one run in this process and returns its result, which is then in `workdir`/result.json too.

    Args:
      config: a checked config (`trainer.config.check`).
      location: where `sources.locate` found the dataset.
      workdir: the run's folder; an unfinished run in it is continued.
      cluster: the workers, if there are several.
      show: whether to show progress.

    Raises:
      UserError: the config asks for something that this machine does not have.
      Interrupted: a signal asked the run to stop; all is saved.
      LostWorker: another worker died or never joined.
    """
    started = time.perf_counter()
    chief = cluster is None or cluster.is_chief
    with strategy.lost_worker_explained(cluster):
        if cluster:
            wait_for_all(cluster)
        with tensorflow_import.stderr_held_back():
            devices = strategy.start(config, cluster)
        if cluster and strategy.name_of(devices) == 'multi_worker':
            strategy.check_agreement(devices, cluster, results.config_hash(config))
        dataset = _load(config, location)
        if names.kind_of(location.path) == 'function':
            strategy.check_same_data(devices, cluster, location.path, dataset.fingerprint)
        if chief and show and not location.notes:  # of a function, which was not called before
            for note in dataset.notes:
                warn(note)
        with running.explained(config), prepared.errors_explained(location), strategy.determinism_explained():
            return Run(config, devices, dataset, workdir, chief=chief).complete(started, show=show and chief)


def evaluate(config, location: sources.Location, workdir: Path) -> dict:
    """Returns the result in `workdir` with its model evaluated again on the test set; writes nothing.

    Raises:
      UserError: there is no whole model of a finished run.
    """
    result = results.read_result(workdir)
    if result is None:
        raise UserError(f'{workdir} has a model but no result.json: its run has not ended; continue it first')
    with tensorflow_import.stderr_held_back():
        devices = strategy.start(config, None)
    dataset = _load(config, location)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(config, devices, dataset, Path(scratch))
        load_weights(run.model, workdir / results.MODEL)
        with running.explained(config), prepared.errors_explained(location), strategy.determinism_explained():
            measured = run.measure('test', Summaries(None), images=False)
    return result | {'test': run.tested(measured), 'metrics': results.metrics_of(result) | run.goals}


def _load(config, location: sources.Location) -> sources.Dataset:
    """Returns the dataset as the run trains on it, its validation split held out: inputs are normalised by the rest."""
    data = config.data
    return sources.load(location, seed=config.seed, validation=data.validation, memory_limit_mb=data.memory_limit_mb)


class Run:
    """A run whose devices and data are at hand."""

    def __init__(
        self,
        config,
        devices: tf.distribute.Strategy,
        dataset: sources.Dataset,
        workdir: Path,
        *,
        chief: bool = True,
        program: Program | None = None,
        rungs: Sequence[float] = (),
    ):
        """`program`: the compiled program of an earlier run to reuse; `Program.reset` says how the configs may differ.
        `rungs`: shares of the training after which a trial is evaluated, rising; after a last one below 1 it pauses."""
        self.config, self.devices, self.dataset, self.workdir, self.chief = config, devices, dataset, workdir, chief
        # Not at the end: files that the config names may be edited or deleted meanwhile.
        self.hash, self.sources = results.config_hash(config), references.digests(config)
        normalized = scaling.normalizes(config, dataset)
        self.blocks = Blocks(config, devices, dataset, normalized=normalized, rungs=rungs)
        self.total_steps = self.blocks.total_steps
        check_length(config, self.total_steps)
        check_images(config, dataset.name, dataset.image_shape)
        check_classes(config, dataset.name, dataset.classes)
        moments = dataset.train.moments if normalized else None
        class_weights = losses.class_weights(config.loss.class_weights, dataset)
        if program:
            program.reset(config, moments, class_weights)
        self.program = program or Program(
            config,
            devices,
            dataset.image_shape,
            dataset.classes,
            moments,
            class_weights,
            total_steps=self.total_steps,
            warmup_steps=config.schedule.warmup_steps or self.blocks.step_of_epoch(config.schedule.warmup_epochs or 0),
        )
        self.model = self.program.model
        self.goals = metrics.goals(config.metrics)
        self.metrics = Metrics(config, dataset.classes, self.program.collectives)
        self.splits = {'validation': dataset.validation, 'test': dataset.test}
        # The best weights so far, kept in the checkpoint so that they are always those that belong to its step.
        weights = self.model.get_weights() if dataset.validation is not None else []
        self.best = [tf.Variable(weight, trainable=False) for weight in weights]
        self.checkpoints = Checkpoints(
            workdir / 'checkpoints',
            [*self.program.variables, *self.best],
            keep=config.checkpoint.keep,
            every_steps=config.checkpoint.every_steps,
            every_seconds=config.checkpoint.every_seconds,
        )
        self.step = 0
        self.status = 'completed'
        self.diverged_steps: tuple[int, int] | None = None
        self.history: list[dict] = []
        self.usage = Usage()
        self.seconds = {'total': 0.0, 'training': 0.0, 'evaluation': 0.0, 'startup': 0.0}
        self.since_evaluation = NOTHING
        self.final_sha256 = ''
        self.asked_to_stop = False

    def complete(self, started: float, *, show: bool = True, test: bool = True) -> dict:
        """Trains to the end, or until it pauses, and returns the result.

        Args:
          started: `time.perf_counter()` when the run began.
          show: whether to show progress.
          test: whether to open the test set at the end.
        """
        if self.chief:
            results.keep_fingerprint(self.workdir, self.config, self.dataset.fingerprint)
        snapshot = self.checkpoints.restore()
        if snapshot:
            self._continue_from(snapshot)
        self.seconds['startup'] += time.perf_counter() - started
        earlier = self.seconds['total']

        log = self.chief and self.config.tensorboard.enabled is not False
        summaries = Summaries(self.workdir / 'tensorboard' if log else None, self.step)
        progress = Progress(self.total_steps, self.step, show=show)
        with stop_requests(self._ask_to_stop), self.usage.watched():
            try:
                summaries.start(self.config, self.dataset.name, self.model)
                if snapshot:
                    progress.say(f'continuing at step {self.step:,} of {self.total_steps:,}')
                self._train(summaries, progress, lambda: earlier + time.perf_counter() - started)
                tested = self._test(summaries) if test else self.tested({})
            finally:
                progress.close()
                summaries.close()
        self.seconds['total'] = earlier + time.perf_counter() - started
        return self._finish(tested)

    def _train(self, summaries: Summaries, progress: Progress, now: Callable[[], float]) -> None:
        """Trains from the current step to the last one or a pause, to divergence, or until early stopping ends it."""
        lengths = self.blocks.lengths(self.step)
        blocks = self.blocks.train(self.step, lengths) if lengths else iter(())
        compiled = False
        for steps in lengths:
            first, self.step = self.step, self.step + steps
            clock = time.perf_counter()
            trained = self.program.train(next(blocks), self.config.seed, first, self.asked_to_stop)
            elapsed = time.perf_counter() - clock
            self.seconds['training'] += elapsed
            self.since_evaluation = self.since_evaluation.plus(trained.totals)
            scalars = {
                'loss': trained.totals.mean_loss,
                'accuracy': trained.totals.accuracy,
                **trained.last._asdict(),
                # The first call includes compilation, so its throughput is not reported.
                'examples_per_second': steps * self.config.global_batch_size / elapsed if compiled else None,
            }
            summaries.scalars('train', self.step, scalars)
            summaries.profile_until(self.step)
            if not compiled:
                summaries.profile(self.step, self.config.tensorboard.profile_steps)
            compiled = True
            progress.step(self.step)
            # ReLU may make 0 of NaN, so that the loss of weights that are NaN is finite.
            if not math.isfinite(trained.totals.loss) or math.isnan(trained.last.weight_norm):
                self._diverge(first + 1)
                return
            if self.step in self.blocks.evaluations:
                with self.program.evaluation_weights():
                    self._evaluate_and_keep_best(summaries, progress)
                summaries.flush()
                if self.status == 'diverged' or self._stops_early():
                    return
            if self.checkpoints.due(self.step) or trained.stop:
                summaries.flush()
                self.seconds['total'] = now()
                self._save()
            if trained.stop:
                raise Interrupted(f'stopped at step {self.step:,} of {self.total_steps:,}')

    def _evaluate_and_keep_best(self, summaries: Summaries, progress: Progress) -> None:
        """Adds an entry to the history, and keeps the weights if they are the best so far."""
        row: dict = {
            'epoch': round(self.blocks.epochs_at(self.step), 4),
            'step': self.step,
            'train_loss': self.since_evaluation.mean_loss,
            'train_accuracy': self.since_evaluation.accuracy,
            'validation_loss': None,
            'validation_accuracy': None,
            **{f'validation_{name}': None for name in self.goals if name not in metrics.ALWAYS},
        }
        self.since_evaluation = NOTHING
        if self.splits['validation'] is not None:
            row |= self.measure('validation', summaries)
        if self.config.test_every_evaluation:
            row |= self.measure('test', summaries)
        if self.status == 'diverged':
            return
        row['seconds'] = round(self.seconds['training'], 3)
        if self.step in self.blocks.rungs:
            row['rung'] = self.blocks.rungs[self.step]
        summaries.scalars('train', self.step, self.usage.scalars())
        self.history.append(row)
        progress.evaluation(row)
        if self.best and row is self._best_evaluation():
            for best, weight in zip(self.best, self.model.weights, strict=True):
                best.assign(weight.numpy())

    def measure(
        self, split: str, summaries: Summaries, *, images: bool = True, right: bool = False
    ) -> dict[str, float | None]:
        """Returns the metrics of a split as a row of the history; a loss that is not finite ends the run as diverged.

        Args:
          split: 'validation' or 'test'.
          summaries: where the numbers are logged.
          images: whether to log the examples that were misclassified.
          right: whether to write which examples are right, unless the run diverged.
        """
        clock, examples, shown = time.perf_counter(), self.splits[split], self.config.tensorboard
        # Every worker must take the same branch: the others would otherwise wait for its collectives forever.
        images = images and shown.enabled is not False and shown.images
        assert examples is not None, 'nothing was held out'
        seen = Seen(self.dataset.classes, pictures=images, right=right, logits=bool(self.metrics))
        totals = self.program.evaluate(self.blocks.evaluate(split, examples), seen.on_block if seen.anything else None)
        if totals.examples != examples.count:
            raise AssertionError(f'evaluated {totals.examples} of {examples.count} {split} examples')
        values: dict[str, float | None] = {'loss': totals.mean_loss, 'accuracy': totals.accuracy}
        if math.isfinite(totals.loss):
            values |= self.metrics.of(split, totals.examples, seen)
        self.seconds['evaluation'] += time.perf_counter() - clock
        if images:
            summaries.outcomes(split, self.step, seen.outcomes, self.seconds['training'])
        if not math.isfinite(totals.loss):
            self._diverge(self.step)
        else:
            summaries.scalars(split, self.step, values)
            if right:
                self._write_correct(seen, totals.examples)
        return {f'{split}_{name}': value for name, value in values.items()}

    def _write_correct(self, seen: Seen, examples: int) -> None:
        """Writes which of a split's examples are right; every worker must call this."""
        correct = self.program.collectives.of_all_workers(np.concatenate(seen.right)).ravel()[:examples]
        if self.chief:
            results.write_correct(self.workdir, correct.astype(bool))

    def _stops_early(self) -> bool:
        patience = self.config.early_stopping_patience
        if not patience:
            return False
        return len(self.history) - 1 - self.history.index(self._best_evaluation()) >= patience

    def _best_evaluation(self) -> dict[str, Any]:
        return results.best_evaluation(self.history, self.config.monitor, self.goals[self.config.monitor])

    def _diverge(self, first: int) -> None:
        """Ends the run: first between step `first` and the current one, a loss was not finite, or a weight was NaN."""
        self.status, self.diverged_steps = 'diverged', (first, self.step)

    def _test(self, summaries: Summaries) -> dict:
        """Opens the test set, with the weights that are the best on validation if there are any."""
        self.program.finalize()
        self.final_sha256 = weights_sha256(self.model)
        if self.status == 'diverged':
            return self.tested({})
        if self.best and self.history:
            self.model.set_weights([best.numpy() for best in self.best])
        measured = self.measure('test', summaries, images=not self.config.test_every_evaluation, right=True)
        return self.tested({} if self.status == 'diverged' else measured)

    def tested(self, measured: dict[str, float | None]) -> dict[str, Any]:
        """Returns `test` of a result from what `measure` returned; {}: the test set was not opened."""
        names = ['loss', 'accuracy', *(name for name in self.goals if name not in metrics.ALWAYS)]
        values = {name: measured.get(f'test_{name}') for name in names}
        return values | {'examples': self.dataset.test.count if measured else 0}

    def _finish(self, test: dict) -> dict:
        """Writes model.keras, then result.json, which says that the run is done; of a pause, checkpoint and paused.json."""
        pauses = self.status == 'completed' and self.step == self.blocks.end < self.total_steps
        if pauses and not self._stops_early():
            self.status = 'paused'
        trained = self.step * self.config.global_batch_size
        result = {
            'status': self.status,
            **({'diverged_steps': self.diverged_steps} if self.diverged_steps else {}),
            'config_hash': self.hash,
            'seed': self.config.seed,
            **({'sources': self.sources} if self.sources else {}),
            'dataset': provenance.data(self.dataset, self.program.moments),
            'strategy': {
                'name': strategy.name_of(self.devices),
                'replicas': self.devices.num_replicas_in_sync,
                'workers': self.program.collectives.workers,
                'global_batch_size': self.config.global_batch_size,
            },
            'parameters': self.model.count_params(),
            'steps': self.step,
            'metrics': self.goals,
            'monitor': self.config.monitor,
            'history': self.history,
            'test': test,
            'weights_sha256': self.final_sha256,
            'seconds': {key: round(value, 3) for key, value in self.seconds.items()},
            'examples_per_second': round(trained / self.seconds['training'], 1) if trained else None,
            'resources': self.usage.of_run(self.program.collectives),
            **provenance.environment(),
        }
        if self.status == 'paused':
            self._save()
        elif self.chief:
            save_model(self.program.model_to_save(), self.workdir / results.MODEL)
            result['model_sha256'] = results.model_sha256(self.workdir)
        if self.chief:
            results.write_result(self.workdir, result)
        return result

    def _save(self) -> None:
        if self.chief:
            snapshot = {
                'config_hash': self.hash,
                'step': self.step,
                'history': self.history,
                'totals': self.since_evaluation,
                'seconds': self.seconds,
                'usage': self.usage.parts(),
            }
            self.checkpoints.save(snapshot)

    def _continue_from(self, snapshot: dict) -> None:
        if snapshot.get('config_hash', self.hash) != self.hash:  # of a version before the field: not known
            folder = self.workdir / 'checkpoints'
            raise UserError(
                f'the checkpoints in {folder} are of another run: delete that folder to train from the start'
            )
        self.step, self.history, self.seconds = snapshot['step'], snapshot['history'], snapshot['seconds']
        if self.chief:  # whose it is
            self.usage.continue_from(snapshot.get('usage', {}))  # of an earlier version: not known
        if 'totals' in snapshot:
            self.since_evaluation = Totals(*snapshot['totals'])
        else:  # of version 0.1.0: sums of means over steps, and the number of steps
            self.since_evaluation = Totals(*(self.config.global_batch_size * x for x in snapshot['since_evaluation']))

    def _ask_to_stop(self, number: int) -> None:
        self.asked_to_stop = True
