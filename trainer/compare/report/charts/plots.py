"""The charts of results: intervals, pairwise comparisons, looks. Each takes frames and returns figures, and no file."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from trainer.compare.analysis.claims.selection import select
from trainer.compare.analysis.comparisons import Comparison
from trainer.compare.analysis.statistics import ALPHA
from trainer.compare.report.charts import figures
from trainer.compare.report.layout import Layout, name_of, names_of, words_of
from trainer.compare.report.looks import Course

#: A column that is added to runs, by a name that no axis has.
ROW = ' row'

#: Charts of looks, and comparisons in one.
MOST_QUESTIONS, MOST_COURSES = 12, 4


# Intervals ----------------------------------------------------------------------------------------------------------


def intervals(runs: pd.DataFrame, table: pd.DataFrame, layout: Layout, dataset: str) -> list[figures.Plot]:
    """Mean of each variant with its interval, its seeds, and the paper's number: a chart a metric and workload."""
    plots = []
    for where, metric in product(layout.workloads, layout.metrics):
        name = figures.slug(metric.removeprefix('test_'), *where.values())
        rows = select(table, where)
        with figures.style(name):
            figure, (axes,) = figures.canvas(_interval_height(rows, layout))
            title = draw_intervals(axes, select(runs, where), rows, layout, metric, where, dataset)
            figures.legend(figure, _interval_legend(rows, layout, metric), 3)
            alt = f'{title}: mean and 95% interval of {len(rows)} variants'
            alt += ', with the paper’s numbers.' if rows[f'{metric}_paper'].notna().any() else '.'
            plots.append(figures.finish(figure, name, alt))
    return plots


def overview(runs: pd.DataFrame, table: pd.DataFrame, layout: Layout, dataset: str) -> figures.Plot:
    """The first charts of `intervals` side by side: a metric of two workloads, or two metrics of the only one."""
    two: list[tuple[Mapping[str, str], str]] = [(where, layout.primary) for where in layout.workloads[:2]]
    shown = two if len(two) == 2 else [({}, metric) for metric in list(layout.metrics)[:2]]
    with figures.style('overview'):
        figure, charts = figures.canvas(
            _interval_height(select(table, shown[0][0]), layout), len(shown) * figures.WIDTH, len(shown)
        )
        titles = [
            draw_intervals(axes, select(runs, where), select(table, where), layout, metric, where, dataset)
            for axes, (where, metric) in zip(charts, shown, strict=True)
        ]
        figures.legend(figure, _interval_legend(table, layout, layout.primary), 6)
        return figures.finish(figure, 'overview', ' and '.join(titles))


def draw_intervals(
    axes: Axes,
    runs: pd.DataFrame,
    table: pd.DataFrame,
    layout: Layout,
    metric: str,
    where: Mapping[str, str],
    dataset: str,
) -> str:
    """Draws one chart of intervals, and returns its title."""
    lanes = layout.values[layout.color] if layout.color else ['']
    names = names_of(table, layout.rows)
    order = _row_order(table, names, layout)
    step = 0.66 / len(lanes)
    runs = runs.assign(**{ROW: names_of(runs, layout.rows)})
    shown = runs.loc[runs['status'] == 'completed', metric].astype(float).tolist()
    if figures.scale(axes, 'x', metric, np.array([*shown, *table[f'{metric}_paper'].dropna().astype(float)])):
        share = figures.share_of(metric)
        axes.set_xlabel('log scale' + (f' of the errors (1 \N{MINUS SIGN} {share})' if share else ''))
    for name, (_, row) in zip(names, table.iterrows(), strict=True):
        lane = lanes.index(row[layout.color]) if layout.color else 0
        y = order.index(name) + (lane - (len(lanes) - 1) / 2) * step
        color = figures.SERIES[lane]
        own = runs[(runs[ROW] == name) & (runs['status'] == 'completed')]
        own = own[own[layout.color] == row[layout.color]] if layout.color else own
        axes.plot(own[metric], [y] * len(own), '|', color=color, ms=6, mew=1, alpha=0.45)
        if row['diverged']:
            words = f'\N{MULTIPLICATION SIGN} {row["diverged"]} of {row["seeds"]} diverged'
            x, side = (0.99, 'right') if layout.metrics[metric] == 'min' else (0.01, 'left')  # where the bad ones are
            axes.text(
                x, y, words, transform=axes.get_yaxis_transform(), va='center', ha=side, color=figures.MUTED, size=10
            )
        if pd.isna(row[metric]):
            continue
        if pd.notna(row[f'{metric}_low']):
            axes.plot([row[f'{metric}_low'], row[f'{metric}_high']], [y, y], color=color, lw=3, solid_capstyle='butt')
            _mark_cut(axes, row[f'{metric}_low'], row[f'{metric}_high'], y, color)
        axes.plot(row[metric], y, figures.MARKERS[lane], color=color, ms=6.5, mec=figures.PAPER, mew=0.8)
        if pd.notna(row[f'{metric}_paper']):
            axes.plot(row[f'{metric}_paper'], y, 'D', mfc='none', mec=figures.INK, ms=5.5, mew=1.1)
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.grid(axis='x')
    axes.spines['left'].set_visible(False)
    title = ', '.join([words_of(metric), *where.values()])
    figures.heading_of(axes, f'{title} · {dataset}')
    return f'{title}, {dataset}'


