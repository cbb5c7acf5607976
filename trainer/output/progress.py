"""What a run shows while it trains: a bar with an ETA on a terminal, a line for each evaluation elsewhere."""

import time

from rich import progress as rich_progress
from rich.console import Console


class Progress:
    """Progress of `total` steps on standard error; shows nothing where `show` is false (workers but the chief)."""

    def __init__(self, total: int, start: int, *, show: bool, doing: str = 'training', unit: str = 'steps'):
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bar = None
        self._show = show
        self._total = total
        self._started, self._start = time.monotonic(), start
        if show and self._console.is_terminal:
            text = rich_progress.TextColumn
            self._bar = rich_progress.Progress(
                text('{task.description}'),
                rich_progress.BarColumn(),
                rich_progress.MofNCompleteColumn(),
                text(unit),
                rich_progress.TimeElapsedColumn(),
                text('ETA'),
                rich_progress.TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task(doing, total=total, completed=start)
            self._bar.start()

    @property
    def on_terminal(self) -> bool:
        """Whether there is a bar."""
        return self._bar is not None

    def step(self, step: int) -> None:
        """Shows that `step` steps are done."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def evaluation(self, row: dict) -> None:
        """Shows an evaluation, as it goes into the history."""
        if not self._show:
            return
        values = [f'epoch {round(row["epoch"], 2):g}', f'step {row["step"]:,}/{self._total:,}']
        for split in ('train', 'validation', 'test'):
            found = {key.removeprefix(f'{split}_'): value for key, value in row.items() if key.startswith(f'{split}_')}
            words = [f'{name} {value:.4f}' for name, value in found.items() if value is not None]
            values += [' '.join([split, *words])] if words else []
        done, elapsed = row['step'] - self._start, time.monotonic() - self._started
        if not self._bar and done and row['step'] < self._total:
            values.append(f'ETA {elapsed / done * (self._total - row["step"]):.0f} s')
        self._console.print('  '.join(values))

    def say(self, text: str) -> None:
        """Shows a line."""
        if self._show:
            self._console.print(text)

    def close(self) -> None:
        """Ends the bar; it stays on the screen as it is."""
        if self._bar:
            self._bar.stop()


def warn(text: str) -> None:
    """Shows a line that must not be missed; '' shows nothing."""
    if not text:
        return
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, style='bold yellow', markup=False)
