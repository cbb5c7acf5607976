"""What a study shows while it runs: a bar with runs done, running, failed and ETA, a line for each finished run, and on a
terminal where each question stands."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich import progress as rich_progress
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from seedwise.errors import CannotWrite, UserError
from trainer.compare import grid
from trainer.compare.allocation.budget import in_words
from trainer.compare.analysis.words import count
from trainer.compare.grid import RunSpec
from trainer.metrics import of
from trainer.output.progress import warn
from trainer.results import best_of

if TYPE_CHECKING:
    import pandas as pd

    from trainer.compare.report.text.questions import Standing
    from trainer.compare.study import Plan

#: The parts of a study's time that may go into looks at it: into where its questions stand, and into its page.
STANDINGS_SHARE, PAGE_SHARE = 0.006, 0.004

#: What the first of each is taken to need, in seconds.
STANDINGS_SECONDS, PAGE_SECONDS = 0.03, 0.9

#: Columns that a line fits in, lines of standings at the most, and lines of a terminal that are left to other things.
WIDTH, MOST_LINES, OTHER_LINES = 80, 12, 6


class Display:
    """Progress of the runs of a study, on standard error; the bar and the standings on terminals alone."""

    def __init__(self, total: int, done: int):
        """`done`: of the `total` runs, those that were finished before."""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._total, self._done, self._before = total, done, done
        self._running = self._failed = 0
        self._started = time.monotonic()
        self._bar = None
        if self._console.is_terminal:
            text = rich_progress.TextColumn
            self._bar = rich_progress.Progress(
                rich_progress.BarColumn(),
                text('{task.fields[counts]}'),
                rich_progress.TimeElapsedColumn(),
                text('ETA'),
                rich_progress.TimeRemainingColumn(elapsed_when_finished=False),
                console=self._console,
                auto_refresh=False,
            )
            self._task = self._bar.add_task('', total=total, completed=done, counts=self._counts())
            self._live = Live(self._bar, console=self._console, refresh_per_second=4)
            self._live.start()

    def started(self) -> None:
        """Counts a run as running."""
        self._running += 1
        self._update()

    def ended(self) -> None:
        """A run that had been started is not running any more."""
        self._running -= 1
        self._update()

    def finished(self, spec: RunSpec, result: dict) -> None:
        """Shows the line of a run that is now done."""
        self._done += 1
        if result['status'] == 'diverged':
            result_text = 'diverged'
        else:
            name = of(spec.config.metrics[0]).name
            split = 'test' if spec.drawn is None else 'validation'
            value = result['test'][name] if spec.drawn is None else best_of(result)[f'validation_{name}']
            result_text = f'{split} {name.replace("_", " ")} ' + ('unknown' if value is None else f'{value:.4f}')
        self._line(f'{spec.name}: {result_text}, {result["seconds"]["total"]:.1f} s')

    def failed(self, spec: RunSpec, error: str, *, again: bool) -> None:
        """Shows that a run has failed: for good, or to be tried `again`."""
        self._failed += not again
        what = 'will be tried again' if again else f'gave up: {spec.workdir / "error.txt"}'
        self._line(f'{spec.name}: failed ({error.strip().splitlines()[-1] if error.strip() else "?"}), {what}')

    def say(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        self._console.print(text, markup=False)

    def stands(self, standings: Sequence['Standing']) -> None:
        """Shows where each question stands below the bar, in place of what stood there; on a terminal alone."""
        if self._bar:
            most = max(1, min(MOST_LINES, self._console.height - OTHER_LINES))
            table = table_of(standings, most, min(WIDTH, self._console.width))
            self._live.update(Group(self._bar, table) if standings else self._bar)

    def say_elsewhere(self, text: str) -> None:
        """Prints a line if the output is not a terminal."""
        if not self._bar:
            self.say(text)

    def close(self) -> None:
        """Takes the bar off the screen's updates; the lines stay."""
        if self._bar:
            self._live.update(self._bar)  # the standings belong to a moment: they do not stay on the screen
            self._live.stop()

    def _line(self, text: str) -> None:
        self._update()
        new, left = self._done - self._before, self._total - self._done - self._failed
        eta = f', ETA {in_words((time.monotonic() - self._started) / new * left)}' if new and left else ''
        place = '' if self._bar else f'[{self._done}/{self._total}{eta}] '
        self._console.print(f'{place}{text}', markup=False)

    def _update(self) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self._done, counts=self._counts())

    def _counts(self) -> str:
        return f'{self._done:,} of {self._total:,} runs done, {self._running} running, {self._failed} failed'


