"""Means with intervals, corrections for the number of tests, seeds needed, time to a target. Pure functions of numbers.

One interval is used everywhere: Student's t, of the mean over seeds. It is exact for normal values at any number of
seeds, and its coverage for skewed values and for runs that collapse is measured in docs/statistics.md. A bootstrap
interval of a few seeds is too narrow: BCa covers 71% instead of 95% of normal means at three seeds.
"""

import bisect
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special  # not scipy.stats and statsmodels, whose import takes a second: what `judge` takes in all

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8

#: The sign-flip test draws from this seed where it cannot go through all sign patterns, so that reports repeat.
FLIP_SEED = 0

#: Sign patterns that the sign-flip test goes through at the most: up to 13 seeds it is exact.
MOST_FLIPS = 2**13

#: More values than these, and the sign-flip test goes by the normal distribution: drawing takes minutes and gigabytes.
MOST_FLIPPED = 1000

#: The range of a metric of which none is known.
UNBOUNDED = -np.inf, np.inf

#: A power of ten that floating point is far from running out of.
MOST_DIGITS = 150

#: More seeds than anybody will run: beyond this `seeds_needed` answers None.
MOST_SEEDS = 10**6


@dataclass(frozen=True)
class Estimate:
    """Mean of one variant over seeds. `sd` divides by n - 1; `low` to `high` is the t interval of the mean."""

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Target:
    """When a run reached its target, interpolated between evaluations. Fields that the history lacks are None."""

    epoch: float | None
    step: float | None
    seconds: float | None


def estimate(
    values: Iterable[float], confidence: float = CONFIDENCE, bounds: tuple[float, float] = UNBOUNDED
) -> Estimate:
    """Returns mean, standard deviation and t interval of the mean of `values` (shape [seeds]); one value has no interval.

    `bounds`: as `cut` says.

    Raises:
      ValueError: no values, or one that is not finite (leave diverged runs out, and say how many they are).
    """
    x = np.asarray(list(values), float)
    if not len(x) or not np.isfinite(x).all():
        raise ValueError(f'expected one or more finite values, got {x.tolist()}')
    low, high = mean_interval(x, confidence)
    if low is not None:
        low, high = cut(low, high, x.min(), x.max(), bounds)
    return Estimate(len(x), float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else None, low, high)


def mean_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """Returns the t interval of the mean of `values` (shape [n]); (None, None) for n < 2."""
    low, high = mean_intervals(np.asarray(values, float)[:, None], confidence)
    return low[0], high[0]


