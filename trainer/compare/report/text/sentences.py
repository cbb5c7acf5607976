"""What a report says of its numbers, in sentences: who leads, what matters, what would decide what is undecided."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from trainer.compare.analysis.claims import evidence
from trainer.compare.analysis.claims.evidence import Verdict
from trainer.compare.analysis.claims.selection import select
from trainer.compare.analysis.comparisons import Comparison, compare, compare_all
from trainer.compare.analysis.factorial import Effect
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.ranking import BEHIND, SAME, UNDECIDED, Place, Ranking, rank
from trainer.compare.analysis.rules import FIXED, RULES
from trainer.compare.analysis.statistics import ALPHA
from trainer.compare.analysis.words import count, listed
from trainer.compare.report.layout import SEPARATOR, TUNING, Layout, by_seed, name_of
from trainer.compare.report.tables import interval, number

#: A number of seeds that nobody runs to learn which of two is better.
MOST_SEEDS_NAMED = 10_000

#: Most variants of a table of all pairs: a larger one is of no use to a reader.
MOST_PAIRED = 48


@dataclasses.dataclass(frozen=True)
class Ranked:
    """What is ranked within one workload, by the primary metric. `values`: seeds x names; `pairs`: of few variants, all."""

    workload: str
    metric: str
    goal: str
    paired: bool
    values: pd.DataFrame
    ranking: Ranking
    pairs: Sequence[Comparison]
    rule: str = FIXED

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def to_best(self) -> list[Comparison]:
        """`head` compared with each of the other variants, the best means first, against the margin, at `alpha`."""
        first = self.head.name
        return [
            compare(
                self.values[first].dropna(),
                self.values[other].dropna(),
                goal=self.goal,
                margin=self.ranking.margin,
                names=(first, other),
                confidence=1 - self.alpha,
                paired=self.paired,
                detail=False,
                rule=self.rule,
            )
            for other in [name for name in self.order if name != first][:MOST_PAIRED]
            if not self.paired or len(self.values[[first, other]].dropna())
        ]

    @property
    def alpha(self) -> float:
        """Two-sided level of a comparison with the best mean, which was picked: the one that standings take."""
        return 2 * ALPHA / self.ranking.comparisons

    @property
    def places(self) -> Sequence[Place]:
        """The variants, the best mean first."""
        return self.ranking.places

    @property
    def head(self) -> Place:
        """The best mean of the variants that are not behind another."""
        return next((place for place in self.places if place.standing != BEHIND), self.places[0])

    @property
    def order(self) -> list[str]:
        """Names, the best mean first."""
        return [place.name for place in self.places]

    def standings(self) -> dict[str, str]:
        """Returns how each stands to the best: not known with one seed, or where there is nothing to compare."""
        return {place.name: place.standing for place in self.places if place.standing}


def ranked(
    runs: pd.DataFrame, layout: Layout, margins: Mapping[str, float], paired: bool = True, rule: str = FIXED
) -> list[Ranked]:
    """Returns what is ranked within each workload."""
    found = []
    metric = layout.primary
    goal, margin = layout.metrics[metric], margins.get(metric, 0.0)
    for where in layout.workloads:
        values = by_seed(select(runs, where), layout, metric)
        pairs = compare_all(values, goal=goal, paired=paired, rule=rule) if values.shape[1] <= MOST_PAIRED else []
        ranking = rank(values, goal=goal, margin=margin, paired=paired, rule=rule, bounds=range_of(metric))
        found.append(Ranked(', '.join(where.values()), metric, goal, paired, values, ranking, pairs, rule))
    return found


def leader(found: Ranked, dataset: str, digits: int | None, first: bool) -> Markup:
    """Returns the sentence that says which variant has the best mean, and which may be as good."""
    place, others = found.places[0], len(found.places) - 1
    if place.estimate is None:
        return Markup('Every run{} diverged.').format(f' of {found.workload}' if found.workload else '')
    what = found.metric.replace('_', ' ') + (f' on {dataset}' if first else '')
    where = f'Among {found.workload}s ' if found.workload else ''
    verb = f'has the best mean {what},' if others else f'has a mean {what} of'
    words = Markup('{}<strong>{}</strong> {} {}').format(where, place.name, verb, _mean(place, digits))
    if not others:
        return words + '.'
    if place.standing == BEHIND:
        place, another = found.head, 'the other' if others == 1 else 'another'
        words += Markup(', but is behind {}. <strong>{}</strong> comes first, with {}').format(
            another, place.name, _mean(place, digits)
        )
    if place.n - place.diverged < 2:
        return words + '; one seed cannot say whether it is the best.'
    undecided, same = found.ranking.of(UNDECIDED), found.ranking.of(SAME)
    behind = len(found.ranking.of(BEHIND))
    if behind == others:
        rivals = {1: 'the other', 2: 'both others'}.get(others, f'all {others} others')
        return words + f', ahead of {rivals}.'
    if same:
        words += f'; {listed(same, 3)} {"is" if len(same) == 1 else "are"} practically the same'
        words += f' (within {found.ranking.margin:g})'
    if len(undecided) == others > 1:
        return words + f'; whether any of the {others} others is better is undecided.'
    if undecided:
        words += f'; {listed(undecided, 3)} may be as good or better: undecided'
    return words + '.'


def _mean(place: Place, digits: int | None) -> str:
    """The mean of a variant with its interval, and over how many seeds it is."""
    own = place.estimate
    if own is None:
        return 'runs that all diverged'
    numbers = f'{number(own.mean, digits)} {interval(own.low, own.high, digits)}'.rstrip()
    return f'{numbers} over {count(own.n, "seed")}' + (f' ({place.diverged} more diverged)' if place.diverged else '')


def spread(found: Ranked, layout: Layout) -> str:
    """Returns how far the best and the worst mean differ, at their defaults and tuned."""
    means = pd.Series({place.name: place.estimate.mean for place in found.places if place.estimate})
    parts = []
    for tier in TUNING:
        position, name = layout.compared.index('tuning'), name_of('tuning', tier)
        own = means[[full.split(SEPARATOR)[position] == name for full in means.index]]
        if len(own) > 1:
            words = 'at their defaults' if tier == 'default' else f'with {name}'
            parts.append(f'{number(own.max() - own.min(), 3)} {words}')
    where = f'Of {found.workload}s, ' if found.workload else ''
    return f'{where}the best and the worst differ by {listed(parts)}.' if parts else ''


def what_matters(effects: Sequence[Effect], metric: str) -> str:
    """Returns which axis matters most, and how much more than the next."""
    main = [effect for effect in effects if len(effect.axes) == 1]
    if len(main) < 2:
        return ''
    words = [effect.axes[0].replace('_', ' ') for effect in main]
    (first, second), what = main[:2], metric.replace('_', ' ')
    if not first.low:
        return f'Which axis matters is undecided: no effect of the {listed(words)} on mean {what} is shown.'
    sizes = [f'{_size(effect)} over those of the {name}' for effect, name in zip(main[1:], words[1:], strict=True)]
    own = f'mean {what} has a standard deviation of {_size(first)} over'
    if first.low <= second.high:
        own += f' the values of the {words[0]}'
        return f'Whether the {words[0]} or the {words[1]} matters more is undecided: {listed([own, *sizes])}.'
    text = f'The {words[0]} matters most: {listed([f"{own} its values", *sizes])}'
    if second.high > 0:
        times, least = first.sd / second.sd if second.low else 0.0, f'at least {first.low / second.high:.2g}'
        text += f': {times:.2g} ({least}) times as much' if times else f': {least} times as much'
    return text + '.'


def _size(effect: Effect) -> str:
    """The standard deviation of an effect with its interval; 'none' where no value of the axis changes anything."""
    if effect.p_value == 1:
        return 'none'
    if not effect.low:
        return f'at most {effect.high:.2g}' if effect.high else 'none that is seen'
    return f'{effect.sd:.2g} [{effect.low:.2g}, {effect.high:.2g}]'


def to_decide(found: Verdict, runs: pd.DataFrame, rule: str = FIXED) -> str:
    """Returns what would decide an undecided claim; '' for others. Numbers of seeds are orders of magnitude."""
    claim = found.claim
    if found.result != evidence.UNDECIDED or not found.seeds:
        return ''
    if claim.kind == 'less_sensitive':
        return 'More trials could decide it: each is one draw of a learning rate.'
    if found.stuck and not found.waits_for:
        return found.stuck
    if found.seeds < 2 or claim.kind == 'fails' or claim.target is not None:
        return 'More seeds could decide it.'
    more = seeds_to_decide(found, runs, rule)
    if more is None:
        return 'No number of seeds in reach would decide it, if the difference is what it seems: too close to the line.'
    if more > MOST_SEEDS_NAMED:
        return f'Over {MOST_SEEDS_NAMED:,} seeds would be needed to decide it, if the difference is what it seems.'
    if more > 100:
        more = round(more, -1)  # an estimate: no more digits than it has
    seeds = f'About {count(more, "more seed")}' if more > 0 else 'A few more seeds'
    return f'{seeds} would decide it, if the difference is what it seems.'


def seeds_to_decide(found: Verdict, runs: pd.DataFrame, rule: str = FIXED) -> int | None:
    """Returns about how many more seeds would decide an undecided claim; None: no number in reach, or it is not known."""
    claim = found.claim
    if found.seeds < 2 or claim.kind in ('fails', 'less_sensitive') or claim.target is not None:
        return None
    if claim.kind in ('at_least', 'equal'):
        values = evidence.by_seed(claim, runs, claim.a)
        if claim.kind == 'equal':
            values = (values - evidence.by_seed(claim, runs, claim.b)).dropna()
            values = claim.margin - np.sign(values.mean()) * values
        else:
            values = values - claim.value
        x = values.to_numpy(float)
        finite = len(x) > 1 and bool(np.isfinite(x).all()) and bool(x.std(ddof=1))
        needed = [RULES[rule].seeds_needed(abs(x.mean()) / x.std(ddof=1), claim.alpha) if finite else None]
    else:
        # The chance to see each is that of one test by itself: a correction asks for somewhat more.
        needed = [pair.seeds_at(claim.alpha) for pair in found.comparisons if not pair.sign(claim.alpha)]
    if None in needed or not needed:
        return None
    return max(n for n in needed if n is not None) - found.seeds
