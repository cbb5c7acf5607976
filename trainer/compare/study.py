"""A study from its list of runs to all of them finished, in the order in which things happen."""

import collections
import contextlib
import time
from collections.abc import Callable, Sequence

import filelock

from seedwise.errors import CannotWrite, UserError, is_of_file_system, writing
from trainer import results
from trainer.compare.engines.base import Engine, Event
from trainer.compare.engines.worker import program_key
from trainer.compare.grid import RunSpec
from trainer.compare.progress import Board

#: A run that failed is tried once more; its process may have been killed for reasons of its own.
TRIES = 2

#: Between looks at runs that another process works on.
WAIT_SECONDS = 1.0


def part(specs: Sequence[RunSpec], index: int, count: int) -> list[RunSpec]:
    """Returns part `index` of the `count` parts into which shards divide the runs.

    Runs that can use the same compiled steps stay together, as far as all parts get about as many.
    """
    groups: dict[str, list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault(program_key(spec.config), []).append(spec)
    together = [*groups.values()]
    whole = len(together) // count * count
    mine = [spec for group in together[index:whole:count] for spec in group]
    return mine + [spec for group in together[whole:] for spec in group][index::count]


def complete(
    specs: Sequence[RunSpec], engine: Engine, on_finished: Callable[[RunSpec], None] = lambda spec: None
) -> list[RunSpec]:
    """Runs what is not finished, and returns what failed for good.

    A run that another process works on is waited for at the end, and taken over where that process ends without a
    result. `on_finished` is called with each run that finishes.

    Raises:
      UserError: a file system cannot be written. What is under way saves, if it can.
    """
    todo = [spec for spec in specs if spec.result() is None]
    board = Board(len(specs), len(specs) - len(todo))
    tries: collections.Counter[RunSpec] = collections.Counter()
    failed: list[RunSpec] = []
    again: list[RunSpec] = []

    def finished(spec: RunSpec, result: dict) -> None:
        board.finished(spec, result)
        on_finished(spec)

    def on_event(event: Event) -> None:
        spec = event.spec
        if event.kind == 'started':
            with _unless_its_own_folder(), writing(spec.workdir):
                (spec.workdir / 'error.txt').unlink(missing_ok=True)
            board.started()
            return
        board.ended()
        result = spec.result()
        if result is not None:  # also where its process died right after
            finished(spec, result)
        elif event.kind == 'unwritable':
            raise UserError(event.error)
        elif event.kind == 'busy':
            if event.error:
                board.say(f'{spec.name}: {event.error}, will be tried again')
            again.append(spec)
        else:
            tries[spec] += 1
            with _unless_its_own_folder(), writing(spec.workdir):
                spec.workdir.mkdir(parents=True, exist_ok=True)
                results.write_json(spec.workdir / 'error.txt', event.error.rstrip())
            board.failed(spec, event.error, again=tries[spec] < TRIES)
            (again if tries[spec] < TRIES else failed).append(spec)

    try:
        while todo:
            again = []
            engine.run(todo, on_event)
            todo = _ready(again, board, finished)
    finally:
        board.close()
    return failed


@contextlib.contextmanager
def _unless_its_own_folder():
    """Lets it pass that a run's own folder cannot be written: the run fails by that, and the others go on."""
    try:
        yield
    except CannotWrite as error:
        if is_of_file_system(error):
            raise


def _ready(specs: Sequence[RunSpec], board: Board, finished: Callable[[RunSpec, dict], None]) -> list[RunSpec]:
    """Waits until one of the runs is in nobody's hands, and returns those that are not finished."""
    left, waiting = list(specs), False
    while left:
        for spec in [spec for spec in left if not _in_use(spec)]:
            result = spec.result()
            if result is None:
                return left
            finished(spec, result)
            left.remove(spec)
        if left and not waiting:
            board.say(f'waiting for {len(left)} run{"s" * (len(left) > 1)} that other processes work on')
            waiting = True
        time.sleep(WAIT_SECONDS * bool(left))
    return []


def _in_use(spec: RunSpec) -> bool:
    try:
        with filelock.FileLock(spec.workdir / '.lock', timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False  # it cannot be written: the run will say why
