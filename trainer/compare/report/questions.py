"""What a study asks, what is still open, and what it would take: its claims, or else which variant is the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainer.compare.analysis import verdicts
from trainer.compare.analysis.ranking import LEADS, UNDECIDED, corrected_for
from trainer.compare.analysis.rules import RULES
from trainer.compare.analysis.statistics import ALPHA
from trainer.compare.analysis.verdicts import TELLING, Verdict
from trainer.compare.analysis.words import listed
from trainer.compare.report.layout import Layout, names_of
from trainer.compare.report.sentences import Ranked, seeds_to_decide


@dataclass(frozen=True)
class Question:
    """Something that seeds may answer. `name`: a claim's id, or 'the best variant'.

    `waits_for`: variants of which more seeds may answer it; none: it is answered, or no number of seeds would, which
    `stuck` explains. `more`: about how many more seeds of each that takes; None: no number in reach is known.
    """

    name: str
    answered: bool
    waits_for: Sequence[str] = ()
    stuck: str = ''
    more: int | None = None

    @property
    def pairs(self) -> bool:
        """Whether it takes seeds of two variants or more."""
        return len(self.waits_for) > 1


def of_claims(judged: Sequence[Verdict], runs: pd.DataFrame, rule: str) -> list[Question]:
    """Returns a question for each claim that seeds can decide: not for those about trials."""
    return [
        Question(
            found.claim.id,
            found.result != verdicts.UNDECIDED or not (found.waits_for or found.stuck),
            found.waits_for,
            found.stuck,
            _at_least_one(seeds_to_decide(found, runs, rule)) if found.waits_for else None,
        )
        for found in judged
        if found.claim.kind != 'less_sensitive'
    ]


def _at_least_one(n: int | None) -> int | None:
    return None if n is None else max(1, n)


def of_rankings(rankings: Sequence[Ranked], runs: pd.DataFrame, layout: Layout) -> list[Question]:
    """Returns the question which variant is the best, for each workload."""
    variants: dict[tuple[str, str], list[str]] = {}
    workloads = runs[layout.workload] if layout.workload else [''] * len(runs)
    for workload, name, variant in zip(workloads, names_of(runs, layout.compared), runs['variant'], strict=True):
        found = variants.setdefault((str(workload), name), [])
        if variant not in found:
            found.append(variant)
    return [
        _of_ranking(ranked, {name: own for (where, name), own in variants.items() if where == ranked.workload})
        for ranked in rankings
        if len(ranked.places) > 1
    ]


def _of_ranking(ranked: Ranked, variants: Mapping[str, Sequence[str]]) -> Question:
    name = f'the best {ranked.workload}' if ranked.workload else 'the best variant'
    leader = next((place.name for place in ranked.places if place.standing == LEADS), None)
    undecided = ranked.ranking.of(UNDECIDED)
    if leader is None and not undecided:
        unknown = not any(place.standing for place in ranked.places)  # one seed: nothing is compared yet
        waits = tuple(v for own in variants.values() for v in own) if unknown else ()
        return Question(name, not unknown, waits)
    alike = [other for other in undecided if leader and _alike(ranked.values[leader], ranked.values[other])]
    open_ = [other for other in undecided if other not in alike]
    stuck = f'No seed tells {leader} and {listed(alike)} apart.' if alike else ''
    if not undecided or not open_:
        return Question(name, not undecided, (), stuck)
    waits = tuple(v for one in dict.fromkeys([leader or open_[0], *open_]) for v in variants[one])
    return Question(name, False, waits, stuck, _seeds_to_rank(ranked, open_))


def _alike(a: pd.Series, b: pd.Series) -> bool:
    both = a.notna() & b.notna()
    return int(both.sum()) >= TELLING and bool((a[both] == b[both]).all())


def _seeds_to_rank(ranked: Ranked, undecided: Sequence[str]) -> int | None:
    """Returns how many more seeds it takes to see that each of these is behind the one with the best mean."""
    alpha = 2 * ALPHA / corrected_for(len(ranked.places))
    more = []
    for pair in ranked.to_best:
        if pair.b not in undecided:
            continue
        if not pair.sd or pair.advantage is None or pair.failed:
            return None
        needed = RULES[pair.rule].seeds_needed(abs(pair.advantage - pair.margin) / pair.sd, alpha)
        if needed is None:
            return None
        more.append(max(1, needed - pair.n))
    return max(more, default=None)


def computing_time(question: Question, runs: pd.DataFrame) -> float | None:
    """Returns about how many seconds of run time the missing seeds take, one run after the other; None: not known."""
    if question.more is None or 'seconds_total' not in runs:
        return None
    means = runs.groupby('variant')['seconds_total'].mean().reindex(list(question.waits_for))
    total = float(question.more * means.sum())
    return total if np.isfinite(total) and means.notna().all() else None
