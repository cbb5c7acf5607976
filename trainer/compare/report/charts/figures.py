"""How a figure looks and how it is kept: an SVG that is legible on light and dark pages, and a PNG."""

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatter, MaxNLocator, NullLocator

from trainer.compare.normalize import shortened
from trainer.metrics import METRICS

INK, MUTED, FAINT, PAPER = '#1f2328', '#656d76', '#d9dee4', '#ffffff'

#: Okabe and Ito's colour-blind-safe palette (2008), its light colours darkened to stand out from white.
SERIES = ('#0072b2', '#d55e00', '#009e73', '#b5568f', '#c98500', '#3a9bd6', '#57606a', '#8f8200')
MARKERS = ('o', 's', '^', 'v', 'P', 'X', '<', '>')
DASHES = ('-', (0, (6, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)))


def look(i: int) -> dict[str, Any]:
    """Returns colour, dashes and marker of line `i`, as matplotlib's `plot` takes them; of many lines, some are alike."""
    return {'color': SERIES[i % len(SERIES)], 'ls': DASHES[i % len(DASHES)], 'marker': MARKERS[i % len(MARKERS)]}


#: Colour on a light page -> on a dark one.
DARK = {
    INK: '#e6edf3',
    MUTED: '#9198a1',
    FAINT: '#343b44',
    PAPER: '#0f1216',
    '#0072b2': '#58a6e8',
    '#d55e00': '#f0883e',
    '#009e73': '#3fc59b',
    '#b5568f': '#db8fbf',
    '#c98500': '#e3b341',
    '#3a9bd6': '#a5d6ff',
    '#57606a': '#b1bac4',
    '#8f8200': '#d2c957',
}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

#: Characters that a name may have, and XML may not (XML 1.0, 2.2).
NOT_XML = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')

#: What stands in each SVG that a report has written as a file, and by which it is told from a user's own.
MARK = f'<style>text {{ font-family: {FONT} !important }}'

#: Sizes are in points, which are the pixels of a page at the figure's full width.
STYLE: dict[str, Any] = {
    'svg.fonttype': 'none',
    'text.parse_math': False,  # a name may have dollars
    'font.size': 11.5,
    'axes.titlesize': 12.5,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.titlepad': 10,
    'axes.labelsize': 11.5,
    'axes.edgecolor': MUTED,
    'axes.labelcolor': MUTED,
    'axes.titlecolor': INK,
    'axes.facecolor': 'none',
    'axes.linewidth': 0.8,
    'axes.axisbelow': True,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'text.color': INK,
    'xtick.color': MUTED,
    'ytick.color': MUTED,
    'xtick.labelcolor': MUTED,
    'ytick.labelcolor': INK,
    'xtick.major.size': 3,
    'ytick.major.size': 0,
    'grid.color': FAINT,
    'grid.linewidth': 0.8,
    'legend.frameon': False,
    'legend.fontsize': 11.5,
    'legend.labelcolor': INK,
    'legend.handlelength': 2.2,
    'figure.facecolor': PAPER,
    'lines.linewidth': 1.8,
    'savefig.dpi': 160,
}

WIDTH = 400


@dataclass(frozen=True)
class Plot:
    """A figure as it is kept. `alt` tells what it shows to who cannot see it."""

    name: str
    alt: str
    svg: str
    figure: Figure

    @property
    def width(self) -> int:
        """In points."""
        return round(self.figure.get_figwidth() * 72)

    @functools.cached_property
    def png(self) -> bytes:
        """The figure as PNG, which is drawn when it is first asked for."""
        file = io.BytesIO()
        with style(self.name):
            # It is laid out, for which `savefig` would draw it once more.
            self.figure.set_dpi(STYLE['savefig.dpi'])
            FigureCanvasAgg(self.figure).print_png(file, metadata={'Software': None})
        return file.getvalue()

    @property
    def inline(self) -> str:
        """The SVG as part of a page, which has `adaptive_css` and scales it."""
        # Taken off by the words that matplotlib, which is pinned, writes: it has no setting for them. A figure without them
        # is as it was, except for its size and its links; tests/trainer/compare/report/test_page.py looks for both.
        svg = self.svg[self.svg.index('<svg') :]
        svg = re.sub(r'<metadata>.*?</metadata>|<style type="text/css">.*?</style>', '', svg, flags=re.DOTALL)
        svg = re.sub(r'<g id="[^"]*"', '<g', svg)  # nothing refers to them, and pages want them unique
        svg = re.sub(r' (width|height)="[^"]*pt"', '', svg, count=2)
        return svg.replace('<svg ', f'<svg role="img" aria-label="{_escape(self.alt)}" ', 1)

    @property
    def standalone(self) -> str:
        """The SVG as a file, which follows light and dark where a browser shows it, and brings its own background."""
        style = f'{MARK} {adaptive_css()}</style>'
        head, start, rest = self.svg.partition('<defs>')
        return head + style + start + rest


def delete_others(folder: Path, names: Collection[str]) -> None:
    """Deletes the figures that an earlier report wrote into a folder, except for those of these names.

    Pictures of the user's own, or those that a link in a stranger's folder leads to, stay: they lack `MARK`.
    """
    for file in folder.glob('*.svg'):
        if file.stem not in names and file.is_file() and MARK.encode() in file.read_bytes():
            file.with_suffix('.png').unlink(missing_ok=True)
            file.unlink()


