"""The charts of what settings do: sensitivity to the learning rate, tuning trials, performance profiles."""

import math
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from trainer.compare.analysis.claims.selection import select, time_to_target
from trainer.compare.analysis.metrics import goal_of, range_of
from trainer.compare.analysis.statistics import cut, t_reach
from trainer.compare.analysis.tuning.profiles import LARGEST_RATIO, performance_profile, profile_score
from trainer.compare.analysis.tuning.sensitivity import Sensitivity, learning_rate_sensitivity
from trainer.compare.report.charts import figures
from trainer.compare.report.layout import Layout, name_of, names_of, words_of

#: Columns that are added to runs and trials, by names that no axis has.
RATE, LINE, PANEL, VALUE = ' rate', ' line', ' panel', ' value'

#: Most lines in a performance profile: those with the best scores.
MOST_PROFILES = 7


def learning_rates(study: ml_collections.ConfigDict) -> tuple[str, dict[str, float]] | None:
    """Returns the axis that varies the learning rate and nothing else, and its rates; None: there is none."""
    for axis, values in study.get('axes', {}).items():
        rates = {str(name): v.get('optimizer', {}).get('learning_rate') for name, v in values.items()}
        alone = all(list(v) == ['optimizer'] and list(v.optimizer) == ['learning_rate'] for v in values.values())
        if alone and len(rates) > 1 and None not in rates.values():
            return axis, rates
    return None


def rate_sensitivity(
    runs: pd.DataFrame, layout: Layout, axis: str, rates: Mapping[str, float], dataset: str
) -> list[figures.Plot]:
    """The primary metric by learning rate: mean and interval of each combination of the rest."""
    metric = f'validation_{layout.primary.removeprefix("test_")}'
    metric = metric if metric in runs and runs[metric].notna().any() else layout.primary
    rest = tuple(a for a in layout.compared if a != axis)
    line, panel = layout.lines(rest)
    by = [a for a in (layout.workload, *panel) if a]
    runs = runs.assign(**{RATE: runs[axis].map(rates), LINE: names_of(runs, line)})
    names, plots = layout.names(line), []
    done = runs[runs['status'] == 'completed']
    for key, group in [((), runs)] if not by else runs.groupby(by, sort=False):
        where = ', '.join(name_of(a, value) for a, value in zip(by, key, strict=True))
        name = figures.slug('learning_rate', where)
        with figures.style(name):
            figure, (axes,) = figures.canvas(260 + 17 * math.ceil(len(names) / 3))
            handles = []
            for i, own_name in enumerate(names):
                own = group[group[LINE] == own_name]
                ok = own[own['status'] == 'completed'].groupby(RATE)[metric].agg(['mean', 'sem', 'count', 'min', 'max'])
                reach = (ok['sem'] * t_reach(ok['count'] - 1)).fillna(0)
                ends = cut(ok['mean'] - reach, ok['mean'] + reach, ok['min'], ok['max'], range_of(metric))
                look = figures.look(i)
                color = look['color']
                bars = [ok['mean'] - ends[0], ends[1] - ok['mean']]
                axes.errorbar(ok.index, ok['mean'], bars, color=color, fmt='none', elinewidth=1.5)
                handles += axes.plot(ok.index, ok['mean'], ms=5, mew=0.6, mec=figures.PAPER, label=own_name, **look)
                lost = own[own['status'] != 'completed'].groupby(RATE).size()
                axes.plot(lost.index, [0.02] * len(lost), 'x', color=color, transform=axes.get_xaxis_transform())
            figures.log_axis(axes)
            axes.set_xlabel('learning rate (\N{MULTIPLICATION SIGN}: a run diverged)')
            figures.scale(axes, 'y', metric, done[metric].to_numpy(float))
            axes.grid(axis='y')
            figures.heading_of(axes, ', '.join(filter(None, [words_of(metric), where])) + f' · {dataset}')
            figures.legend(figure, handles, 3)
            plots.append(figures.finish(figure, name, f'{words_of(metric)} by learning rate on {dataset}, {where}'))
    return plots


