"""A grid of variants as a factorial design: how much each axis matters, and how much two axes interact.

Seeds are blocks: every cell is run with the same seeds, and each effect is held against its own variation over seeds,
as in an analysis of variance of repeated measures.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import special

from trainer.compare.analysis.statistics import t_reach

#: Squared length of effects, in units of their noise, from which on it is taken as normal.
FAR = 1000.0


@dataclass(frozen=True)
class Effect:
    """A main effect, or an interaction of two axes.

    `sd`: standard deviation of the effects over the levels, in the metric's unit: of a main effect, of the marginal means
    of its values; of an interaction, of what remains of the cells' means. Noise is taken off (the unbiased estimate of
    the variance component for fixed effects; 0 where it would be negative). `low`, `high`: its interval, from the
    noncentral chi-squared distribution (after Steiger 2004, Beyond the F Test). `spread`: largest difference of
    marginal means (main effects only). `p_value`: F test, with `df` and `df_rest` degrees of freedom, both of them less
    where values of an axis are not equally noisy (`_sphericity`).
    """

    axes: tuple[str, ...]
    df: int
    df_rest: int
    sd: float
    low: float
    high: float
    spread: float | None
    p_value: float


def effects(runs: pd.DataFrame, axes: list[str], metric: str) -> list[Effect]:
    """Returns the effects, main effects first, each largest first; [] where the design has no two crossed axes.

    Args:
      runs: one run a row: the axes, `seed`, and the metric (not finite: left out, with all runs of its seed, so that
        the design stays balanced).
      axes: two or more axes; every combination of their values must be run.
    """
    frame = runs[[*axes, 'seed']].assign(value=runs[metric].astype(float))
    frame['value'] = frame['value'].where(np.isfinite(frame['value']))
    frame = frame.groupby([*axes, 'seed'], sort=False)['value'].mean().reset_index()
    cells = frame.groupby('seed')['value'].agg(['count', 'size'])
    expected = int(np.prod([frame[axis].nunique() for axis in axes]))
    whole = cells.index[(cells['count'] == expected) & (cells['size'] == expected)]
    frame = frame[frame['seed'].isin(whole)]
    if len(axes) < 2 or len(whole) < 3 or any(frame[axis].nunique() < 2 for axis in axes):
        return []
    levels = [pd.unique(frame[axis]) for axis in axes]
    ordered = frame.set_index([*axes, 'seed'])['value'].reindex(pd.MultiIndex.from_product([*levels, whole]))
    cube = ordered.to_numpy().reshape([*map(len, levels), len(whole)])
    found = []
    for term in [(axis,) for axis in axes] + list(combinations(axes, 2)):
        others = tuple(i for i, axis in enumerate(axes) if axis not in term)
        marginal = cube.mean(axis=others)  # shape [values of the term's axes ..., seeds]
        spread = float(np.ptp(marginal.mean(-1))) if len(term) == 1 else None
        found.append(_effect(term, marginal, spread))
    return sorted(found, key=lambda effect: (len(effect.axes), -effect.sd))


def _effect(term: tuple[str, ...], marginal: np.ndarray, spread: float | None) -> Effect:
    axes, seeds = tuple(range(marginal.ndim - 1)), marginal.shape[-1]
    effects = marginal - marginal.mean(axis=axes)
    if len(axes) == 2:
        effects = effects - effects.mean(axis=1, keepdims=True) - effects.mean(axis=0, keepdims=True)
    df = int(np.prod([n - 1 for n in marginal.shape[:-1]]))
    df_rest = df * (seeds - 1)
    means = effects.mean(-1)
    between = float((means**2).sum()) / df  # the variance of the effects, with noise / seeds in it
    noise = float(((effects - means[..., None]) ** 2).sum()) / df_rest
    sd = float(np.sqrt(max(between - noise / seeds, 0.0)))
    rounding = float(1e-12 * np.abs(marginal).max()) ** 2
    if noise <= rounding:
        size = sd if between > rounding else 0.0
        return Effect(term, df, df_rest, size, size, size, spread, 0.0 if size else 1.0)
    # The squared length of the estimated effects, in units of their noise, is noncentral chi-squared. The level is that
    # of a t interval, since the noise is estimated: exact for large effects.
    alike = _sphericity(effects - means[..., None], df)
    f, own, rest = between * seeds / noise, alike * df, alike * df_rest
    reach = float(t_reach(rest))
    unit = noise / (own * seeds)
    low, high = (float(np.sqrt(_noncentrality(own, p, own * f, z) * unit)) for p, z in _ends(reach))
    return Effect(term, df, df_rest, sd, low, high, spread, float(special.fdtrc(own, rest, f)))


def _sphericity(rest: np.ndarray, df: int) -> float:
    """Returns Box's epsilon as Greenhouse & Geisser 1959 estimate it, from 1 / df to 1, which it is where all contrasts of
    the effects have one variance. It is small where one value of an axis is far noisier than the others: the F test then
    has fewer degrees of freedom than are counted.

    Args:
      rest: what is left of each cell on each seed without the effects (shape [values of the term's axes ..., seeds]).
      df: of the effects.
    """
    flat = rest.reshape(-1, rest.shape[-1])
    products = flat @ flat.T
    return float(min(max(np.trace(products) ** 2 / (df * (products**2).sum()), 1 / df), 1.0))


def _ends(reach: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (float(special.ndtr(reach)), -reach), (float(special.ndtr(-reach)), reach)


def _noncentrality(df: float, p: float, length: float, z: float) -> float:
    """The noncentrality of the chi-squared distribution whose value at `length` is `p`; 0 where none is small enough.

    Far out, where the library's inverse does not converge, the length of the effects is normal.
    """
    if length > FAR:
        return (np.sqrt(length - df + 1) + z) ** 2
    if special.chdtr(df, length) <= p:
        return 0.0
    return float(special.chndtrinc(length, df, p))
