"""What holds over several data sets: each of them counts once, however many seeds were trained on it.

Where results decide how many seeds each data set gets, the caller gives those seeds alone that were fixed beforehand: the
test is then that of a fixed number of data sets and seeds, and the same at every look (docs/statistics.md).

Seeds on one data set say how sure its own numbers are. That a variant is better in general is a statement about data sets.
So the test here has one number for each data set and variant, the mean over seeds, and compares two variants by Wilcoxon's
signed-rank test over the data sets (Demsar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, section
3.1.3; Benavoli et al. 2016, Should We Really Use Post-Hoc Tests Based on Mean-Ranks?, for why not by mean ranks).

As in a ranking on one data set (`ranking.py`), a variant is behind if some other one beats it at level alpha / (k - 1), k
being the number of variants, and of two at alpha / 2. What is not behind is a 95% confidence set of the best.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainer.compare.analysis.ranking import BEHIND, BEST, LEADS, UNDECIDED, corrected_for
from trainer.compare.analysis.statistics import ALPHA, Estimate, differences, estimate
from trainer.compare.analysis.tuning.profiles import profile_score, ratios

#: How much larger than the smallest error or loss on a data set is still near to it.
NEAR = 1.1


@dataclass(frozen=True)
class Row:
    """A variant over the data sets.

    Attributes:
      name: of the variant.
      means: data set -> mean over the seeds that all variants have; NaN: a run diverged.
      rank: mean over the data sets of its rank, 1 being the best; ties share theirs.
      best: number of data sets on which it has the best mean.
      near: share of the data sets on which its error or loss is at most `NEAR` times the smallest; NaN: no such ratio.
      score: area under its performance profile (`profiles.profile_score`), 0 worst and 1 best; NaN: no such ratio.
      difference: how far it is from the first row, counted so that more is better: mean over the data sets, with the t
        interval for data sets of this kind; None: it is the first row, one of the two diverged, or there is one data set.
      p: smallest p-value of being beaten by another variant, times `ranking.corrected_for` so many variants; None: there
        is no other.
      standing: 'best', 'leads', 'undecided' or 'behind'; '': there is no other.
    """

    name: str
    means: Mapping[str, float]
    rank: float
    best: int
    near: float
    score: float
    difference: Estimate | None
    p: float | None
    standing: str


@dataclass(frozen=True)
class OverDatasets:
    """Variants over data sets, the best mean rank first.

    Attributes:
      datasets: their names.
      rows: a variant each.
      smallest: the smallest p-value that is possible with so many data sets and variants.
      needed: data sets from which on a variant can be shown to be behind.
    """

    datasets: tuple[str, ...]
    rows: tuple[Row, ...]
    smallest: float
    needed: int


def over_datasets(values: Mapping[str, pd.DataFrame], goal: str, *, error: bool) -> OverDatasets:
    """Returns how variants compare over data sets.

    Args:
      values: data set -> the metric, one row a seed, one column a variant; infinite: diverged; NaN: not run.
      goal: 'max' or 'min', which of the two is better.
      error: whether 1 - the metric is an error (the metric is an accuracy), which ratios are of.

    Raises:
      ValueError: the data sets have different variants, there is none, or the variants have no seed in common.
    """
    from scipy import stats  # takes a second, which a study on one data set need not wait for

    if not values or len({frozenset(frame.columns) for frame in values.values()}) > 1:
        raise ValueError('every variant needs results on every data set')
    means = pd.DataFrame({name: _means(frame) for name, frame in values.items()})
    k, n = means.shape
    # Better is larger. A variant of which a run diverged is the last on that data set.
    x = (1.0 if goal == 'max' else -1.0) * means.to_numpy(float)
    x[np.isnan(x)] = -math.inf
    ranks = stats.rankdata(-x, axis=0)
    near, score = _profiles(means, error) if error or goal == 'min' else ({}, {})
    order = sorted(range(k), key=lambda i: (ranks[i].mean(), str(means.index[i])))
    others = corrected_for(k)
    ps = [min(1.0, others * min(beats(x[j], x[i]) for j in range(k) if j != i)) if k > 1 else None for i in range(k)]
    standings = ['' if p is None else BEHIND if p < ALPHA else UNDECIDED for p in ps]
    if k > 1:
        first = next((i for i in order if standings[i] != BEHIND), order[0])
        standings[first] = LEADS
        standings[first] = LEADS if UNDECIDED in standings else BEST
    rows = tuple(
        Row(
            name=str(means.index[i]),
            means={str(data): float(means.iloc[i][data]) for data in means.columns},
            rank=float(ranks[i].mean()),
            best=int((ranks[i] == ranks.min(axis=0)).sum()),
            near=near.get(means.index[i], math.nan),
            score=score.get(means.index[i], math.nan),
            difference=_difference(x[i], x[order[0]]) if i != order[0] else None,
            p=ps[i],
            standing=standings[i],
        )
        for i in order
    )
    return OverDatasets(
        datasets=tuple(map(str, means.columns)),
        rows=rows,
        smallest=min(1.0, others * 2.0**-n),
        needed=next(count for count in range(1, 100) if others * 2.0**-count < ALPHA),
    )


def _means(frame: pd.DataFrame) -> pd.Series:
    """Returns the mean of each variant over the seeds that all have; NaN: a run diverged."""
    x = frame.dropna().to_numpy(float)
    if not len(x):
        raise ValueError('every variant needs results of the same seeds')
    with np.errstate(invalid='ignore'):
        return pd.Series(np.where(np.isfinite(x).all(axis=0), x.mean(axis=0), np.nan), frame.columns)


def _profiles(means: pd.DataFrame, error: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Returns `Row.near` and `Row.score` of each variant."""
    x = means.to_numpy(float)
    x = np.where(np.isnan(x), math.inf, np.maximum(1 - x if error else x, 1e-12))
    positive = {
        name: dict(zip(means.columns, row.tolist(), strict=True)) for name, row in zip(means.index, x, strict=True)
    }
    near = {name: float(np.mean([ratio <= NEAR for ratio in row.values()])) for name, row in ratios(positive).items()}
    return near, profile_score(positive)


def _difference(own: np.ndarray, first: np.ndarray) -> Estimate | None:
    if len(own) < 2 or not (np.isfinite(own) & np.isfinite(first)).all():
        return None
    return estimate(differences(own, first))


def beats(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the one-sided p-value of a being better than b, over data sets."""
    from scipy import stats

    difference = differences(a, b)
    difference[np.isnan(difference)] = 0.0  # both diverged
    if not difference.any():
        return 1.0
    # A variant that diverged is further behind than any that did not.
    largest = np.abs(difference[np.isfinite(difference)]).max(initial=0.0)
    difference = np.clip(difference, -2 * largest - 1, 2 * largest + 1)
    size = np.abs(difference)
    distinct = len(set(size.tolist())) == len(size) and size.all()
    if distinct and len(size) <= 50:
        return float(stats.wilcoxon(difference, alternative='greater', method='exact').pvalue)
    # With ties or zeros, the distribution of the statistic over the signs of these very sizes.
    flips = stats.PermutationMethod(n_resamples=9_999, rng=np.random.default_rng(0))
    return float(stats.wilcoxon(difference, alternative='greater', zero_method='zsplit', method=flips).pvalue)
