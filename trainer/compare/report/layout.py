"""What a study varies, and how that is laid out: which axis makes the rows, the colours and the panels of a page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import ml_collections
import numpy as np
import pandas as pd

from trainer.compare.analysis.claims.selection import label
from trainer.output.progress import warn

#: The axis that makes workloads: accuracies of different models are not put on one scale.
WORKLOAD = 'model'

#: Most lines in one chart of curves, and most values that are distinguished by colour and marker.
MOST_LINES, MOST_COLORS = 8, 4

#: Between the values of a name.
SEPARATOR = ' · '

#: These axes come first where no paper gives an order.
FIRST = ('model', 'optimizer')

#: What a study's runs are compared by, the first above all -> which is better.
METRICS: Mapping[str, str] = {'test_accuracy': 'max', 'test_loss': 'min'}

#: The axis that the engine adds where a study tunes: its values in order, and in words.
TUNING = {'default': 'default', 'rate': 'rate tuned', 'all': 'all tuned'}


@dataclass(frozen=True)
class Layout:
    """`values`: axis -> its values in order. `pooled`: axes whose values compute the same thing.

    `metrics`: what is compared, the first above all -> which is better, 'max' or 'min'. A study that lists its variants
    has one axis, `variant`, and in `split` the label by which its curves are split.
    """

    values: Mapping[str, Sequence[str]]
    pooled: tuple[str, ...] = ()
    split: str | None = None
    metrics: Mapping[str, str] = field(default_factory=lambda: METRICS)

    @property
    def primary(self) -> str:
        """The metric that variants are ranked by."""
        return next(iter(self.metrics))

    @property
    def axes(self) -> tuple[str, ...]:
        """All axes, in order."""
        return tuple(self.values)

    @property
    def workload(self) -> str | None:
        """The axis that makes workloads; None for a single workload."""
        return WORKLOAD if len(self.values.get(WORKLOAD, ())) > 1 and len(self.axes) > 1 else None

    @property
    def workloads(self) -> list[dict[str, str]]:
        """A selector for each workload."""
        return [{self.workload: value} for value in self.values[self.workload]] if self.workload else [{}]

    @property
    def compared(self) -> tuple[str, ...]:
        """The axes whose values are ranked within a workload."""
        return tuple(axis for axis in self.axes if axis != self.workload and axis not in self.pooled)

    @property
    def color(self) -> str | None:
        """The axis shown by colour in charts of intervals: the last one with few values, if another makes the rows."""
        few = [a for a in self.axes if a != self.workload and 2 <= len(self.values[a]) <= MOST_COLORS]
        return few[-1] if few and len(self.rows_and_color) > 1 else None

    @property
    def rows_and_color(self) -> tuple[str, ...]:
        """The axes that are shown within a workload."""
        return tuple(axis for axis in self.axes if axis != self.workload)

    @property
    def rows(self) -> tuple[str, ...]:
        """The axes that make the rows in charts of intervals."""
        return tuple(axis for axis in self.rows_and_color if axis != self.color)

    def names(self, axes: Sequence[str]) -> list[str]:
        """Returns the names of all combinations of values on `axes`, in order, as `names_of` makes them."""
        combinations = product(*(self.values[axis] for axis in axes))
        return [SEPARATOR.join(map(name_of, axes, combination)) for combination in combinations] if axes else ['all']

    def lines(self, axes: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns (axes that make lines, axes that make panels) of charts with one line for each of their values.

        All in one panel where they are few; else one axis makes the lines.
        """
        if math.prod(len(self.values[axis]) for axis in axes) <= MOST_LINES or axes == ('variant',):
            return tuple(axes), ()
        few = [axis for axis in axes if len(self.values[axis]) <= MOST_LINES]
        line = max(few, key=lambda axis: len(self.values[axis]), default=axes[-1])
        return (line,), tuple(axis for axis in axes if axis != line)


