"""One run, from config to result, in the order in which things happen."""

import contextlib
import faulthandler
import math
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from configs.errors import UserError
from data_pipeline import prepared, quiet, sources
from trainer import results, strategy
from trainer.blocks import Blocks
from trainer.check import check_length
from trainer.checkpoints import Checkpoints, load_model, save_model, weights_sha256
from trainer.cluster import Cluster, lost_worker, wait_for_all
from trainer.progress import Progress
from trainer.steps import Program
from trainer.summaries import Summaries

#: What TensorFlow raises where another worker does not answer.
PEERS_FAIL = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)


class Interrupted(Exception):
    """The run was asked to stop, and has saved; the same command continues it."""


def train(
    config, location: sources.Location, workdir: Path, cluster: Cluster | None = None, *, show: bool = True
) -> dict:
    """Trains one run in this process and returns its result, which is then in `workdir`/result.json too.

    Args:
      config: a checked config (`trainer.check`).
      location: where `sources.locate` found the dataset.
      workdir: the run's folder; an unfinished run in it is continued.
      cluster: the workers, where there are several.
      show: whether to show progress.

    Raises:
      UserError: what the config wants is not to be had here.
      Interrupted: SIGTERM or SIGINT came; all is saved.
      LostWorker: another worker has died, or has not come.
    """
    started = time.perf_counter()
    chief = cluster is None or cluster.is_chief
    try:
        if cluster:
            wait_for_all(cluster)
        with quiet.stderr_held_back():
            strategy_ = strategy.start(config, cluster)
        dataset = sources.load(
            location,
            seed=config.seed,
            validation=config.data.validation,
            memory_limit_mb=config.data.memory_limit_mb,
        )
        with prepared.errors_explained(location):
            return Run(config, strategy_, dataset, workdir, chief=chief).run(started, show=show and chief)
    except tf.errors.OpError as error:
        if cluster and (isinstance(error, PEERS_FAIL) or 'Collective ops is aborted' in error.message):
            raise lost_worker(cluster, error.message) from error
        raise


def evaluate(config, location: sources.Location, workdir: Path) -> dict:
    """Returns the result in `workdir` with its model evaluated anew on the test set; writes nothing.

    Raises:
      UserError: there is no whole model of a finished run.
    """
    result = results.read_result(workdir)
    if result is None:
        raise UserError(f'{workdir} has a model but no result.json: its run has not ended; continue it first')
    model = load_model(workdir / 'model.keras')
    with quiet.stderr_held_back():
        strategy_ = strategy.start(config, None)
    dataset = sources.load(location, seed=config.seed, memory_limit_mb=config.data.memory_limit_mb)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(config, strategy_, dataset, Path(scratch))
        run.model.set_weights(model.get_weights())
        with prepared.errors_explained(location):
            loss, accuracy, count = run._evaluate('test')
    return result | {'test': {'loss': loss, 'accuracy': accuracy, 'examples': count}}


