"""What a study asks, what is still open, and what it would take: its claims, or else which variant is the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ml_collections
import numpy as np
import pandas as pd

from trainer.compare.analysis import comparisons
from trainer.compare.analysis.claims import pooling, verdicts
from trainer.compare.analysis.claims.evidence import TELLING, Verdict
from trainer.compare.analysis.ranking import BEHIND, LEADS, SAME, UNDECIDED
from trainer.compare.analysis.rules import ANYTIME, RULES
from trainer.compare.analysis.tuning.replicates import by_replicate, replicate_of
from trainer.compare.analysis.words import listed
from trainer.compare.report import looks
from trainer.compare.report.layout import METRICS, Layout, layout_of, names_of, with_numbers
from trainer.compare.report.looks import Course
from trainer.compare.report.text.sentences import Ranked, ranked, seeds_to_decide

#: Columns of runs that no question is about.
UNUSED = ('versions', 'host', 'git_revision', 'dataset', 'config_hash', 'weights_sha256', 'test_correct')

#: How an unanswered question stands: more seeds may answer it.
OPEN = 'open'

#: State of a variant that is behind one other than the best mean, which by itself is not shown to be better.
RIVAL_BEHIND = 'rival is behind'


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


@dataclass(frozen=True)
class Standing:
    """Where a question, or one comparison of it, stands while a study runs.

    `mean`, `low`, `high`: how far A is ahead, or the mean that a claim is about, and the ends of its interval, which holds
    at every look; None: too few seeds, or `words` stand in their place. `signed`: whether it is an advantage. `state`:
    'better', 'rival is behind', 'practically the same', 'holds', 'does not hold', 'undecided' (no number of seeds would
    decide it) or 'open'; '': it is not judged yet.
    """

    name: str
    seeds: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    words: str = ''
    state: str = ''
    signed: bool = True


def standings(
    study: ml_collections.ConfigDict,
    runs: pd.DataFrame,
    metrics: Mapping[str, str] = METRICS,
    *,
    judged: bool = True,
) -> list[Standing]:
    """Returns where the questions of a study stand: each claim by the comparison of it that is closest to undecided, and
    without claims the best variant against each other one.

    Args:
      study, runs, metrics: as `questions_of` says.
      judged: whether the study is judged at every look; otherwise there are intervals and no states.
    """
    runs = _slim(study, runs, metrics)
    claims, margins, order = claims_of(study), dict(study.get('margins') or {}), order_of(study)
    if claims:
        counted, found = _judged(study, runs, margins)
        asked = {question.name: question for question in of_claims(found, counted, ANYTIME)}
        made = [_of_verdict(one, asked[one.claim.id]) for one in found if one.claim.id in asked]
    else:
        made = [
            _of_course(course, course.name, _of_place(each, course))
            for each in _rankings(study, runs, margins, metrics)[0]
            for course in looks.of_ranking(each, order)
        ]
    return made if judged else [replace(one, state='') for one in made]


def _of_verdict(found: Verdict, question: Question) -> Standing:
    claim, state = found.claim, found.result
    if state == verdicts.UNDECIDED and question.answered:
        state = comparisons.SAME
    elif state == verdicts.UNDECIDED and (question.waits_for or found.seeds < TELLING):
        state = OPEN
    courses = looks.last_of(found)
    if not courses:
        k, n = (sum(column) for column in zip(*found.shares.values(), strict=True)) if found.shares else (0, 0)
        return Standing(claim.id, found.seeds, words=f'{k} of {n} runs' if n else '', state=state)
    course = min(courses, key=lambda one: one.clearance)
    return _of_course(course, f'{claim.id}: {course.b}' if len(courses) > 1 else claim.id, state)


def _of_course(course: Course, name: str, state: str) -> Standing:
    last = course.looks[-1]
    return Standing(name, last.seeds, last.mean, last.low, last.high, '', state, bool(course.b))


def _of_place(found: Ranked, course: Course) -> str:
    """Returns how the best variant stands to another one."""
    standing = found.standings().get(course.b, '')
    if standing == UNDECIDED and _alike(found.values[course.a], found.values[course.b]):
        return UNDECIDED
    if standing == BEHIND:
        low = course.looks[-1].low
        return comparisons.BETTER if low is not None and low > max(course.lines) else RIVAL_BEHIND
    return comparisons.SAME if standing == SAME else OPEN


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
    more = []
    for pair in ranked.to_best:
        if pair.b not in undecided:
            continue
        if not pair.sd or pair.advantage is None or pair.failed:
            return None
        needed = RULES[pair.rule].seeds_needed(abs(pair.advantage - pair.margin) / pair.sd, ranked.alpha)
        if needed is None:
            return None
        more.append(max(1, needed - pair.n))
    return max(more, default=None)


def questions_of(
    study: ml_collections.ConfigDict, runs: pd.DataFrame, metrics: Mapping[str, str] = METRICS
) -> list[Question]:
    """Returns what a study asks and what of it is still open, by the anytime rule: a function of its finished runs alone.

    Claims, and if there are none, which variant is the best.

    Args:
      study: the study.
      runs: the finished runs, as `write.write_report` says.
      metrics: as `page.page_of` says.
    """
    runs = _slim(study, runs, metrics)
    claims, margins = claims_of(study), dict(study.get('margins') or {})
    if claims:
        counted, found = _judged(study, runs, margins)
        return of_claims(found, counted, ANYTIME)
    rankings, layout = _rankings(study, runs, margins, metrics)
    return of_rankings(rankings, runs, layout)


def _judged(
    study: ml_collections.ConfigDict, runs: pd.DataFrame, margins: Mapping[str, float]
) -> tuple[pd.DataFrame, list[Verdict]]:
    """Returns the runs that claims are judged by (`pooling.filled`), and the verdicts by the anytime rule."""
    counted = pooling.filled(study, runs, margins, ANYTIME)
    return counted, verdicts.verdicts(claims_of(study), counted, None, margins, ANYTIME)


def _rankings(
    study: ml_collections.ConfigDict, runs: pd.DataFrame, margins: Mapping[str, float], metrics: Mapping[str, str]
) -> tuple[list[Ranked], Layout]:
    """Returns what is ranked within each workload, by the anytime rule."""
    checks = verdicts.verdicts(study.get('checks', ()), runs, None, margins, ANYTIME)
    layout = layout_of(study, runs, pooling.axes(study, checks), metrics)
    return ranked(runs, layout, margins, rule=ANYTIME), layout


def claims_of(study: ml_collections.ConfigDict) -> list[Mapping[str, Any]]:
    """Returns the claims of a study: a paper's, and its own."""
    return [*study.get('paper', {}).get('claims', ()), *study.get('claims', ())]


def order_of(study: ml_collections.ConfigDict) -> Sequence[Any]:
    """Returns the seeds in the order in which they are run, as far as the study names them."""
    seeds = study.get('seeds')
    return tuple(seeds) if isinstance(seeds, tuple | list) else ()


def _slim(study: ml_collections.ConfigDict, runs: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """Returns what questions are about: runs, or their means where replicates of tuning count once."""
    return by_replicate(with_numbers(runs.drop(columns=list(UNUSED), errors='ignore'), metrics), replicate_of(study))


def computing_time(question: Question, runs: pd.DataFrame) -> float | None:
    """Returns about how many seconds of run time the missing seeds take, one run after the other; None: not known."""
    if question.more is None or 'seconds_total' not in runs:
        return None
    means = runs.groupby('variant')['seconds_total'].mean().reindex(list(question.waits_for))
    total = float(question.more * means.sum())
    return total if np.isfinite(total) and means.notna().all() else None
