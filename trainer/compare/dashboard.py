"""A study in TensorBoard: `tensorboard --logdir=<workdir>`.

    <workdir>/mean/               what is compared, how to read it, the layout of the charts, the columns of HParams
    <workdir>/mean/<variant>/     a TensorBoard run for each variant: means over seeds by step, and their intervals; with
                                  replicates of tuning (analysis/tuning/replicates.py), means and intervals over replicates
    <workdir>/seeds/<variant>/<seed>/    a TensorBoard run for each run, with its row in HParams

All of it is worked out from the runs' result.json, a variant at a time, whenever one of its runs finishes. A folder holds
one event file, which is replaced and never appended to: no point is there twice, whoever else writes and whatever was
killed. What the study does not have any more (a variant, a seed, a result) goes from both folders; the runs' own folders
are never touched. Needs no TensorFlow.
"""

import contextlib
import io
import itertools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MarginChartContent,
    MultilineChartContent,
)
from tensorboard.plugins.hparams import api_pb2

from seedwise.errors import CannotWrite, writing
from seedwise.storage import locks
from trainer import metrics, results
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.statistics import CONFIDENCE, cut, estimate, mean_intervals
from trainer.compare.analysis.tuning.replicates import means_of
from trainer.compare.analysis.words import count
from trainer.compare.grid import RunSpec, Variant, runs_of
from trainer.output import events, images
from trainer.output.progress import warn
from trainer.output.report import tensorboard_command
from trainer.results import metrics_of

#: Folders below the study's; no variant may have their name.
MEAN, SEEDS = 'mean', 'seeds'

#: What to open: the older pages of TensorBoard show no run unasked beyond 40 runs, and the filter of runs
#: brings up the means.
FRONT = f'?smoothing=0&runFilter=^{MEAN}#timeseries&regexInput=^{MEAN}'

#: Up to this number of TensorBoard runs its first page shows all unasked; of more it shows none.
MOST_SHOWN = 500

#: Of the figure of the results, in pixels: what fits on the page in actual size.
WIDTH = 900

SPLITS = ('test', 'validation', 'train')

#: What is kept of each result, of which a study may have thousands.
SHOWN = ('status', 'steps', 'metrics', 'monitor', 'history', 'test', 'seconds')