def tuning(
    trials: pd.DataFrame, layout: Layout, metric: str, tolerance: float, dataset: str
) -> dict[str, list[figures.Plot]]:
    """What the trials say of learning rates: `widths` of the good ones, and all `trials`."""
    # Where other arguments vary too, a trial says little of its learning rate.
    rates = trials[trials['tuning'] == 'rate'] if 'tuning' in trials else trials
    rates = rates.dropna(subset=['low', 'high'])
    rates = rates[rates['low'] > 0]  # on a scale of decades
    if rates.empty:
        return {}
    widths = sensitivities(rates, layout, metric, tolerance)
    return {
        'widths': [width_chart(found, where, tolerance, dataset) for where, found in widths.items() if found],
        'trials': trial_charts(rates, layout, metric, dataset),
    }


def trial_charts(trials: pd.DataFrame, layout: Layout, metric: str, dataset: str) -> list[figures.Plot]:
    """Every trial of the learning rate: a chart for what was tuned, a colour for each workload."""
    workloads = [next(iter(where.values()), '') for where in layout.workloads]
    axes_of_panels = tuple(axis for axis in layout.compared if axis != 'tuning')
    values = trials[metric].astype(float).where(np.isfinite(trials[metric].astype(float)))
    trials = trials.assign(**{PANEL: names_of(trials, axes_of_panels), VALUE: values})
    plots = []
    for panel, group in trials.groupby(PANEL, sort=False):
        name = figures.slug('trials', panel)
        with figures.style(name):
            figure, (axes,) = figures.canvas(235)
            for i, workload in enumerate(workloads):
                own = select(group, {layout.workload: workload} if layout.workload else {})
                points = figures.look(i) | {'ls': ''}
                ok, lost = own.dropna(subset=VALUE), own[own[VALUE].isna()]
                axes.plot(ok['learning_rate'], ok[VALUE], ms=5, mew=0, alpha=0.8, **points)
                below = {'color': points['color'], 'transform': axes.get_xaxis_transform()}
                axes.plot(lost['learning_rate'], [0.03] * len(lost), 'x', **below)
            figures.log_axis(axes)
            axes.set_xlim(group['low'].min(), group['high'].max())
            axes.set_xlabel('learning rate')
            figures.scale(axes, 'y', metric, values.dropna().to_numpy())
            axes.grid(axis='y')
            figures.heading_of(axes, f'{words_of(metric)} of trials, {panel} · {dataset}')
            handles = [
                Line2D([], [], label=workload, **figures.look(i) | {'ls': '-', 'lw': 0})
                for i, workload in enumerate(workloads)
                if workload
            ]
            if group[VALUE].isna().any():
                handles.append(Line2D([], [], color=figures.MUTED, marker='x', lw=0, label='diverged'))
            figures.legend(figure, handles)
            alt = f'{words_of(metric)} of each trial of {panel} by learning rate, {dataset}.'
            plots.append(figures.finish(figure, name, alt))
    return plots


def sensitivities(
    trials: pd.DataFrame, layout: Layout, metric: str, tolerance: float
) -> dict[str, dict[str, Sensitivity]]:
    """Returns workload -> what was tuned -> how wide its good learning rates are; the widest first."""
    found = {}
    for where in layout.workloads:
        chosen = select(trials, where)
        named = chosen.groupby(names_of(chosen, tuple(a for a in layout.compared if a != 'tuning')), sort=False)
        own = {
            str(name): learning_rate_sensitivity(
                group['learning_rate'].tolist(),
                group[metric].astype(float).tolist(),
                (float(group['low'].min()), float(group['high'].max())),
                tolerance=tolerance,
                goal=goal_of(metric),
            )
            for name, group in named
            if np.isfinite(group[metric].astype(float)).any()
        }
        found[', '.join(where.values())] = dict(sorted(own.items(), key=lambda item: -item[1].width))
    return found


