"""Runs that are done together, until each has finished or failed for good: what is tried again, what is waited for."""

import collections
import contextlib
import time
from collections.abc import Callable, Sequence

import filelock

from seedwise.errors import CannotWrite, UserError, is_of_file_system, writing
from seedwise.storage import files, locks
from trainer.compare.allocation.budget import Budget
from trainer.compare.analysis.words import count
from trainer.compare.engines.base import NO_LIMITS, Engine, Event, Limits
from trainer.compare.grid import RunSpec
from trainer.compare.progress import Display, Watch

#: A run that failed is tried once more: its process may have been killed from outside.
TRIES = 2

#: Between looks at runs that another process works on.
WAIT_SECONDS = 1.0


class Stage:
    """Runs of a study on their way to an engine and back. What does not fit into the budget is left out.

    A run that another process works on is waited for at the end, and taken over where that process ends without a result.
    """

    def __init__(
        self,
        specs: Sequence[RunSpec],
        on_finished: Callable[[RunSpec], None] = lambda spec: None,
        budget: Budget | None = None,
        watch: Watch | None = None,
    ):
        """`on_finished` is called with each run that finishes, and `watch` looks after it."""
        # Also takes the hash of each run, before the first one starts (`RunSpec.check_unchanged`).
        self._todo = [spec for spec in specs if spec.result() is None and spec.hash]
        self._on_finished, self._budget, self._watch = on_finished, budget, watch
        self._display = Display(len(specs), len(specs) - len(self._todo))
        self._tries: collections.Counter[RunSpec] = collections.Counter()
        self._again: list[RunSpec] = []
        self._failed: list[RunSpec] = []
        if watch:
            self._display.stands(watch.standings)

    def complete(self, engine: Engine) -> list[RunSpec]:
        """Runs what is not finished, and returns what failed for good.

        Raises:
          UserError: a file system cannot be written. What is under way saves, if it can.
        """
        budget = self._budget
        try:
            while self._todo:
                self._again = []
                engine.run(self._todo, self._on_event, Limits(budget.may_start, budget.end) if budget else NO_LIMITS)
                self._todo = self._ready(self._again)
            if self._watch:
                self._watch.look(self._display, ended=True)
        finally:
            self._display.close()
        return self._failed

    def _on_event(self, event: Event) -> None:
        spec = event.spec
        spec.check_unchanged()
        if event.kind == 'started':
            with _unless_its_own_folder(), writing(spec.workdir):
                (spec.workdir / 'error.txt').unlink(missing_ok=True)
            self._display.started()
            return
        self._display.ended()
        result = spec.result()
        if result is not None:  # also where its process died right after
            self._finished(spec, result)
        elif event.kind == 'unwritable':
            raise UserError(event.error)
        elif event.kind == 'stopped' and self._budget:
            self._budget.stopped(spec)
        elif event.kind == 'busy':
            if event.error:
                self._display.say(f'{spec.name}: {event.error}, will be tried again')
            self._again.append(spec)
        else:
            self._try_again(spec, event)

    def _finished(self, spec: RunSpec, result: dict) -> None:
        self._display.finished(spec, result)
        self._on_finished(spec)
        if self._watch:
            self._watch.look(self._display)

    def _try_again(self, spec: RunSpec, event: Event) -> None:
        """Puts down why a run failed, and tries it again, unless it has failed for good."""
        # The user's own code would raise the same error again.
        self._tries[spec] += TRIES if event.kind == 'wrong' else 1
        again = self._tries[spec] < TRIES
        with _unless_its_own_folder(), writing(spec.workdir):
            spec.workdir.mkdir(parents=True, exist_ok=True)
            files.write_utf8(spec.workdir / 'error.txt', event.error.rstrip())
        self._display.failed(spec, event.error, again=again)
        (self._again if again else self._failed).append(spec)

    def _ready(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """Waits until no other process works on one of the runs, and returns those that are not finished; at the end of the
        budget, none."""
        left, waiting = list(specs), False
        while left:
            for spec in [spec for spec in left if not _in_use(spec)]:
                result = spec.result()
                if result is None:
                    return left
                self._finished(spec, result)
                left.remove(spec)
            if self._budget and self._budget.left <= 0:
                self._budget.refused.update(spec.variant.name for spec in left)
                break
            if left and not waiting:
                self._display.say(f'waiting for {count(len(left), "run")} that other processes work on')
                waiting = True
            if left:
                time.sleep(WAIT_SECONDS)
        return []


@contextlib.contextmanager
def _unless_its_own_folder():
    """Lets it pass that a run's own folder cannot be written: the run fails by that, and the others go on."""
    try:
        yield
    except CannotWrite as error:
        if is_of_file_system(error):
            raise


def _in_use(spec: RunSpec) -> bool:
    try:
        with locks.held(spec.workdir / '.lock', timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False  # it cannot be written: the run will say why
