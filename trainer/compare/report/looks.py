"""How sure an answer was after each number of seeds: confidence sequences as numbers, and as figures.

Worked out from the finished runs, in the order of the study's seeds: no look needs to be stored. The intervals hold at
every look, so that a reader may look at all of them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from seedwise.errors import UserError
from trainer.compare.analysis.anytime import Look, confidence_sequence, t_reach
from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.claims.evidence import Verdict, by_seed, rivals_of, settings_of
from trainer.compare.analysis.claims.selection import apart, label, select
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.statistics import cut
from trainer.compare.report.text.sentences import Ranked

#: Kinds of claims that are about the advantage of one over another.
ADVANTAGES = ('better', 'best', 'mostly', 'equal')

#: Variants that the best one is compared with.
MOST_RIVALS = 12


@dataclass(frozen=True)
class Course:
    """A confidence sequence over seeds: of the advantage of `a` over `b`, or where `b` is empty, of the mean of `a`.

    `of`: a claim's id, or what a ranking asks. `confidence`: of all intervals at once. `lines`: where the answer changes.
    """

    of: str
    metric: str
    a: str
    b: str
    confidence: float
    lines: tuple[float, ...]
    looks: Sequence[Look]

    @property
    def name(self) -> str:
        """What is shown, in words."""
        return f'{self.a} over {self.b}' if self.b else self.a

    @property
    def clearance(self) -> float:
        """How many half widths of the last interval the mean is from the nearest line: below 1, it is undecided; infinite:
        there is none, since every run diverged."""
        last = self.looks[-1]
        if last.mean is None:
            return math.inf
        if last.reach is None:
            return 0.0
        distance = min(abs(last.mean - line) for line in self.lines)
        return distance / last.reach if last.reach else math.inf

    def as_data(self) -> dict[str, Any]:
        """Returns the sequence for claims.json, a list a column."""
        columns = {key: [getattr(look, key) for look in self.looks] for key in ('seeds', 'mean', 'low', 'high')}
        return {'of': self.of, 'metric': self.metric, 'a': self.a, 'b': self.b, 'confidence': self.confidence} | columns


def of_claims(claims: Iterable[Mapping[str, Any]], runs: pd.DataFrame, seeds: Sequence[Any] = ()) -> list[Course]:
    """Returns the course of each comparison that claims make. Without one: times to a target, which signs decide, shares of
    failed runs, and the best of several by the other seeds, which each seed changes.

    Args:
      claims: of the study's file.
      runs: the finished runs.
      seeds: in the order in which they are run; what is not among them comes last.
    """
    return [course for claim in map(parse, claims) for course in of_claim(claim, runs, seeds)]


def of_claim(claim: Claim, runs: pd.DataFrame, seeds: Sequence[Any] = ()) -> list[Course]:
    """Returns the course of each comparison that a claim makes, as `of_claims`."""
    if not _has_course(claim):
        return []
    try:
        return [course for course in _of_claim(claim, select(runs, claim.where), seeds) if course.looks]
    except UserError:
        return []  # it names what no finished run has yet


def last_of(found: Verdict) -> list[Course]:
    """Returns the courses of a claim that was judged by the anytime rule, with the last look alone: its verdict has it."""
    claim, confidence = found.claim, 1 - found.claim.alpha
    if not _has_course(claim):
        return []
    pairs = []
    for pair in found.comparisons:
        reach = None if pair.low is None or pair.high is None else (pair.high - pair.low) / 2
        pairs.append((pair.a, pair.b, Look(pair.n, pair.advantage, pair.low, pair.high, reach)))
    if claim.kind == 'at_least':
        pairs = []
        for name, own in found.estimates.items():
            reach = t_reach(own.n - 1, confidence) * own.sd / math.sqrt(own.n) if own.sd is not None else math.inf
            look = Look(found.seeds, own.mean, None, None)
            if math.isfinite(reach):
                # Its own ends, cut at the range of the metric, say whether all values are within it.
                ends = cut(own.mean - reach, own.mean + reach, own.low, own.high, range_of(claim.metric))
                look = Look(found.seeds, own.mean, *ends, reach)
            pairs.append((name, '', look))
    return [Course(claim.id, claim.metric, a, b, confidence, _lines(claim), [look]) for a, b, look in pairs]


def _has_course(claim: Claim) -> bool:
    return claim.target is None and claim.reduce == 'mean' and claim.kind in (*ADVANTAGES, 'at_least')


def _lines(claim: Claim) -> tuple[float, ...]:
    if claim.kind == 'at_least':
        assert claim.value is not None
        return (claim.value,)
    return (-claim.margin, claim.margin) if claim.kind == 'equal' else (claim.margin,)


def _of_claim(claim: Claim, runs: pd.DataFrame, seeds: Sequence[Any]) -> Iterator[Course]:
    sign, confidence = 1.0 if claim.better == 'max' else -1.0, 1 - claim.alpha
    if claim.kind == 'at_least':
        looks = confidence_sequence(
            _in_order(by_seed(claim, runs, claim.a), seeds), confidence, bounds=range_of(claim.metric)
        )
        yield Course(claim.id, claim.metric, label(claim.a), '', confidence, _lines(claim), looks)
        return
    where = [(runs, '')]
    if claim.kind == 'mostly':
        where = [(select(runs, one), f' ({label(one)})') for one in settings_of(claim, runs)]
    for part, words in where:
        for other in rivals_of(claim, part) if claim.kind == 'best' else [claim.b]:
            own = apart(part, claim.a, other)
            advantage = sign * _difference(by_seed(claim, own, claim.a), by_seed(claim, own, other))
            looks = confidence_sequence(_in_order(advantage, seeds), confidence)
            yield Course(claim.id, claim.metric, label(claim.a), label(other) + words, confidence, _lines(claim), looks)


def of_ranking(ranked: Ranked, seeds: Sequence[Any] = ()) -> list[Course]:
    """Returns how far the variant with the best mean was ahead of each other one, at the level that the standings take."""
    if len(ranked.order) < 2:
        return []
    first = ranked.head.name
    others = [name for name in ranked.order if name != first]
    of = f'the best {ranked.workload}' if ranked.workload else 'the best variant'
    sign, confidence = 1.0 if ranked.goal == 'max' else -1.0, 1 - ranked.alpha
    lines = tuple({-ranked.ranking.margin, ranked.ranking.margin})
    found = []
    for other in others[:MOST_RIVALS]:
        advantage = sign * _difference(ranked.values[first].dropna(), ranked.values[other].dropna())
        looks = confidence_sequence(_in_order(advantage, seeds), confidence)
        found.append(Course(of, ranked.metric, first, other, confidence, lines, looks))
    return [course for course in found if course.looks]


def _difference(a: pd.Series, b: pd.Series) -> pd.Series:
    """Returns a - b of the seeds that both have; not finite where one of them, or both, diverged."""
    a, b = a.align(b, join='inner')
    return a - b


def _in_order(values: pd.Series, seeds: Sequence[Any]) -> pd.Series:
    place = {seed: i for i, seed in enumerate(seeds)}
    order = sorted(range(len(values)), key=lambda i: place.get(values.index[i], len(place)))
    return values.iloc[order]
