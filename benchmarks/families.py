"""How often many comparisons at once find what is not there: figures of docs/statistics.md.

python -m benchmarks.families [--studies=4000]

The best mean of many equal variants is compared with each other one; and a grid of two axes is analysed, whose first axis
has no effect or a known one, and one value that is noisier than the others.
"""

import argparse

import numpy as np
import pandas as pd
from statsmodels.stats.anova import AnovaRM

from trainer.compare.analysis.comparisons import above
from trainer.compare.analysis.factorial import Effect, effects
from trainer.compare.analysis.ranking import corrected_for

SEEDS, VARIANTS, ALPHA = 10, 20, 0.05

#: Values of the two axes of a grid, and how much noisier the first value of the first axis is than the others (sd 1).
GRID, NOISIER = (7, 3), 10.0

#: A real effect of the first axis, on the mean of each value.
REAL = np.linspace(-6, 6, GRID[0])


def picked_best(studies: int) -> tuple[float, float]:
    """Returns the shares of studies in which the best mean differs from some other one: at 5%, and at the level that allows
    for its having been picked."""
    x = np.random.default_rng(0).normal(size=(studies, SEEDS, VARIANTS))
    d = np.take_along_axis(x, x.mean(1).argmax(1)[:, None, None], 2) - x
    p = 2 * above(d.mean(1), d.std(1, ddof=1) / np.sqrt(SEEDS), SEEDS - 1, 0, 0, 0.0).min(1)
    return float((p < ALPHA).mean()), float((p < 2 * ALPHA / corrected_for(VARIANTS)).mean())


def grid(rng: np.random.Generator, real: np.ndarray) -> tuple[pd.DataFrame, Effect]:
    """Returns the runs of a study, one a row, and what is found of its first axis, whose values have the means `real`."""
    sd = np.where(np.arange(GRID[0]) == 0, NOISIER, 1.0)
    values = real[:, None, None] + sd[:, None, None] * rng.normal(size=(*GRID, SEEDS))
    index = pd.MultiIndex.from_product([*map(range, GRID), range(SEEDS)], names=['first', 'second', 'seed'])
    runs = pd.DataFrame({'accuracy': values.ravel()}, index=index).reset_index()
    found = {effect.axes: effect for effect in effects(runs, ['first', 'second'], 'accuracy')}
    return runs, found['first',]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--studies', type=int, default=4000)
    studies = parser.parse_args().studies
    usual, picked = picked_best(studies)
    print(f'The best of {VARIANTS} equal variants differs from some other one, {SEEDS} seeds, {studies:,} studies:')
    print(f'at {ALPHA:.0%} in {usual:.1%}, at the level for a picked best in {picked:.1%}\n')
    rng, grids = np.random.default_rng(0), studies // 4  # which take longer
    uncorrected, ours, covered = [], [], []
    for _ in range(grids):
        runs, effect = grid(rng, np.zeros(GRID[0]))
        anova = AnovaRM(runs, 'accuracy', 'seed', within=['first', 'second']).fit().anova_table
        uncorrected.append(anova.loc['first', 'Pr > F'] < ALPHA)
        ours.append(effect.p_value < ALPHA)
        effect = grid(rng, REAL)[1]
        covered.append(effect.low <= np.sqrt((REAL**2).sum() / (GRID[0] - 1)) <= effect.high)
    print(f'One value of {GRID[0]} is {NOISIER:g} times as noisy, {SEEDS} seeds, {grids:,} studies:')
    print(f'a false effect is found by statsmodels (AnovaRM) in {np.mean(uncorrected):.1%}, here in')
    print(f'{np.mean(ours):.1%}; the interval covers a real effect in {np.mean(covered):.1%}')


if __name__ == '__main__':
    main()
