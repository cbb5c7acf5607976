"""Rounds of seeds: to the variants of questions that are still open, until all are answered or no seed or time is left.

What a round does is a function of the finished runs alone, so that nothing else is kept: the same command goes on after any
interruption, and comes to the same seeds.
"""

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
import pandas as pd

from trainer.compare import grid, records, runs, study
from trainer.compare.allocation.budget import Budget, in_words
from trainer.compare.allocation.seeds import LEAST
from trainer.compare.analysis.rules import ANYTIME, FIXED
from trainer.compare.analysis.words import count, listed
from trainer.compare.grid import RunSpec
from trainer.compare.report.text.questions import Question, questions_of

#: A round adds a quarter of the seeds that there are: few rounds, and few seeds too many.
GROWTH = 4


def next_seeds(
    questions: Iterable[Question], have: Mapping[str, int], most: int, without: Collection[str] = ()
) -> dict[str, int]:
    """Returns how many seeds each variant should have after the next round, of those that get more; {}: none does.

    Args:
      questions: what is asked, with the variants that each waits for.
      have: variant -> number of its seeds that have finished, in the order of the study's seeds.
      most: seeds of a variant, at the most.
      without: variants that get no more.
    """
    first = {name: min(LEAST, most) for name, n in have.items() if n < min(LEAST, most) and name not in without}
    if first:
        return first
    wanted: dict[str, int] = {}
    for question in questions:
        names = [name for name in question.waits_for if name not in without]
        if not names or (question.pairs and len(names) < 2):
            continue
        fewest = min(have[name] for name in names)
        target = min(most, fewest + max(1, fewest // GROWTH))
        for name in names:
            if have[name] < target:
                wanted[name] = max(target, wanted.get(name, 0))
    return wanted


def finished_seeds(frame: pd.DataFrame, variants: Iterable[str], seeds: Sequence[int]) -> dict[str, int]:
    """Returns for each variant how many of the seeds have finished before the first that has not."""
    done: dict[str, set[int]] = {}
    if len(frame):
        done = {str(name): set(own) for name, own in frame.groupby('variant')['seed']}
    return {
        name: next((i for i, seed in enumerate(seeds) if seed not in done.get(name, ())), len(seeds))
        for name in variants
    }


class Rounds(study.Plan):
    """The runs of a study that ends when its questions are answered. Its seeds are those that a variant may get.

    `ended`: why no more are given: 'decided', 'seeds' or 'time' (used up), 'failed' or 'stopped'.
    """

    at_every_look = True

    def __init__(self, config: ml_collections.ConfigDict, workdir: Path, budget: Budget | None = None):
        super().__init__(config, workdir, 0, 1, budget)
        names = [variant.name for variant in self.variants]
        self._specs = dict(zip(names, self._by_variant(), strict=True))
        self.ended = 'stopped'

    def _by_variant(self) -> Iterator[list[RunSpec]]:
        for variant in self.variants:
            yield grid.runs_of([variant], self.seeds, self.workdir)

    def stages(self) -> Iterator[list[RunSpec]]:
        """Yields the runs of each round; what it has come to is read from the study's folder."""
        failed: set[str] = set()
        number = 0
        while True:
            asked, have, wanted = self.look(failed)
            if not wanted:
                return
            number += 1
            _say(number, asked, wanted, have)
            specs = []
            for part in self._parts(wanted, have):
                specs += part
                yield part
            unfinished = {spec.variant.name for spec in specs if spec.result() is None}
            failed |= unfinished - (self.budget.refused if self.budget else set())

    def _parts(self, wanted: Mapping[str, int], have: Mapping[str, int]) -> Iterator[list[RunSpec]]:
        """Yields the runs of a round: at once, or if the time may not do for all, a seed of each variant after the other."""
        rows = [self._specs[name][have[name] : n] for name, n in wanted.items()]
        longest = max(map(len, rows))
        for i in range(longest):
            fit = self.budget.seeds_that_fit(wanted) if self.budget else longest
            if fit is not None and fit >= longest - i:
                yield [spec for row in rows for spec in row[i:]]
                return
            yield [row[i] for row in rows if i < len(row)]

    def look(self, failed: Collection[str] = ()) -> tuple[list[Question], dict[str, int], dict[str, int]]:
        """Returns the questions, the seeds that each variant has, and those that it gets; sets `ended` if none does."""
        frame = self._frame()
        have = finished_seeds(frame, self._specs, self.seeds)
        refused = self.budget.refused if self.budget else set()
        counted = [n for name, n in have.items() if name not in failed and name not in refused]
        short = min(counted, default=0) < LEAST
        asked = [] if short else questions_of(self.config, frame, grid.metrics_of(self.config))
        wanted = next_seeds(asked, have, len(self.seeds), {*failed, *refused})
        if not wanted:
            self.ended = _ended(asked, short, failed, refused)
        return asked, have, wanted

    def learn_times(self, budget: Budget) -> list[RunSpec]:
        """As `Plan.learn_times`; where all is decided, no run is left to do."""
        unfinished = super().learn_times(budget)
        return unfinished if self.look()[2] else []

    def runs(self) -> list[RunSpec]:
        """Returns the runs that have finished: a verdict by the anytime rule waits for no others."""
        return [spec for specs in self._specs.values() for spec in specs if spec.result() is not None]

    def _frame(self) -> pd.DataFrame:
        return runs.read(self.runs(), correct=False)[0]


def _ended(asked: Sequence[Question], short: bool, failed: Collection[str], refused: Collection[str]) -> str:
    """Returns why no more seeds are given. `short`: whether a variant has too few for a look."""
    waiting = {name for question in asked for name in question.waits_for}
    if not short and not waiting:
        return 'decided'
    if not short and not waiting & {*failed, *refused}:
        return 'seeds'
    return 'failed' if failed else 'time' if refused else 'seeds'


def _say(number: int, asked: Sequence[Question], wanted: Mapping[str, int], have: Mapping[str, int]) -> None:
    new = sum(n - have[name] for name, n in wanted.items())
    open_ = [question.name for question in asked if question.waits_for]
    why = f'open: {listed(open_, 3)}' if open_ else f'{LEAST} seeds for each variant'
    print(f'round {number}: {count(new, "run")} of {count(len(wanted), "variant")}; {why}', file=sys.stderr)


class Timed(study.Plan):
    """A study with a fixed number of seeds, of which as many are run as fit into the time, each of all variants."""

    budget: Budget

    @property
    def ended(self) -> str:
        """Why not all seeds were run."""
        return 'stopped' if self._under_way else 'failed' if self._failed else 'time'

    _under_way = _failed = False

    def stages(self) -> Iterator[list[RunSpec]]:
        """Yields the runs of the first seed, then those of half of the seeds that still fit, and so on."""
        names = [variant.name for variant in self.variants]
        n = self.complete_seeds()
        while n < len(self.seeds):
            fit = self.budget.seeds_that_fit(names)
            if (n and fit == 0) or self.budget.refused:
                return
            block = min(len(self.seeds) - n, max(1, (fit or 1) // 2))
            self._under_way = True
            yield grid.runs_of(self.variants, self.seeds[n : n + block], self.workdir)
            self._under_way = False
            after = self.complete_seeds()
            if after == n:
                self._failed = not self.budget.refused
                return
            n = after

    def what_is_missing(self) -> str:
        """Returns what even the first seed lacks, in a sentence."""
        missing = [spec.variant.name for spec in self.runs() if spec.result() is None]
        seconds = [self.budget.times.of(name) for name in missing]
        known = [one for one in seconds if one]
        takes = f': about {in_words(sum(known))}, one after the other' if len(known) == len(missing) else ''
        why = 'Runs failed' if self._failed else f'The time ({in_words(self.budget.seconds)}) was used up'
        left = f'{count(len(missing), "run")} of it left{takes}'
        return f'{why} before the first seed had finished with all variants: {left}.'

    def complete_seeds(self) -> int:
        """Returns how many seeds, in their order, have finished with all variants."""
        done = 0
        for seed in self.seeds:
            if any(spec.result() is None for spec in grid.runs_of(self.variants, [seed], self.workdir)):
                break
            done += 1
        return done

    def runs(self) -> list[RunSpec]:
        """Returns the runs of the seeds that are complete; of none, those of the first."""
        return grid.runs_of(self.variants, self.seeds[: max(1, self.complete_seeds())], self.workdir)


def stopping_while_running(plan: study.Plan, left: int) -> dict[str, Any]:
    """Returns the fields of `report.text.stopping.Stopping` of a page that is written while `left` runs are to go."""
    return {
        'rule': ANYTIME if plan.at_every_look else FIXED,
        'until_decided': plan.at_every_look,
        'planned': len(plan.seeds),
        'budget': in_words(plan.budget.seconds) if plan.budget else '',
        'running': left,
    }


def stopping_of(plan: study.Plan, frame: pd.DataFrame, unfinished: int) -> dict[str, Any]:
    """Returns how the number of seeds came about: the fields of `report.text.stopping.Stopping`.

    A report of another number of seeds in the study's folder is an earlier look. After one, no verdict is by the rule of a
    fixed number of seeds.
    """
    looks, anytime = records.looks(plan.workdir / 'report')
    earlier = looks
    in_rounds = plan.at_every_look
    others = set() if in_rounds else _other_seeds(plan)
    now = 0 if frame.empty else int(frame['seed'].nunique())
    taken_away = bool(others) or not (in_rounds or unfinished) and now < max(earlier, default=0)
    if not (unfinished or in_rounds or frame.empty):
        looks = sorted({*looks, now})
    ended = ''
    if isinstance(plan, Rounds) or isinstance(plan, Timed) and plan.complete_seeds() < len(plan.seeds):
        ended = plan.ended
    # Who stops a study by hand, or takes seeds away, has seen results go by.
    seen = in_rounds or anytime or ended == 'stopped' or taken_away
    rule = ANYTIME if seen or len(looks) > 1 else FIXED
    # Never the number that is left after seeds were taken away: results may have decided it.
    begun = [len({*plan.seeds, *others})] if others else []
    fixed = [LEAST, *begun, *earlier] if seen else looks
    first = records.first_seeds(plan.workdir / 'report') or min(fixed, default=0)
    return {
        'rule': rule,
        'looks': looks,
        'until_decided': in_rounds,
        'ended': ended,
        'planned': len(plan.seeds),
        'budget': in_words(plan.budget.seconds) if plan.budget else '',
        'first': first if rule == ANYTIME else 0,
        'taken_away': taken_away and not anytime and len(looks) < 2,
        'picked': any(seed < max(plan.seeds) for seed in others),
    }


def _other_seeds(plan: study.Plan) -> set[int]:
    """Returns seeds that the study does not name, and with which runs of its variants have finished."""
    names = [variant.name for variant in plan.compared()]
    files = [file for name in names for file in (plan.workdir / name).glob('*/result.json')]
    return {int(file.parent.name) for file in files if file.parent.name.isdecimal()} - {*plan.seeds}
