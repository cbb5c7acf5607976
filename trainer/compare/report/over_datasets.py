"""The page of a study on several data sets: a table and the claims by data set, and what holds over them."""

import math
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup

from seedwise.errors import writing
from seedwise.storage.files import write_utf8
from trainer.compare.analysis.claims.selection import select
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.over_datasets import NEAR, OverDatasets, over_datasets
from trainer.compare.analysis.ranking import BEHIND, BEST
from trainer.compare.analysis.statistics import estimate
from trainer.compare.analysis.tuning.replicates import by_replicate, replicate_of, several_seeds
from trainer.compare.analysis.words import count, listed
from trainer.compare.normalize import file_name
from trainer.compare.report import tables
from trainer.compare.report.charts import figures
from trainer.compare.report.contents import Page
from trainer.compare.report.layout import by_seed
from trainer.compare.report.screen import WIDTH, cut
from trainer.compare.report.text import reproduce
from trainer.compare.report.text.questions import order_of
from trainer.compare.report.text.sentences import Ranked
from trainer.compare.report.write import environment

#: What a cell of the table of claims says where a data set's study does not judge the claim.
NOT_ASKED = '–'


@dataclass(frozen=True)
class Workload:
    """What is ranked over the data sets: of one model, if the study has several."""

    name: str
    metric: str
    seeds: str
    found: OverDatasets
    cells: Mapping[str, Mapping[str, str]]
    sentence: str


def write_over_datasets(
    pages: Mapping[str, Page], folder: Path, *, study_name: str, about: str, command: str
) -> list[str]:
    """Writes the page over data sets, and returns what it says on the screen, one line an element.

    Files: `index.html`, which links to the page of each data set, and `table.csv`.

    Args:
      pages: data set -> its report, which is in the folder `../<data set's folder>/report`.
      folder: where to; it is made if it does not exist.
      study_name: name of the study's file, without `.py`.
      about: the study file's docstring, Markdown.
      command: what makes the report.

    Raises:
      CannotWrite: a file cannot be written.
    """
    unfinished = sum(page.unfinished for page in pages.values())
    workloads = [] if unfinished else _workloads(pages)
    missing = '' if unfinished or workloads else _missing(pages)
    html = (
        environment()
        .get_template('over_datasets.html.j2')
        .render(
            css=Markup(figures.adaptive_css()),
            title=reproduce.title_of(about) or study_name.replace('_', ' ').capitalize(),
            study_name=study_name,
            about=reproduce.as_html(about),
            command=command,
            now=time.strftime('%Y-%m-%d %H:%M:%S %z'),
            # Of a data set without a finished run there is no page.
            links={
                name: '' if page.runs.empty else f'../{quote(file_name(name))}/report/index.html'
                for name, page in pages.items()
            },
            unfinished=unfinished,
            workloads=workloads,
            missing=missing,
            claims=_claims(pages),
            near=NEAR,
        )
    )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_utf8(folder / 'table.csv', _table(workloads).to_csv(index=False, float_format='%.6g').rstrip())
    write_utf8(folder / 'index.html', html)
    return [*(line for workload in workloads for line in _lines(workload)), *textwrap.wrap(missing, WIDTH)]


def _workloads(pages: Mapping[str, Page]) -> list[Workload]:
    by_workload: dict[str, dict[str, Ranked]] = {}
    for name, page in pages.items():
        for ranked in page.rankings:
            by_workload.setdefault(ranked.workload, {})[name] = ranked
    made: list[Workload] = []
    if any(page.stopping.picked for page in pages.values()):
        return made
    for workload, each in by_workload.items():
        if len(each) < len(pages) or len({frozenset(one.values.columns) for one in each.values()}) > 1:
            continue  # tuning chose on some of them alone
        first = next(iter(each.values()))
        values = {name: _fixed_beforehand(one, pages[name]) for name, one in each.items()}
        if any(frame.dropna().empty or _lacks_seeds(frame, pages[name]) for name, frame in values.items()):
            continue  # some variant lacks a seed that the test takes
        found = over_datasets(values, first.goal, error=bool(figures.share_of(first.metric)))
        cells = {
            str(variant): {data: _cell(frame[variant].dropna(), first.metric) for data, frame in values.items()}
            for variant in first.values
        }
        uneven = any(frame.isna().any(axis=None) for frame in values.values())
        fewest = min(len(frame.dropna()) for frame in values.values())
        unit = next(iter(pages.values())).unit
        seeds = count(fewest, unit) + ' or more' * uneven
        first_seeds = [page.stopping.first for page in pages.values() if page.stopping.first]
        if first_seeds and unit != 'seed':
            seeds += f', with the first {count(min(first_seeds), "seed")}, which were fixed before anybody looked'
        elif first_seeds:
            seeds = f'the first {seeds}, which were fixed before anybody looked'
        made.append(Workload(workload, first.metric, seeds, found, cells, _sentence(workload, found)))
    return made


def _first_seeds(page: Page) -> Sequence[Any]:
    return (order_of(page.study) or range(page.stopping.first))[: page.stopping.first]


def _lacks_seeds(values: pd.DataFrame, page: Page) -> bool:
    """Whether a variant lacks a seed that was fixed beforehand; of the rows, one for each seed or replicate."""
    of = replicate_of(page.study)
    if len(_first_seeds(page)) < page.stopping.first:
        return True
    units = {of.get(seed, seed) for seed in _first_seeds(page)} if several_seeds(of) else _first_seeds(page)
    return len(values.dropna()) < len(units)