def mean_intervals(
    values: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    """Returns the lower and the upper ends of the t interval for each column of `values` (shape [n, columns]), at once."""
    n, columns = values.shape
    if n < 2:
        return [None] * columns, [None] * columns
    mean, reach = values.mean(0), t_reach(n - 1, confidence) * sds(values) / np.sqrt(n)
    return (mean - reach).tolist(), (mean + reach).tolist()


def cut(low: Any, high: Any, least: Any, most: Any, bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    """Returns the ends of an interval of a mean, cut off at the range of the metric: numbers, or arrays of one shape.

    The true mean lies within the range, so that the interval covers it as often as before. It is for showing: tests take the
    whole interval.

    Args:
      low, high: the ends.
      least, most: the smallest and the largest of the values. If one is outside of the range, as where an accuracy is in
        per cent, nothing is cut.
      bounds: the smallest and the largest value that the metric can take.
    """
    inside = (np.asarray(least) >= bounds[0]) & (np.asarray(most) <= bounds[1])
    ends = np.where(inside, np.maximum(low, bounds[0]), low), np.where(inside, np.minimum(high, bounds[1]), high)
    return ends if np.ndim(low) else (float(ends[0]), float(ends[1]))


def t_reach(df: Any, confidence: float = CONFIDENCE) -> Any:
    """Returns how many standard errors a two-sided t interval reaches to each side; NaN for df < 1 or NaN."""
    return special.stdtrit(df, (1 + confidence) / 2)


def prediction_reach(n: int, sd: float, confidence: float = CONFIDENCE) -> float:
    """Returns the half width of the interval that one more run falls in, around the mean of n (Hahn & Meeker 1991)."""
    return float(t_reach(n - 1, confidence) * sd * np.sqrt(1 + 1 / n))


def superiority(advantages: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Returns P(A>B) and its interval: how probably A beats B on a seed that both are run with; a tie counts half.

    The estimate is the share of seeds won, as in Bouthillier et al. 2021 (Accounting for Variance in Machine Learning
    Benchmarks). It is conditional on the pairing by seed; `comparisons.any_two` has the probability for two runs with
    seeds of their own. The interval is Wilson's, which does not shrink to a point where one side wins every seed; with
    ties it is wider than it need be, for a tie adds no variance of its own.
    """
    won = float(np.sum(advantages > 0) + 0.5 * np.sum(advantages == 0))
    n = len(advantages)
    low, high = wilson(won, n, confidence)
    return won / n, low, high


def wilson(k: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns the interval of a share, k of n (Wilson 1927)."""
    z, p = float(special.ndtri((1 + confidence) / 2)), k / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return float(max(middle - reach, 0.0)), float(min(middle + reach, 1.0))


def sign_flip(excess: np.ndarray) -> float | None:
    """Returns the two-sided p-value of the sign-flip permutation test that `excess` (shape [n]) is symmetric about 0.

    Exact whatever the shape, if it is symmetric under the hypothesis (Fisher 1935; Pitman 1937); its smallest p is 2 /
    2^n, so that five seeds never reach 0.05. Of more than `MOST_FLIPPED` values the mean under flips is normal, by the
    central limit theorem. None for fewer than two values.
    """
    if len(excess) < 2:
        return None
    if not excess.any():
        return 1.0
    if len(excess) > MOST_FLIPPED:
        return float(2 * special.ndtr(-abs(excess.sum()) / np.sqrt(np.square(excess).sum())))
    from scipy import stats

    result = stats.permutation_test(
        (excess,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type='samples',
        n_resamples=MOST_FLIPS,
        vectorized=True,
        rng=np.random.default_rng(FLIP_SEED),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns p-values corrected for their number (Holm 1979): the chance of one false finding among all stays alpha.

    A test that could not be made (None) stays None and does not count.
    """
    return _corrected(p_values, lambda p: np.minimum(np.maximum.accumulate(p * np.arange(len(p), 0, -1)), 1.0))


def false_discovery_rate(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns q-values (Benjamini & Hochberg 1995): of the findings with q < 0.05, 5% are expected to be false."""

    def correct(p: np.ndarray) -> np.ndarray:
        scaled = p * len(p) / np.arange(1, len(p) + 1)
        return np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)

    return _corrected(p_values, correct)


def _corrected(p_values: Sequence[float | None], correct: Callable[[np.ndarray], np.ndarray]) -> list[float | None]:
    """Corrects the p-values that there are, which `correct` gets in rising order."""
    made = np.array([p for p in p_values if p is not None])
    corrected = np.empty_like(made)
    order = np.argsort(made, kind='stable')
    corrected[order] = correct(made[order])
    rest = iter(corrected.tolist())
    return [None if p is None else next(rest) for p in p_values]


def partial_conjunction(p_values: Sequence[float], at_least: int) -> float:
    """Returns the p-value of the hypothesis that fewer than `at_least` of the effects are there.

    Benjamini & Heller 2008 (Screening for Partial Conjunction Hypotheses), with Bonferroni's combination, which is
    valid under any dependence: (n - u + 1) times the u-th smallest p-value.
    """
    n = len(p_values)
    if not 1 <= at_least <= n:
        return 1.0
    return float(min(1.0, (n - at_least + 1) * sorted(p_values)[at_least - 1]))


def seeds_needed(effect: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Returns how many paired seeds a two-sided t test needs to see a standardised mean difference |mean| / sd.

    From the noncentral t distribution (Cohen 1988). The observed effect is itself an estimate: take the answer as an
    order of magnitude. None if there is no effect, or if no number below a million would do.
    """
    if not effect > 0:
        return None
    if np.isinf(effect):
        return 2

    n = bisect.bisect_left(range(MOST_SEEDS), power, lo=2, key=lambda n: power_of(effect, n, alpha))
    return n if n < MOST_SEEDS else None


def power_of(effect: float, n: int, alpha: float = ALPHA) -> float:
    """Returns the chance that a two-sided t test of n paired seeds sees a standardised mean difference."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        reach, shift = special.stdtrit(n - 1, 1 - alpha / 2), effect * np.sqrt(n)
        return float(np.nan_to_num(1 - special.nctdtr(n - 1, shift, reach), nan=1.0))


def smallest_effect(n: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Returns the standardised mean difference that n paired seeds see with that power; None: n is below 2."""
    return smallest(lambda effect: power_of(effect, n, alpha) >= power) if n > 1 else None


def smallest(enough: Callable[[float], bool]) -> float | None:
    """Returns the smallest effect from 0 to 1,000 that is enough, to six digits; None: none is."""
    low, high = 0.0, 1000.0
    if not enough(high):
        return None
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def to_target(
    history: Iterable[Mapping[str, Any]], target: float, metric: str = 'validation_accuracy', goal: str = 'max'
) -> Target | None:
    """Returns when a run first reached `target`, on the line between the evaluations before and after; None: never.

    Args:
      history: `result.json`'s, one entry an evaluation, in order of time; entries without the metric are passed over.
      target: value of `metric` that must be reached, from below for goal 'max', from above for 'min'.
    """
    before: Mapping[str, Any] | None = None
    for entry in history:
        value = entry.get(metric)
        if value is None:
            continue
        if value >= target if goal == 'max' else value <= target:
            share = 1.0
            if before is not None and value != before[metric]:
                share = (target - before[metric]) / (value - before[metric])
            return Target(*(_between(before, entry, unit, share) for unit in ('epoch', 'step', 'seconds')))
        before = entry
    return None


def _between(before: Mapping[str, Any] | None, after: Mapping[str, Any], unit: str, share: float) -> float | None:
    end = after.get(unit)
    if end is None or before is None or before.get(unit) is None:
        return end
    return before[unit] + share * (end - before[unit])


def differences(left: Any, right: Any) -> np.ndarray:
    """Returns left - right (shapes that broadcast), to 12 significant digits of the largest value.

    What is left is a difference of the values: 0.9542 - 0.9541 and 0.9741 - 0.9740 are equal, and equal to a margin of
    0.0001, although they are not in floating point. Of two infinite values NaN is returned.
    """
    with np.errstate(invalid='ignore'):
        raw = np.subtract(left, right, dtype=float)
        scale = max(np.abs(x[np.isfinite(x)]).max(initial=0.0) for x in (np.asarray(left), np.asarray(right)))
        digits = 12 - math.ceil(math.log10(scale)) if scale else 0
        return np.round(raw, digits) if abs(digits) < MOST_DIGITS else raw


def sds(values: np.ndarray) -> np.ndarray:
    """Returns the standard deviation over rows (shape [n, ...] -> [...]); 0 where values differ by no more than rounding."""
    constant = np.ptp(values, 0) <= 1e-12 * np.abs(values).max(0)
    return np.where(constant, 0.0, values.std(0, ddof=1))


def sd_of(values: np.ndarray) -> float:
    """Returns the standard deviation of `values` (shape [n], n > 1); 0 where they differ by no more than rounding."""
    return float(sds(np.asarray(values, float)))