class Dashboard:
    """What TensorBoard shows of a study, right at any moment for what is finished.

    Several processes may keep the dashboard of one study: each that finishes a run writes its variant again from all that
    is finished, one process at a time.
    """

    def __init__(
        self,
        title: str,
        seeds: Sequence[int],
        workdir: Path,
        *,
        at_most: bool = False,
        replicates: Mapping[int, int] | None = None,
    ):
        """`title`: the study's name; `seeds`: of each variant, or those that it may get `at_most`; `replicates`: of each
        seed the replicate of tuning, each of which counts once."""
        self._title, self._seeds, self._workdir, self._at_most = title, seeds, workdir, at_most
        self._replicates = replicates or {}
        self._results: dict[tuple[str, int], dict] = {}
        self._order: dict[str, int] = {}
        self._single_runs = True
        self._given_up = False

    @property
    def command(self) -> str:
        """How to open it."""
        return f'{tensorboard_command(self._workdir)}, then http://localhost:6006/{FRONT}'

    def begin(self, variants: Sequence[Variant], answer: bytes | None = None, later: Iterable[str] = ()) -> None:
        """Writes what does not wait for another run of these variants to finish, and deletes what is not theirs.

        Args:
          variants: all that are compared.
          answer: a figure of the results as PNG, where all runs are finished.
          later: names of variants that will be compared too, or are already, as other processes know.

        Raises:
          CannotWrite: the boards cannot be written.
        """
        names = {*(variant.name for variant in variants), *later}
        runs = len(names) * len(self._seeds)
        if self._at_most:  # as many as there are: few variants get that many seeds
            runs = sum(spec.workdir.is_dir() for spec in runs_of(variants, self._seeds, self._workdir))
        self._single_runs = 1 + len(names) + runs <= MOST_SHOWN
        folder = self._workdir / MEAN
        with locks.locked_file(folder / '.lock'):
            self._delete_others(names)
            _replace(folder, [(0, None, self._frame(variants, answer))], order=1)
        self._order = {variant.name: 2 + i for i, variant in enumerate(variants)}
        for variant in variants:
            self._update(variant)

    def finished(self, spec: RunSpec) -> None:
        """Adds a run that has just finished, and those of its variant that other processes have finished since.

        A board that cannot be written costs no run: that is reported once, and the study goes on.
        """
        if spec.drawn is not None or self._given_up:  # trials are not compared
            return
        try:
            self._update(spec.variant)
        except CannotWrite as error:
            self._given_up = True
            warn(f'{error.path} cannot be written: {error.reason}; TensorBoard shows no more of this study for now')

    def _delete_others(self, names: set[str]) -> None:
        """Deletes the boards of variants and seeds that the study does not have."""
        if not self._single_runs:
            _delete(self._workdir / SEEDS)
        seeds = set(map(str, self._seeds))
        for folder in [*(self._workdir / MEAN).glob('*/'), *(self._workdir / SEEDS).glob('*/')]:
            if folder.name not in names:
                _delete(folder)
        for folder in (self._workdir / SEEDS).glob('*/*/'):
            if folder.name not in seeds:
                _delete(folder)

    def _update(self, variant: Variant) -> None:
        """Writes the mean of what is finished of a variant."""
        folder = self._workdir / MEAN / variant.name
        with locks.locked_file(folder / '.lock'):
            finished: dict[int, list[dict]] = {}
            for spec in runs_of([variant], self._seeds, self._workdir):
                key, board = (variant.name, spec.seed), self._workdir / SEEDS / variant.name / str(spec.seed)
                known = self._results.get(key)
                result = known or spec.result()
                if result is None:
                    _delete(board)
                    continue
                finished.setdefault(self._replicates.get(spec.seed, spec.seed), []).append(result)
                self._results[key] = {name: result[name] for name in SHOWN if name in result}
                if self._single_runs and not (known and board.is_dir()):
                    _replace(board, _run(spec, result))
            row = None if self._single_runs else _row(variant)
            seeds = count(len(self._seeds), 'seed')
            n = sum(map(len, finished.values()))
            of = f'{count(n, "seed")} finished, of at most {len(self._seeds)}.'
            of = of if self._at_most else f'{n} of {seeds} finished.'
            steps = _mean(variant, [*finished.values()], of, row, self._unit) if finished else []
            _replace(folder, steps, order=self._order[variant.name])

    @property
    def _unit(self) -> str:
        """What intervals are over."""
        return 'replicate' if self._replicates else 'seed'

    def _frame(self, variants: Sequence[Variant], answer: bytes | None) -> list[Summary.Value]:
        values = [
            events.text('study', self._about(variants)),
            events.layout(_charts(variants, self._unit)),
            events.experiment(*_columns(variants, self._single_runs)),
        ]
        if answer:
            figure = Image.open(io.BytesIO(answer))
            figure.thumbnail((WIDTH, WIDTH))
            values.append(events.image('accuracy/overview', images.png(figure), *figure.size))
        return values

    def _about(self, variants: Sequence[Variant]) -> str:
        compared = '\n'.join(f'- {axis}: {", ".join(values)}' for axis, values in _axes(variants).items())
        return f"""
# {self._title}

{len(variants)} variants x {'at most ' * self._at_most}{len(self._seeds)} seeds on **{variants[0].config.data.name}**:

{compared}

How to read it:

- `{MEAN}/<variant>` is the mean over the finished {self._unit}s of a variant, `{SEEDS}/<variant>/<seed>` a single run.
- Time Series shows the means. Single runs are in its groups `seed_...`; filter runs by a variant's name.
- [Custom Scalars](/#custom_scalars&regexInput=%5E{MEAN}) shows means and {CONFIDENCE:.0%} intervals over {self._unit}s.
- [HParams](/#hparams) has a row for each variant, with the means over its seeds.
"""


def _mean(
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


def _run(spec: RunSpec, result: dict) -> list[events.Step]:
    """Returns the TensorBoard run of a single run."""
    ended = (spec.workdir / 'result.json').stat().st_mtime
    started = ended - result['seconds']['total']
    steps: list[events.Step] = [(0, started, [events.session(_row(spec.variant), spec.variant.name, started)])]
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

    A number for each unit (`_mean`), the mean over its runs.
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


def _axes(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """Returns the values of each axis, in order."""
    names = dict.fromkeys(axis for variant in variants for axis in variant.labels)
    return {axis: [*dict.fromkeys(v.labels[axis] for v in variants if axis in v.labels)] for axis in names}


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _row(variant: Variant) -> dict[str, float | str]:
    return {axis: value if (n := _number(value)) is None else n for axis, value in variant.labels.items()}


def _columns(
    variants: Sequence[Variant], single_runs: bool
) -> tuple[list[api_pb2.HParamInfo], list[api_pb2.MetricInfo]]:
    """Returns the columns of the HParams page: the axes with their values, and what the runs are judged by.

    The seed is none: TensorBoard shows one of a group, whose metrics are means over all.
    """
    columns = []
    for axis, values in _axes(variants).items():
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


def _charts(variants: Sequence[Variant], unit: str) -> Layout:
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


def _replace(folder: Path, steps: Sequence[events.Step], order: int = 0) -> None:
    with writing(folder):
        events.replace(folder, steps, order)


def _delete(folder: Path) -> None:
    """Deletes a folder, which may not be there, or be deleted by another process at the same time."""
    with writing(folder), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