def _fixed_beforehand(ranked: Ranked, page: Page) -> pd.DataFrame:
    """Returns the values of those seeds of which no result decided that they are run, one row for each seed or replicate.

    Where results decide when seeds end, a mean over all of them is pulled to the side on which it was decided, by as much on
    every data set: the test over data sets would take that for a difference.
    """
    if not page.stopping.first:
        return ranked.values
    of = replicate_of(page.study)
    if not several_seeds(of):
        return ranked.values[ranked.values.index.isin(_first_seeds(page))]
    # Replicates are means over seeds: over those alone that were fixed.
    units = by_replicate(page.runs[page.runs['seed'].isin(_first_seeds(page))], of)
    own = [where for where in page.layout.workloads if ', '.join(where.values()) == ranked.workload]
    return by_seed(select(units, own[0]), page.layout, ranked.metric)


def _cell(values: pd.Series, metric: str) -> str:
    """Returns the mean over the seeds on which a variant did not diverge, with its interval."""
    finite = values[np.isfinite(values)]
    if finite.empty:
        return 'diverged'
    own, diverged = estimate(finite, bounds=range_of(metric)), len(values) - len(finite)
    text = f'{tables.number(own.mean)} {tables.interval(own.low, own.high)}'.rstrip()
    return text + (f', {diverged} diverged' if diverged else '')


def _missing(pages: Mapping[str, Page]) -> str:
    """Returns why nothing is judged over the data sets, where all runs have finished that were given."""
    if any(page.stopping.picked for page in pages.values()):
        return (
            'Nothing is judged over the data sets: seeds were taken away of which there are results, and not the last ones, '
            'so that results may have chosen those that are left. Give them back (--study.seeds).'
        )
    first = max(page.stopping.first for page in pages.values())
    seeds = f'results of its first {count(first, "seed")}' if first else 'results'
    return f'Nothing is judged over the data sets: that takes {seeds} of every variant on every data set.'


def _sentence(workload: str, found: OverDatasets) -> str:
    """Returns what holds over the data sets."""
    n, first = len(found.datasets), found.rows[0]
    where = f'Among {workload}s, ' if workload else ''
    wins = f'{where}{first.name} has the best mean rank over {count(n, "data set")}, {first.rank:.2g}'
    wins += f', and the best mean on {first.best} of them'
    behind = [row.name for row in found.rows if row.standing == BEHIND]
    if len(found.rows) < 2:
        return f'{wins}.'
    if n < found.needed:
        return (
            f'{wins}. Whether it is better on data sets of this kind is undecided, and would be whatever the numbers: with '
            f'{count(len(found.rows), "variant")} it takes {found.needed} data sets to show it.'
        )
    leads = next(row for row in found.rows if row.standing not in (BEHIND, ''))
    if leads.standing == BEST:
        return f'{wins}. It is better than {listed(behind)} on data sets of this kind.'
    rest = [row.name for row in found.rows if row.standing not in (BEHIND, leads.standing)]
    more = f' {listed(behind)} {"is" if len(behind) == 1 else "are"} shown not to be the best.' if behind else ''
    return f'{wins}. Whether {listed(rest, 3)} may be as good on data sets of this kind is undecided.{more}'


def _claims(pages: Mapping[str, Page]) -> list[dict[str, Any]]:
    """Returns a row a claim: what it says, and its verdict on each data set."""
    rows: dict[str, dict[str, Any]] = {}
    for name, page in pages.items():
        for verdict in page.verdicts:
            claim = verdict.claim
            row = rows.setdefault(claim.id, {'quote': claim.quote, 'results': dict.fromkeys(pages, NOT_ASKED)})
            row['results'][name] = verdict.result
    for row in rows.values():
        judged = [result for result in row['results'].values() if result != NOT_ASKED]
        row['holds'] = f'{judged.count("holds")} of {len(judged)}'
    return [*rows.values()]


def _table(workloads: list[Workload]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                'workload': workload.name,
                'variant': row.name,
                **{f'{workload.metric}_{data}': mean for data, mean in row.means.items()},
                'mean_rank': row.rank,
                'best_on': row.best,
                'near_best': row.near,
                'profile_score': row.score,
                'difference': row.difference.mean if row.difference else None,
                'difference_low': row.difference.low if row.difference else None,
                'difference_high': row.difference.high if row.difference else None,
                'p': row.p,
                'standing': row.standing,
            }
            for workload in workloads
            for row in workload.found.rows
        ]
    )


def _lines(workload: Workload) -> list[str]:
    """Returns the answer, of at most `WIDTH` characters a line."""
    found = workload.found
    what = workload.metric.replace('_', ' ')
    heading = f'Over {count(len(found.datasets), "data set")}, each counted once ({what})'
    lines = ['', *textwrap.wrap(heading, WIDTH)]
    width = min(max(len(row.name) for row in found.rows), WIDTH - 48)
    for number, row in enumerate(found.rows, start=1):
        near = '' if math.isnan(row.score) else f'profile {row.score:.2f}  '
        line = f'{number:>3}  {cut(row.name, width):<{width}}  rank {row.rank:.2f}  best on {row.best}  {near}{row.standing}'
        lines.append(line.rstrip()[:WIDTH])
    return [*lines, *textwrap.wrap(workload.sentence, WIDTH), '']
