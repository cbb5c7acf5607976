"""Whole studies by rounds, simulated: how often they err, and how many seeds they take. Tables of docs/statistics.md.

python -m benchmarks.rounds [--studies=10000]

A study has 2, 7 or 20 variants, of which the first is the best by so many standard deviations of a difference, or equal to
the others. There is a look after every seed from 4 to 60. It asks one of two questions:

- which variant is the best: a variant that is behind gets no more seeds; the study ends when one alone is not behind;
- a claim that the first is the best: a rival that is beaten gets no more; it ends when all are, or when one beats the first.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.coverage import SHAPES
from trainer.compare.allocation.seeds import LEAST
from trainer.compare.analysis.ranking import corrected_for
from trainer.compare.analysis.rules import ANYTIME, FIXED, RULES

MOST, USUAL, ALPHA = 60, 10, 0.05
AT_ONCE = 500


@dataclass
class Outcomes:
    """What studies ended with; of each study. `seeds`: of the first variant; 0: not decided. `runs`: of all variants."""

    wrong: list[np.ndarray] = field(default_factory=list)
    seeds: list[np.ndarray] = field(default_factory=list)
    runs: list[np.ndarray] = field(default_factory=list)


def critical(rule: str, n: int, alpha: float) -> float:
    """Returns the t from which on a one-sided test of level alpha is significant."""
    return RULES[rule].reach(n - 1, 1 - 2 * alpha)


def t_of(x: np.ndarray) -> np.ndarray:
    """Returns t of each pair (i less j) after all seeds; x: [seeds, studies, variants]; result [studies, i, j]."""
    n = len(x)
    mean = x.mean(0)
    centred = x - mean
    cross = np.einsum('nsi,nsj->sij', centred, centred)
    own = np.einsum('sii->si', cross)
    variance = np.maximum(own[:, :, None] + own[:, None, :] - 2 * cross, 1e-30) / (n - 1)
    return (mean[:, :, None] - mean[:, None, :]) / np.sqrt(variance / n)


def best_variant(x: np.ndarray, n: int, rule: str, active: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns who is not behind after n seeds, whether that decides the study, and whether it is wrong."""
    k = x.shape[2]
    beats = t_of(x[:n]) >= critical(rule, n, ALPHA / corrected_for(k))
    active = active & ~(beats & active[:, :, None]).any(1)
    return active, active.sum(1) == 1, ~active[:, 0]


def claim(x: np.ndarray, n: int, rule: str, active: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `best_variant`, of the claim that the first is the best: wrong if it does not hold."""
    k = x.shape[2]
    t = t_of(x[:n])[:, 0]
    active = active.copy()
    active[:, 1:] &= ~(t[:, 1:] >= critical(rule, n, ALPHA / 2))
    fails = ((-t >= critical(rule, n, ALPHA / 2 / (k - 1))) & active).any(1)
    return active, fails | ~active[:, 1:].any(1), fails


def play(question: Callable, draws: np.ndarray, outcomes: Outcomes) -> None:
    """Plays studies; draws: [MOST, studies, variants]."""
    _, studies, k = draws.shape
    active, open_ = np.ones((studies, k), bool), np.ones(studies, bool)
    wrong, seeds, runs = np.zeros(studies, bool), np.zeros(studies, int), np.full(studies, k * LEAST)
    for n in range(LEAST, MOST + 1):
        rows = np.flatnonzero(open_)
        if not len(rows):
            break
        if n > LEAST:
            runs[rows] += active[rows].sum(1)
        active[rows], decided, wrong[rows] = question(draws[:, rows], n, ANYTIME, active[rows])
        seeds[rows[decided]] = n
        open_[rows[decided]] = False
    outcomes.wrong.append(wrong)
    outcomes.seeds.append(seeds)
    outcomes.runs.append(runs)


def chunks(shape: str, k: int, gap: float, studies: int):
    """Yields values of whole studies, [MOST, studies, k]: the first is better by `gap` sd of a difference."""
    draw, _, sd = SHAPES[shape]
    rng = np.random.default_rng([len(shape), k, int(10 * gap)])
    for start in range(0, studies, AT_ONCE):
        x = draw(rng, (MOST, min(AT_ONCE, studies - start), k)) / sd
        x[:, :, 0] += gap * np.sqrt(2)
        yield x


def seeds_of(share: float, power: np.ndarray) -> str:
    """Returns the number of seeds from which on that share of studies is decided."""
    enough = np.flatnonzero(power >= share)
    return str(int(enough[0]) + LEAST) if len(enough) else f'over {MOST}'


def row(name: str, question: Callable, shape: str, k: int, gap: float, studies: int) -> str:
    outcomes = Outcomes()
    power = np.zeros(MOST - LEAST + 1)
    for x in chunks(shape, k, gap, studies):
        play(question, x, outcomes)
        everybody = np.ones(x.shape[1:], bool)
        for n in range(LEAST, MOST + 1) if gap else ():
            _, decided, wrong = question(x, n, FIXED, everybody)
            power[n - LEAST] += (decided & ~wrong).sum() / studies
            if power[n - LEAST] > 0 and n > USUAL and gap > 2:
                break
    wrong, seeds, runs = map(np.concatenate, (outcomes.wrong, outcomes.seeds, outcomes.runs))
    if not gap:
        wrong |= seeds > 0  # of equal variants, none is the best
    cells = [name, str(k), shape, f'{gap:g}', f'{wrong.mean():.1%}', f'{(seeds > 0).mean():.0%}']
    if gap:
        took = np.where(seeds > 0, seeds, MOST + 1)
        quantiles = [int(np.quantile(took, q, method='higher')) for q in (0.5, 0.9)]
        cells += ['; '.join(f'over {MOST}' if n > MOST else str(n) for n in quantiles)]
        cells += [f'{np.median(runs) / (k * USUAL):.0%}', f'{power[USUAL - LEAST]:.0%}']
        cells += [f'{seeds_of(0.5, power)}; {seeds_of(0.9, power)}']
    else:
        cells += ['-', '-', '-', '-']
    return f'| {" | ".join(cells)} |'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--studies', type=int, default=10_000)
    parser.add_argument('--gaps', type=float, nargs='+', default=(0.0, 1.0, 5.0), help='in sd of a difference')
    given = parser.parse_args()
    studies, gaps = given.studies, given.gaps
    print(
        f'| question | variants | values | best by, sd | wrong | decided by {MOST} seeds | seeds until decided: median; 90% '
        f'| median of runs, of {USUAL} seeds each | decided by {USUAL} seeds, fixed | an oracle’s seeds: 50%; 90% |'
    )
    print('| --- ' * 10 + '|')
    for name, question in (('which is the best', best_variant), ('the first is the best', claim)):
        for k in (2, 7, 20):
            for shape in SHAPES:
                for gap in gaps:
                    print(row(name, question, shape, k, gap, studies), flush=True)


if __name__ == '__main__':
    main()