def layout_of(
    study: ml_collections.ConfigDict,
    runs: pd.DataFrame,
    pooled: Iterable[str] = (),
    metrics: Mapping[str, str] = METRICS,
) -> Layout:
    """Returns the layout of a study's finished runs."""
    named = labels_of(study)
    if not named and not study.get('variants'):  # results from elsewhere
        return Layout({'variant': list(dict.fromkeys(runs['variant']))}, metrics=metrics)
    if study.get('variants'):
        split = next((axis for axis in named if axis in runs and runs[axis].nunique() > 1), None)
        return Layout(
            {'variant': _ordered(runs['variant'].unique(), list(study.variants))}, split=split, metrics=metrics
        )
    table = study.get('paper', {}).get('table', ())
    axes = [axis for axis in (table[0]['variant'] if table else ()) if axis in named]
    axes += [axis for axis in (*FIRST, *named, 'tuning') if axis not in axes and axis in runs]
    axes = list(dict.fromkeys(axes))
    values = {}
    for axis in axes:
        preferred = [*dict.fromkeys(row['variant'][axis] for row in table if axis in row['variant'])]
        values[axis] = _ordered(runs[axis].unique(), preferred or list(TUNING))
    return Layout(values, tuple(axis for axis in pooled if axis in values), metrics=metrics)


def labels_of(study: ml_collections.ConfigDict) -> list[str]:
    """Returns the names of a study's axes; of listed variants, those of their labels."""
    if study.get('variants'):
        return [*dict.fromkeys(axis for variant in study.variants.values() for axis in variant.get('labels', {}))]
    return list(study.get('axes', ()))


def name_of(axis: str, value: str) -> str:
    """Returns one value of an axis in words."""
    if axis == 'variant':
        return value
    if axis == 'tuning':
        return TUNING.get(value, f'{value} tuned')
    return label({axis: value}).replace('learning rate', 'rate').replace('_', ' ')


def words_of(metric: str) -> str:
    """Returns a column's name in words: 'Test accuracy'."""
    return metric.replace('_', ' ').replace('train ', 'training ').capitalize()


def names_of(runs: pd.DataFrame, axes: Sequence[str]) -> pd.Series:
    """Returns a name for each run, made of its values on `axes`."""
    if not axes:
        return pd.Series('all', runs.index)
    parts = [runs[axis].map(lambda value, axis=axis: name_of(axis, value)) for axis in axes]
    return parts[0].str.cat(parts[1:], sep=SEPARATOR)


def by_seed(runs: pd.DataFrame, layout: Layout, metric: str) -> pd.DataFrame:
    """Returns a metric of what is compared, as seeds x names: pooled over the axes that make no difference.

    A diverged run is infinitely bad, so that it is not an advantage to diverge.
    """
    worst = -np.inf if layout.metrics[metric] == 'max' else np.inf
    values = runs[metric].astype(float).where(runs['status'] == 'completed', worst)
    names = names_of(runs, layout.compared)
    groups = values.groupby([runs['seed'], names], sort=False)
    # A seed that only some of the pooled variants have is not the mean over all of them.
    of_each = runs['variant'].groupby(names).transform('nunique') if 'variant' in runs else 1
    complete = groups.transform('size') >= of_each
    table = values[complete].groupby([runs['seed'], names], sort=False).mean().unstack()
    return table.sort_index()


def in_order(runs: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Returns the runs sorted by their values on the layout's axes, then by seed."""
    ranks = {axis: runs[axis].map({value: i for i, value in enumerate(layout.values[axis])}) for axis in layout.axes}
    order = pd.DataFrame(ranks | {'seed': runs['seed']}).sort_values([*layout.axes, 'seed']).index
    return runs.loc[order]


def _ordered(values: Iterable[str], preferred: Sequence[str]) -> list[str]:
    known = set(values)
    try:
        return sorted(known, key=float)
    except ValueError:
        return [v for v in preferred if v in known] + sorted(known - set(preferred), key=str.lower)


def with_numbers(runs: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """Returns the frame with its metrics as floats: None, of a run that diverged, makes a column of objects."""
    own = {*metrics, *(f'validation_{metric.removeprefix("test_")}' for metric in metrics)}
    own |= {f'{split}_{name}' for split in ('train', 'validation', 'test') for name in ('accuracy', 'loss')}
    numbers = [c for c in runs if c in own]  # and no axis, such as 'auxiliary_loss'
    return runs.reset_index(drop=True).astype(dict.fromkeys(numbers, float))


def known_of_all(runs: pd.DataFrame, metrics: Mapping[str, str]) -> dict[str, str]:
    """Returns the metrics that every completed run has, with a warning for each other one: its means would not compare."""
    known = dict(metrics)
    completed = runs[runs['status'] == 'completed'] if len(runs) else runs
    for metric in metrics:
        missing = completed[completed[metric].isna()] if metric in completed else completed[:0]
        if len(missing):
            run = missing.iloc[0]
            warn(f"{metric} is left out of the report: run '{run['variant']}', seed {run['seed']}, has no value of it")
            del known[metric]
    return known
