"""The answer of a study on the screen: who leads, with intervals, and what holds of each claim."""

import textwrap

import numpy as np
from rich.console import Console

from trainer.compare.analysis.statistics import estimate
from trainer.compare.report import tables
from trainer.compare.report.page import Page

#: Columns that the answer fits in.
WIDTH = 80

#: Names that are shown of a ranking; a longer one is cut.
MOST_SHOWN = 10


def lines(page: Page) -> list[str]:
    """Returns the answer, one line an element, of at most `WIDTH` characters."""
    if page.unfinished or page.runs.empty:
        return []
    found: list[str] = []
    for ranking in page.rankings:
        found += ['', *_ranking(ranking, page.dataset_name)]
    if page.verdicts:
        found += ['', *_claims(page)]
    return [*found, '']


def show(page: Page) -> None:
    """Prints the answer."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in lines(page):
        console.print(line)


def _ranking(ranking, dataset: str) -> list[str]:
    order, standings = ranking.order, ranking.standings()
    where = f' of {ranking.workload}s' if ranking.workload else ''
    found = [f'Test accuracy{where} on {dataset}, mean and 95% interval over {ranking.seeds} seeds']
    width = min(max(map(len, order[:MOST_SHOWN])), WIDTH - 48)
    for place, name in enumerate(order[:MOST_SHOWN], start=1):
        values = ranking.values[name].to_numpy(float)
        finite = values[np.isfinite(values)]
        numbers, diverged = 'diverged', len(values) - len(finite)
        if len(finite):
            own = estimate(finite)
            numbers = f'{tables.number(own.mean)} {tables.interval(own.low, own.high)}'.rstrip()
        more = f'{diverged} diverged' if diverged and len(finite) else ''
        standing = standings.get(name, '')
        found.append(f'{place:>3}  {_cut(name, width):<{width}}  {numbers:<24}  {standing:<9} {more}'.rstrip())
    if len(order) > MOST_SHOWN:
        found.append(f'     and {len(order) - MOST_SHOWN} more')
    return found


def _claims(page: Page) -> list[str]:
    found = []
    for verdict in page.verdicts:
        text = textwrap.wrap(verdict.sentence, WIDTH - 16) or ['']
        found.append(f'{verdict.result:<15} {text[0]}')
        found += [f'{"":<15} {line}' for line in text[1:2]]
        if len(text) > 2:
            found[-1] = f'{found[-1][: WIDTH - 4]} ...'
    return found


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f'{name[: width - 1]}…'
