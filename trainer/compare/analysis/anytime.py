"""Tests that hold however often one looks: e-processes.

An e-process is a number E for each n that starts at 1 and, if the hypothesis is true, ever reaches 1 / alpha with a chance
of at most alpha (Ville 1939), whatever decided when to look and when to stop. So 1 / E is a p-value at every look. All
functions are of the runs that are there, not of the order in which they came, nor of what earlier looks have shown.

`log_e_mean`: of a mean. The Bayes factor of Student's t with the right-Haar prior on the standard deviation and a half
normal prior of variance G on the standardised effect, above 0 (Goenen et al. 2005; that it is an e-process: Perez-Ortiz,
Lardy, de Heide & Gruenwald 2024, E-statistics, Group Invariance and Anytime-valid Testing; Wang & Ramdas 2025, Anytime-valid
t-tests and Confidence Sequences). Exact for normal values. It holds for every mean at or below the threshold: E rises with
t, and a lower mean lowers t at every n.

`log_e_share`: of a share, such as the seeds on which A is better. The likelihood ratio of the binomial with Jeffreys' prior
on shares above a half (Robbins 1970), which assumes nothing of the values.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from trainer.compare.analysis.statistics import ALPHA, CONFIDENCE, MOST_SEEDS, UNBOUNDED, cut, sd_of, smallest

#: Variance of the prior on effects in standard deviations. docs/statistics.md has the figures that it was chosen by.
G = 4.0

#: Up to this number of seeds a confidence sequence has a look for each seed, and then for a quarter more each time.
EACH = 60


@dataclass(frozen=True)
class Look:
    """A confidence sequence after so many `seeds`: the mean over those that did not diverge, and the ends of its interval,
    in the metric's unit; None: too few. `reach`: half of the interval's width, before it is cut at the metric's range."""

    seeds: int
    mean: float | None
    low: float | None
    high: float | None
    reach: float | None = None


def confidence_sequence(
    values: Any,
    confidence: float = CONFIDENCE,
    numbers: Sequence[int] | None = None,
    bounds: tuple[float, float] = UNBOUNDED,
) -> list[Look]:
    """Returns the mean of the first n values with its interval: with probability `confidence`, no interval for any n misses
    the true mean.

    Args:
      values: a value a seed (shape [seeds]), in an order that was fixed beforehand; not finite: a run diverged.
      confidence: of all intervals at once.
      numbers: which n; None: `numbers_of` seeds.
      bounds: as `statistics.cut` says.
    """
    x = np.asarray(values, float)
    found = []
    for n in numbers_of(len(x)) if numbers is None else numbers:
        finite = x[:n][np.isfinite(x[:n])]
        mean = float(finite.mean()) if len(finite) else None
        reach = t_reach(len(finite) - 1, confidence) if len(finite) > 1 else np.inf
        low = high = None
        if mean is not None and np.isfinite(reach):
            reach *= sd_of(finite) / np.sqrt(len(finite))
            low, high = cut(mean - reach, mean + reach, finite.min(), finite.max(), bounds)
        found.append(Look(n, mean, low, high, None if low is None else float(reach)))
    return found


def numbers_of(seeds: int) -> list[int]:
    """Returns after how many seeds a confidence sequence has a look; the last number is `seeds`."""
    found = list(range(1, min(seeds, EACH) + 1))
    while found and found[-1] < seeds:
        found.append(min(seeds, found[-1] + found[-1] // 4))
    return found


def log_e_mean(t: Any, df: Any, g: float = G) -> np.ndarray:
    """Returns the logarithm of E against "the mean is at most the threshold", elementwise; 0 for fewer than two values.

    Args:
      t: Student's t of the mean from the threshold; infinite where all values are the same.
      df: degrees of freedom, the number of values less 1.
      g: variance of the prior on the effect.
    """
    t, df = np.broadcast_arrays(np.asarray(t, float), np.asarray(df, float))
    v = np.where(df >= 1, df, 1.0)
    n = v + 1
    k = 1 + n * g
    infinite, side = np.isinf(t), np.sign(t)
    t = np.where(infinite, 0.0, np.nan_to_num(t))
    two_sided = -0.5 * np.log(k) + n / 2 * (np.log1p(t**2 / v) - np.log1p(t**2 / (v * k)))
    two_sided = np.where(infinite, v / 2 * np.log(k), two_sided)
    # How probable an effect above 0 is, given the values: the posterior of the mean is Student's t with n degrees.
    z = n * g / k * t / np.sqrt((v + t**2 / k) * g / k)
    z = np.where(infinite, side * n * np.sqrt(g), z)
    return np.where(df >= 1, np.log(2) + two_sided + np.log(special.stdtr(n, z)), 0.0)


def log_e_share(k: Any, n: Any) -> np.ndarray:
    """Returns the logarithm of E against "a share is at most a half", elementwise, having seen k of n."""
    k, n = np.asarray(k, float), np.asarray(n, float)
    a, b = k + 0.5, n - k + 0.5
    above = special.betaincc(a, b, 0.5)
    with np.errstate(divide='ignore'):
        return (n + 1) * np.log(2) + special.betaln(a, b) - np.log(np.pi) + np.log(above)


def p_mean(t: Any, df: Any) -> np.ndarray:
    """Returns 1 / E of "the mean is at most the threshold": one-sided p-values at every look, where they are below 1."""
    return np.exp(-log_e_mean(t, df))


def p_share(k: Any, n: Any) -> np.ndarray:
    """Returns 1 / E of "the share is at most a half": one-sided p-values at every look, where they are below 1."""
    return np.exp(-log_e_share(k, n))


@functools.lru_cache(maxsize=4096)
def t_reach(df: float, confidence: float) -> float:
    """Returns how many standard errors a two-sided confidence sequence reaches to each side; inf: too few values."""
    limit = np.log(2 / (1 - confidence))
    if not df >= 1 or log_e_mean(np.inf, df) < limit:
        return float('inf')
    low, high = 0.0, 1.0
    while log_e_mean(high, df) < limit:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if log_e_mean(middle, df) < limit else (low, middle)
    return high


def seeds_needed(effect: float, alpha: float = ALPHA) -> int | None:
    """Returns after how many paired seeds an effect |mean| / sd is seen at two-sided level `alpha`, typically.

    That is where E reaches 2 / alpha if t is what the effect makes it: about half of all studies need more. None if there
    is no effect, or if no number below a million would do.
    """
    if not effect > 0:
        return None
    enough = lambda n: bool(log_e_mean(effect * np.sqrt(n), n - 1) >= np.log(2 / alpha))  # noqa: E731
    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_SEEDS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def smallest_effect(n: int, alpha: float = ALPHA) -> float | None:
    """Returns the effect |mean| / sd that n paired seeds see at two-sided level `alpha`, typically; None: none is large
    enough."""
    return smallest(lambda effect: bool(log_e_mean(effect * np.sqrt(n), n - 1) >= np.log(2 / alpha)))
