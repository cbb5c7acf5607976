"""The results of a study as a table: one row a variant, with the paper's number, as CSV, Markdown and LaTeX."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trainer.compare.analysis.claims.evidence import CORRECT, OF_EXAMPLES
from trainer.compare.analysis.claims.selection import select
from trainer.compare.analysis.examples import crossed
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.statistics import CONFIDENCE, cut, estimate, prediction_reach
from trainer.compare.report.layout import Layout, in_order

#: Decimals at the least and at the most.
DIGITS = (2, 4)

#: Means from `LEAST` to below `MOST` are printed with decimals, and others with significant digits.
LEAST, MOST = 1e-3, 1e7

#: What is special in a text of Markdown that has intervals in brackets, and in LaTeX -> how it is written there.
MARKDOWN = {'|': r'\|', '<': '&lt;', '](': r']\(', '\n': ' '}
LATEX = {
    **{character: f'\\{character}' for character in '_%&#${}'},
    **{'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '\n': ' '},
    '\N{RIGHT SINGLE QUOTATION MARK}': "'",
}


def summary(runs: pd.DataFrame, layout: Layout, paper: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """Returns a row a variant: values on the axes, seeds, diverged, parameters, and for each metric its mean, interval,
    standard deviation, the paper's number, the difference from it, and whether that lies outside.

    Means are over the runs that did not diverge. `<metric>_outside`: the paper's number, one run as it is, is not where
    one more run of ours would be expected (the 95% prediction interval, widened by half of the paper's last digit).
    """
    paper, rows = list(paper), []
    ordered = in_order(runs, layout)
    completed = (ordered['status'] == 'completed').to_numpy(bool)
    columns = {metric: ordered[metric].to_numpy(float) for metric in layout.metrics}
    heads = [*layout.axes, *(['parameters'] if 'parameters' in ordered else [])]
    for where in _places(ordered, layout):
        done = where[completed[where]]
        row = {'parameters': None} | {head: ordered[head].iat[where[0]] for head in heads}
        row = {axis: row[axis] for axis in layout.axes} | {
            'seeds': len(where),
            'diverged': len(where) - len(done),
            'parameters': row['parameters'],
        }
        published = next((r for r in paper if len(select(ordered.iloc[where[:1]], r['variant']))), {})
        for metric, values in columns.items():
            row |= _cells(metric, values[done], published.get(metric), _rounding(paper, metric))
        rows.append(row | (_new_examples(ordered.iloc[done], layout) if CORRECT in ordered else {}))
    table = pd.DataFrame(rows)
    if paper or table.empty:
        return table
    # Without a paper's order, the best first; by model, if there are several.
    by = [layout.workload] if layout.workload else []
    return table.sort_values(
        [*by, layout.primary], ascending=[True] * len(by) + [layout.metrics[layout.primary] == 'min'], kind='stable'
    )


def _places(ordered: pd.DataFrame, layout: Layout) -> list[np.ndarray]:
    """Returns for each variant the numbers of its rows. A frame for each would take a second of 1,000 variants."""
    number = ordered.groupby(list(layout.axes), sort=False).ngroup().to_numpy()
    by_variant = np.argsort(number, kind='stable')
    by_variant = by_variant[number[by_variant] >= 0]
    starts = np.flatnonzero(np.diff(number[by_variant])) + 1
    return np.split(by_variant, starts) if len(by_variant) else []


def _cells(metric: str, values: np.ndarray, paper: float | None, rounding: float) -> dict[str, Any]:
    found = estimate(values, bounds=range_of(metric)) if len(values) else None
    mean, sd = (found.mean, found.sd) if found else (None, None)
    outside = None
    if paper is not None and found and sd is not None:
        reach = prediction_reach(found.n, sd) + rounding
        outside = bool(abs(found.mean - paper) > reach)
    return {
        metric: mean,
        f'{metric}_low': found.low if found else None,
        f'{metric}_high': found.high if found else None,
        f'{metric}_sd': sd,
        f'{metric}_paper': paper,
        f'{metric}_difference': mean - paper if mean is not None and paper is not None else None,
        f'{metric}_outside': outside,
    }


def _new_examples(done: pd.DataFrame, layout: Layout) -> dict[str, float]:
    """The interval of the accuracy over seeds and examples; {} where it is not known what each run got right."""
    if CORRECT not in done or OF_EXAMPLES not in layout.metrics or len(done) < 2:
        return {}
    right = done[CORRECT].tolist()
    if not all(isinstance(one, np.ndarray) and len(one) == len(right[0]) for one in right):
        return {}
    found = crossed(np.stack(right))
    low, high = cut(found.low, found.high, 0.0, 1.0, range_of(OF_EXAMPLES))
    return {f'{OF_EXAMPLES}_new_low': low, f'{OF_EXAMPLES}_new_high': high}


def is_cut(table: pd.DataFrame, metrics: Iterable[str]) -> bool:
    """Returns whether an interval of a metric ends at the metric's range (`statistics.cut`)."""
    for metric in metrics:
        wide = table[table[f'{metric}_sd'].astype(float) > 0]
        low, high = range_of(metric)
        if (wide[f'{metric}_low'] == low).any() or (wide[f'{metric}_high'] == high).any():
            return True
    return False


def _rounding(paper: Sequence[Mapping[str, Any]], metric: str) -> float:
    """Half a unit of the last digit in which the paper prints a metric."""
    digits = [len(str(row[metric]).partition('.')[2]) for row in paper if metric in row]
    return 0.5 * 10.0 ** -max(digits, default=4)


def to_paper(table: pd.DataFrame, layout: Layout) -> dict[str, dict[str, Any]]:
    """Returns for each metric that the paper has: number of cells, mean absolute difference, cells that lie outside.

    `by_chance`: how many cells would be outside if the paper's runs were runs of ours.
    """
    found = {}
    for metric in layout.metrics:
        differences = table[f'{metric}_difference'].dropna().astype(float)
        if len(differences):
            outside = table[f'{metric}_outside']
            found[metric] = {
                'cells': len(differences),
                'difference': float(differences.abs().mean()),
                'outside': int((outside == True).sum()) if outside.notna().any() else None,  # noqa: E712
                'by_chance': (1 - CONFIDENCE) * int(outside.notna().sum()),
            }
    return found


def digits_of(table: pd.DataFrame, metric: str) -> int | None:
    """Returns the decimals that a metric's interval supports: two digits of its half-width, one if it begins with > 1.

    None: its means are too small or too large for decimals.
    """
    if not has_decimals(table[metric]):
        return None
    half = ((table[f'{metric}_high'] - table[f'{metric}_low']) / 2).astype(float)
    half = half[half > 0].median()
    return DIGITS[1] if math.isnan(half) else min(max(math.ceil(0.3 - math.log10(half)), DIGITS[0]), DIGITS[1])


def has_decimals(means: Iterable[Any]) -> bool:
    """Returns whether numbers are of a size that `DIGITS` decimals show."""
    largest = max((abs(float(mean)) for mean in means if pd.notna(mean)), default=0.0)
    return not largest or LEAST <= largest < MOST


def number(value: Any, digits: int | None = DIGITS[1], sign: bool = False) -> str:
    """Returns a number with so many decimals, or with four significant digits if None, its minus a minus; '' for none."""
    if value is None or pd.isna(value):
        return ''
    text = f'{abs(value):.4g}' if digits is None else f'{abs(value):.{digits}f}'
    if not float(text):
        return text
    return ('\N{MINUS SIGN}' if value < 0 else '+' if sign else '') + text


def interval(low: Any, high: Any, digits: int | None = DIGITS[1]) -> str:
    """Returns an interval in brackets; '' for none."""
    return '' if low is None or pd.isna(low) else f'[{number(low, digits)}, {number(high, digits)}]'


def printed(table: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Returns the table as it is printed: strings, with headings in words."""
    columns: dict[str, Iterable[str]] = {axis.replace('_', ' '): table[axis] for axis in layout.axes}
    columns['seeds'] = [
        f'{n} ({diverged} diverged)' if diverged else f'{n}'
        for n, diverged in zip(table['seeds'], table['diverged'], strict=True)
    ]
    if table['parameters'].nunique() > 1:
        columns['parameters'] = [f'{n:,.0f}' if pd.notna(n) else '' for n in table['parameters']]
    for metric in layout.metrics:
        words, digits = metric.replace('_', ' '), digits_of(table, metric)
        columns[words] = [number(value, digits) or 'diverged' for value in table[metric]]
        if table[f'{metric}_low'].notna().any():
            ends = zip(table[f'{metric}_low'], table[f'{metric}_high'], strict=True)
            columns[f'{words}, 95% interval'] = [interval(low, high, digits) for low, high in ends]
        if f'{metric}_new_low' in table:
            ends = zip(table[f'{metric}_new_low'], table[f'{metric}_new_high'], strict=True)
            columns[f'{words}, new examples'] = [interval(low, high, digits) for low, high in ends]
        if table[f'{metric}_paper'].notna().any():
            columns[f'{words}, paper'] = [published(value) for value in table[f'{metric}_paper']]
            columns[f'{words}, difference'] = [
                number(difference, digits and DIGITS[1], sign=True) + ('*' if outside is True else '')
                for difference, outside in zip(table[f'{metric}_difference'], table[f'{metric}_outside'], strict=True)
            ]
    if 'standing' in table:
        columns['standing'] = table['standing']
    return pd.DataFrame(columns)


def published(value: Any) -> str:
    """Returns a paper's number in the digits that it has."""
    return '' if value is None or pd.isna(value) else f'{value:g}'


def to_markdown(table: pd.DataFrame) -> str:
    """Returns a printed table as Markdown, with what a name holds of it shown as text."""
    lines = [list(table.columns), ['---'] * table.shape[1], *table.to_numpy().tolist()]
    lines = [[escaped(cell, MARKDOWN) for cell in line] for line in lines]
    return ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """Returns a printed table as LaTeX, for the package booktabs."""
    ascii_minus = table.map(lambda cell: cell.replace('\N{MINUS SIGN}', '-'))
    align = 'l' + ''.join('l' if column in ('standing',) else 'r' for column in table.columns[1:])
    options: dict[str, Any] = {'caption': escaped(caption, LATEX), 'position': 'htbp', 'column_format': align}
    return ascii_minus.to_latex(index=False, escape=True, **options)


def escaped(text: str, escapes: Mapping[str, str]) -> str:
    """Returns a text with what is special in it, the keys of `escapes`, replaced by how it is written."""
    pattern = '|'.join(map(re.escape, escapes))
    return re.sub(pattern, lambda found: escapes[found[0]], text)
