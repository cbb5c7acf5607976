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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', type=int, default=10_000)
    cases = parser.parse_args().cases
    print(f'Coverage of the 95% t interval of the mean, {cases:,} samples each:\n')
    print('| values | 2 seeds | 3 | 5 | 10 | 20 |\n| --- | --- | --- | --- | --- | --- |')
    for shape in SHAPES:
        cells = (f'{coverage(shape, n, cases):.1%}' for n in (2, 3, 5, 10, 20))
        print(f'| {shape} | {" | ".join(cells)} |')
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