def _mark_cut(axes: Axes, low: float, high: float, y: float, color: str) -> None:
    """Draws an arrow at each edge of the plot that an interval goes beyond: the axis is that of the seeds."""
    left, right = axes.get_xlim()
    for edge, cut, arrow in ((left, low < left, '<'), (right, high > right, '>')):
        if cut:
            axes.plot(edge, y, arrow, color=color, ms=8, mec=figures.PAPER, mew=0.8, clip_on=False, zorder=3)


def _row_order(table: pd.DataFrame, names: pd.Series, layout: Layout) -> list[str]:
    """Rows of one axis are sorted by their mean, the best on top; rows of several keep their order."""
    order = list(dict.fromkeys(names))
    if len(layout.rows) > 1:
        return [name for name in layout.names(layout.rows) if name in order]
    sign = 1.0 if layout.metrics[layout.primary] == 'max' else -1.0
    means = sign * table[layout.primary].astype(float).groupby(names).mean()
    return sorted(order, key=lambda name: -np.nan_to_num(means[name], nan=-np.inf))


def _interval_height(table: pd.DataFrame, layout: Layout) -> float:
    lanes = len(layout.values[layout.color]) if layout.color else 1
    return 100 + names_of(table, layout.rows).nunique() * (22 if lanes == 1 else 9 + 10 * lanes)


def _interval_legend(table: pd.DataFrame, layout: Layout, metric: str) -> list[Line2D]:
    handles = []
    if layout.color:
        for i, value in enumerate(layout.values[layout.color]):
            handles.append(
                Line2D(
                    [], [], color=figures.SERIES[i], marker=figures.MARKERS[i], lw=3, label=name_of(layout.color, value)
                )
            )
    elif table['seeds'].max() > 1:
        handles.append(
            Line2D([], [], color=figures.SERIES[0], marker=figures.MARKERS[0], lw=3, label='mean, 95% interval')
        )
    if table['seeds'].max() > 1:
        handles.append(Line2D([], [], color=figures.MUTED, marker='|', lw=0, label='one seed'))
    if table[f'{metric}_paper'].notna().any():
        handles.append(Line2D([], [], mec=figures.INK, mfc='none', marker='D', ms=5.5, lw=0, label='paper'))
    return handles


# Pairs --------------------------------------------------------------------------------------------------------------


