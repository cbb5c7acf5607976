"""Works out what a report says, before any of it is shown."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ml_collections
import pandas as pd

from data_pipeline.from_tfds import known
from trainer.compare.analysis import factorial
from trainer.compare.analysis.claims import pooling
from trainer.compare.analysis.claims.selection import select
from trainer.compare.analysis.claims.verdicts import verdicts
from trainer.compare.analysis.factorial import Effect
from trainer.compare.analysis.rules import ANYTIME
from trainer.compare.analysis.tuning.replicates import by_replicate, replicate_of
from trainer.compare.analysis.words import count, listed
from trainer.compare.report import looks, tables
from trainer.compare.report.contents import FIGURES, Figures, Page
from trainer.compare.report.layout import (
    METRICS,
    Layout,
    in_order,
    known_of_all,
    layout_of,
    names_of,
    with_numbers,
)
from trainer.compare.report.looks import Course
from trainer.compare.report.text import sentences, tuned
from trainer.compare.report.text.questions import claims_of, order_of
from trainer.compare.report.text.sentences import Ranked
from trainer.compare.report.text.stopping import Stopping

if TYPE_CHECKING:
    from trainer.compare.report.charts.figures import Plot


#: What the papers' numbers are of, if a study's `paper` does not say it (`dataset`).
PAPERS_DATASET = 'mnist'

#: How near to the best a learning rate must come to be good, if no claim says it.
TOLERANCE = 0.01


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
    paper, has_runs = study.get('paper', {}), not runs.empty
    expected = paper.get('dataset', PAPERS_DATASET if paper else dataset_name)
    own_name = known.title(dataset_name)
    other = None if dataset_name == expected else known.title(expected)
    ended = Stopping(**(stopping or {}))
    # In every title, so that no picture of this page is taken for what it is not.
    dataset = own_name + (f', NOT {other}' if other else '') + (', unfinished' if unfinished or ended.running else '')
    rule = ended.rule
    margins = dict(study.get('margins') or {})
    judged = has_runs and not unfinished
    units = by_replicate(runs, replicate_of(study)) if has_runs else runs
    counted = pooling.filled(study, units, margins, rule) if has_runs else runs
    found = verdicts(claims_of(study), counted, trials, margins, rule) if judged else []
    checks = verdicts(study.get('checks', ()), units, trials, margins, rule) if judged else []
    layout = layout_of(study, runs, pooling.axes(study, checks), metrics) if has_runs else Layout({}, metrics=metrics)
    if has_runs:
        runs, units, counted = (in_order(frame, layout) for frame in (runs, units, counted))
    rankings = sentences.ranked(counted, layout, margins, paired, rule) if has_runs else []
    courses: Sequence[Course] = ()
    if has_runs and (rule == ANYTIME or unfinished):
        claims, order = claims_of(study), order_of(study)
        of_claims = looks.of_claims(claims, counted, order)
        courses = of_claims if claims else [one for each in rankings for one in looks.of_ranking(each, order)]
    published = () if other else paper.get('table', ())
    table = _table(units, layout, rankings, published, judged) if has_runs else pd.DataFrame()
    to_paper = tables.to_paper(table, layout) if has_runs else {}
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
        table=tuned.with_examples(table, tuned.examples(trials, layout)) if has_runs else table,
        printed=tables.printed(table, layout) if has_runs else table,
        to_paper=to_paper,
        caption=_caption(study_name, dataset, units, table, layout, unfinished, to_paper, tuned.unit(study)),
        figures=_figures(
            study, units, trials, table, layout, rankings, courses, dataset, bool(other), bool(ended.running)
        )
        if draw and has_runs
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
    # matplotlib takes half a second: not for an answer on the screen
    from trainer.compare.report.charts import curves, plots, tuning_plots

    claims = claims_of(study)
    drawn: dict[str, Sequence[Plot]] = dict.fromkeys(FIGURES, ())
    shown = dataclasses.replace(layout, metrics=dict([*layout.metrics.items()][:1])) if running else layout
    drawn['results'] = plots.intervals(runs, table, shown, dataset)
    drawn['looks'] = plots.courses(courses, dataset)
    if running:
        return Figures(drawn, pd.DataFrame(), pd.DataFrame(), None, TOLERANCE)
    drawn['overview'] = [plots.overview(runs, table, layout, dataset)]
    drawn['curves'] = curves.curves(runs, layout, dataset) if 'history' in runs else ()
    drawn['pairs'] = [
        plots.heat_map(found.pairs, found.order, found.metric, found.workload, dataset)
        for found in rankings
        if 2 <= len(found.order) <= sentences.MOST_PAIRED and found.seeds > 1 and found.pairs
    ]
    scores = paper_curves = pd.DataFrame()
    published = study.get('paper', {}).get('curves')
    if published and not other_dataset:
        drawn['paper_curves'], paper_curves = curves.paper_curves(runs, published, dataset)
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
