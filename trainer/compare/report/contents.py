"""What a report says: a frozen `Page` of finished values, and its figures."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ml_collections
import pandas as pd
from markupsafe import Markup

from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.claims.verdicts import FAILS, HOLDS, UNDECIDED, Verdict
from trainer.compare.analysis.factorial import Effect
from trainer.compare.analysis.rules import ANYTIME
from trainer.compare.analysis.tuning.replicates import by_replicate, replicate_of
from trainer.compare.analysis.words import count, listed
from trainer.compare.report import tables
from trainer.compare.report.layout import (
    Layout,
    name_of,
    words_of,
)
from trainer.compare.report.looks import Course
from trainer.compare.report.text import questions, sentences, stopping, tuned
from trainer.compare.report.text.questions import Question, claims_of
from trainer.compare.report.text.sentences import Ranked
from trainer.compare.report.text.stopping import Stopping

if TYPE_CHECKING:
    from trainer.compare.report.charts.figures import Plot


#: What figures there can be. `overview` is for other people's pages: it repeats what `results` shows.
FIGURES = ('results', 'looks', 'overview', 'curves', 'paper_curves', 'pairs', 'rates', 'widths', 'trials', 'profiles')


@dataclasses.dataclass(frozen=True)
class Figures:
    """The figures by kind (`FIGURES`), and the numbers that two of them show."""

    drawn: Mapping[str, Sequence['Plot']]
    paper_curves: pd.DataFrame
    scores: pd.DataFrame
    target: tuple[str, float] | None
    tolerance: float

    @property
    def all(self) -> 'list[Plot]':
        """The figures of all kinds."""
        return list(itertools.chain(*self.drawn.values()))


@dataclasses.dataclass(frozen=True)
class Page:
    """A report. `dataset`: as it stands in every title, with what is wrong with it; `dataset_name`: by itself.

    `runs`: in the order of the page. `counted`: what claims and rankings are judged by (`pooling.filled`). `printed`:
    `table` as strings. `effects`: of each workload. `margins`: metric -> the largest difference that does not matter, as
    the study states it. `courses`: intervals over the looks, unless the number of seeds was fixed and all have finished.
    """

    study: ml_collections.ConfigDict
    study_name: str
    dataset: str
    dataset_name: str
    other_dataset: str | None
    unfinished: int
    margins: Mapping[str, float]
    runs: pd.DataFrame
    counted: pd.DataFrame
    trials: pd.DataFrame | None
    layout: Layout
    verdicts: Sequence[Verdict]
    checks: Sequence[Verdict]
    rankings: Sequence[Ranked]
    effects: Mapping[str, Sequence[Effect]]
    table: pd.DataFrame
    printed: pd.DataFrame
    to_paper: Mapping[str, Mapping[str, Any]]
    caption: str
    figures: Figures
    stopping: Stopping
    courses: Sequence[Course] = ()

    @property
    def paper(self) -> Mapping[str, Any]:
        """What the study says of a paper; {}: nothing."""
        return self.study.get('paper', {})

    @property
    def claims(self) -> list[Mapping[str, Any]]:
        """The claims as the study's file has them."""
        return claims_of(self.study)

    @property
    def seeds(self) -> list[Any]:
        """The seeds of all runs, sorted."""
        seeds = self.runs['seed'].unique().tolist() if len(self.runs) else []
        return sorted(seeds, key=lambda seed: (str(type(seed)), seed))

    @property
    def seeds_words(self) -> str:
        """The number of seeds, '4 to 12 seeds' where variants have different numbers; '3 replicates of 2 seeds'."""
        if words := tuned.replicates_words(self.study):
            return words
        counts = self.runs.groupby('variant')['seed'].nunique() if len(self.runs) else pd.Series([0])
        fewest, most = int(counts.min()), int(counts.max())
        return f'{fewest} to {count(most, "seed")}' if fewest < most else count(most, 'seed')

    @functools.cached_property
    def questions(self) -> list[Question]:
        """What the study asks, and what of it is still open."""
        if self.verdicts:
            return questions.of_claims(self.verdicts, self.counted, self.stopping.rule)
        return questions.of_rankings(self.rankings, self.counted, self.layout) if self.rankings else []

    @property
    def unit(self) -> str:
        """What counts once: 'seed', or 'replicate'."""
        return tuned.unit(self.study)

    def how_it_ended(self) -> list[str]:
        """Returns by which rule the page judges, why no more seeds were run, and what the rest would take."""
        if self.unfinished or self.runs.empty:
            return []
        return stopping.sentences(self.stopping, self.questions, self.runs, self.seeds_words)

    @property
    def pooled_names(self) -> str:
        """The values that compute the same thing: 'CCE, KL and SCCE'."""
        axis = self.layout.pooled[0]
        return listed([name_of(axis, value) for value in self.layout.values[axis]])

    def to_decide(self, found: Verdict) -> str:
        """Returns what would decide an undecided claim, if anything would, and which variants are the same."""
        if any(axis in self.layout.pooled for axis in found.claim.a) and found.claim.kind != 'equal':
            same = f'{self.pooled_names} compute the same thing'
            return f'{same}: more seeds cannot tell them apart.' if found.result == UNDECIDED else f'{same}.'
        return sentences.to_decide(found, self.counted, self.stopping.rule)

    def claims_as_data(self) -> dict[str, Any]:
        """Returns claims.json. What only the anytime rule has is there if it was used."""
        anytime = self.stopping.rule == ANYTIME

        def of_verdict(found: Verdict) -> dict[str, Any]:
            fields = dataclasses.asdict(found)
            del fields['claim']
            if not anytime:
                del fields['waits_for'], fields['stuck']
                for pair in fields['comparisons']:
                    del pair['rule'], pair['p_signs']
            return dataclasses.asdict(found.claim) | fields | {'to_decide': self.to_decide(found)}

        def data(claims: Sequence[Mapping[str, Any]], judged: Sequence[Verdict]) -> list[dict[str, Any]]:
            if not judged:
                return [dataclasses.asdict(parse(claim)) | {'result': None} for claim in claims]
            return [of_verdict(found) for found in judged]

        report = {
            'study': self.study_name,
            'dataset': self.dataset,
            'unfinished': self.unfinished,
            'margins': dict(self.margins),
            **({'running': self.stopping.running} if self.stopping.running else {}),
            **(
                {'rule': self.stopping.rule, 'how_it_ended': self.how_it_ended()}
                if anytime or self.stopping.ended
                else {}
            ),
            'claims': data(self.claims, self.verdicts),
            'checks': data(self.study.get('checks', ()), self.checks),
            **({'tuning': tuning} if (tuning := tuned.as_data(self.study, self.budgets)) else {}),
            **({'looks': [course.as_data() for course in self.courses]} if self.courses else {}),
        }
        return json.loads(json.dumps(report, default=lambda value: value.item()))

    @functools.cached_property
    def tally(self) -> dict[str, Any]:
        """How many claims came out how, as `counts` and in `words`."""
        results = [found.result for found in self.verdicts]
        counts = {result: results.count(result) for result in (HOLDS, FAILS, UNDECIDED)}
        verbs = {HOLDS: 'hold', FAILS: 'do not hold', UNDECIDED: 'are undecided'}
        single = {HOLDS: 'holds', FAILS: 'does not hold', UNDECIDED: 'is undecided'}
        parts = [f'{n} {single[result] if n == 1 else verbs[result]}' for result, n in counts.items() if n]
        whose = 'the paper’s ' if self.paper else ''
        return {
            'counts': counts,
            'words': f'Of {whose}{count(len(results), "claim")}, {listed(parts)}.' if results else '',
        }

    def answer(self) -> tuple[list[Markup], list[str]]:
        """Returns a few sentences that a reader can quote: what is best, and what else follows."""
        if self.unfinished or self.runs.empty:
            return [], []
        rest = []
        if self.layout.pooled:
            held = [check for check in self.checks if check.result == HOLDS]
            margins = {check.claim.margin for check in held}
            runs_agree = len(held) == len(self.checks) and len(margins) == 1
            within = f' (to within {margins.pop():g} in all {len(held)} equivalence tests)' if runs_agree else ''
            units = by_replicate(self.runs, replicate_of(self.study))
            shared = ', and a run of one counts for all of them' if len(self.counted) > len(units) else ''
            rest.append(f'{self.pooled_names} compute the same thing{within}{shared}; they are not ranked.')
        if 'tuning' in self.layout.axes:
            rest += [sentences.spread(found, self.layout) for found in self.rankings]
        for workload, effects in self.effects.items():
            words = sentences.what_matters(effects, self.layout.primary)
            rest.append(f'Among {workload}s: {words[:1].lower()}{words[1:]}' if workload and words else words)
        rest.append(self.tally['words'])
        if self.to_paper:
            parts = [f'{tables.number(f["difference"])} in {m.removeprefix("test_")}' for m, f in self.to_paper.items()]
            cells = max(found['cells'] for found in self.to_paper.values())
            rest.append(f'From the paper’s {count(cells, "cell")} our means differ by {listed(parts)} on average.')
        return self.leaders(), [words[:1].upper() + words[1:] for words in rest if words]

    def leaders(self) -> list[Markup]:
        """Returns a sentence on each ranking: which variant has the best mean, and which may be as good."""
        digits = tables.digits_of(self.table, self.layout.primary)
        return [sentences.leader(found, self.dataset_name, digits, not i) for i, found in enumerate(self.rankings)]

    def same(self) -> dict[str, Any] | None:
        """Returns what the page says of variants that compute the same thing: how much they differ here and in the paper."""
        checks = self.study.get('checks', ())
        if not checks or self.runs.empty:
            return None
        names, spreads = '', {'ours': '', 'paper': ''}
        if self.layout.pooled:
            names, axis = self.pooled_names, self.layout.pooled[0]
            rest = [self.table[a] for a in self.layout.axes if a != axis] or [0] * len(self.table)
            for whose, suffix in (('ours', ''), ('paper', '_paper')):
                parts = []
                for metric in self.layout.metrics:
                    groups = self.table[f'{metric}{suffix}'].astype(float).groupby(rest)
                    widest = (groups.max() - groups.min()).max()
                    if pd.notna(widest):
                        parts.append(f'{widest:.2g} in {metric.removeprefix("test_")}')
                spreads[whose] = listed(parts)
        return {'names': names, 'quote': checks[0].get('quote', '')} | spreads

    def claims_by_quote(self) -> list[tuple[str, str, list[tuple[Claim, Verdict | None]]]]:
        """Returns (quote, section, [(claim, verdict)]): claims that the same words were read into stand together."""
        judged: Sequence[Verdict | None] = self.verdicts or [None] * len(self.claims)
        pairs = list(zip(map(parse, self.claims), judged, strict=True))
        groups = itertools.groupby(pairs, key=lambda one: (one[0].quote, one[0].section))
        return [(quote, section, list(group)) for (quote, section), group in groups]

    def paper_epochs(self) -> list[dict[str, str]]:
        """Returns the rows of the table of curves, ours and the paper's."""
        return [
            {
                'variant': row['variant'],
                'metric': words_of(row['metric']).lower(),
                'epoch': f'{row["epoch"]:g}',
                'ours': tables.number(row['mean']),
                'interval': tables.interval(row['low'], row['high']),
                'paper': tables.published(row['paper']),
                'difference': tables.number(row['difference'], sign=True),
            }
            for row in self.figures.paper_curves.to_dict('records')
        ]

    def chosen(self) -> pd.DataFrame:
        """Returns what tuning chose, as it is printed."""
        if self.trials is None or self.runs.empty:
            return pd.DataFrame()
        return tuned.chosen(self.trials, self.layout, self.study.tune.metric)

    @functools.cached_property
    def budgets(self) -> pd.DataFrame:
        """What the trials of each tuned variant were granted and have seen."""
        return tuned.examples(self.trials, self.layout)

    def about_tuning(self) -> list[str]:
        """Returns how settings were searched for, what the intervals cover, and what it took."""
        # While trials are missing, their budgets are not the same yet.
        known = '' if self.unfinished or self.stopping.running else tuned.budget_words(self.budgets)
        return [*tuned.sentences(self.study), *filter(None, [known])]
