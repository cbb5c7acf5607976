"""How often intervals cover and verdicts err, by simulation: the tables of docs/statistics.md.

python -m benchmarks.coverage [--cases=10000]
"""

import argparse

import numpy as np

from trainer.compare.analysis.comparisons import above
from trainer.compare.analysis.statistics import mean_intervals

#: What values are like -> (draws of a shape, their true mean, the standard deviation).
SHAPES = {
    'normal': (lambda rng, shape: rng.normal(size=shape), 0.0, 1.0),
    'skewed (exponential)': (lambda rng, shape: rng.exponential(size=shape), 1.0, 1.0),
    'one in ten collapses': (
        lambda rng, shape: rng.normal(size=shape) - 30 * (rng.uniform(size=shape) < 0.1), -3.0, 9.06,
    ),
}  # fmt: skip


def coverage(shape: str, n: int, cases: int) -> float:
    """Returns the share of samples of n seeds whose 95% t interval covers the true mean."""
    draw, mean, _ = SHAPES[shape]
    low, high = mean_intervals(draw(np.random.default_rng(n), (n, cases)))
    return float(np.mean((np.array(low) <= mean) & (mean <= np.array(high))))


def outcomes(shape: str, n: int, cases: int, shift: float, margin: float) -> dict[str, float]:
    """Returns how often the comparison of two variants, A better by `shift` sd, ends as better, worse, or the same."""
    draw, _, sd = SHAPES[shape]
    rng = np.random.default_rng([n, 1])
    d = (draw(rng, (n, cases)) - draw(rng, (n, cases))) / sd + shift
    mean, se = d.mean(0), d.std(0, ddof=1) / np.sqrt(n)
    better = 2 * above(mean, se, n - 1, 0, 0, margin) < 0.05
    worse = 2 * above(-mean, se, n - 1, 0, 0, margin) < 0.05
    same = np.zeros(cases, bool)
    if margin:
        same = 2 * np.maximum(above(mean, se, n - 1, 0, 0, -margin), above(-mean, se, n - 1, 0, 0, -margin)) < 0.05
    return {'better': float(better.mean()), 'worse': float(worse.mean()), 'same': float(same.mean())}


#: Trials of a search, how far from the best its space reaches (in sd of a seed, at both ends), and cases for the truth.
TRIALS, REACH, TRUTH = 10, 40.0, 200_000


def tuned(rng: np.random.Generator, cases: int, replicates: int, seeds: int) -> np.ndarray:
    """Returns what settings that searches have chosen come to on fresh seeds, shape [replicates, seeds, cases].

    The worth of a setting u, uniform in [0, 1], is -REACH (2 u - 1)^2; each run adds a seed's noise of sd 1. A search takes
    the best of TRIALS runs.
    """
    worth = -REACH * (2 * rng.uniform(size=(TRIALS, replicates, cases)) - 1) ** 2
    best = (worth + rng.normal(size=worth.shape)).argmax(0)
    chosen = np.take_along_axis(worth, best[None], 0)[0]
    return chosen[:, None] + rng.normal(size=(replicates, seeds, cases))


def coverage_when_tuned(replicates: int, seeds: int, cases: int) -> tuple[float, float]:
    """Returns how often the 95% t interval covers the mean over searches and seeds, and its mean half width.

    Over replicates; of one, over its seeds.
    """
    truth = tuned(np.random.default_rng(0), TRUTH, 1, 1).mean()
    values = tuned(np.random.default_rng([replicates, seeds]), cases, replicates, seeds)
    low, high = map(np.array, mean_intervals(values.mean(1) if replicates > 1 else values[0]))
    return float(np.mean((low <= truth) & (truth <= high))), float((high - low).mean() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', type=int, default=10_000)
    cases = parser.parse_args().cases
    print(f'Coverage of the 95% t interval of the mean, {cases:,} samples each:\n')
    print('| values | 2 seeds | 3 | 5 | 10 | 20 |\n| --- | --- | --- | --- | --- | --- |')
    for shape in SHAPES:
        cells = (f'{coverage(shape, n, cases):.1%}' for n in (2, 3, 5, 10, 20))
        print(f'| {shape} | {" | ".join(cells)} |')
    print(f'\nCoverage of the interval of a tuned variant, {cases:,} samples each:\n')
    print('| searches | fresh seeds of each | covered | half width, in sd of a seed |\n| --- | --- | --- | --- |')
    for replicates, seeds in ((1, 3), (1, 10), (3, 1), (3, 3), (6, 1), (10, 1)):
        share, width = coverage_when_tuned(replicates, seeds, cases)
        print(f'| {replicates} | {seeds} | {share:.1%} | {width:.2f} |')
    print(f'\nFalse answers about two variants, {cases:,} comparisons each:\n')
    print('| differences of | question | 3 seeds | 5 | 10 |\n| --- | --- | --- | --- | --- |')
    questions = {
        'equal: called better or worse': (0.0, 0.0, ('better', 'worse')),
        'at the margin of 1 sd: called better': (1.0, 1.0, ('better',)),
        'at the margin of 1 sd: called practically the same': (1.0, 1.0, ('same',)),
    }
    for shape in SHAPES:
        for question, (shift, margin, wrong) in questions.items():
            found = (outcomes(shape, n, cases, shift, margin) for n in (3, 5, 10))
            print(f'| {shape} | {question} | {" | ".join(f"{sum(one[w] for w in wrong):.1%}" for one in found)} |')


if __name__ == '__main__':
    main()
