"""What a report says of its numbers: who is ahead, and what would decide what is undecided."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from trainer.compare.analysis import verdicts
from trainer.compare.analysis.selection import select
from trainer.compare.analysis.statistics import Comparison, compare_all, estimate, seeds_needed
from trainer.compare.analysis.verdicts import UNDECIDED, Verdict
from trainer.compare.report.layout import SEPARATOR, TUNING, Layout, by_seed, name_of
from trainer.compare.report.tables import interval, number

BEST, LEVEL, BEHIND = 'best', 'level', 'behind'

#: A number of seeds that nobody runs to learn which of two is better.
MOST_SEEDS_TOLD = 10_000


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What is ranked within one workload, by test accuracy: `values` as seeds x names, and the comparisons of all."""

    workload: str
    values: pd.DataFrame
    pairs: Sequence[Comparison]

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def order(self) -> list[str]:
        """Names, the best mean first."""
        return self.values.mean().sort_values(ascending=False, kind='stable').index.tolist()

    def standings(self) -> dict[str, str]:
        """Returns how each stands to the best: not known with one seed, or where there is nothing to compare."""
        if self.seeds < 2 or len(self.order) < 2:
            return {}
        best = self.order[0]
        found = {best: BEST}
        for pair in self.pairs:
            if best in (pair.a, pair.b):
                found[pair.b if pair.a == best else pair.a] = BEHIND if pair.sign() else LEVEL
        return found

    def sentence(self, dataset: str, digits: int, first: bool) -> Markup:
        best, others = self.order[0], len(self.order) - 1
        own = self.values[best].to_numpy(float)
        own = own[np.isfinite(own)]
        if not len(own):
            return Markup('Every run{} diverged.').format(f' of {self.workload}' if self.workload else '')
        found = estimate(own)
        numbers = f'{number(found.mean, digits)} {interval(found.low, found.high, digits)}'.rstrip()
        where = f'Among {self.workload}s ' if self.workload else ''
        what = ' has the highest mean test accuracy' if others else ' has a mean test accuracy of'
        words = Markup('{}<strong>{}</strong>{}{}').format(where, best, what, f' on {dataset}' if first else '')
        words += (', ' if others else ' ') + f'{numbers} over {count(found.n, "seed")}'
        if not others:
            return words + '.'
        level = [name for name, standing in self.standings().items() if standing == LEVEL]
        if self.seeds < 2:
            return words + '; one seed cannot tell it from the others.'
        if not level:
            return words + f', ahead of all {others} others (Holm-corrected).'
        if len(level) == others > 1:
            return words + f', but none of the {others} others can be told from it.'
        return words + f'; {enumerated(level, 3)} cannot be told from it.'

    def spread(self, layout: Layout) -> str:
        """Returns how far apart the variants are at their defaults and tuned."""
        means = self.values.mean()
        means = means[np.isfinite(means)]
        parts = []
        for tier in TUNING:
            position, name = layout.compared.index('tuning'), name_of('tuning', tier)
            own = means[[full.split(SEPARATOR)[position] == name for full in means.index]]
            if len(own) > 1:
                words = 'at their defaults' if tier == 'default' else f'with {name}'
                parts.append(f'{number(own.max() - own.min(), 3)} {words}')
        where = f'Of {self.workload}s, ' if self.workload else ''
        return f'{where}the best and the worst lie apart by {enumerated(parts)}.' if parts else ''


def to_decide(found: Verdict, runs: pd.DataFrame) -> str:
    """Returns what would decide an undecided claim; '' for others. Numbers of seeds are orders of magnitude."""
    claim = found.claim
    if found.result != UNDECIDED or not found.seeds:
        return ''
    if claim.kind == 'less_sensitive':
        return 'More trials would decide it: each is one draw of a learning rate.'
    if found.seeds < 2 or claim.kind == 'fails':
        return 'More seeds would decide it.'
    if claim.kind in ('at_least', 'equal'):
        values = verdicts.by_seed(claim, runs, claim.a)
        if claim.kind == 'equal':
            values = (values - verdicts.by_seed(claim, runs, claim.b)).dropna()
            values = claim.margin - np.sign(values.mean()) * values
        else:
            values = values - claim.value
        needed = [seeds_needed(values.to_numpy(float))]
    else:
        # The chance to see each is that of one test by itself: Holm's correction asks for somewhat more.
        needed = [pair.seeds_needed for pair in found.comparisons if not pair.sign(claim.alpha)]
    if None in needed or not needed:
        return 'No number of seeds is in sight that would decide it: the difference is too close to the line.'
    more = max(n for n in needed if n is not None) - found.seeds
    if more > MOST_SEEDS_TOLD:
        return f'Over {MOST_SEEDS_TOLD:,} seeds would be needed to decide it: in practice there is no difference.'
    if more > 100:
        more = round(more, -1)  # an estimate: no more digits than it has
    return f'About {count(more, "more seed")} would decide it.' if more > 0 else 'A few more seeds would decide it.'


def rank(runs: pd.DataFrame, layout: Layout) -> list[Ranking]:
    """Returns what is ranked within each workload."""
    tables = {
        ', '.join(where.values()): by_seed(select(runs, where), layout, 'test_accuracy') for where in layout.workloads
    }
    return [Ranking(workload, values, compare_all(values)) for workload, values in tables.items()]


def count(n: int, noun: str) -> str:
    """Returns '1 seed', '2 seeds'."""
    return f'{n:,} {noun}' if n == 1 else f'{n:,} {noun}s'


def enumerated(words: Sequence[str], most: int = 6) -> str:
    """Returns 'a, b and c', and after `most` of them how many more there are."""
    shown = [*words[:most], *([f'{len(words) - most} more'] if len(words) > most else [])]
    return ' and '.join(filter(None, [', '.join(shown[:-1]), *shown[-1:]]))
