"""What a reader needs to make a study again: command, config, what varies, what was tuned, versions, hosts and times."""

import json
import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

import markdown
import ml_collections
import pandas as pd
from markupsafe import Markup

from configs import default
from seedwise import dotted
from trainer.compare.report.layout import Layout, name_of, names_of
from trainer.results import is_hashed

#: The column of runs with their peak memory.
PEAK = 'peak_memory_bytes'

#: Scale of a search space -> how it is written.
SCALES = {'log': 'log-uniform', 'log_1m': '1 \N{MINUS SIGN} x log-uniform', 'linear': 'uniform'}


def title_of(about: str) -> str:
    """Returns the title in a docstring's first line: 'Seven optimizers x three losses on MNIST: 21 variants, ...'."""
    first = about.strip().partition('\n')[0]
    # What follows the dataset or the number of variants the page says better, of the runs that there are.
    return re.split(r',? on MNIST\b|: \d+ variants', first)[0].rstrip('.').replace(' x ', ' \N{MULTIPLICATION SIGN} ')


def as_html(docstring: str) -> Markup:
    """Returns a docstring, which is Markdown, as HTML. Raw HTML and links in it are shown as text."""
    first, _, rest = docstring.strip().partition('\n')
    converter = markdown.Markdown()
    converter.preprocessors.deregister('html_block')
    converter.parser.blockprocessors.deregister('reference')  # '[name]: address', which is a link wherever [name] is
    links = [f'{image}{kind}' for image in ('', 'image_') for kind in ('link', 'reference')]
    for pattern in ('html', *links, 'short_reference', 'short_image_ref', 'autolink', 'automail'):
        converter.inlinePatterns.deregister(pattern)
    return Markup(converter.convert(f'{first}\n{textwrap.dedent(rest)}'))


def facts(study: ml_collections.ConfigDict, runs: pd.DataFrame, layout: Layout) -> dict[str, Any]:
    """Returns the base run, what varies, the search spaces, and what the runs say of where they were made."""
    base = dict(dotted.flatten(study.base)) if study.get('base') else {}
    plain = dict(dotted.flatten(default.get_config())) if base else {}
    dataset = runs['dataset'].iloc[0] if len(runs) and 'dataset' in runs else {}
    dataset = dataset if isinstance(dataset, Mapping) else {'name': dataset}
    return {
        'base': {path: _shown(value) for path, value in base.items() if plain.get(path) != value and is_hashed(path)},
        'all': {path: _shown(value) for path, value in base.items() if value is not None},
        'axes': [
            (axis.replace('_', ' '), value, _overrides(fields))
            for axis, values in (study.get('axes') or {}).items()
            for value, fields in _in_order(layout, axis, values)
        ],
        'variants': [
            (name_of('variant', name), _overrides(variant.overrides))
            for name, variant in (study.get('variants') or {}).items()
        ],
        'dataset': ', '.join(f'{key} {value}' for key, value in dataset.items()),
        'spaces': [
            (name_of('tuning', tier), name, _space(space))
            for tier, spaces in study.get('tune', {}).get('tiers', {}).items()
            for name, space in spaces.items()
        ],
    } | {column: _distinct(runs[column]) if column in runs else [] for column in ('git_revision', 'versions', 'host')}


def times(runs: pd.DataFrame, layout: Layout) -> dict[str, Any]:
    """Returns how long the runs took, in all and on average of each variant, and the most memory that one of these took."""
    columns = {'seconds_training': 'training', 'seconds_total': 'in all'}
    columns = {column: words for column, words in columns.items() if column in runs}
    if runs.empty or 'seconds_total' not in columns:
        return {}
    names = names_of(runs, layout.axes)
    table = runs[list(columns)].astype(float).groupby(names, sort=False).mean().map('{:.2f}'.format)
    headings = [f'{words}, s' for words in columns.values()]
    if PEAK in runs and runs[PEAK].notna().any():  # runs of earlier versions do not know it
        table[PEAK] = runs[PEAK].astype(float).groupby(names, sort=False).max().map(_gibibytes)
        headings.append('peak memory, GiB')
    return {
        'total': duration(float(runs['seconds_total'].sum())),
        'columns': headings,
        'rows': [(name, row) for name, row in zip(table.index, table.to_numpy().tolist(), strict=True)],
    }


def _overrides(fields: Mapping[str, Any]) -> str:
    return (
        ', '.join(f'{path} = {_shown(value)}' for path, value in dict(dotted.flatten(fields)).items())
        or 'as the base run'
    )


def _space(space: Mapping[str, Any]) -> str:
    parts = [
        f'{short(path).replace("_", " ")} {SCALES.get(scale, scale)} in [{low:g}, {high:g}]'
        for path, (scale, low, high) in dotted.flatten(space)
    ]
    return '; '.join(parts)


def short(path: str) -> str:
    """Returns the name of what was tuned, without the section of optimizers."""
    return path.removeprefix('optimizer.').removeprefix('options.')


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else f'{value:g}' if isinstance(value, float) else str(value)


def _in_order(layout: Layout, axis: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Returns the values of an axis with their overrides, in the order of the page."""
    order = {value: i for i, value in enumerate(layout.values.get(axis, ()))}
    return sorted(values.items(), key=lambda item: order.get(str(item[0]), len(order)))


def _distinct(column: pd.Series) -> list[tuple[Any, int]]:
    """Returns the distinct values of a column, dicts too, each with the number of runs that have it."""
    counts = column.map(lambda value: json.dumps(value, sort_keys=True)).value_counts()
    return [(json.loads(key), int(n)) for key, n in sorted(counts.items())]


def _gibibytes(size: float) -> str:
    return '' if math.isnan(size) else f'{size / 2**30:.2f}'


def duration(seconds: float) -> str:
    """Returns seconds in the largest unit of which there are two or more."""
    for unit, length in (('hours', 3600), ('minutes', 60)):
        if seconds >= 2 * length:
            return f'{seconds / length:.1f} {unit}'
    return f'{seconds:.1f} seconds'
