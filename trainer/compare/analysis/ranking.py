"""Which variants may be the best of all, and which are shown not to be.

A variant is behind if some other variant beats it at level alpha / (k - 1), k being the number of variants: the true best
is behind with a chance of at most alpha, whichever it is. Of two variants the level is alpha / 2, so that of two equal ones
neither is called the best with a larger chance than alpha. What is not behind is a 95% confidence set of the best, as in
Hsu's multiple comparisons with the best (Hsu 1984; here by Bonferroni, since variances differ and runs are paired). It
needs the k - 1 comparisons of each variant, not all k (k - 1) / 2 pairs.

A variant is practically the same as the best if no other one is ahead of it by the margin, each shown at level alpha / 2, as
in a comparison of two (intersection-union, Berger 1982): of each variant that is farther from the best, the chance of
being called the same is at most alpha / 2.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainer.compare.analysis.comparisons import above
from trainer.compare.analysis.rules import ANYTIME, FIXED
from trainer.compare.analysis.statistics import ALPHA, UNBOUNDED, Estimate, differences, estimate

#: How a variant stands. `leads`: the best mean, while others are undecided. `same`: shown to be within the margin of the
#: best, whichever that is.
BEST, LEADS, SAME, UNDECIDED, BEHIND = 'best', 'leads', 'same', 'undecided', 'behind'

#: Rivals that each variant is compared with, the best means: more would find nothing that these do not.
MOST_RIVALS = 50


@dataclass(frozen=True)
class Place:
    """One variant in a ranking. `estimate`: over the seeds that did not diverge; None: all did. `n`: seeds."""

    name: str
    n: int
    diverged: int
    estimate: Estimate | None
    standing: str


@dataclass(frozen=True)
class Ranking:
    """Variants, the best mean first. `comparisons`: what each standing is corrected for."""

    places: tuple[Place, ...]
    margin: float
    comparisons: int

    def of(self, *standings: str) -> list[str]:
        """Returns the names with one of these standings, in order."""
        return [place.name for place in self.places if place.standing in standings]

    @property
    def decided(self) -> bool:
        """Whether it is known which variant is the best, or which are within the margin of it."""
        return bool(self.of(BEST)) and not self.of(UNDECIDED)


def rank(
    values: pd.DataFrame,
    *,
    goal: str = 'max',
    margin: float = 0.0,
    alpha: float = ALPHA,
    paired: bool = True,
    rule: str = FIXED,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Ranking:
    """Returns how the variants stand.

    Args:
      values: the metric, one row a seed, one column a variant; infinite: diverged; NaN: not run.
      goal: 'max' or 'min', which of the two is better.
      margin: the smallest difference that matters, >= 0.
      alpha: chance that the true best is called behind.
      paired: whether a row is one seed in all columns; otherwise Welch's t test is used.
      rule: of `rules.RULES`; the anytime rule compares pairs in any case.
      bounds: of the intervals of the means, as `statistics.cut` says.
    """
    x = values.to_numpy(float) * (1.0 if goal == 'max' else -1.0)
    names, k = list(map(str, values.columns)), values.shape[1]
    done = np.isfinite(x)
    with np.errstate(invalid='ignore', divide='ignore'):
        means = np.where(done, x, 0.0).sum(0) / done.sum(0)
    order = sorted(range(k), key=lambda i: (not done[:, i].any(), -np.nan_to_num(means[i], nan=-np.inf), i))
    standings = _standings(x, order, margin, alpha, paired, rule) if k > 1 else [''] * k
    places = []
    for i in order:
        own = x[:, i]
        finite = values.to_numpy(float)[done[:, i], i]
        n, diverged = int((~np.isnan(own)).sum()), int(np.isinf(own).sum())
        places.append(
            Place(names[i], n, diverged, estimate(finite, bounds=bounds) if len(finite) else None, standings[i])
        )
    return Ranking(tuple(places), margin, corrected_for(k))


def corrected_for(k: int) -> int:
    """Returns by how much the level of one comparison is divided, with k variants."""
    return max(k - 1, 2)


def _standings(x: np.ndarray, order: list[int], margin: float, alpha: float, paired: bool, rule: str) -> list[str]:
    k = x.shape[1]
    beaten, close = (
        np.ones(k),
        np.zeros(k),
    )  # smallest p of being beaten by more than the margin; largest of being close
    tested = np.zeros(k, bool)
    for j in order[:MOST_RIVALS]:
        if paired or rule == ANYTIME:
            p_beats, p_close = _against(x, j, margin, rule)
        else:
            p_beats, p_close = _against_unpaired(x, j, margin)
        p_close = np.where(np.isnan(p_close), 1.0, p_close)  # of a rival that cannot be tested, nothing is shown
        p_beats[j] = p_close[j] = np.nan
        tested |= ~np.isnan(p_beats)
        beaten = np.fmin(beaten, p_beats)
        close = np.fmax(close, p_close) if margin > 0 else np.ones(k)
    behind = beaten < alpha / corrected_for(k)
    same = (close < alpha / 2) & tested if margin > 0 and k <= MOST_RIVALS else np.zeros(k, bool)
    found = np.where(behind, BEHIND, np.where(same, SAME, UNDECIDED)).tolist()
    if not tested.any():
        return [''] * k
    first = next((i for i in order if found[i] != BEHIND), order[0])
    found[first] = LEADS
    if UNDECIDED not in found:
        found[first] = BEST
    return found


def _against(x: np.ndarray, j: int, margin: float, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns one-sided p-values of j beating each variant by more than the margin, and of being ahead by less than it."""
    rival = x[:, [j]]
    both = np.isfinite(x) & np.isfinite(rival)
    n = both.sum(0)
    with np.errstate(invalid='ignore', divide='ignore'):
        difference = np.where(both, differences(rival, x), 0.0)
        mean = np.where(n > 0, difference.sum(0) / n, np.nan)
        spread = np.where(both, difference - mean, 0.0)
        sd = np.sqrt((spread**2).sum(0) / (n - 1))
        sd = np.where(sd <= 1e-12 * np.abs(difference).max(0), 0.0, sd)
        se = np.where(n > 1, sd / np.sqrt(n), np.nan)
    run = ~np.isnan(x) & ~np.isnan(rival)
    failed_j = (run & np.isinf(rival) & np.isfinite(x)).sum(0)
    failed_i = (run & np.isfinite(rival) & np.isinf(x)).sum(0)
    beats = above(mean, se, n - 1.0, failed_j, failed_i, margin, rule=rule)
    close = np.where(failed_i + failed_j > 0, 1.0, above(-mean, se, n - 1.0, 0 * n, 0 * n, -margin, rule=rule))
    return beats, close


def _against_unpaired(x: np.ndarray, j: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """As `_against`, by Welch's t test."""
    done = np.isfinite(x)
    n, runs, failed = done.sum(0), (~np.isnan(x)).sum(0), np.isinf(x).sum(0)
    with np.errstate(invalid='ignore', divide='ignore'):
        means = np.where(done, x, 0.0).sum(0) / n
        variance = (np.where(done, x - means, 0.0) ** 2).sum(0) / (n - 1)
        variance = np.where(variance <= (1e-12 * means) ** 2, 0.0, variance)
        parts = np.where(n > 1, variance / n, np.nan)
        both = parts + parts[j]
        df = both**2 / (parts**2 / (n - 1) + parts[j] ** 2 / (n[j] - 1))
        df = np.where(both == 0, n + n[j] - 2.0, df)
    ahead, se, share = differences(means[j], means), np.sqrt(both), runs / (runs + runs[j])
    beats = above(ahead, se, df, failed[j] + 0 * failed, failed, margin, share)
    close = np.where(failed + failed[j] > 0, 1.0, above(-ahead, se, df, 0 * n, 0 * n, -margin))
    return beats, close
