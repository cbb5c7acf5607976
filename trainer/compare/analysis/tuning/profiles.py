"""Performance profiles: who is how often how close to the fastest, over several workloads."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

#: AlgoPerf's largest ratio: who takes more than four times as long as the fastest has not solved the workload.
LARGEST_RATIO = 4.0


def ratios(times: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Returns time / fastest time on the same workload, >= 1 (Dolan & More 2002), inf where never reached.

    Args:
      times: {variant: {workload: time to the target, > 0, in any one unit; inf where never reached}}.

    Raises:
      ValueError: variants with different workloads, none at all, or a time that is not positive.
    """
    workloads = [set(row) for row in times.values()]
    if not workloads or not workloads[0] or any(row != workloads[0] for row in workloads):
        raise ValueError('every variant needs a time (or inf) on every workload')
    if not all(time > 0 for row in times.values() for time in row.values()):
        raise ValueError('times are positive, or inf where the target was never reached')
    fastest = {workload: min(row[workload] for row in times.values()) for workload in workloads[0]}
    return {
        variant: {w: time / fastest[w] if math.isfinite(time) else math.inf for w, time in row.items()}
        for variant, row in times.items()
    }


def performance_profile(
    times: Mapping[str, Mapping[str, float]], taus: Sequence[float] | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns (taus, {variant: rho}), rho[i] being the share of workloads with a ratio of at most taus[i].

    Dolan & More 2002 (Benchmarking Optimization Software with Performance Profiles); Dahl et al. 2023
    (Benchmarking Neural Network Training Algorithms). rho(1) is how often a variant is the fastest. The
    profile is a step function; without `taus` it is given at its steps up to `LARGEST_RATIO`, which is exact.
    """
    by_variant = {variant: np.array(list(row.values())) for variant, row in ratios(times).items()}
    if taus is None:
        steps = np.concatenate([*by_variant.values(), [1.0, LARGEST_RATIO]])
        taus = np.unique(steps[steps <= LARGEST_RATIO]).tolist()
    grid = np.asarray(taus, float)
    return grid, {variant: (row[None, :] <= grid[:, None]).mean(axis=1) for variant, row in by_variant.items()}


def profile_score(times: Mapping[str, Mapping[str, float]], largest: float = LARGEST_RATIO) -> dict[str, float]:
    """Returns each variant's area under its profile from ratio 1 to `largest`, divided by its width: 0 worst, 1 best.

    The benchmark score of Dahl et al. 2023, integrated exactly: a workload at ratio r adds
    (largest - r) / (largest - 1) / number of workloads where r < largest.
    """
    return {
        variant: float(np.mean([max(largest - ratio, 0.0) for ratio in row.values()]) / (largest - 1.0))
        for variant, row in ratios(times).items()
    }
