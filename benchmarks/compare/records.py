"""What was measured, as data: its medians, its tables, and its ratios to an older file."""

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.compare import machine
from benchmarks.compare.networks import NETWORKS
from seedwise.errors import UserError

#: Version of the files.
FORMAT = 1


def read(path: Path) -> dict[str, Any]:
    """Returns the content of a file of results. Raises `UserError` where it is none."""
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path} cannot be read as results of benchmarks.compare: {error}') from error
    if not isinstance(found, dict) or found.get('format') != FORMAT:
        raise UserError(f'{path} is not a file that benchmarks.compare --out wrote (format {FORMAT})')
    return found


def write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')


def milliseconds(row: dict[str, Any]) -> list[float]:
    """Returns the milliseconds of a step in each pass of one process except the first, which compiles."""
    return [1000 * seconds / row['steps'] for seconds in row['seconds'][1:]]


def by_side(record: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Returns (model, side) -> its measurements, one for each round."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in record['measurements']:
        found.setdefault((row['model'], row['side']), []).append(row)
    return found


def ceiling(record: dict[str, Any], what: str = 'float32') -> dict[str, Any] | None:
    """Returns the highest of the measured ceilings of this kind; None: none was measured."""
    return max((row for row in record['ceilings'] if row['what'] == what), key=lambda row: row['value'], default=None)


def spread(values: Iterable[float], form: Callable[[float], str] = '{:.2f}'.format) -> str:
    """Returns the median with the smallest and the largest value."""
    values = list(values)
    return f'{form(statistics.median(values))} ({form(min(values))} to {form(max(values))})'


def ratios(first: list[dict], other: list[dict]) -> list[float]:
    """Returns the time of `first` as a share of that of `other`, of each round that both have, medians over the passes."""
    of_round = {row['round']: statistics.median(milliseconds(row)) for row in other}
    return [statistics.median(milliseconds(row)) / of_round[row['round']] for row in first if row['round'] in of_round]


def table(record: dict[str, Any]) -> str:
    """Returns the measurements as a table in Markdown."""
    first, measured, peak = record['sides'][0], by_side(record), ceiling(record)
    lines = [
        f'| model | side | ms a step | {first} / this side | of the float32 ceiling | test accuracy | MB |',
        '| --- | --- | --- | --- | --- | --- | --- |',
    ]
    reasons = {(row['model'], row['side']): row['reason'] for row in record['missing']}
    for model in record['models']:
        for side in record['sides']:
            start = f'| {NETWORKS[model].title} | {side} '
            rows = measured.get((model, side))
            if not rows:
                lines.append(f'{start}| {reasons.get((model, side), "not measured")} | | | | |')
                continue
            steps = [one for row in rows for one in milliseconds(row)]
            share = ratios(measured.get((model, first), []), rows)
            flops = NETWORKS[model].training_flops(record['batch'])
            of_peak = f'{flops / 1e6 / statistics.median(steps) / peak["value"]:.0%}' if peak else ''
            accuracies = [row['accuracy'] for row in rows if row['accuracy'] is not None]
            cells = [
                spread(steps),
                spread(share) if share and side != first else '',
                of_peak,
                f'{statistics.mean(accuracies):.4f}' if accuracies else '',
                f'{max(row["peak_mb"] for row in rows):,}',
            ]
            lines.append(f'{start}| {" | ".join(cells)} |')
    return '\n'.join(lines)


def heading(record: dict[str, Any]) -> str:
    """Returns what was measured on, and the ceilings."""
    here = record['machine']
    lines = [
        f'{here["cpu"]}, {here["cores"]} cores, {here["threads"]} threads each side; {", ".join(here["instruction_sets"])}',
        ', '.join(f'{name} {version}' for name, version in record['versions'].items()),
        'settings: ' + (' '.join(f'{name}={value}' for name, value in record['settings'].items()) or 'none'),
    ]
    for what in ('float32', 'bfloat16', 'copy'):
        found = ceiling(record, what)
        name = 'memory copy' if what == 'copy' else f'matrix product, {what}'
        if found:
            lines.append(f'{name}: {found["value"]:.0f} {found["unit"]} ({found["library"]})')
        elif what == 'bfloat16' and record['ceilings'] and not here['computes_bfloat16']:
            lines.append(f'{name}: not measured, this processor does not compute it')
    return '\n'.join(lines)


def differences(record: dict[str, Any], older: dict[str, Any]) -> list[str]:
    """Returns a line for each thing about the machine that is not what it was."""
    now, then = record['machine'], older['machine']
    return [f'{key} is {now[key]!r} here, and {then[key]!r} there' for key in machine.SAME if now[key] != then[key]]


def against(record: dict[str, Any], older: dict[str, Any], name: str) -> str:
    """Returns the ratios of these times to those of an older record, called `name`, after a warning if machines differ."""
    lines = [f'warning: {name} is of another machine: {line}' for line in differences(record, older)]
    versions, old = record['versions'], older['versions']
    changed = [f'{package} {old[package]} -> {versions[package]}' for package in versions if package in old]
    changed = [line for line in changed if line.split()[1] != line.split()[3]]
    if changed:
        lines.append(f'versions that changed: {", ".join(changed)}')
    lines += [
        f'| model | side | ms a step in {name} ({older["date"][:10]}) | ms a step now | now / then |',
        '| --- | --- | --- | --- | --- |',
    ]
    then = by_side(older)
    for key, rows in by_side(record).items():
        if key not in then:
            continue
        new, past = ([one for row in part for one in milliseconds(row)] for part in (rows, then[key]))
        ratio = statistics.median(new) / statistics.median(past)
        extremes = f'{min(new) / max(past):.2f} to {max(new) / min(past):.2f}'
        cells = [NETWORKS[key[0]].title, key[1], spread(past), spread(new), f'{ratio:.2f} ({extremes})']
        lines.append(f'| {" | ".join(cells)} |')
    if lines[-1].startswith('| ---'):
        lines.append(f'{name} has none of these networks and sides')
    return '\n'.join(lines)
