"""How often verdicts err if one looks after every seed, and after how many seeds they fall: tables of docs/statistics.md.

python -m benchmarks.anytime [--studies=10000]

Each study has two variants and a look after every seed from 3 to 60. It ends with the first answer.
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.coverage import SHAPES
from trainer.compare.analysis import anytime
from trainer.compare.analysis.comparisons import above
from trainer.compare.analysis.rules import ANYTIME, FIXED, RULES

MOST, LEAST = 60, 3
ALPHA = 0.05

#: Seeds that a study with a fixed number is given, for comparison.
USUAL = 10


def t_of(differences: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns Student's t after each seed from `LEAST` on (shape [looks, studies]), and the degrees of freedom."""
    n = np.arange(1, len(differences) + 1)[:, None]
    mean = np.cumsum(differences, 0) / n
    squares = np.cumsum(differences**2, 0) - n * mean**2
    rows = slice(LEAST - 1, None)
    sd = np.sqrt(np.maximum(squares[rows], 1e-30) / (n[rows] - 1))
    return (mean[rows] - threshold) / sd * np.sqrt(n[rows]), n[rows] - 1


def by_t(rule: str) -> Callable[[np.ndarray, float], np.ndarray]:
    """Returns the test of A's mean advantage being above a threshold: at each look, whether that is shown."""

    def shown(differences: np.ndarray, threshold: float) -> np.ndarray:
        return 2 * RULES[rule].p_mean(*t_of(differences, threshold)) < ALPHA

    return shown


def by_signs(differences: np.ndarray, threshold: float) -> np.ndarray:
    """As `by_t`, of A being better by more than the threshold on most seeds."""
    won = np.cumsum(differences > threshold, 0)[LEAST - 1 :]
    n = np.arange(LEAST, len(differences) + 1)[:, None]
    return 2 * np.asarray(anytime.p_share(won, n)) < ALPHA


TESTS = {'t, each look by itself': by_t(FIXED), 't, anytime': by_t(ANYTIME), 'signs, anytime': by_signs}


def draws(shape: str, studies: int, only_a: bool = False) -> np.ndarray:
    """Returns A less B in standard deviations of a value (shape [MOST, studies]), both of the same shape and mean.

    only_a: B is normal, with the same mean.
    """
    draw, mean, sd = SHAPES[shape]
    rng = np.random.default_rng([len(shape), only_a])
    a = draw(rng, (MOST, studies))
    if not only_a:
        return (a - draw(rng, (MOST, studies))) / sd
    return a - (rng.normal(size=(MOST, studies)) + mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--studies', type=int, default=10_000)
    studies = parser.parse_args().studies
    print(f'False answers in {studies:,} studies with a look after each of {LEAST} to {MOST} seeds:\n')
    print(f'| values | question | {" | ".join(TESTS)} |\n| --- | --- | {" | ".join(["---"] * len(TESTS))} |')
    for shape in SHAPES:
        d = draws(shape, studies)
        questions = {
            'equal: called better or worse': lambda shown, d=d: shown(d, 0.0) | shown(-d, 0.0),
            'at the margin of 1 sd: called better': lambda shown, d=d: shown(d + 1, 1.0),
            'at the margin of 1 sd: called the same': lambda shown, d=d: shown(d + 1, -1.0) & shown(-d - 1, -1.0),
        }
        if shape != 'normal':
            one = draws(shape, studies, only_a=True)
            questions['equal means, B is normal: called better or worse'] = lambda shown, d=one: (
                shown(d, 0.0) | shown(-d, 0.0)
            )
        for question, wrong in questions.items():
            cells = [f'{wrong(shown).any(0).mean():.1%}' for shown in TESTS.values()]
            print(f'| {shape} | {question} | {" | ".join(cells)} |')
    seeds_until_decided(studies)
    both_rules(4 * studies)
    where_both_diverge(studies)


def seeds_until_decided(studies: int) -> None:
    """Prints the median and the 90% quantile of seeds until A is called better, by the variance of the prior too."""
    z = np.random.default_rng(0).normal(size=(MOST, studies))
    priors = (1.0, anytime.G, 9.0)
    names = [f't, anytime (G = {g:g})' for g in priors]
    print(f'\nSeeds until a normal difference of so many sd is called better: median; 90% of {studies:,} studies\n')
    print(f'| difference / sd | {" | ".join(names)} | signs, anytime | shown by a t test of {USUAL} seeds |')
    print(f'| --- | {" | ".join(["---"] * (len(names) + 2))} |')
    for effect in (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 50.0):
        d = z + effect
        shown = [anytime.log_e_mean(*t_of(d, 0.0), g) >= np.log(2 / ALPHA) for g in priors]
        cells = [quantiles(one) for one in (*shown, by_signs(d, 0.0))]
        usual = by_t(FIXED)(d, 0.0)[USUAL - LEAST].mean()
        print(f'| {effect:g} | {" | ".join(cells)} | {usual:.0%} |')


def both_rules(studies: int) -> None:
    """Prints how often two equal variants are called different by who stops at the first anytime answer, and otherwise takes
    that of a t test of all seeds."""
    d = np.random.default_rng(0).normal(size=(MOST, studies))
    anytime_shown, fixed_shown = ((by_t(rule)(d, 0.0) | by_t(rule)(-d, 0.0)) for rule in (ANYTIME, FIXED))
    print('\nBoth rules in turn, two equal variants with normal differences: called different\n')
    print('| seeds | called different |\n| --- | --- |')
    for seeds in (5, 10, 30):
        last = seeds - LEAST
        print(f'| {seeds} | {(anytime_shown[: last + 1].any(0) | fixed_shown[last]).mean():.1%} |')


def where_both_diverge(studies: int) -> None:
    """Prints how often two equal variants of which both diverge on a share of seeds are called different at some look."""
    print('\nBoth variants diverge on a share of seeds, two equal variants with normal values: called different\n')
    print('| share of seeds | called different |\n| --- | --- |')
    for share in (0.1, 0.3, 0.5):
        rng = np.random.default_rng(int(100 * share))
        d = rng.normal(size=(MOST, studies)) - rng.normal(size=(MOST, studies))
        ended_a, ended_b = (rng.uniform(size=(MOST, studies)) >= share for _ in range(2))
        done = ended_a & ended_b
        n, total, squares = (np.cumsum(np.where(done, x, 0.0), 0) for x in (1.0, d, d**2))
        mean = total / np.maximum(n, 1)
        se = np.sqrt(np.maximum(squares - n * mean**2, 1e-30) / np.maximum(n - 1, 1) / np.maximum(n, 1))
        only_a, only_b = (np.cumsum(x & ~y, 0) for x, y in ((ended_b, ended_a), (ended_a, ended_b)))
        p = np.fmin(
            above(mean, se, n - 1, only_a, only_b, 0.0, rule=ANYTIME),
            above(-mean, se, n - 1, only_b, only_a, 0.0, rule=ANYTIME),
        )
        called = (2 * p[LEAST:] < ALPHA).any(0)  # from 4 seeds on, the fewest that decide anything
        print(f'| {share:.0%} | {called.mean():.1%} |')


def quantiles(shown: np.ndarray) -> str:
    first = np.where(shown.any(0), shown.argmax(0) + LEAST, MOST + 1)
    found = [int(np.quantile(first, q, method='higher')) for q in (0.5, 0.9)]
    return '; '.join(f'over {MOST}' if n > MOST else str(n) for n in found)


if __name__ == '__main__':
    main()
