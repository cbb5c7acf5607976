"""How often the test over data sets errs where results decide how many seeds each gets: a table of docs/statistics.md.

python -m benchmarks.over_datasets [--studies=2000]

Each study has two variants on so many data sets. On each, seeds are added until a claim is decided by the anytime rule, from
4 to 30 of them in the rounds of `--until-decided`. The two variants are equal over data sets of this kind, so that whatever
Wilcoxon's signed-rank test over the data sets shows is wrong.
"""

import argparse

import numpy as np

from trainer.compare.allocation.seeds import LEAST
from trainer.compare.analysis import anytime
from trainer.compare.analysis.over_datasets import beats

MOST, ALPHA = 30, 0.05

#: Standard deviation over data sets of the true difference, in standard deviations of a difference of one seed.
SPREADS = (0.0, 0.3, 1.0)


def rounds(most: int = MOST) -> list[int]:
    """Returns the numbers of seeds that are looked at."""
    found = [LEAST]
    while found[-1] < most:
        found.append(min(most, found[-1] + max(1, found[-1] // 4)))
    return found


def means(differences: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean difference of each study's data sets over all seeds that they get, and over the first `LEAST`.

    Args:
      differences: of A from B, shape [seeds, ...].
      margin: A is claimed to be better by more than it.
    """
    shape = differences.shape[1:]
    over, open_ = np.zeros(shape), np.ones(shape, bool)
    for n in rounds(len(differences)):
        x = differences[:n]
        mean, sd = x.mean(0), x.std(0, ddof=1)
        over = np.where(open_, mean, over)
        t = (mean - margin) / (sd / np.sqrt(n))
        decided = 2 * np.minimum(anytime.p_mean(t, n - 1), anytime.p_mean(-t, n - 1)) < ALPHA
        open_ &= ~decided
    return over, differences[:LEAST].mean(0)


def errors(datasets: int, studies: int, spread: float, margin: float, rng: np.random.Generator) -> tuple[float, float]:
    """Returns the share of studies in which A or B is called better, from all seeds and from the first `LEAST`."""
    truth = spread * rng.normal(size=(datasets, studies))
    found = means(truth + rng.normal(size=(MOST, datasets, studies)), margin)
    all_seeds, first = (np.mean([min(beats(d, 0 * d), beats(0 * d, d)) < ALPHA / 2 for d in one.T]) for one in found)
    return float(all_seeds), float(first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--studies', type=int, default=2_000)
    studies = parser.parse_args().studies
    print(f'Called better or worse in {studies:,} studies, {ALPHA:.0%} at the most is promised:\n')
    print('| data sets | spread over data sets / sd | margin / sd | mean over all seeds | over the first 4 |')
    print('| --- | --- | --- | --- | --- |')
    rng = np.random.default_rng(0)
    for datasets in (6, 12, 30):
        for spread in SPREADS:
            for margin in (0.0, 1.0):
                wrong = errors(datasets, studies, spread, margin, rng)
                print(f'| {datasets} | {spread:g} | {margin:g} | {wrong[0]:.1%} | {wrong[1]:.1%} |')


if __name__ == '__main__':
    main()