class Watch:
    """Looks at a study while it runs: where its questions stand, on the screen, and its page for who opens it.

    A look takes time from the runs, so it waits until its share of the study's time is enough for it. Of each variant it
    sees the seeds up to the first that has not finished: if it saw all that have, a verdict could depend on how long runs
    take, which may depend on how good they are.
    """

    def __init__(self, plan: 'Plan', page: 'Callable[[pd.DataFrame, int], object] | None' = None):
        """`page`: writes the page of the runs in a frame, with so many to go."""
        self._plan, self._page = plan, page
        self._rows: dict[tuple[str, int], dict[str, Any]] = {}
        self._stage: Sequence[RunSpec] = ()
        self._specs: list[RunSpec] = []
        self._states: dict[str, str] = {}
        self._seen = 0
        self._standings_share = _Share(STANDINGS_SHARE, STANDINGS_SECONDS)
        self._page_share = _Share(PAGE_SHARE, PAGE_SECONDS)
        self.standings: list[Standing] = []

    def begin(self, stage: Sequence[RunSpec]) -> None:
        """Takes in the runs that are done next."""
        self._stage = [spec for spec in stage if spec.drawn is None]
        self._specs = grid.runs_of(self._plan.compared(), self._plan.seeds, self._plan.workdir)

    def look(self, display: Display, *, ended: bool = False) -> None:
        """Looks, as far as there is time for it; `ended`: the runs of this part have all finished."""
        try:
            if self._standings_share.is_enough or (ended and self._plan.at_every_look):
                with self._standings_share.spent():
                    self._show(display)
            if self._page and not ended and self._page_share.is_enough:
                frame, left = self._frame()
                if len(frame) and left:
                    with self._page_share.spent():
                        self._page(frame, left)
        except CannotWrite as error:
            self._page = None
            warn(f'{error.path} cannot be written: {error.reason}; the page is written again at the end')
        except UserError:
            return  # a claim may name what has not been run yet; the report at the end says what is wrong

    def _show(self, display: Display) -> None:
        from trainer.compare.report.text.questions import OPEN, standings

        frame, _ = self._frame()
        if len(frame) == self._seen:
            return
        self._seen = len(frame)
        # The best of all is not known before each of them has a run.
        config, judged = self._plan.config, self._plan.at_every_look and not self._plan.without_runs(frame)
        self.standings = standings(config, frame, grid.metrics_of(config), judged=judged)
        display.stands(self.standings)
        for one in self.standings:
            if judged and self._states.get(one.name, OPEN) != one.state:
                self._states[one.name] = one.state
                display.say_elsewhere(line_of(one))

    def _frame(self) -> 'tuple[pd.DataFrame, int]':
        """Returns the runs that count so far, and how many are to go; reads each result once."""
        from trainer.compare import runs
        from trainer.compare.allocation.rounds import finished_seeds

        for spec in self._specs:
            key = spec.variant.name, spec.seed
            if key not in self._rows and (row := runs.row_of(spec, correct=False)):
                self._rows[key] = row
        seeds, planned = self._plan.seeds, self._stage if self._plan.at_every_look else self._specs
        every = {*self._rows, *((spec.variant.name, spec.seed) for spec in planned)}
        every |= {(name, seed) for name in self._plan.tuned for seed in seeds}  # which trials choose later
        frame = runs.frame_of([*self._rows.values()])
        have = finished_seeds(frame, [variant.name for variant in self._plan.compared()], seeds)
        first = {(name, seed) for name, n in have.items() for seed in seeds[:n]}
        frame = frame[[key in first for key in self._rows]]
        return frame, len(every) - len(frame)


class _Share:
    """Time that is spent on something: no more than a share of all that has passed."""

    def __init__(self, share: float, expected: float):
        """`expected`: seconds that the first time takes; each further one is taken to take as long as the last."""
        self._share, self._expected = share, expected
        self._started, self._spent = time.monotonic(), 0.0

    @property
    def is_enough(self) -> bool:
        return self._spent + self._expected <= self._share * (time.monotonic() - self._started)

    @contextlib.contextmanager
    def spent(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._expected = time.monotonic() - began
            self._spent += self._expected


def table_of(standings: Sequence['Standing'], most: int = MOST_LINES, width: int = WIDTH) -> RenderableType:
    """Returns a line for each standing, the open ones first where they are more than `most`."""
    if len(standings) > most:
        standings = sorted(standings, key=lambda one: one.state not in ('open', ''))
    table = Table(box=None, pad_edge=False, header_style='dim', width=width)
    table.add_column('so far', ratio=1, no_wrap=True, overflow='ellipsis')
    for heading, justify in (('ahead by', 'right'), ('interval', 'left'), ('seeds', 'right'), ('', 'left')):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for one in standings[:most]:
        table.add_row(*map(Text, (one.name, *numbers_of(one), str(one.seeds), one.state)))
    if len(standings) > most:
        table.add_row(Text(f'and {len(standings) - most} more'))
    return table


def numbers_of(standing: 'Standing') -> tuple[str, str]:
    """Returns the estimate and its interval in words."""
    if standing.mean is None:
        return standing.words, ''
    sign = '+' if standing.signed else ''
    interval = '' if standing.low is None else f'[{standing.low:{sign}.3g}, {standing.high:{sign}.3g}]'
    return f'{standing.mean:{sign}.3g}', interval


def line_of(standing: 'Standing') -> str:
    """Returns a standing in a line of its own, for an output that is not a terminal."""
    numbers = ' '.join(filter(None, numbers_of(standing)))
    return ', '.join(filter(None, [f'{standing.name}: {standing.state}', numbers, count(standing.seeds, 'seed')]))
