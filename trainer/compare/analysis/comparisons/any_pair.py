"""How probably a run of A beats a run of B, each with a seed of its own: over all pairs of their runs, not seed by seed."""

import numpy as np

from trainer.compare.analysis.statistics import differences

#: Pairs of runs of two variants that are looked at one by one.
MOST_PAIRS = 10**6


def brunner_munzel(left: np.ndarray, right: np.ndarray, margin: float, confidence: float) -> tuple[float, float, float]:
    """Returns `probability` and its interval (Brunner & Munzel 2000). Each variant needs a run; arguments as there."""
    share = probability(left, right, margin)
    assert share is not None
    if min(len(left), len(right)) < 2 or share in (0.0, 1.0):
        return share, 0.0, 1.0  # the interval is not defined for fewer, and shrinks to a point for a clean sweep
    from statsmodels.stats.nonparametric import rank_compare_2indep

    finite = np.concatenate([left, right])
    worst = finite[np.isfinite(finite)].min() - 1.0 - abs(margin)  # ranks only: any value below all others will do
    ranks = [np.where(np.isfinite(x), x, worst) for x in (left, right + margin)]
    low, high = rank_compare_2indep(*ranks).conf_int(alpha=1 - confidence)
    return share, float(max(low, 0.0)), float(min(high, 1.0))


def probability(left: np.ndarray, right: np.ndarray, margin: float) -> float | None:
    """Returns P(A > B + margin) of two runs, a tie as a half; None: A or B has no run.

    Args:
      left, right: the metric of each run of A and of B, shapes [runs of A] and [runs of B], more being better; infinite:
        diverged.
      margin: the smallest advantage that matters.
    """
    if not len(left) or not len(right):
        return None
    wins, ties, losses = counts(left, right, margin)
    return (wins + 0.5 * ties) / (wins + ties + losses)


def counts(left: np.ndarray, right: np.ndarray, margin: float, most: int = MOST_PAIRS) -> tuple[int, int, int]:
    """Returns in how many pairs of a run of each the first is better by more than the margin, just by it, and by less.

    Of more than `most` pairs they are counted in sorted order: all pairs of 10,000 runs would take a minute and gigabytes.
    """
    pairs = len(left) * len(right)
    if pairs <= most:
        gained = np.where(left[:, None] == right[None, :], 0.0, differences(left[:, None], right[None, :]))
        wins, ties = int((gained > margin).sum()), int((gained == margin).sum())
    else:
        ordered = np.sort(right)
        below, up_to = (np.searchsorted(ordered, left - margin, side) for side in ('left', 'right'))
        equal = np.where(np.isfinite(left), up_to - below, (up_to - below) * (margin == 0))
        wins, ties = int(below.sum()), int(equal.sum())
    return wins, ties, pairs - wins - ties
