"""What the dashboard of a study shows, as TensorBoard's own values: means and intervals, single runs, charts, columns."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MarginChartContent,
    MultilineChartContent,
)
from tensorboard.plugins.hparams import api_pb2

from trainer import metrics, results
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.statistics import CONFIDENCE, cut, estimate, mean_intervals
from trainer.compare.analysis.tuning.replicates import means_of
from trainer.compare.analysis.words import count
from trainer.compare.grid import RunSpec, Variant
from trainer.output import events
from trainer.results import metrics_of

SPLITS = ('test', 'validation', 'train')


def mean_of(
    variant: Variant, units: Sequence[Sequence[dict]], how_many: str, row: Mapping[str, float | str] | None, unit: str
) -> list[events.Step]:
    """Returns the TensorBoard run of a variant: what its completed runs have in common.

    Args:
      variant: that the results are of.
      units: the finished results of each seed or replicate, which counts once; if one of them diverged, it did.
      how_many: how many they are, in words.
      row: of the HParams page, where the single runs have none.
      unit: 'seed' or 'replicate'.
    """
    completed = [own for own in units if all(result['status'] == 'completed' for result in own)]
    names = metrics_of(completed[0][0]) if completed else {}
    steps = _curves([_history(own) for own in completed], list(names))
    lines = [how_many]
    if unit != 'seed':
        lines.append(f'Each {unit} counts once, as the mean over its seeds; intervals are over {unit}s.')
    if len(completed) < len(units):
        words = 'diverged' if unit == 'seed' else f'of {count(len(units), unit)} have a run that diverged'
        lines.append(f'**{len(units) - len(completed)} {words}** and are in no mean.')
    last: list[Summary.Value] = []
    for name, numbers in _results(completed).items():
        found = estimate(numbers, bounds=range_of(name))
        values = _with_interval(f'result/{name}', found.mean, found.low, found.high)
        split, _, metric = name.partition('_')
        if split == 'test' and not any(f'{metric}/{split}' == value.tag for _, _, v in steps for value in v):
            values += _with_interval(f'{metric}/{split}', found.mean, found.low, found.high)
        last += values
        lines.append(f'{name.replace("_", " ")}: **{found.mean:.4g}**' + _interval(found.low, found.high))
    first = [events.text('variant', '\n\n'.join(lines))]
    if row:
        first.append(events.session(row, variant.name, None))
    return [(0, None, first), *steps, (max(result['steps'] for own in units for result in own), None, last)]


def _history(results: Sequence[dict]) -> Sequence[Mapping]:
    """Returns the history of a unit: the means over its runs, at the evaluations that all of them have."""
    if len(results) == 1:
        return results[0]['history']
    return [means_of(entries) for entries in zip(*(result['history'] for result in results), strict=False)]


def _curves(histories: Sequence[Sequence[Mapping]], names: Iterable[str]) -> list[events.Step]:
    """Returns the means over runs at each evaluation that all of them have: with early stopping some end before others."""
    found = []
    for entries in zip(*histories, strict=False):
        for metric, split in itertools.product(names, SPLITS):
            numbers = [entry.get(f'{split}_{metric}') for entry in entries]
            if None not in numbers:
                found.append((int(entries[0]['step']), f'{metric}/{split}', numbers))
    if not found:
        return []
    steps, tags, columns = zip(*found, strict=True)
    table = np.array(columns, float).T
    lows, highs = mean_intervals(table)
    if len(table) > 1:
        bounds = np.array([range_of(tag.partition('/')[0]) for tag in tags]).T
        ends = cut(np.array(lows, float), np.array(highs, float), table.min(0), table.max(0), (bounds[0], bounds[1]))
        lows, highs = (one.tolist() for one in ends)
    values = zip(steps, map(_with_interval, tags, table.mean(0).tolist(), lows, highs), strict=True)
    groups = itertools.groupby(values, key=lambda pair: pair[0])
    return [(step, None, [*itertools.chain(*(values for _, values in group))]) for step, group in groups]


def run_of(spec: RunSpec, result: dict) -> list[events.Step]:
    """Returns the TensorBoard run of a single run."""
    ended = (spec.workdir / 'result.json').stat().st_mtime
    started = ended - result['seconds']['total']
    steps: list[events.Step] = [(0, started, [events.session(row_of(spec.variant), spec.variant.name, started)])]
    for entry in result['history']:
        values = [
            events.scalar(f'seed_{metric}/{split}', entry[f'{split}_{metric}'])
            for metric, split in itertools.product(metrics_of(result), SPLITS)
            if entry.get(f'{split}_{metric}') is not None
        ]
        steps.append((entry['step'], started + entry['seconds'], values))
    completed = result['status'] == 'completed'
    found = _results([[result]] if completed else [])
    last = [events.scalar(f'seed_result/{name}', numbers[0]) for name, numbers in found.items()]
    steps.append((result['steps'], ended, [*last, events.session_end(completed, ended)]))
    return steps


def _results(completed: Sequence[Sequence[dict]]) -> dict[str, list[float]]:
    """Returns what is compared in the end, by name: of the weights that were tested, not of the last ones.

    A number for each unit (`mean_of`), the mean over its runs.
    """
    runs = [result for own in completed for result in own]
    names = metrics_of(runs[0]) if runs else {}
    of_tests = [result['test'] for result in runs]
    of_best = [results.best_of(result) for result in runs]
    found = {f'test_{metric}': [test.get(metric) for test in of_tests] for metric in names}
    found |= {f'validation_{metric}': [best.get(f'validation_{metric}') for best in of_best] for metric in names}
    made = {}
    for name, numbers in found.items():
        if None not in numbers:
            rest = iter(numbers)
            made[name] = [float(np.mean([*itertools.islice(rest, len(own))])) for own in completed]
    return made


def _with_interval(tag: str, mean: float, low: float | None, high: float | None) -> list[Summary.Value]:
    """A mean and the ends of its interval; of one seed there is none."""
    values = [events.scalar(tag, mean)]
    if low is not None and high is not None:
        values += [events.scalar(f'mean_interval/{tag}/{end}', value) for end, value in (('low', low), ('high', high))]
    return values


def _interval(low: float | None, high: float | None) -> str:
    return '' if low is None else f' [{low:.4g}, {high:.4g}]'


def axes_of(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """Returns the values of each axis, in order."""
    names = dict.fromkeys(axis for variant in variants for axis in variant.labels)
    return {axis: [*dict.fromkeys(v.labels[axis] for v in variants if axis in v.labels)] for axis in names}


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def row_of(variant: Variant) -> dict[str, float | str]:
    """Returns the row of a variant on the HParams page."""
    return {axis: value if (n := _number(value)) is None else n for axis, value in variant.labels.items()}


def columns_of(
    variants: Sequence[Variant], single_runs: bool
) -> tuple[list[api_pb2.HParamInfo], list[api_pb2.MetricInfo]]:
    """Returns the columns of the HParams page: the axes with their values, and what the runs are judged by.

    The seed is none: TensorBoard shows one of a group, whose metrics are means over all.
    """
    columns = []
    for axis, values in axes_of(variants).items():
        numbers = [number for value in values if (number := _number(value)) is not None]
        typed = len(numbers) == len(values)
        column = api_pb2.HParamInfo(name=axis, display_name=axis.replace('_', ' '), differs=len(values) > 1)
        column.type = api_pb2.DATA_TYPE_FLOAT64 if typed else api_pb2.DATA_TYPE_STRING
        column.domain_discrete.extend(sorted(numbers) if typed else values)
        columns.append(column)
    splits = ['test', *(['validation'] if any(v.config.data.validation for v in variants) else [])]
    shown = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=('seed_' if single_runs else '') + f'result/{split}_{name}'),
            display_name=f'{split} {name.replace("_", " ")} {"↑" if goal == "max" else "↓"}',
            description=f'Mean over the finished seeds; {"higher" if goal == "max" else "lower"} is better.',
        )
        for split in splits
        for name, goal in metrics.goals(variants[0].config.metrics).items()
    ]
    return columns, shown


def charts_of(variants: Sequence[Variant], unit: str) -> Layout:
    """Returns the charts of the custom scalars page."""
    configs = [variant.config for variant in variants]
    curves = {
        'test': any(config.test_every_evaluation for config in configs),
        'validation': any(config.data.validation for config in configs),
        'train': True,
    }
    means, singles = [], []
    for metric, split in itertools.product(metrics.goals(configs[0].metrics), SPLITS):
        if curves[split] and (split != 'train' or metric in metrics.ALWAYS):
            tag = f'{metric}/{split}'
            ends = {'lower': f'mean_interval/{tag}/low', 'upper': f'mean_interval/{tag}/high'}
            margin = MarginChartContent(series=[MarginChartContent.Series(value=tag, **ends)])
            title = f'{split} {metric.replace("_", " ")} by step'
            means.append(Chart(title=title, margin=margin))
            singles.append(Chart(title=title, multiline=MultilineChartContent(tag=[f'^seed_{tag}$'])))
    return Layout(
        category=[
            # The page shows the last chart first.
            Category(title=f'Mean over {unit}s, {CONFIDENCE:.0%} interval', chart=reversed(means)),
            Category(title='Single seeds', chart=reversed(singles), closed=True),
        ]
    )
