"""What a report says, worked out before any of it is shown: a frozen `Page` of finished values."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ml_collections
import pandas as pd
from markupsafe import Markup

from data_pipeline import known
from trainer.compare.analysis import factorial, pooling
from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.factorial import Effect
from trainer.compare.analysis.replicates import by_replicate, replicate_of
from trainer.compare.analysis.rules import ANYTIME
from trainer.compare.analysis.selection import select
from trainer.compare.analysis.verdicts import FAILS, HOLDS, UNDECIDED, Verdict, verdicts
from trainer.compare.analysis.words import count, listed
from trainer.compare.report import looks, questions, sentences, stopping, tables, tuned
from trainer.compare.report.layout import (
    METRICS,
    Layout,
    in_order,
    known_of_all,
    layout_of,
    name_of,
    names_of,
    with_numbers,
    words_of,
)
from trainer.compare.report.looks import Course
from trainer.compare.report.questions import Question, claims_of, order_of
from trainer.compare.report.sentences import Ranked
from trainer.compare.report.stopping import Stopping

if TYPE_CHECKING:
    from trainer.compare.report.figures import Plot

#: What the papers' numbers are of, if a study's `paper` does not say it (`dataset`).
PAPERS_DATASET = 'mnist'

#: What figures there can be. `overview` is for other people's pages: it repeats what `results` shows.
FIGURES = ('results', 'looks', 'overview', 'curves', 'paper_curves', 'pairs', 'rates', 'widths', 'trials', 'profiles')

#: How near to the best a learning rate must come to be good, if no claim says it.
TOLERANCE = 0.01


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
        return self.study.get('paper', {})

    @property
    def claims(self) -> list[Mapping[str, Any]]:
        return claims_of(self.study)

    @property
    def seeds(self) -> list[Any]:
        return (
            sorted(self.runs['seed'].unique().tolist(), key=lambda seed: (str(type(seed)), seed))
            if len(self.runs)
            else []
        )

    @property
    def seeds_words(self) -> str:
        """The number of seeds, '4 to 12 seeds' where variants have different numbers; '3 replicates of 2 seeds'."""
        if words := tuned.replicates_words(self.study):
            return words
        counts = self.runs.groupby('variant')['seed'].nunique() if len(self.runs) else pd.Series([0])
        fewest, most = int(counts.min()), int(counts.max())
        if self.stopping.rule == ANYTIME and fewest < most:
            return f'{fewest} to {count(most, "seed")}'
        return count(len(self.seeds), 'seed')

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
        digits = tables.digits_of(self.table, self.layout.primary)
        best = [sentences.leader(found, self.dataset_name, digits, not i) for i, found in enumerate(self.rankings)]
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
        return best, [words[:1].upper() + words[1:] for words in rest if words]

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


def page_of(
    study: ml_collections.ConfigDict,
    runs: pd.DataFrame,
    trials: pd.DataFrame | None,
    *,
    study_name: str,
    dataset_name: str,
    unfinished: int = 0,
    metrics: Mapping[str, str] = METRICS,
    paired: bool = True,
    draw: bool = True,
    stopping: Mapping[str, Any] | None = None,
) -> Page:
    """Works out a report.

    Args:
      study: the study, as its file and the command line made it.
      runs: the finished runs, as `write.write_report` says.
      trials: the tuning trials, or None.
      study_name: name of the study's file, without `.py`.
      dataset_name: what the runs were trained on.
      unfinished: how many runs are missing. If any is, nothing is judged: whoever stops when the answer pleases finds what
        pleases.
      metrics: what is compared -> which is better of it, the most important first.
      paired: whether a seed means the same in every variant.
      draw: whether to make the figures.
      stopping: by which rule to judge, and how the number of seeds came about: the fields of `stopping.Stopping`.
    """
    trials = None if trials is None or trials.empty else with_numbers(trials, metrics)
    runs = with_numbers(runs, metrics)
    metrics = known_of_all(runs, metrics)
    paper, none = study.get('paper', {}), runs.empty
    expected = paper.get('dataset', PAPERS_DATASET if paper else dataset_name)
    own_name = known.title(dataset_name)
    other = None if dataset_name == expected else known.title(expected)
    ended = Stopping(**(stopping or {}))
    # In every title, so that no picture of this page is taken for what it is not.
    dataset = own_name + (f', NOT {other}' if other else '') + (', unfinished' if unfinished or ended.running else '')
    rule = ended.rule
    margins = dict(study.get('margins') or {})
    judged = not unfinished and not none
    units = runs if none else by_replicate(runs, replicate_of(study))
    counted = runs if none else pooling.filled(study, units, margins, rule)
    found = verdicts(claims_of(study), counted, trials, margins, rule) if judged else []
    checks = verdicts(study.get('checks', ()), units, trials, margins, rule) if judged else []
    layout = layout_of(study, runs, pooling.axes(study, checks), metrics) if not none else Layout({}, metrics=metrics)
    if not none:
        runs, units, counted = (in_order(frame, layout) for frame in (runs, units, counted))
    rankings = [] if none else sentences.ranked(counted, layout, margins, paired, rule)
    courses: Sequence[Course] = ()
    if not none and (rule == ANYTIME or unfinished):
        claims, order = claims_of(study), order_of(study)
        of_claims = looks.of_claims(claims, counted, order)
        courses = of_claims if claims else [one for each in rankings for one in looks.of_ranking(each, order)]
    table = pd.DataFrame() if none else _table(units, layout, rankings, () if other else paper.get('table', ()), judged)
    to_paper = {} if none else tables.to_paper(table, layout)
    return Page(
        study=study,
        study_name=study_name,
        dataset=dataset,
        dataset_name=own_name,
        other_dataset=other,
        unfinished=unfinished,
        margins=margins,
        runs=runs,
        counted=counted,
        trials=trials,
        layout=layout,
        verdicts=found,
        checks=checks,
        rankings=rankings,
        effects=_effects(units, layout) if judged else {},
        table=table if none else tuned.with_examples(table, tuned.examples(trials, layout)),
        printed=table if none else tables.printed(table, layout),
        to_paper=to_paper,
        caption=_caption(study_name, dataset, units, table, layout, unfinished, to_paper, tuned.unit(study)),
        figures=_figures(
            study, units, trials, table, layout, rankings, courses, dataset, bool(other), bool(ended.running)
        )
        if draw and not none
        else Figures(dict.fromkeys(FIGURES, ()), pd.DataFrame(), pd.DataFrame(), None, TOLERANCE),
        stopping=ended,
        courses=courses,
    )


def _effects(runs: pd.DataFrame, layout: Layout) -> Mapping[str, Sequence[Effect]]:
    """The factorial analysis of each workload, over the axes that are ranked and those that compute the same thing."""
    axes = [axis for axis in layout.axes if axis != layout.workload]
    found = {}
    for where in layout.workloads:
        own = select(runs, where)
        found[', '.join(where.values())] = factorial.effects(own, axes, layout.primary)
    return found


def _table(
    runs: pd.DataFrame, layout: Layout, rankings: Sequence[Ranked], paper: Sequence[Mapping[str, Any]], judged: bool
) -> pd.DataFrame:
    table = tables.summary(runs, layout, paper)
    standings = {found.workload: found.standings() for found in rankings}
    if judged and all(standings.values()):
        workloads = table[layout.workload] if layout.workload else [''] * len(table)
        names = names_of(table, layout.compared)
        table['standing'] = [standings[w].get(name, '') for w, name in zip(workloads, names, strict=True)]
    return table


def _caption(
    study_name: str,
    dataset: str,
    runs: pd.DataFrame,
    table: pd.DataFrame,
    layout: Layout,
    unfinished: int,
    to_paper: Mapping[str, Mapping[str, Any]],
    unit: str,
) -> str:
    what = listed([metric.replace('_', ' ') for metric in layout.metrics])
    seeds = runs['seed'].nunique() if len(runs) else 0
    words = f'{study_name}: {what} on {dataset}, mean over {count(seeds, unit)}'
    words += f', 95% t interval of the mean over {unit}s on this test set.' if seeds > 1 else '.'
    if len(table) and tables.is_cut(table, layout.metrics):
        words += ' Intervals are cut off at the range of their metric; tests take them whole.'
    if unfinished:
        words += f' NOT FINISHED: {count(unfinished, "run")} missing.'
    if any(found['outside'] is not None for found in to_paper.values()):
        words += ' *: outside, the paper’s number is not where one more run of ours would fall (95% prediction '
        words += 'interval and the paper’s rounding).'
    return words


def _figures(
    study: ml_collections.ConfigDict,
    runs: pd.DataFrame,
    trials: pd.DataFrame | None,
    table: pd.DataFrame,
    layout: Layout,
    rankings: Sequence[Ranked],
    courses: Sequence[Course],
    dataset: str,
    other_dataset: bool,
    running: bool,
) -> Figures:
    """Draws the figures; while the study runs, those alone that say where it stands: each takes time from the runs."""
    from trainer.compare.report import (  # matplotlib takes half a second: not for an answer on the screen
        plots,
        tuning_plots,
    )

    claims = claims_of(study)
    drawn: dict[str, Sequence[Plot]] = dict.fromkeys(FIGURES, ())
    shown = dataclasses.replace(layout, metrics=dict([*layout.metrics.items()][:1])) if running else layout
    drawn['results'] = plots.intervals(runs, table, shown, dataset)
    drawn['looks'] = plots.courses(courses, dataset)
    if running:
        return Figures(drawn, pd.DataFrame(), pd.DataFrame(), None, TOLERANCE)
    drawn['overview'] = [plots.overview(runs, table, layout, dataset)]
    drawn['curves'] = plots.curves(runs, layout, dataset) if 'history' in runs else ()
    drawn['pairs'] = [
        plots.heat_map(found.pairs, found.order, found.metric, found.workload, dataset)
        for found in rankings
        if 2 <= len(found.order) <= sentences.MOST_PAIRED and found.seeds > 1 and found.pairs
    ]
    scores = paper_curves = pd.DataFrame()
    published = study.get('paper', {}).get('curves')
    if published and not other_dataset:
        drawn['paper_curves'], paper_curves = plots.paper_curves(runs, published, dataset)
    rates = tuning_plots.learning_rates(study)
    if rates:
        drawn['rates'] = tuning_plots.rate_sensitivity(runs, layout, *rates, dataset)
    target = tuning_plots.target_of(claims)
    if target:
        drawn['profiles'], scores = tuning_plots.profiles(runs, layout, *target, dataset)
    margins = [claim['margin'] for claim in claims if claim['kind'] == 'less_sensitive']
    tolerance = margins[0] if margins else TOLERANCE
    if trials is not None:
        drawn |= tuning_plots.tuning(trials, layout, study.tune.metric, tolerance, dataset)
    return Figures(drawn, paper_curves, scores, target, tolerance)
