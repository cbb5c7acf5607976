"""The answer of a study on the screen: who leads, with intervals, and what holds of each claim."""

import textwrap

from rich.console import Console

from seedwise.streams import printable
from trainer.compare.analysis.claims.verdicts import Verdict
from trainer.compare.analysis.self_check import against_itself
from trainer.compare.report import tables
from trainer.compare.report.contents import Page
from trainer.compare.report.text.sentences import Ranked

#: Columns that the answer fits in.
WIDTH = 80

#: Lines of a claim: its numbers, p-value and warnings mostly fit in.
MOST_LINES = 5

#: Names that are shown of a ranking; a longer one is cut.
MOST_SHOWN = 10


def lines(page: Page) -> list[str]:
    """Returns the answer, one line an element, of at most `WIDTH` characters."""
    if page.unfinished or page.runs.empty:
        return []
    found: list[str] = []
    for ranked, leader in zip(page.rankings, page.leaders(), strict=True):
        found += ['', *_ranking(ranked, page.dataset_name, page.seeds_words)]
        found += ['', *textwrap.wrap(leader.striptags(), WIDTH)]
    if page.verdicts:
        found += ['', *(line for verdict in page.verdicts for line in _claim(verdict))]
    for sentence in page.how_it_ended():
        found += ['', *textwrap.wrap(sentence, WIDTH)]
    return [*found, '']


def show(page: Page) -> None:
    """Prints the answer."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in lines(page):
        console.print(printable(line))


def show_self_check(page: Page) -> None:
    """Prints what the comparison of each variant with itself finds."""
    for ranked in page.rankings:
        where = f'{ranked.workload}: ' if ranked.workload else ''
        for line in textwrap.wrap(where + against_itself(ranked.values).sentence, WIDTH):
            print(printable(line))


def _ranking(ranked: Ranked, dataset: str, seeds: str) -> list[str]:
    where = f' of {ranked.workload}s' if ranked.workload else ''
    what = ranked.metric.replace('_', ' ').capitalize()
    interval = ', mean and 95% interval' if ranked.seeds > 1 else ','
    found = textwrap.wrap(f'{what}{where} on {dataset}{interval} over {seeds}', WIDTH)
    shown = ranked.places[:MOST_SHOWN]
    decimals = tables.has_decimals(place.estimate.mean for place in shown if place.estimate)
    digits = tables.DIGITS[1] if decimals else None
    ends = [(own.mean, own.low, own.high) if own else None for own in (place.estimate for place in shown)]
    numbers = [
        f'{tables.number(end[0], digits)} {tables.interval(*end[1:], digits)}'.rstrip() if end else 'diverged'
        for end in ends
    ]
    across = max(24, *map(len, numbers))
    width = min(max(len(place.name) for place in shown), WIDTH - 24 - across)
    for number, (place, own) in enumerate(zip(shown, numbers, strict=True), start=1):
        more = f'{place.diverged} diverged' if place.diverged and place.estimate else ''
        line = f'{number:>3}  {cut(place.name, width):<{width}}  {own:<{across}}  {place.standing:<9} {more}'
        found.append(line.rstrip()[:WIDTH])
    if len(ranked.places) > MOST_SHOWN:
        found.append(f'     and {len(ranked.places) - MOST_SHOWN} more')
    return found


def _claim(verdict: Verdict) -> list[str]:
    text = textwrap.wrap(verdict.sentence, WIDTH - 16) or ['']
    found = [f'{verdict.result:<15} {text[0]}', *(f'{"":<15} {line}' for line in text[1:MOST_LINES])]
    if len(text) > MOST_LINES:
        found[-1] = f'{found[-1][: WIDTH - 4].rpartition(" ")[0].rstrip(" ,;:")} ...'
    return found


def cut(name: str, width: int) -> str:
    """Returns a name of at most `width` characters; what is cut off is replaced by an ellipsis."""
    return name if len(name) <= width else f'{name[: width - 1]}…'