class Run:
    """A run whose devices and data are at hand."""

    def __init__(
        self,
        config,
        strategy_,
        dataset: sources.Dataset,
        workdir: Path,
        *,
        chief: bool = True,
        program: Program | None = None,
    ):
        """`program`: that of an earlier run, to be used again; its config differed as `Program.reset` says."""
        self.config, self.strategy, self.dataset, self.workdir, self.chief = config, strategy_, dataset, workdir, chief
        self.blocks = Blocks(config, strategy_, dataset)
        self.total_steps = self.blocks.total_steps
        check_length(config, self.total_steps)
        if program:
            program.reset(config)
        self.program = program or Program(
            config,
            strategy_,
            dataset.image_shape,
            dataset.classes,
            total_steps=self.total_steps,
            warmup_steps=config.schedule.warmup_steps or self.blocks.step_of_epoch(config.schedule.warmup_epochs or 0),
        )
        self.model = self.program.model
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
        self.seconds = {'total': 0.0, 'training': 0.0, 'evaluation': 0.0, 'startup': 0.0}
        self.since_evaluation = np.zeros(3)  # sums of loss and accuracy over steps, number of steps
        self.asked_to_stop = False

    def run(self, started: float, *, show: bool = True, test: bool = True) -> dict:
        """Trains to the end and returns the result.

        Args:
          started: what `time.perf_counter` said when the run began.
          show: whether to show progress.
          test: whether to open the test set at the end.
        """
        progress_made = self.checkpoints.restore()
        if progress_made:
            self._set_progress(progress_made)
        self.seconds['startup'] += time.perf_counter() - started
        earlier = self.seconds['total']

        wanted = self.chief and self.config.tensorboard.enabled is not False
        summaries = Summaries(self.workdir / 'tensorboard' if wanted else None, self.step)
        progress = Progress(self.total_steps, self.step, show=show)
        with _signals(self._ask_to_stop):
            try:
                summaries.start(self.config, self.dataset.name, self.model)
                if progress_made:
                    progress.say(f'continuing at step {self.step:,} of {self.total_steps:,}')
                self._train(summaries, progress, lambda: earlier + time.perf_counter() - started)
                tested = self._test(summaries, wanted=test)
            finally:
                progress.close()
                summaries.close()
        self.seconds['total'] = earlier + time.perf_counter() - started
        return self._finish(tested)

    def _train(self, summaries: Summaries, progress: Progress, now) -> None:
        """Trains from the current step to the last, or to divergence, or to where early stopping ends it."""
        lengths = self.blocks.lengths(self.step)
        iterator = self.blocks.train(self.step, lengths) if lengths else None
        first_call = True
        for steps in lengths:
            first, self.step = self.step, self.step + steps
            clock = time.perf_counter()
            stats = self.program.train(iterator, self.config.seed, first, self.asked_to_stop)
            elapsed = time.perf_counter() - clock
            self.seconds['training'] += elapsed
            self.since_evaluation += [stats.loss * steps, stats.accuracy * steps, steps]
            train_scalars = {
                'loss': stats.loss,
                'accuracy': stats.accuracy,
                'learning_rate': stats.learning_rate,
                'gradient_norm': stats.gradient_norm,
                'weight_norm': stats.weight_norm,
                # The first call compiles: its speed is nobody's.
                'examples_per_second': None if first_call else steps * self.config.global_batch_size / elapsed,
            }
            summaries.scalars('train', self.step, train_scalars)
            summaries.profile_until(self.step)
            if first_call:
                summaries.profile(self.step, self.config.tensorboard.profile_steps)
            first_call = False
            progress.step(self.step)
            if not math.isfinite(stats.loss):
                self.status, self.diverged_steps = 'diverged', (first + 1, self.step)
                return
            if self.step in self.blocks.evaluations:
                self._evaluate_and_log(summaries, progress)
                summaries.flush()
                if self._stops_early():
                    return
            if self.checkpoints.due(self.step) or stats.stop:
                summaries.flush()
                self.seconds['total'] = now()
                self._save()
            if stats.stop:
                raise Interrupted(f'stopped at step {self.step:,} of {self.total_steps:,}')

    def _evaluate(self, split: str, summaries: Summaries | None = None) -> tuple[float, float, int]:
        """Returns mean loss, accuracy and number of examples; shows `summaries` what is wrong, where that is wanted."""
        clock = time.perf_counter()
        examples = self.splits[split]
        board = self.config.tensorboard
        # On all workers, or the chief would wait for them.
        if summaries and board.enabled is not False and board.images:
            loss, accuracy, count, outcomes = self.program.predict(*self.blocks.evaluate(examples))
            summaries.outcomes(split, self.step, outcomes, self.seconds['training'])
        else:
            loss, accuracy, count = self.program.evaluate(*self.blocks.evaluate(examples))
        self.seconds['evaluation'] += time.perf_counter() - clock
        if count != examples.count:
            raise AssertionError(f'evaluated {count} of {examples.count} {split} examples')
        return loss, accuracy, count

    def _evaluate_and_log(self, summaries: Summaries, progress: Progress) -> None:
        """Adds an entry to the history, and keeps the weights if they are the best so far."""
        loss, accuracy, steps = self.since_evaluation
        self.since_evaluation = np.zeros(3)
        row: dict = {
            'epoch': round(self.blocks.epochs_at(self.step), 4),
            'step': self.step,
            'train_loss': loss / steps,
            'train_accuracy': accuracy / steps,
            'validation_loss': None,
            'validation_accuracy': None,
        }
        wanted = ['validation'] * (self.splits['validation'] is not None) + ['test'] * self.config.test_every_evaluation
        for split in wanted:
            row[f'{split}_loss'], row[f'{split}_accuracy'], _ = self._evaluate(split, summaries)
            scalars = {'loss': row[f'{split}_loss'], 'accuracy': row[f'{split}_accuracy']}
            summaries.scalars(split, self.step, scalars)
        row['seconds'] = round(self.seconds['training'], 3)
        self.history.append(row)
        progress.evaluation(row)
        if self.best and row is self._best_row():
            for best, weight in zip(self.best, self.model.weights, strict=True):
                best.assign(weight.numpy())

    def _best_row(self) -> dict:
        """The evaluation of the lowest validation loss; the first of equals."""
        return min(self.history, key=lambda row: row['validation_loss'])

    def _stops_early(self) -> bool:
        patience = self.config.early_stopping_patience
        if not patience:
            return False
        return len(self.history) - 1 - self.history.index(self._best_row()) >= patience

    def _test(self, summaries: Summaries, *, wanted: bool) -> dict:
        """Takes the best weights by validation where there are any, and opens the test set, if that is wanted."""
        self.final_sha256 = weights_sha256(self.model)
        if self.status == 'diverged':
            return {'loss': None, 'accuracy': None, 'examples': 0}
        if self.best and self.history:
            self.model.set_weights([best.numpy() for best in self.best])
        if not wanted:
            return {'loss': None, 'accuracy': None, 'examples': 0}
        loss, accuracy, count = self._evaluate('test', None if self.config.test_every_evaluation else summaries)
        if not self.config.test_every_evaluation:
            summaries.scalars('test', self.step, {'loss': loss, 'accuracy': accuracy})
        return {'loss': loss, 'accuracy': accuracy, 'examples': count}

    def _finish(self, test: dict) -> dict:
        """Writes model.keras, then result.json, which says that the run is done."""
        examples = {name: split.count for name, split in self.splits.items() if split is not None}
        trained = self.step * self.config.global_batch_size
        result = {
            'status': self.status,
            **({'diverged_steps': self.diverged_steps} if self.diverged_steps else {}),
            'config_hash': results.config_hash(self.config),
            'seed': self.config.seed,
            'dataset': {
                'name': self.dataset.name,
                'source': self.dataset.source,
                'fingerprint': self.dataset.fingerprint,
                'train': self.dataset.train.count,
                'validation': examples.get('validation', 0),
                'test': examples['test'],
            },
            'strategy': {
                'name': strategy.name_of(self.strategy),
                'replicas': self.strategy.num_replicas_in_sync,
                'workers': self.program.workers,
                'global_batch_size': self.config.global_batch_size,
            },
            'parameters': self.model.count_params(),
            'steps': self.step,
            'history': self.history,
            'test': test,
            'weights_sha256': self.final_sha256,
            'seconds': {key: round(value, 3) for key, value in self.seconds.items()},
            'examples_per_second': round(trained / self.seconds['training'], 1) if trained else None,
            **results.environment(),
        }
        if self.chief:
            save_model(self.model, self.workdir / 'model.keras')
            results.write_json(self.workdir / 'result.json', result)
        return result

    def _save(self) -> None:
        if self.chief:
            progress = {
                'step': self.step,
                'history': self.history,
                'since_evaluation': self.since_evaluation.tolist(),
                'seconds': self.seconds,
            }
            self.checkpoints.save(progress)

    def _set_progress(self, progress: dict) -> None:
        self.step, self.history, self.seconds = progress['step'], progress['history'], progress['seconds']
        self.since_evaluation = np.array(progress['since_evaluation'])

    def _ask_to_stop(self) -> None:
        self.asked_to_stop = True


@contextlib.contextmanager
def _signals(stop: Callable[[], None]):
    """Calls `stop` on SIGTERM and on the first SIGINT; a second SIGINT interrupts at once, as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals; whoever runs us in another has its own way to stop
        return

    def handle(number, frame):
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # It gives Python's handlers a stack of their own. oneDNN's compiled matrix products do not leave them one: a signal
    # that came in the middle of a product overwrote the heap, and the process was aborted before it had saved.
    faulthandler.enable(2)
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
