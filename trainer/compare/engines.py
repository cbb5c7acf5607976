"""Where the runs of a study are trained: the interface to an engine, and the table of engines.

An engine starts runs, several at a time, and tells what becomes of them. What is to be run, what is tried once more and
what is reported is not its business (`study.py`), so that another one is small.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from data_pipeline.sources import Location
from trainer.compare.grid import RunSpec

#: What becomes of a run. `busy`: another process is at it, or may be. `unwritable`: it failed, and so would all others,
#: because a file system cannot be written (`configs.errors.FILE_SYSTEM_ERRORS`).
KINDS = ('started', 'finished', 'failed', 'busy', 'unwritable')


class Interrupted(Exception):
    """The study was asked to stop, and all its runs have saved; the same command continues it."""


@dataclass(frozen=True)
class Event:
    """Something became of a run. `error`: why it failed or may be busy, a traceback or what the process said last."""

    kind: str
    spec: RunSpec
    error: str = ''


class Engine(Protocol):
    """Trains runs, each in its folder by `trainer.train.Run`, so that a result.json there means that it is done."""

    def run(self, specs: Sequence[RunSpec], on_event: Callable[[Event], None]) -> None:
        """Tries each run once; returns when there is a last word (finished, failed or busy) on each.

        `on_event` may raise: the runs under way then save, and the exception leaves `run`.

        Runs that follow each other and differ in seed or learning rate alone should go to the same process.

        Raises:
          Interrupted: SIGTERM or SIGINT came; the runs under way have saved.
        """
        ...


def _local(workers: int, location: Location) -> Engine:
    from trainer.compare.pool import Pool

    return Pool(workers, location)


def _ray(workers: int, location: Location) -> Engine:
    from trainer.compare.ray_engine import RayEngine

    return RayEngine(workers, location)


#: Name -> function of (number of workers, 0 for the engine's choice; the dataset's place) that returns an engine.
ENGINES: dict[str, Callable[[int, Location], Engine]] = {'local': _local, 'ray': _ray}
