"""When a verdict is valid: after a number of seeds that was fixed beforehand, or at every look.

Everything that decides something takes the name of a rule, and asks it for p-values, the reach of an interval and seeds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from trainer.compare.analysis import anytime, statistics

FIXED, ANYTIME = 'fixed', 'anytime'


@dataclass(frozen=True)
class Rule:
    """`p_mean(t, df)`, `p_share(k, n, share)`: one-sided p-values of a mean that is at most the threshold, and of a share
    that is at most `share`, having seen k of n; elementwise; above 1 they mean 1. `p_either(p, q)`: of two hypotheses at
    once, about different seeds. `reach(df, confidence)`: of a two-sided interval of a mean, in standard errors.
    `seeds_needed(effect, alpha)`: paired seeds that show an effect |mean| / sd.
    """

    p_mean: Callable[[Any, Any], np.ndarray]
    p_share: Callable[[Any, Any, Any], np.ndarray]
    p_either: Callable[[np.ndarray, np.ndarray], np.ndarray]
    reach: Callable[[float, float], float]
    seeds_needed: Callable[[float, float], int | None]


def _p_mean(t: Any, df: Any) -> np.ndarray:
    """Student's t. Where all values are equal, as those of few digits often are, t is infinite, and its p-value would be 0
    after two seeds: there the anytime rule has a p-value that goes by their number."""
    p = special.stdtr(df, -np.asarray(t, float))
    return np.where(np.isposinf(t), np.minimum(anytime.p_mean(np.inf, df), 1.0), p)


RULES: Mapping[str, Rule] = {
    FIXED: Rule(
        p_mean=_p_mean,
        p_share=lambda k, n, share: np.where(np.asarray(k) > 0, special.bdtrc(np.asarray(k) - 1.0, n, share), 1.0),
        p_either=lambda p, q: 2 * np.fmin(p, q),  # Bonferroni
        reach=lambda df, confidence: float(statistics.t_reach(df, confidence)),
        seeds_needed=lambda effect, alpha: (anytime if np.isinf(effect) else statistics).seeds_needed(effect, alpha),
    ),
    # Shares other than a half are those of runs that are not paired, which this rule pairs.
    ANYTIME: Rule(
        p_mean=anytime.p_mean,
        p_share=lambda k, n, share: anytime.p_share(k, n),
        # A seed changes one of the two alone, so that the product is an e-process. Where one has seen nothing, E is 1.
        p_either=lambda p, q: p * q,
        reach=anytime.t_reach,
        seeds_needed=anytime.seeds_needed,
    ),
}
