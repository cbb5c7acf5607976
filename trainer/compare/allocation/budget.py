"""The time that a study may take: how long runs of each variant take, and which of them still fit."""

import datetime
import math
import re
import time
from collections.abc import Iterable, Mapping

from seedwise.errors import UserError
from trainer.compare.grid import RunSpec

#: Kept for the report at the end, in seconds: what it took for 3 variants on 2 busy cores of an x86 CPU.
REPORT_SECONDS = 8.0

#: The part of a short budget that is kept for it at the most.
REPORT_SHARE = 0.2

#: How much longer the report at the end may take than one that was written while runs were trained.
MORE_RUNS = 1.5

#: What the command calls it.
FLAG = '--budget'

DURATION = re.compile(r'(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?')
UNTIL = re.compile(r'until\s*(\d{1,2}):(\d{2})')


class TooShort(UserError):
    """Not one run fits into the time."""


def seconds_of(text: str, now: datetime.datetime | None = None, *, called: str = FLAG) -> float:
    """Returns the seconds of '90s', '10m', '2h', '1h30m', or from `now` to 'until 18:00', today or else tomorrow.

    Args:
      text: of a user.
      now: the time of day.
      called: what the user calls it.

    Raises:
      UserError: it has another form, or is 0.
    """
    example = "such as 90s, 10m, 1h30m or 'until 18:00'"
    words = ' '.join(text.split()).lower()
    until = UNTIL.fullmatch(words)
    if until:
        hour, minute = int(until[1]), int(until[2])
        if hour > 23 or minute > 59:
            raise UserError(f"{called} is '{text}': there is no such time of day, {example}")
        now = now or datetime.datetime.now()
        end = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if end <= now:
            end += datetime.timedelta(days=1)
        return end.timestamp() - now.timestamp()  # which knows of summer time
    match = DURATION.fullmatch(words.replace(' ', ''))
    if not match or not any(match.groups()):
        unit = f': write its unit, {words}s, {words}m or {words}h' if re.fullmatch(r'\d+(\.\d+)?', words) else ''
        raise UserError(f"{called} is '{text}'{unit or f': it must be a time, {example}'}")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    found = 3600 * hours + 60 * minutes + seconds
    if not found > 0:
        raise UserError(f"{called} is '{text}': no time at all; it must be a time, {example}")
    return found


def in_words(seconds: float) -> str:
    """Returns '45 s', '3 min 20 s', '2 h 05 min'."""
    if seconds < 9.95:
        return f'{seconds:.2g} s'
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f'{hours} h {minutes_left:02d} min' if hours else f'{minutes} min {rest:02d} s' if minutes else f'{rest} s'


class Times:
    """How long runs take, from the results of those that have finished: the mean of a variant, in seconds."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}
        self._at_least: dict[str, float] = {}

    @property
    def means(self) -> dict[str, float]:
        """Variant -> seconds, of those of which a run has finished; of one that was stopped, what it took until then."""
        return self._at_least | {name: total / n for name, (total, n) in self._sums.items()}

    def learn_stopped(self, variant: str, seconds: float) -> None:
        """Takes in that a run has not finished in so many seconds."""
        self._at_least[variant] = max(seconds, self._at_least.get(variant, 0.0))

    def learn(self, spec: RunSpec) -> None:
        """Takes in a run, if it is finished."""
        result = spec.result()
        if result is not None:
            name, seconds = spec.variant.name, float(result['seconds']['total'])
            total, n = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + seconds, n + 1

    def of(self, variant: str) -> float | None:
        """Returns the seconds that a run of a variant takes: of one not yet seen, those of the slowest; None: not known."""
        means = self.means
        return means.get(variant, max(means.values(), default=None))


class Budget:
    """Starts no run that would end too late, and stops one that takes longer than it should. Its clock is monotonic: nobody
    sets it.

    `refused`: variants of which a run was not started, or was stopped, because too little time was left.
    """

    def __init__(self, seconds: float, started: float | None = None, *, report: bool = True, called: str = FLAG):
        """`started`: on `time.monotonic`, when the time began to run; `report`: whether a report follows; `called`: as
        `seconds_of` says."""
        self.seconds, self._called = seconds, called
        self._report = report
        self._whole_end = (time.monotonic() if started is None else started) + seconds
        self._end = self._whole_end - (min(REPORT_SECONDS, REPORT_SHARE * seconds) if report else 0.0)
        self.times = Times()
        self.refused: set[str] = set()
        self._starts: dict[str, float] = {}
        self._begun: float | None = None
        self._trained = 0.0

    def part(self, parts: int) -> 'Budget':
        """Returns a budget of what is left now, divided by the number of those that share it."""
        left = max(0.0, self._whole_end - time.monotonic())
        return Budget(left / parts, report=self._report, called=self._called)

    def reported(self, seconds: float) -> None:
        """Takes in how long a report took that was written while runs were trained: as much is kept for that at the end."""
        self._end = min(self._end, self._whole_end - min(MORE_RUNS * seconds, REPORT_SHARE * self.seconds))

    @property
    def end(self) -> float:
        """When runs must have ended, on `time.monotonic`: one that is under way then is stopped, and saves."""
        return self._end

    def stopped(self, spec: RunSpec) -> None:
        """Takes in a run that was stopped because the time was over."""
        self.times.learn_stopped(spec.variant.name, time.monotonic() - self._starts[spec.variant.name])
        self.refused.add(spec.variant.name)

    @property
    def left(self) -> float:
        """Seconds that runs still have; below 0: none."""
        return self._end - time.monotonic()

    def check(self, specs: Iterable[RunSpec]) -> None:
        """Raises `TooShort` if it is known that none of these runs fits, of which one is not finished at least."""
        needed: Mapping[str, float | None] = {spec.variant.name: self.times.of(spec.variant.name) for spec in specs}
        if needed and self.left <= 0 and None in needed.values():
            self.refused.update(needed)
            raise self.too_short('it is used up before the first run can start')
        if needed and all(seconds is not None and seconds > self.left for seconds in needed.values()):
            shortest = min(needed, key=lambda name: needed[name] or 0.0)
            self.refused.update(needed)
            raise self.too_short(
                f'not one run fits in: a run of {shortest} takes about {in_words(needed[shortest] or 0.0)}, besides '
                'starting and the report'
            )

    def too_short(self, why: str) -> TooShort:
        """Returns the error that says so."""
        return TooShort(f'{self._called} is {in_words(self.seconds)}, and {why}')

    def may_start(self, spec: RunSpec) -> bool:
        """Returns whether a run would end in time, and remembers its variant if not."""
        needed = self.times.of(spec.variant.name) or 0.0
        if self.left > needed:
            self._starts[spec.variant.name] = time.monotonic()
            return True
        self.refused.add(spec.variant.name)
        return False

    def finished(self, spec: RunSpec) -> None:
        """Takes in a run that has just finished."""
        self.times.learn(spec)
        seconds = self.times.of(spec.variant.name) or 0.0
        self._trained += seconds
        if self._begun is None:
            self._begun = time.monotonic() - seconds

    def seeds_that_fit(self, variants: Iterable[str]) -> int | None:
        """Returns how many seeds of all these variants still fit; None: not known yet."""
        times = [self.times.of(name) for name in variants]
        if not times or None in times or self._begun is None:
            return None
        elapsed = time.monotonic() - self._begun
        at_a_time = max(1.0, self._trained / elapsed) if elapsed > 0 else 1.0
        known = [seconds for seconds in times if seconds]
        needed = max(sum(known) / at_a_time, max(known, default=0.0))
        return max(0, math.floor(self.left / needed)) if needed else 1
