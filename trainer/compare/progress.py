"""What a study shows while it runs: a bar with runs done, running, failed and ETA, and a line for each finished run."""

import time

from rich import progress as rich_progress
from rich.console import Console

from trainer.compare.grid import RunSpec
from trainer.metrics import of
from trainer.results import best_of


class Board:
    """Progress of the runs of a study, on standard error; the bar on terminals alone."""

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
                refresh_per_second=4,
            )
            self._task = self._bar.add_task('', total=total, completed=done, counts=self._counts())
            self._bar.start()

    def started(self) -> None:
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
        self._console.print(text, markup=False)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()

    def _line(self, text: str) -> None:
        self._update()
        new, left = self._done - self._before, self._total - self._done - self._failed
        eta = f', ETA {_duration((time.monotonic() - self._started) / new * left)}' if new and left else ''
        place = '' if self._bar else f'[{self._done}/{self._total}{eta}] '
        self._console.print(f'{place}{text}', markup=False)

    def _update(self) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self._done, counts=self._counts())

    def _counts(self) -> str:
        return f'{self._done:,} of {self._total:,} runs done, {self._running} running, {self._failed} failed'


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes:02d} min' if hours else f'{minutes} min {seconds:02d} s' if minutes else f'{seconds} s'
