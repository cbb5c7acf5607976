"""A against A: is nothing found where there is nothing? Each variant is compared with itself on other seeds."""

from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
import pandas as pd

from trainer.compare.analysis.comparisons import above
from trainer.compare.analysis.statistics import ALPHA, differences, sds
from trainer.compare.analysis.words import count

#: Ways to divide a variant's seeds in two that are tried; with ten seeds there are 126.
MOST_SPLITS = 500


@dataclass(frozen=True)
class SelfCheck:
    """`share`: of comparisons of a variant with itself that were called different; `variants`: how many were compared.

    `worst`: the largest share of one variant. `seeds`: in each half. `comparisons`: in all; those of one variant are
    not independent, since they share runs.
    """

    share: float
    worst: float
    variants: int
    seeds: int
    comparisons: int
    alpha: float

    @property
    def sentence(self) -> str:
        if not self.comparisons:
            return 'A against A needs four seeds or more that did not diverge.'
        return (
            f'A against A: {count(self.variants, "variant")}, each compared with itself on disjoint seeds, '
            f'{self.seeds} and {self.seeds}, were called different in {self.share:.1%} of '
            f'{count(self.comparisons, "comparison")} (at most {self.worst:.1%} of one variant); '
            f'{self.alpha:.0%} is promised.'
        )


def against_itself(values: pd.DataFrame, alpha: float = ALPHA) -> SelfCheck:
    """Returns how often variants are called different from themselves, over all ways to divide their seeds in two.

    Args:
      values: the metric, one row a seed, one column a variant; what is not finite is left out.
      alpha: two-sided level.
    """
    shares, made, halves = [], 0, []
    for name in values.columns:
        x = values[name].to_numpy(float)
        x = x[np.isfinite(x)]
        half = len(x) // 2
        if half < 2:
            continue
        # The first seed is always in the first half: the other way round is the same comparison.
        firsts = islice(combinations(range(1, 2 * half), half - 1), MOST_SPLITS)
        left = np.array([(0, *rest) for rest in firsts])
        inside = np.zeros((len(left), 2 * half), bool)
        np.put_along_axis(inside, left, True, axis=1)
        table = np.broadcast_to(x[: 2 * half], inside.shape)
        difference = differences(table[inside].reshape(-1, half), table[~inside].reshape(-1, half))
        mean, sd = difference.mean(1), sds(difference.T)
        p = 2 * np.minimum(
            above(mean, sd / np.sqrt(half), half - 1.0, 0, 0, 0.0),
            above(-mean, sd / np.sqrt(half), half - 1.0, 0, 0, 0.0),
        )
        shares.append(float(np.mean(p < alpha)))
        made += len(p)
        halves.append(half)
    if not shares:
        return SelfCheck(0.0, 0.0, 0, 0, 0, alpha)
    return SelfCheck(float(np.mean(shares)), max(shares), len(shares), min(halves), made, alpha)
