"""The figure of what `python -m benchmarks.growth` measured."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.growth.measured import Measured


def write(parts: Mapping[str, Mapping[str, Mapping[int, Measured]]], file: Path) -> None:
    """Writes a figure: a column for each part, time above and memory below, both axes logarithmic.

    Args:
      parts: name of the sizes -> what was measured -> size -> measured.
      file: path, whose ending says the format.
    """
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    shown = {what: columns for what, columns in parts.items() if columns}
    figure, axes = pyplot.subplots(2, len(shown), figsize=(4.2 * len(shown), 6.5), squeeze=False, layout='constrained')
    for column, (what, measured) in enumerate(shown.items()):
        for row, (field, label) in enumerate({'seconds': 'seconds', 'peak_mb': 'peak memory, MB'}.items()):
            ax = axes[row][column]
            for number, (name, of) in enumerate(measured.items()):
                if row and name.endswith('first epoch'):
                    continue  # the same process
                ax.plot([*of], [getattr(one, field) for one in of.values()], f'C{number}o-', label=name)
            ax.set(xscale='log', yscale='log', xlabel=what, ylabel=label)
            ax.grid(alpha=0.3)
        _add_linear(axes[0][column])
        axes[0][column].legend(fontsize='small')
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _add_linear(ax) -> None:
    """Adds a dotted line that grows as size ** 1 through the middle."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    middle = (low * high) ** 0.5 / (left * right) ** 0.5
    ax.plot([left, right], [middle * left, middle * right], ':', color='gray', label='linear')
    ax.set(xlim=(left, right), ylim=(low, high))
