"""What repeated runs say: means with intervals, paired comparisons, time to a target, seeds needed.

Pure functions of numbers. Runs are paired by seed: variants of one seed see the same order of examples and, where
shapes allow, start from the same weights, so what the seed does to both cancels in the difference.
"""

import bisect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8

#: The bootstrap draws from this seed, so that a report made anew is the same report.
BOOTSTRAP_SEED = 0

#: More seeds than anybody will run: beyond this `seeds_needed` answers None.
MOST_SEEDS = 10**6


@dataclass(frozen=True)
class Estimate:
    """Mean of one variant over seeds. `sd` divides by n - 1; `low` to `high` is the interval of the mean."""

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True)
class Comparison:
    """A against B over the seeds that both have. An advantage is a difference, positive where A is better.

    `advantage`, `low`, `high`, `sd`: mean over seeds, its t interval, and standard deviation, in the metric's unit
    (over the pairs that are finite; None where there are none). `infinite`: seeds on which just one of the two
    diverged or never reached the target. `p_value`: two-sided, of the hypothesis that the advantage is `margin`, by
    `test`; `p_adjusted`: after Holm's correction over the family compared. `superiority`: P(A>B) with its interval;
    `wins`, `ties`, `losses`: the counts behind it. `seeds_needed`: the function of that name.
    """

    a: str
    b: str
    n: int
    infinite: int
    margin: float
    advantage: float | None
    sd: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    test: str
    superiority: float
    superiority_low: float
    superiority_high: float
    wins: int
    ties: int
    losses: int
    seeds_needed: int | None

    def sign(self, alpha: float = ALPHA) -> int:
        """1: the advantage is above the margin; -1: it is below; 0: undecided, at level `alpha` after correction."""
        p = self.p_value if self.p_adjusted is None else self.p_adjusted
        if p is None or p >= alpha:
            return 0
        # Where runs diverged the mean of the rest may point the other way than the ranks do.
        above = self.wins > self.losses if self.infinite else (self.advantage or 0.0) > self.margin
        return 1 if above else -1


@dataclass(frozen=True)
class Target:
    """The first evaluation at which a run had reached its target. Fields that the history lacks are None."""

    epoch: float | None
    step: int | None
    seconds: float | None


def estimate(values: Iterable[float], confidence: float = CONFIDENCE) -> Estimate:
    """Returns mean, standard deviation and a bootstrap interval of the mean of `values` (shape [seeds]).

    The interval is BCa (Efron 1987); where that is undefined (few distinct values) the percentile interval. With few
    seeds both are too narrow: ten normal values give a 95% interval that covers in about 90% of cases. One value gives
    no interval.

    Raises:
      ValueError: no values, or one that is not finite (leave diverged runs out, and say how many they are).
    """
    x = np.asarray(list(values), float)
    if not len(x) or not np.isfinite(x).all():
        raise ValueError(f'want one or more finite values, got {x.tolist()}')
    if len(x) == 1:
        return Estimate(1, float(x[0]), None, None, None, 'one seed')
    interval, method = None, ''
    for method in ('BCa', 'percentile'):
        with warnings.catch_warnings():  # on degenerate data BCa warns, and returns NaN
            warnings.simplefilter('ignore')
            result = stats.bootstrap(
                (x,), np.mean, confidence_level=confidence, method=method, rng=np.random.default_rng(BOOTSTRAP_SEED)
            )
        interval = result.confidence_interval
        if np.isfinite([interval.low, interval.high]).all():
            break
    assert interval is not None
    return Estimate(
        len(x), float(x.mean()), float(x.std(ddof=1)), float(interval.low), float(interval.high), f'bootstrap, {method}'
    )


