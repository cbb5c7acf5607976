"""What an engine is: it starts runs, several at a time, and reports what happens to each.

It does not decide what to run, retry or report (`study.py` and `stage.py` do), so that another engine is small.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainer.compare.grid import RunSpec


@dataclass(frozen=True)
class Event:
    """Something happened to a run. `error`: why it failed or may be busy, a traceback or what the process printed last."""

    #: started, finished, failed, wrong (the user's own code raised an error), stopped (the time is over; it has saved), or
    #: busy: another process trains it, or may.
    kind: str
    spec: RunSpec
    error: str = ''


#: Whether a run may be started now: asked right before it is.
MayStart = Callable[[RunSpec], bool]


def always(spec: RunSpec) -> bool:
    """Every run may be started."""
    return True


@dataclass(frozen=True)
class Limits:
    """What keeps an engine from running all. `until`: on `time.monotonic`, when what is under way is stopped, and saves."""

    may_start: MayStart = always
    until: float = math.inf


NO_LIMITS = Limits()


class Engine(Protocol):
    """Trains runs, each in its folder by `trainer.train.Run`, so that a result.json there means that it is done."""

    def run(self, specs: Sequence[RunSpec], on_event: Callable[[Event], None], limits: Limits = NO_LIMITS) -> None:
        """Tries each run once; returns when each has ended: finished, failed, wrong, stopped or busy (`Event`).

        A run that may not be started when its turn comes is left out: nothing is reported of it. Lower seeds should come
        first, and runs that differ in seed or learning rate alone should go to the same process. It may be called again, for
        more runs.

        Raises:
          Interrupted: SIGTERM or SIGINT came; the runs under way have saved.
        """
        ...

    def close(self) -> None:
        """Ends what waits for more runs."""
        ...
