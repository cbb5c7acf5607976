"""A verdict on a claim, and what it rests on: the metric by seed, comparisons, and which variants more seeds would help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from trainer.compare.analysis.claims import Claim
from trainer.compare.analysis.claims.selection import (
    SEEDS_FROM,
    Selector,
    alike,
    apart,
    by_variant,
    column,
    horizon,
    label,
    pivot,
    require_axes,
    select,
    time_to_target,
)
from trainer.compare.analysis.comparisons import SAME, Comparison, compare
from trainer.compare.analysis.examples import Crossed, Flips, crossed, flips
from trainer.compare.analysis.metrics import goal_of, range_of
from trainer.compare.analysis.rules import ANYTIME, RULES
from trainer.compare.analysis.statistics import (
    UNBOUNDED,
    Estimate,
    estimate,
)
from trainer.compare.analysis.tuning.sensitivity import Sensitivity
from trainer.compare.analysis.words import count, listed, p_value, signed

HOLDS, FAILS, UNDECIDED = 'holds', 'does not hold', 'undecided'

#: The metric that test examples make up, and the column with what each run got right (bool, shape [examples]).
OF_EXAMPLES, CORRECT = 'test_accuracy', 'test_correct'

#: After so many seeds that tell two variants apart in nothing, more are not expected to.
TELLING = 5


@dataclass(frozen=True)
class Verdict:
    """`result` on a claim, in one `sentence`, with what it rests on.

    `seeds`: the fewest behind any of its numbers. `p_value`: the smaller of the two that `verdicts` works out;
    `q_value`: after Benjamini and Hochberg's correction over all claims of the study. `new_examples`: the advantage with
    its interval over seeds and examples, and `flips`: on which share of examples just one of two variants is right, where
    it is known which examples each run got right. `waits_for`: variants of which more seeds may decide an undecided claim;
    none where the variants are practically the same, or where no number of seeds would decide it, which `stuck` explains.
    """

    claim: Claim
    result: str
    sentence: str
    seeds: int
    p_value: float | None = None
    q_value: float | None = None
    comparisons: Sequence[Comparison] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    shares: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sensitivities: Mapping[str, Sensitivity] = field(default_factory=dict)
    new_examples: Crossed | None = None
    flips: Flips | None = None
    waits_for: Sequence[str] = ()
    stuck: str = ''


def by_seed(claim: Claim, runs: pd.DataFrame, selector: Selector) -> pd.Series:
    """Returns the claim's metric of what `selector` addresses, by seed; infinitely bad where a run diverged.

    A target that was never reached counts as reached at the end of the longest run: the restricted mean time.
    """
    chosen = select(runs, selector)
    if claim.target is None:
        table = by_variant(chosen, column(chosen, claim.metric), claim.better)
    else:
        times = time_to_target(chosen, claim.metric, claim.target, claim.unit, claim.goal)
        table = pivot(chosen, times.clip(upper=horizon(runs, claim.unit)))
    if claim.reduce == 'mean' or table.shape[1] < 2:
        return table.mean(axis=1)
    goal = goal_of(claim.select_by)
    scores = by_variant(chosen, column(chosen, claim.select_by), goal).reindex_like(table)
    # Chosen on the other seeds: chosen on all, the winner's luck would be part of its result.
    others = scores.sum() - scores if len(scores) > 1 else scores
    best = others.idxmin(axis=1) if goal == 'min' else others.idxmax(axis=1)
    return pd.Series([table.loc[seed, best[seed]] for seed in table.index], table.index)


def rivals_of(claim: Claim, runs: pd.DataFrame) -> list[Selector]:
    """Returns what `a` of a claim of kind 'best' must beat."""
    if claim.b is not None:
        return [claim.b] if isinstance(claim.b, Mapping) else list(claim.b)
    require_axes(runs, claim.a)
    combinations = runs[list(claim.a)].drop_duplicates()
    return list(combinations.drop(index=select(combinations, claim.a).index).to_dict('records'))


def settings_of(claim: Claim, runs: pd.DataFrame) -> list[Selector]:
    """Returns the settings in which a claim of kind 'mostly' compares `a` and `b`."""
    require_axes(runs, claim.matched)
    both = pd.concat([select(runs, claim.a), select(runs, claim.b)])
    return list(both[list(claim.matched)].drop_duplicates().sort_values(list(claim.matched)).to_dict('records'))


def compare_selected(
    claim: Claim, runs: pd.DataFrame, a: Selector, b: Selector, rule: str, setting: str = ''
) -> Comparison | None:
    """Returns the comparison of what two selectors address, without the seeds on which one run stands for both; None: none
    is left. `setting`: words that are added to both names."""
    runs = apart(runs, a, b)
    left, right = by_seed(claim, runs, a), by_seed(claim, runs, b)
    names = [_name(claim, runs, selector) + setting for selector in (a, b)]
    return compare_values(claim, left, right, (names[0], names[1]), rule)


def _name(claim: Claim, runs: pd.DataFrame, selector: Selector) -> str:
    best = claim.reduce == 'best' and select(runs, selector)['variant'].nunique() > 1
    return f'the best of {label(selector)}' if best else label(selector)


def compare_values(
    claim: Claim, left: pd.Series, right: pd.Series, names: tuple[str, str], rule: str
) -> Comparison | None:
    """Returns the comparison of the claim's metric by seed, `left` with `right`; None: there are no runs to compare."""
    paired = claim.paired or rule == ANYTIME
    if left.empty or right.empty or (paired and left.index.intersection(right.index).empty):
        return None
    margin, confidence = 0.0 if claim.kind == 'equal' else claim.margin, 1 - claim.alpha
    return compare(
        left, right, goal=claim.better, margin=margin, names=names, confidence=confidence, paired=paired, rule=rule
    )