def width_chart(found: Mapping[str, Sensitivity], workload: str, tolerance: float, dataset: str) -> figures.Plot:
    """How many decades of learning rates are good, of each variant: share of its trials, with Wilson's interval."""
    name = figures.slug('good_rates', workload)
    with figures.style(name):
        figure, (axes,) = figures.canvas(96 + 22 * len(found))
        for y, one in enumerate(found.values()):
            axes.plot([one.width_low, one.width_high], [y, y], color=figures.SERIES[0], lw=3, solid_capstyle='butt')
            axes.plot(one.width, y, 'o', color=figures.SERIES[0], ms=6.5, mec=figures.PAPER, mew=0.8)
        axes.set_yticks(range(len(found)), list(found))
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.grid(axis='x')
        axes.spines['left'].set_visible(False)
        axes.set_xlabel(f'decades of learning rates within {tolerance:g} of the best')
        figures.heading_of(axes, ', '.join(filter(None, ['Good learning rates', workload])) + f' · {dataset}')
        return figures.finish(
            figure, name, f'Width of the good learning rates of {len(found)} variants, {workload}, {dataset}.'
        )


def target_of(claims: list[Mapping[str, Any]]) -> tuple[str, float] | None:
    """Returns the metric and the target that a study's claims ask for most; None: none does."""
    asked = [(claim.get('metric', 'test_accuracy'), claim['target']) for claim in claims if claim.get('target')]
    return max(dict.fromkeys(asked), key=asked.count) if asked else None


def profiles(
    runs: pd.DataFrame, layout: Layout, metric: str, target: float, dataset: str
) -> tuple[list[figures.Plot], pd.DataFrame]:
    """Performance profiles of epochs to a target, each workload with each seed counted as one; and the scores."""
    if not layout.workload or 'history' not in runs:
        return [], pd.DataFrame()
    times = time_to_target(runs, metric, target, 'epoch').where(runs['status'] == 'completed', math.inf)
    table = times.groupby([names_of(runs, layout.compared), runs[layout.workload], runs['seed']], sort=False).mean()
    table = table.unstack([1, 2]).dropna(axis=1)  # only what every variant has finished
    if table.empty or not np.isfinite(table).any(axis=None):
        return [], pd.DataFrame()
    by_variant = {str(name): {str(key): float(row[key]) for key in table.columns} for name, row in table.iterrows()}
    reached = {key for row in by_variant.values() for key, time in row.items() if math.isfinite(time)}
    by_variant = {name: {k: t for k, t in row.items() if k in reached} for name, row in by_variant.items()}
    scores = dict(sorted(profile_score(by_variant).items(), key=lambda item: -item[1]))
    taus, shares = performance_profile(by_variant)
    with figures.style('profile'):
        figure, (axes,) = figures.canvas(330)
        handles = []
        for i, name in enumerate(list(scores)[:MOST_PROFILES]):
            handles += axes.step(
                taus, shares[name], where='post', color=figures.SERIES[i], ls=figures.DASHES[i % 4], label=name
            )
        axes.set_xlim(1, LARGEST_RATIO)
        axes.set_ylim(-0.02, 1.04)
        axes.set_xlabel('epochs, as a multiple of the fastest variant’s')
        axes.set_ylabel('share of workloads')
        axes.grid()
        figures.heading_of(axes, f'Epochs to {words_of(metric).lower()} {target:g} · {dataset}')
        figures.legend(figure, handles, 2)
        alt = (
            f'Performance profile over {len(reached)} workloads, {dataset}: {", ".join(list(scores)[:MOST_PROFILES])}.'
        )
        plot = figures.finish(figure, 'profile', alt)
    solved = {name: f'{sum(map(math.isfinite, row.values()))} of {len(reached)}' for name, row in by_variant.items()}
    rows = [{'variant': name, 'score': score, 'reached': solved[name]} for name, score in scores.items()]
    return [plot], pd.DataFrame(rows)