def adaptive_css() -> str:
    """Returns rules that turn the colours of our SVGs for dark pages; other viewers keep the light ones.

    No ancestor in the selectors: what `<use>` shows has none.
    """
    rules = [
        f'[style*="{what}: {light}"] {{ {what}: {dark} !important }}'
        for light, dark in DARK.items()
        for what in ('fill', 'stroke')
    ]
    return f'@media screen and (prefers-color-scheme: dark) {{ {" ".join(rules)} }}'


@contextlib.contextmanager
def style(name: str) -> Iterator[None]:
    """The look of a figure. Its name makes the ids within the SVG: the same in each report, and its own on a page."""
    with warnings.catch_warnings(), mpl.rc_context(STYLE | {'svg.hashsalt': name}):  # type: ignore[arg-type]
        warnings.filterwarnings('ignore', 'Glyph .* missing')  # of a name; a page is shown in the reader's own font
        yield


def canvas(height: float, width: float = WIDTH, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Returns a figure of this size in points, with that many charts side by side."""
    layout = ConstrainedLayoutEngine(w_pad=5 / 72, h_pad=6 / 72)
    figure = Figure(figsize=(width / 72, height / 72), layout=layout)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def finish(figure: Figure, name: str, alt: str) -> Plot:
    """Draws a figure as SVG."""
    svg = io.StringIO()
    figure.savefig(svg, format='svg', metadata={'Date': None, 'Creator': None})
    figure.set_layout_engine('none')  # it is laid out by now
    return Plot(name, alt, NOT_XML.sub('\N{REPLACEMENT CHARACTER}', svg.getvalue()), figure)


def heading_of(axes: Axes, text: str) -> None:
    """Puts a heading above a chart, flush with the figure's left edge where it is alone in it."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    if len(figure.axes) > 1:
        axes.set_title(text)
    else:
        figure.suptitle(text, x=5 / WIDTH, ha='left', size=STYLE['axes.titlesize'], weight='bold', color=INK)


def share_of(metric: str) -> str:
    """Returns a metric that is best at 1 in words, since its errors (1 - metric) say more than itself; '': another."""
    name = metric if metric in METRICS else metric.partition('_')[2]
    if name in METRICS and METRICS[name].goal == 'max' and METRICS[name].high == 1:
        return name.replace('_', ' ')
    return 'accuracy' if 'accuracy' in metric else ''


def scale(axes: Axes, which: str, metric: str, values: np.ndarray) -> bool:
    """Scales the 'x' or 'y' axis for a metric. Returns whether it is stretched: equal steps are then equal factors.

    A loss over more than a factor of six is shown on a log scale, and a share (`share_of`) whose errors are, on the log
    scale of its errors: else one variant that fails would press all others into one point.
    """
    axis = axes.xaxis if which == 'x' else axes.yaxis
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    share = share_of(metric)
    least = np.maximum(1 - values if share else values, 1e-4)
    stretched = bool(len(values)) and least.max() > 6 * least.min() and (bool(share) or values.min() > 0)
    if stretched:
        low, high = least.min() / 1.15, least.max() * 1.15
        if share:
            forward = lambda x: -np.log10(np.maximum(1 - np.asarray(x), 1e-4))  # noqa: E731
            getattr(axes, f'set_{which}scale')('function', functions=(forward, lambda y: 1 - 10.0**-y))
            low, high = 1 - min(high, 1.0), 1 - max(low, 1e-4)
            candidates = np.array([0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999])
            where = forward
        else:
            getattr(axes, f'set_{which}scale')('log')
            candidates = np.array([step * 10.0**k for k in range(-5, 6) for step in (1, 2, 5)])
            where = np.log10
        getattr(axes, f'set_{which}lim')(low, high)
        axis.set_major_locator(FixedLocator(_spread(candidates, where, low, high)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    else:
        axis.set_major_locator(MaxNLocator(5))
        if len(values):
            margin = 0.06 * (np.ptp(values) or 0.01)
            getattr(axes, f'set_{which}lim')(values.min() - margin, values.max() + margin)
    return stretched


def log_axis(axes: Axes) -> None:
    """Makes the x axis logarithmic. Its numbers are text: matplotlib's own are formulas, which are not parsed here."""
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))


def _spread(candidates: np.ndarray, where, low: float, high: float, gap: float = 0.11) -> list[float]:
    """Returns those of the candidates that are within bounds and not too close to the last one taken, from the top."""
    width = where(high) - where(low)
    taken: list[float] = []
    for value in candidates[(candidates >= low) & (candidates <= high)][::-1]:
        if not taken or abs(where(taken[-1]) - where(value)) >= gap * width:
            taken.append(float(value))
    return taken[::-1]


def legend(figure: Figure, handles: list, columns: int = 4) -> None:
    """Puts a legend below a figure, in at most so many columns."""
    if handles:
        longest = max(len(handle.get_label()) for handle in handles)
        columns = max(1, min(columns, int(figure.get_figwidth() * 72 / (longest * 6.5 + 45))))
        figure.legend(handles=handles, loc='outside lower left', ncols=columns, columnspacing=1.4, handletextpad=0.6)


def _escape(text: str) -> str:
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;').replace('"', '&quot;')


#: Longest name of a plot's file without its ending, in bytes.
LONGEST_SLUG = 200


def slug(*parts: str) -> str:
    """Returns a name for a file."""
    words = ''.join(c if c.isalnum() or c in '-+' else ' ' for part in parts for c in f'{part} ')
    return shortened('_'.join(words.lower().split()), LONGEST_SLUG)