def one_sided(claim: Claim, pair: Comparison) -> tuple[float, float]:
    """Returns the one-sided p-values of the advantage being at most, and at least, the margin; 1 without a test.

    Times to a target are counts of evaluations with many ties: their test is the exact sign-flip test, and by the anytime
    rule the sign e-process, whose hypothesis is part of the same.
    """
    if claim.target is not None and pair.rule == ANYTIME:
        won, lost = pair.wins, pair.losses
        p_share = RULES[ANYTIME].p_share
        return float(p_share(won, won + lost, 0.5)), float(p_share(lost, won + lost, 0.5))
    if claim.target is not None:
        if pair.p_sign_flip is None or pair.advantage is None:
            return 1.0, 1.0
        half = pair.p_sign_flip / 2
        return (half, 1 - half) if pair.advantage > pair.margin else (1 - half, half)
    over, under = pair.p_above(pair.margin), pair.p_below(pair.margin)
    return 1.0 if over is None else over, 1.0 if under is None else under


def new_examples(claim: Claim, runs: pd.DataFrame, a: Selector, b: Selector) -> Crossed | None:
    """The advantage over seeds and examples; None where it is not known which examples the runs got right."""
    if claim.metric != OF_EXAMPLES or claim.target is not None or claim.reduce == 'best' or CORRECT not in runs:
        return None
    tables = [_right(select(runs, selector)) for selector in (a, b)]
    if any(table is None for table in tables):
        return None
    left, right = tables
    assert left is not None
    assert right is not None
    seeds = [seed for seed in left if seed in right]
    if len(seeds) < 2:
        return None
    return crossed(np.stack([left[seed] - right[seed] for seed in seeds]), 1 - claim.alpha)


def flips_of(runs: pd.DataFrame, a: Selector, b: Selector) -> Flips | None:
    """How two single variants agree; None for means of several."""
    chosen = [select(runs, selector) for selector in (a, b)]
    if any(one['variant'].nunique() != 1 for one in chosen):
        return None
    left, right = (one.set_index('seed')[CORRECT] for one in chosen)
    seeds = [seed for seed in left.index if seed in right.index]
    return flips(np.stack(left.loc[seeds].tolist()), np.stack(right.loc[seeds].tolist()))


def _right(runs: pd.DataFrame) -> dict[Any, np.ndarray] | None:
    """Returns seed -> the mean over variants of what is right, shape [examples]; None where a run has no such record."""
    if not runs[CORRECT].map(lambda value: isinstance(value, np.ndarray)).all() or runs.empty:
        return None
    if runs[CORRECT].map(len).nunique() > 1:
        return None
    variants = runs['variant'].nunique()
    groups = {seed: group for seed, group in runs.groupby('seed') if len(group) == variants}
    return {seed: np.mean(np.stack(group[CORRECT].tolist()), axis=0) for seed, group in groups.items()}


def estimates_of(claim: Claim, runs: pd.DataFrame, *selectors: Selector) -> dict[str, Estimate]:
    """Means of what can be averaged: seeds on which a run diverged are left out."""
    return estimates_of_values(claim, {label(selector): by_seed(claim, runs, selector) for selector in selectors})


def estimates_of_values(claim: Claim, values: Mapping[str, pd.Series]) -> dict[str, Estimate]:
    """As `estimates_of`, from name -> the claim's metric by seed."""
    bounds = range_of(claim.metric) if claim.target is None else UNBOUNDED
    finite = {name: row[np.isfinite(row)] for name, row in values.items()}
    return {name: estimate(row, bounds=bounds) for name, row in finite.items() if len(row)}


