"""A process that trains one run after the other for a pool: python -m trainer.compare.engines.worker FD

It imports TensorFlow and reads the data once, and keeps compiled steps for later runs that can use them
(`program_key`). Over the connection at file descriptor FD it is sent first the dataset's `Location`, then the arguments
of `Trainer.run` for each run, and None at the end; it answers `READY` or `WITHOUT_GPUS`, then with a (kind, error) for
each run, as in `engines.Event`. When the connection breaks, the pool has died: the run is saved, and the worker ends.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline import sources
from data_pipeline.from_tfds import prepared
from seedwise import signals, tensorflow_import
from seedwise.commands import STOPPED
from seedwise.errors import CodeError, Interrupted, UserError, is_of_file_system
from seedwise.process import exit_now
from seedwise.references import running
from trainer import losses, results

if TYPE_CHECKING:
    from trainer.steps import Program

#: From the pool's death to the worker's, at the latest: time to save a checkpoint.
SAVE_SECONDS = 30.0

#: Most bytes of weights and optimizer states that programs which are kept, but not in use, take together.
KEPT_BYTES = 64 * 2**20

#: A worker's first answer: TensorFlow can use GPUs, or cannot.
READY, WITHOUT_GPUS = ('ready', ''), ('ready', 'without GPUs')


def main(fd: int) -> int:
    """Trains what comes over the connection, and returns the exit code."""
    signals.deliver_by_thread()  # before any other thread starts
    connection = Connection(fd)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to handle
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    location = tasks.get()
    tf = tensorflow_import.import_tensorflow()
    trainer = None
    connection.send(READY if tf.config.list_physical_devices('GPU') else WITHOUT_GPUS)
    while task := tasks.get():
        try:
            trainer = trainer or Trainer(task[0], location)
            trainer.run(*task)
            answer = 'finished', ''
        except results.InUse:
            answer = 'busy', ''
        except Interrupted:
            return STOPPED
        except Exception as error:  # whatever else it is, it costs this run, not the study
            if is_of_file_system(error):
                connection.send(('unwritable', str(error) if isinstance(error, UserError) else repr(error)))
                return 2
            # Of a user's mistake, no line of ours.
            theirs = f'{getattr(error, "frames", "")}{error}' if isinstance(error, UserError) else ''
            kind = 'wrong' if isinstance(error, CodeError) else 'failed'
            answer = kind, theirs or traceback.format_exc()
            if trainer:
                trainer.programs.clear()
        connection.send(answer)
    return 0


def _receive(connection: Connection, tasks: queue.SimpleQueue) -> None:
    """Hands over what comes; on a broken connection, stops the process."""
    task: object = True
    while task is not None:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            # The way of every request to stop (`signals.deliver_by_thread`): a run saves, and all else just ends.
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(SAVE_SECONDS)
            exit_now(STOPPED)
        tasks.put(task)


class Trainer:
    """What runs of one process have in common: devices, data and compiled steps.

    Attributes:
      programs: what is compiled, by `program_key`; the last used is the last.
    """

    def __init__(self, config, location: sources.Location):
        from trainer import strategy

        with tensorflow_import.stderr_held_back():
            self._strategy = strategy.start(config, None)
        self._location = location
        self._dataset = sources.load(location, memory_limit_mb=config.data.memory_limit_mb)
        self.programs: dict[str, Program] = {}

    def run(self, config, workdir: Path, test: bool, rungs: Sequence[float] = ()) -> None:
        """Trains a run; nothing if it is finished, or has paused. Raises `InUse` where another process has it.

        Args:
          config: of the run.
          workdir: its folder.
          test: whether to open the test set at the end.
          rungs: as `RunSpec.rungs`.
        """
        from trainer import strategy
        from trainer.machine import usage
        from trainer.train import Run

        started = time.perf_counter()
        with results.locked(workdir):
            if results.read_result(workdir, config) is not None:
                return
            if rungs and results.read_paused(workdir, rungs[-1]) is not None:
                return
            results.check_workdir(workdir, config)
            results.begin(workdir, config)
            dataset = sources.hold_out(self._dataset, seed=config.seed, validation=config.data.validation)
            usage.forget_peak()  # that of an earlier run
            key = program_key(config)
            program = self.programs.pop(key, None)
            self._make_room()
            explained = running.explained(config), prepared.errors_explained(self._location)
            with explained[0], explained[1], strategy.determinism_explained():
                run = Run(config, self._strategy, dataset, workdir, program=program, rungs=rungs)
                self.programs[key] = run.program
                run.complete(started, show=False, test=test)

    def _make_room(self) -> None:
        """Lets go of the programs that were used longest ago, until the others take no more than `KEPT_BYTES`."""
        sizes = {key: sum(map(_bytes, program.variables)) for key, program in self.programs.items()}
        while sum(sizes.values()) > KEPT_BYTES:
            oldest = next(iter(sizes))
            del sizes[oldest], self.programs[oldest]


def program_key(config) -> str:
    """Returns what two configs have in common that can use the same compiled steps."""
    fields = json.loads(results.to_json(config))
    del fields['seed']
    fields['loss']['name'] = losses.computed_as(config.loss)
    if config.schedule.name == 'constant' and not (config.schedule.warmup_steps or config.schedule.warmup_epochs):
        del fields['optimizer']['learning_rate']
    return json.dumps(fields, sort_keys=True)


def _bytes(variable) -> int:
    return variable.shape.num_elements() * variable.dtype.size


if __name__ == '__main__':
    exit_now(main(int(sys.argv[1])))  # TensorFlow takes a second to take itself down
