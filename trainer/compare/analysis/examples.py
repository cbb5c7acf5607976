"""What the test examples add: is a result one of this test set, or of new examples too?

An interval over seeds holds the test set fixed. Over seeds and examples, both are a sample: the mean of a table of seeds x
examples has the variance `row + column - both` (Owen 2007, The Pigeonhole Bootstrap; the same as the two-way clustered
variance of Cameron, Gelbach & Miller 2011), with the variances of row means, of column means, and of single cells.
"""

import math
from dataclasses import dataclass

import numpy as np

from trainer.compare.analysis.statistics import CONFIDENCE, t_reach


@dataclass(frozen=True)
class Crossed:
    """A mean over seeds x examples. `sd_seeds`, `sd_examples`: what each contributes to the standard error of the mean.

    `low` to `high`: interval for new seeds and new examples.
    """

    mean: float
    seeds: int
    examples: int
    sd_seeds: float
    sd_examples: float
    low: float
    high: float


@dataclass(frozen=True)
class Flips:
    """Shares of (seed, example) pairs: both right, only A right, only B right, both wrong."""

    both: float
    only_a: float
    only_b: float
    neither: float


def crossed(values: np.ndarray, confidence: float = CONFIDENCE) -> Crossed:
    """Returns the mean of `values` (shape [seeds, examples], seeds > 1), such as 1 where a run is right, with its interval.

    For a difference of two variants pass the difference of their tables. The degrees of freedom are Satterthwaite's, which
    would make it narrower than the interval over seeds alone where there are few: it is at least as wide.

    Raises:
      ValueError: fewer than two seeds or examples.
    """
    s, n = values.shape
    if s < 2 or n < 2:
        raise ValueError(f'expected two or more seeds and examples, got {s} and {n}')
    x = values.astype(float)
    mean = float(x.mean())
    rows, columns = x.mean(1), x.mean(0)
    by_seed = float(rows.var(ddof=1)) / s
    by_example = float(columns.var(ddof=1)) / n
    rest = x - rows[:, None] - columns[None, :] + mean
    both = float((rest**2).sum()) / ((s - 1) * (n - 1)) / (s * n)
    # Each of the first two contains the last: what is left of the table after seeds and examples.
    variance = max(by_seed + by_example - both, by_seed, by_example)
    df = variance**2 / (by_seed**2 / (s - 1) + by_example**2 / (n - 1)) if variance else s - 1.0
    reach = max(
        float(t_reach(df, confidence)) * math.sqrt(variance),
        float(t_reach(s - 1, confidence)) * math.sqrt(by_seed),
    )
    return Crossed(mean, s, n, math.sqrt(by_seed), math.sqrt(by_example), mean - reach, mean + reach)


def flips(a: np.ndarray, b: np.ndarray) -> Flips:
    """Returns how two variants agree, a and b being 1 where right (shape [seeds, examples], the same seeds).

    Means over several runs, from 0 to 1, are taken as the chance that one of them is right.
    """
    x, y = a.astype(float), b.astype(float)
    return Flips(*(float(share.mean()) for share in (x * y, x * (1 - y), (1 - x) * y, (1 - x) * (1 - y))))