def needed(runs: pd.DataFrame, *selectors: Selector) -> tuple[str, ...]:
    """Returns the variants of which more seeds would be seeds of these: of those that compute the same thing one alone,
    unless they are compared with each other."""
    one_for_all = SEEDS_FROM in runs and not (len(selectors) == 2 and alike(runs, *selectors))
    column = SEEDS_FROM if one_for_all else 'variant'
    return tuple(dict.fromkeys(str(name) for selector in selectors for name in select(runs, selector)[column]))


def is_same(pair: Comparison, margin: float, claim: Claim) -> bool:
    """Whether two variants are practically the same, by the margin that the study states."""
    return margin > 0 and replace(pair, margin=margin).outcome(claim.alpha) == SAME


def why_stuck(pair: Comparison, runs: pd.DataFrame, a: Selector, b: Selector) -> str:
    """Returns why no number of seeds is expected to tell two variants apart; '' if it may."""
    if not pair.margin and alike(runs, a, b):
        return f'{pair.a} and {pair.b} compute the same thing: more seeds cannot tell them apart.'
    if pair.n < TELLING:
        return ''
    if pair.advantage is None and not pair.failed:
        return f'Every run of {pair.a} and of {pair.b} diverged: more seeds would not compare them.'
    if pair.ties == pair.n:
        return f'No seed tells {pair.a} and {pair.b} apart.'
    return ''


def decided(claim: Claim, p_fails_not: float, p_holds_not: float) -> tuple[str, float]:
    """Returns the result and its p-value, from those of the hypotheses that the claim does not hold, and that it does."""
    p = min(p_fails_not, p_holds_not, 1.0)
    if p >= claim.alpha:
        return UNDECIDED, p
    return (HOLDS if p_fails_not <= p_holds_not else FAILS), p


def of_pair(
    claim: Claim, runs: pd.DataFrame, pair: Comparison, result: str, p: float, text: str, *, open_: bool = True
) -> Verdict:
    """Returns the verdict on a claim about one pair; `open_`: whether more seeds could matter if it is undecided."""
    assert isinstance(claim.b, Mapping)
    stuck = why_stuck(pair, runs, claim.a, claim.b) if result == UNDECIDED else ''
    return Verdict(
        claim,
        result,
        text,
        seeds=pair.n,
        p_value=p,
        comparisons=(pair,),
        estimates=estimates_of(claim, runs, claim.a, claim.b),
        waits_for=needed(runs, claim.a, claim.b) if result == UNDECIDED and open_ and not stuck else (),
        stuck=stuck,
    )


def unfinished(claim: Claim, *selectors: Selector) -> Verdict:
    """Returns the verdict where no seed has finished for what is compared."""
    text = f'No seed has finished for {listed([label(s) for s in selectors], 4)}.'
    return Verdict(claim, UNDECIDED, text, 0, stuck=text)


def numbers(pair: Comparison, p: float | None) -> str:
    """Returns the numbers of a comparison as the end of a sentence: seeds won, what diverged, the advantage, p."""
    better, equal = ('ahead by more than that', 'by just that') if pair.margin else ('better', 'equal')
    if pair.paired and pair.advantage is None and not pair.failed:
        parts = [f'both diverged on {count(pair.n, "seed")}']
    elif pair.paired:
        parts = [
            f'{better} on {pair.wins} of {count(pair.n, "seed")}'
            + (f' and {equal} on {pair.ties}' if pair.ties else '')
        ]
    else:
        parts = [f'{better} in {pair.superiority:.0%} of pairs of runs']
    for name, failed in ((pair.a, pair.failed_a), (pair.b, pair.failed_b)):
        if failed:
            parts.append(
                f'{name} alone diverged on {failed}' if pair.paired else f'{name} diverged in {count(failed, "run")}'
            )
    if pair.advantage is not None:
        interval = '' if pair.low is None or pair.high is None else f' [{signed(pair.low)}, {signed(pair.high)}]'
        if not interval and pair.se == 0:
            interval = ', the same on each seed' if pair.paired else ', with no spread'
        parts.append(f'mean advantage {signed(pair.advantage)}{interval}')
    return ', '.join([*parts, *([] if pair.p_value is None else [p_words(p)])])


def p_words(p: float | None) -> str:
    """Returns a p-value in words; 'no p-value' if no test could be made."""
    return 'no p-value' if p is None else p_value(p)