def heat_map(
    comparisons: Sequence[Comparison], names: Sequence[str], metric: str, workload: str, dataset: str
) -> figures.Plot:
    """P(A>B) of each pair, in per cent; bold where the difference holds after Holm's correction."""
    n, name = len(names), figures.slug('pairs', workload)
    title = ', '.join(filter(None, [f'P(A>B), {words_of(metric).lower()}', workload]))
    cell = 34 if n <= 9 else 24 if n <= 16 else 15
    longest = max(map(len, names)) * 6.2
    with figures.style(name):
        figure, (axes,) = figures.canvas(n * cell + longest + 60, max(figures.WIDTH, n * cell + longest + 40))
        for pair in comparisons:
            for a, b, share in ((pair.a, pair.b, pair.superiority), (pair.b, pair.a, 1 - pair.superiority)):
                x, y = names.index(b), names.index(a)
                color = figures.SERIES[0] if share > 0.5 else figures.SERIES[1]
                patch = Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fc=color, alpha=0.75 * abs(2 * share - 1), lw=0)
                axes.add_patch(patch)
                decided = pair.sign(ALPHA) != 0
                if n <= 16:
                    axes.text(
                        x,
                        y,
                        f'{100 * share:.0f}',
                        ha='center',
                        va='center',
                        size=10,
                        color=figures.INK,
                        weight='bold' if decided else 'normal',
                    )
                elif not decided:
                    axes.plot(x, y, 'o', color=figures.MUTED, ms=2.5, mew=0)
        axes.set_xticks(range(n), names, rotation=90)
        axes.set_yticks(range(n), names)
        axes.set_xlim(-0.5, n - 0.5)
        axes.set_ylim(n - 0.5, -0.5)
        axes.set_aspect('equal')
        axes.set_anchor('NW')
        axes.tick_params(labelcolor=figures.INK, length=0)
        axes.spines[['left', 'bottom']].set_visible(False)
        figures.heading_of(axes, f'{title} · {dataset}')
        handles = [Patch(fc=figures.SERIES[0], label='row better'), Patch(fc=figures.SERIES[1], label='column better')]
        figures.legend(figure, [] if n < 3 else handles)
        alt = f'{title} on {dataset}: how often each of {n} variants beats each other, in per cent of seeds.'
        return figures.finish(figure, name, alt)


# Looks --------------------------------------------------------------------------------------------------------------


def courses(found: Sequence[Course], dataset: str) -> list[figures.Plot]:
    """Confidence sequences by number of seeds: a chart for each question, of its comparisons closest to undecided."""
    questions: dict[str, list[Course]] = {}
    for course in found:
        if len(course.looks) > 1:
            questions.setdefault(course.of, []).append(course)
    return [
        _courses(of, sorted(own, key=lambda course: course.clearance)[:MOST_COURSES], dataset)
        for of, own in list(questions.items())[:MOST_QUESTIONS]
    ]


def _courses(of: str, found: Sequence[Course], dataset: str) -> figures.Plot:
    name = figures.slug('looks', of)
    with figures.style(name):
        figure, (axes,) = figures.canvas(220 + 17 * len(found))
        handles, shown = [], [*found[0].lines]
        for i, course in enumerate(found):
            look = figures.look(i)
            color = look['color']
            known = [(one.seeds, one.mean) for one in course.looks if one.mean is not None]
            ends = [(one.seeds, one.low, one.high) for one in course.looks if not (one.low is None or one.high is None)]
            if ends:
                x, low, high = map(list, zip(*ends, strict=True))
                axes.fill_between(x, low, high, color=color, alpha=0.18, lw=0)
                axes.vlines(x[-1], low[-1], high[-1], color=color, lw=1.2)
            if known:
                x, y = map(list, zip(*known, strict=True))
                handles += axes.plot(x, y, ms=3.5, mew=0, label=f'{course.name:.60}', **look)
            # The first intervals reach far: the chart has room for the later half of them.
            shown += [mean for _, mean in known] + [end for _, *both in ends[len(ends) // 2 :] for end in both]
        for line in found[0].lines:
            axes.axhline(line, color=figures.INK, lw=1, ls=(0, (4, 3)), zorder=0)
        room = 0.06 * (max(shown) - min(shown) or 0.01)
        axes.set_ylim(min(shown) - room, max(shown) + room)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel('seeds')
        axes.set_ylabel('advantage' if found[0].b else words_of(found[0].metric).lower())
        axes.grid(axis='y')
        figures.heading_of(axes, f'{of.replace("_", " "):.40} · {dataset}')
        figures.legend(figure, handles, 1)
        names = ', '.join(course.name for course in found)
        alt = f'{of}, {words_of(found[0].metric).lower()} on {dataset}: {names}, with intervals by number of seeds.'
        return figures.finish(figure, name, alt)
