"""The charts of training: the history of a metric, with its interval over seeds, and next to a paper's.

Each takes frames and returns figures, and no file.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainer.compare.analysis.claims.selection import select
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.statistics import cut, t_reach
from trainer.compare.report.charts import figures
from trainer.compare.report.layout import Layout, name_of, names_of, words_of

#: With more panels than this, curves are shown of the first metric alone.
MOST_PANELS = 4

#: A line of more points than this has no markers.
MOST_MARKERS = 25


def histories(runs: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Returns an evaluation a row: `run` (its label in `runs`), `evaluation` (0, 1, ...), and the history's fields.

    `metrics`: names without a split; of one that was not measured there are no numbers.

    Runs that diverged are left out: their curves end before the others'.
    """
    rows = [
        {'run': index, 'evaluation': i} | entry
        for index, history in runs.loc[runs['status'] == 'completed', 'history'].items()
        for i, entry in enumerate(history)
    ]
    columns = ['run', 'evaluation', 'epoch', *(f'{s}_{m}' for s in SPLITS for m in metrics)]
    return pd.DataFrame(rows).reindex(columns=columns).astype(dict.fromkeys(columns[2:], float))


#: In order of preference: what curves are shown of.
SPLITS = ('validation', 'test', 'train')


def curve(evaluations: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns epoch, mean over runs, and the ends of its t interval, one row an evaluation."""
    groups = evaluations.groupby('evaluation')
    found = (
        groups[metric]
        .agg(['mean', 'sem', 'count', 'min', 'max'])
        .assign(epoch=groups['epoch'].mean())
        .dropna(subset='mean')
    )
    reach = found['sem'] * t_reach(found['count'] - 1)
    low, high = cut(found['mean'] - reach, found['mean'] + reach, found['min'], found['max'], range_of(metric))
    return found.drop(columns=['min', 'max']).assign(low=low, high=high)


def curves(runs: pd.DataFrame, layout: Layout, dataset: str) -> list[figures.Plot]:
    """Validation (else test, else training) metrics by epoch: few lines a chart, and a chart for each rest."""
    compared = [metric.removeprefix('test_') for metric in layout.metrics]
    evaluations = histories(runs, compared)
    split = next((s for s in SPLITS if evaluations[f'{s}_loss'].notna().any()), None)
    if split is None or evaluations['evaluation'].max() < 1:
        return []
    line, panel = layout.lines(layout.compared)
    by = [axis for axis in (layout.workload, *panel) if axis]
    if layout.split and len(layout.values['variant']) > 8:
        by = [layout.split]
    panels = [({}, runs)] if not by else list(runs.groupby(by, sort=False))
    names, plots = layout.names(line), []
    shown = [m for name in compared if evaluations[m := f'{split}_{name}'].notna().any()]
    for metric in shown if len(panels) <= MOST_PANELS else shown[:1]:
        drawn = [
            (
                ', '.join(name_of(axis, value) for axis, value in zip(by, key, strict=True)),
                {
                    name: curve(evaluations[evaluations['run'].isin(own.index)], metric)
                    for name, own in group.groupby(names_of(group, line), sort=False)
                },
            )
            for key, group in panels
        ]
        every = np.concatenate([c['mean'].to_numpy() for _, lines in drawn for c in lines.values()])
        for title, lines in drawn:
            lines = {name: lines[name] for name in names if name in lines and len(lines[name])}
            colors = lines if layout.split else names
            plots.append(_curves(metric, title, lines, list(colors), every, dataset))
    return plots


def _curves(
    metric: str, title: str, lines: Mapping[str, pd.DataFrame], names: Sequence[str], every: np.ndarray, dataset: str
) -> figures.Plot:
    name = figures.slug('curve', metric, title)
    with figures.style(name):
        figure, (axes,) = figures.canvas(250 + 17 * math.ceil(len(lines) / 3))
        handles = []
        for key, found in lines.items():
            look = figures.look(names.index(key)) | ({'marker': None} if len(found) > MOST_MARKERS else {})
            axes.fill_between(found['epoch'], found['low'], found['high'], color=look['color'], alpha=0.18, lw=0)
            handles += axes.plot(found['epoch'], found['mean'], ms=4, mew=0, label=key, **look)
        figures.scale(axes, 'y', metric, every)
        _epochs(axes)
        heading = ', '.join(filter(None, [words_of(metric), title]))
        figures.heading_of(axes, f'{heading} · {dataset}')
        figures.legend(figure, handles, 3)
        return figures.finish(figure, name, f'{heading} on {dataset} by epoch: {", ".join(lines)}.')


def paper_curves(
    runs: pd.DataFrame, published: Iterable[Mapping[str, Any]], dataset: str
) -> tuple[list[figures.Plot], pd.DataFrame]:
    """The paper's curves and ours: a chart for each variant and metric, and all numbers as a table."""
    published, rows = list(published), []
    evaluations = histories(runs, dict.fromkeys(line['metric'].partition('_')[2] for line in published))
    for line in published:
        own = evaluations[evaluations['run'].isin(select(runs, line['variant']).index)]
        found = curve(own, line['metric']) if len(own) else pd.DataFrame({'epoch': []})
        variant = ' · '.join(name_of(*item) for item in line['variant'].items())
        for epoch, value in zip(line['epochs'], line['values'], strict=True):
            at = found[np.isclose(found['epoch'], epoch, atol=0.01)]
            ours = at.iloc[0][['mean', 'low', 'high']].to_dict() if len(at) else {}
            rows.append({'variant': variant, 'metric': line['metric'], 'epoch': epoch, 'paper': value} | ours)
    table = pd.DataFrame(rows, columns=['variant', 'metric', 'epoch', 'paper', 'mean', 'low', 'high'])
    table['difference'] = table['mean'] - table['paper']
    plots = []
    for (variant, kind), group in table.groupby(['variant', table['metric'].str.partition('_')[2]], sort=False):
        if group['mean'].notna().any():
            plots.append(_paper_curves(variant, kind, group, dataset))
    return plots, table


def _paper_curves(variant: str, kind: str, table: pd.DataFrame, dataset: str) -> figures.Plot:
    name = figures.slug('paper', variant, kind)
    with figures.style(name):
        figure, (axes,) = figures.canvas(260)
        handles = []
        for i, (metric, rows) in enumerate(table.groupby('metric', sort=False)):
            ours = rows.dropna(subset='mean')
            axes.fill_between(ours['epoch'], ours['low'], ours['high'], color=figures.SERIES[i], alpha=0.2, lw=0)
            words = words_of(metric).lower()
            handles += axes.plot(
                ours['epoch'], ours['mean'], color=figures.SERIES[i], ls=figures.DASHES[i], label=f'{words}, ours'
            )
            handles += axes.plot(
                rows['epoch'],
                rows['paper'],
                figures.MARKERS[i],
                mfc='none',
                mec=figures.SERIES[i],
                mew=1.3,
                label=f'{words}, paper',
            )
        figures.scale(axes, 'y', kind, table[['mean', 'paper']].to_numpy())
        _epochs(axes)
        figures.heading_of(axes, f'{kind.capitalize()}, {variant} · {dataset}')
        figures.legend(figure, handles, 2)
        return figures.finish(figure, name, f'{kind} of {variant} on {dataset} by epoch, ours and the paper’s.')


def _epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel('epoch')
    axes.grid(axis='y')
