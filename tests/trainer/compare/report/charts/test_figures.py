"""How figures look."""

import pytest
from matplotlib.figure import Figure

from trainer.compare.report.charts import figures


@pytest.mark.parametrize(('low', 'high'), [(1e-4, 1e-1), (1e-3, 2e-3), (1e-6, 1)])
def test_numbers_of_a_logarithmic_axis_are_text(low, high):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([low, high], [0, 1])
    figures.log_axis(axes)
    figure.canvas.draw()
    first, last = axes.get_xlim()
    shown = {label.get_text() for label in (*axes.get_xticklabels(), *axes.get_xticklabels(minor=True))} - {''}
    seen = sorted(float(text.replace('\N{MINUS SIGN}', '-')) for text in shown)  # a formula is no number
    assert sum(first <= number <= last for number in seen) >= 2
