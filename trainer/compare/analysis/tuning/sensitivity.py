"""What tuning trials say of learning rates: over how many decades they are good."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.compare.analysis.statistics import CONFIDENCE, wilson


@dataclass(frozen=True)
class Sensitivity:
    """Learning rates within `tolerance` of a variant's own best, over log-uniform trials on `decades` decades.

    `share` of the trials, with Wilson's interval, is `good` / `trials`; `width` = share x decades is the width of the
    good learning rates in decades (also where they do not hang together). `lowest` and `highest` are the outermost.
    `rates` and `is_good`: every trial, by learning rate.
    """

    trials: int
    good: int
    best_learning_rate: float
    best: float
    tolerance: float
    decades: float
    width: float
    width_low: float
    width_high: float
    lowest: float
    highest: float
    rates: tuple[float, ...] = ()
    is_good: tuple[bool, ...] = ()


def learning_rate_sensitivity(
    learning_rates: Sequence[float],
    values: Sequence[float],
    bounds: tuple[float, float],
    *,
    tolerance: float,
    goal: str = 'max',
    confidence: float = CONFIDENCE,
) -> Sensitivity:
    """Returns how wide the range of good learning rates is.

    Args:
      learning_rates: of the trials, drawn log-uniformly (quasi-random or not) within `bounds`, shape [trials].
      values: metric of each trial; infinite or NaN where it diverged.
      bounds: smallest and largest learning rate that could be drawn.
      tolerance: how far from the best a value still is good, in the metric's unit, >= 0.
      goal: 'max' or 'min', which of the two is better.

    Raises:
      ValueError: no trial that is finite, lengths that differ, or bounds that are no range.
    """
    x, y = np.asarray(learning_rates, float), np.asarray(values, float)
    if len(x) != len(y) or not np.isfinite(y).any() or not 0 < bounds[0] < bounds[1]:
        raise ValueError('expected as many values as learning rates, one of them finite, and bounds 0 < low < high')
    badness = np.where(np.isfinite(y), -y if goal == 'max' else y, np.inf)
    best = int(np.argmin(badness))
    good = badness <= badness[best] + tolerance
    order = np.argsort(x, kind='stable')
    decades = math.log10(bounds[1] / bounds[0])
    low, high = wilson(int(good.sum()), len(x), confidence)
    return Sensitivity(
        trials=len(x),
        good=int(good.sum()),
        best_learning_rate=float(x[best]),
        best=float(y[best]),
        tolerance=tolerance,
        decades=decades,
        width=float(good.mean() * decades),
        width_low=float(low * decades),
        width_high=float(high * decades),
        lowest=float(x[good].min()),
        highest=float(x[good].max()),
        rates=tuple(x[order].tolist()),
        is_good=tuple(good[order].tolist()),
    )


def same_width(a: Sensitivity, b: Sensitivity) -> float:
    """Returns the two-sided p-value of equal shares of good trials.

    Trials that drew the same learning rates, as those of one quasi-random search do, are pairs: the exact McNemar test
    (McNemar 1947) on those of which just one is good. Otherwise Barnard's exact test (1945).

    Comparable only where both searched the same number of decades.

    Raises:
      ValueError: they did not.
    """
    if not math.isclose(a.decades, b.decades, rel_tol=1e-6):
        raise ValueError(f'searched {a.decades:g} and {b.decades:g} decades: shares of them do not compare')
    from scipy import stats

    if a.rates == b.rates:
        only_a = sum(x and not y for x, y in zip(a.is_good, b.is_good, strict=True))
        only_b = sum(y and not x for x, y in zip(a.is_good, b.is_good, strict=True))
        return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    table = [[a.good, b.good], [a.trials - a.good, b.trials - b.good]]
    return float(min(stats.barnard_exact(table).pvalue, 1.0))