def superiority(advantages: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Returns P(A>B) and its interval: how probably A beats B on a seed that both are run with; a tie counts half.

    The estimate is the share of seeds won, as in Bouthillier et al. 2021 (Accounting for Variance in Machine Learning
    Benchmarks). It is not the Mann-Whitney or Brunner-Munzel probability, which pits A on one seed
    against B on another: that is the answer for unpaired runs, and would throw the pairing away. The interval is
    Wilson's, not their bootstrap's, which shrinks to a point where one side wins every seed; with ties it is wider than
    it need be, for a tie adds no variance of its own.
    """
    won = float(np.sum(advantages > 0) + 0.5 * np.sum(advantages == 0))
    low, high = proportion_confint(won, len(advantages), 1 - confidence, method='wilson')
    return won / len(advantages), float(low), float(high)


def location_test(values: np.ndarray, expected: float = 0.0) -> tuple[float | None, str]:
    """Returns (two-sided p-value, name of the test) of the hypothesis that `values` (shape [n]) centre on `expected`.

    Student's t test, exact for normal values at any n. The signed-rank test is no substitute: ten seeds can give it no
    p below 2/2^10 = 0.002, which Holm's correction over 26 or more pairs lifts above 0.05 however large the difference.
    On heavy-tailed differences t errs towards saying nothing. Where it is undefined (no variance, infinite differences
    of diverged runs) the signed-rank test takes its place. None: n < 2.
    """
    excess = values - expected
    if len(excess) < 2:
        return None, 'none: one seed'
    if not excess.any():
        return 1.0, 'none: the same on every seed'
    if not np.isfinite(excess).all() or _constant(excess):
        return _signed_rank(excess), 'Wilcoxon signed-rank'
    return float(stats.ttest_1samp(excess, 0.0).pvalue), 'paired t'


def compare(
    a: pd.Series,
    b: pd.Series,
    *,
    goal: str = 'max',
    margin: float = 0.0,
    names: tuple[str, str] = ('A', 'B'),
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Returns the paired comparison of two variants.

    Args:
      a, b: the metric by seed (the index). Seeds that only one has are left out. Infinite: the worst there is.
      goal: 'max' or 'min', which of the two is better.
      margin: advantage that the p-value asks about; the smallest that would matter.
      names: of the two variants.
      confidence: of both intervals.

    Raises:
      ValueError: no seed in common, a seed twice, a value missing, or another goal.
    """
    if goal not in ('max', 'min'):
        raise ValueError(f"goal is 'max' or 'min', not {goal!r}")
    if not (a.index.is_unique and b.index.is_unique):
        raise ValueError(f'a seed occurs twice among the runs of {names[0]} or {names[1]}')
    seeds = a.index.intersection(b.index)
    if seeds.empty:
        raise ValueError(f'{names[0]} and {names[1]} have no seed in common')
    left, right = a.loc[seeds].to_numpy(float), b.loc[seeds].to_numpy(float)
    if np.isnan(left).any() or np.isnan(right).any():
        raise ValueError(f'a value is missing among the runs of {names[0]} or {names[1]}')
    with np.errstate(invalid='ignore'):
        gained = (left - right) if goal == 'max' else (right - left)
    gained = np.where(left == right, 0.0, gained)  # both infinite: a tie, not NaN

    finite = gained[np.isfinite(gained)]
    p_value, test = location_test(gained, margin)
    low, high = mean_interval(finite, confidence) if len(finite) == len(gained) else (None, None)
    share, share_low, share_high = superiority(gained, confidence)
    return Comparison(
        a=names[0],
        b=names[1],
        n=len(gained),
        infinite=len(gained) - len(finite),
        margin=margin,
        advantage=float(finite.mean()) if len(finite) else None,
        sd=float(finite.std(ddof=1)) if len(finite) > 1 else None,
        low=low,
        high=high,
        p_value=p_value,
        p_adjusted=None,
        test=test,
        superiority=share,
        superiority_low=share_low,
        superiority_high=share_high,
        wins=int(np.sum(gained > 0)),
        ties=int(np.sum(gained == 0)),
        losses=int(np.sum(gained < 0)),
        seeds_needed=seeds_needed(gained - margin),
    )


def compare_all(values: pd.DataFrame, *, goal: str = 'max', margin: float = 0.0) -> list[Comparison]:
    """Returns the comparison of every pair of variants, Holm-corrected over all of them.

    Args:
      values: the metric, one row a seed, one column a variant; NaN: not run. Pairs without a seed in common are
        left out.
    """
    columns = {name: values[name].dropna() for name in values.columns}
    return with_holm(
        [
            compare(columns[a], columns[b], goal=goal, margin=margin, names=(a, b))
            for a, b in combinations(columns, 2)
            if not columns[a].index.intersection(columns[b].index).empty
        ]
    )


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Returns the comparisons with `p_adjusted` set, taken as one family."""
    adjusted = holm([comparison.p_value for comparison in comparisons])
    return [replace(comparison, p_adjusted=p) for comparison, p in zip(comparisons, adjusted, strict=True)]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns p-values corrected for their number (Holm 1979): the chance of one false finding among all stays alpha.

    A test that could not be made (None) stays None and does not count.
    """
    made = [p for p in p_values if p is not None]
    corrected = iter(multipletests(made, method='holm')[1] if made else ())
    return [None if p is None else float(next(corrected)) for p in p_values]


def mean_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """Returns the t interval of the mean of `values` (shape [n]); (None, None) for n < 2."""
    if len(values) < 2:
        return None, None
    if _constant(values):
        return float(values.mean()), float(values.mean())
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def mean_intervals(
    values: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    """Returns the lower and the upper ends of `mean_interval` for each column of `values` (shape [n, columns]), at once."""
    if len(values) < 2:
        return [None] * values.shape[1], [None] * values.shape[1]
    mean = values.mean(0)
    constant = np.ptp(values, 0) <= 1e-12 * np.abs(values).max(0)
    with warnings.catch_warnings():  # of columns without variance
        warnings.simplefilter('ignore')
        interval = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    return np.where(constant, mean, interval.low).tolist(), np.where(constant, mean, interval.high).tolist()


def equivalence(differences: np.ndarray, margin: float) -> float | None:
    """Returns the p-value of the two one-sided t tests (Schuirmann 1987): small where |mean| < margin is shown.

    Args:
      differences: paired, one a seed, either sign.
      margin: the largest difference that does not matter, > 0.

    Returns None for fewer than two seeds; 1 where a difference is infinite.

    Raises:
      ValueError: the margin is not positive.
    """
    if margin <= 0:
        raise ValueError(f'an equivalence margin is > 0, not {margin}')
    if len(differences) < 2:
        return None
    if not np.isfinite(differences).all():
        return 1.0
    if _constant(differences):
        return 0.0 if abs(differences[0]) < margin else 1.0
    return float(DescrStatsW(differences).ttost_mean(-margin, margin)[0])


def seeds_needed(differences: np.ndarray, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Returns how many paired seeds a two-sided t test needs to see a mean difference of the observed size.

    From the noncentral t distribution (Cohen 1988) at effect size |mean| / sd. The observed effect is itself an
    estimate: take the answer as an order of magnitude. 2 where the difference is the same on every seed; None where
    there is no (finite) difference to see, fewer than two seeds to judge by, or no number below a million would do.
    """
    if len(differences) < 2 or not np.isfinite(differences).all() or not differences.any():
        return None
    if _constant(differences):
        return 2
    effect = abs(differences.mean()) / differences.std(ddof=1)
    test = TTestPower()
    # Its solve_power does not converge for large effects, and its power is NaN for some that are all but certain; as
    # power rises with n, halving finds the n, and takes a NaN (not below `power`) for enough.
    n = bisect.bisect_left(range(MOST_SEEDS), power, lo=2, key=lambda seeds: test.power(effect, seeds, alpha))
    return n if n < MOST_SEEDS else None


def to_target(
    history: Iterable[Mapping[str, Any]], target: float, metric: str = 'validation_accuracy', goal: str = 'max'
) -> Target | None:
    """Returns when a run first reached `target`, at the grain of its evaluations; None: never.

    Args:
      history: `result.json`'s, one entry an evaluation, in order of time; entries without the metric are passed over.
      target: value of `metric` that must be reached, from below for goal 'max', from above for 'min'.
    """
    for entry in history:
        value = entry.get(metric)
        if value is not None and (value >= target if goal == 'max' else value <= target):
            return Target(entry.get('epoch'), entry.get('step'), entry.get('seconds'))
    return None


def _constant(values: np.ndarray) -> bool:
    """True where values differ by no more than rounding: their variance is noise of the subtraction."""
    return bool(np.ptp(values) <= 1e-12 * np.max(np.abs(values)))


def _signed_rank(differences: np.ndarray) -> float:
    """Two-sided p of the signed-rank test: exact up to 13 pairs, and up to 50 without ties or zeros."""
    if not differences.any():
        return 1.0
    with warnings.catch_warnings():  # scipy computes an unused z, which is 0/0 for some tied ranks
        warnings.simplefilter('ignore')
        return float(stats.wilcoxon(differences).pvalue)
