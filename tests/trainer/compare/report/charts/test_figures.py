"""How figures look."""

from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from trainer.compare.report.charts import figures, plots


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


def test_a_figure_is_xml_whatever_the_names_in_it():
    figure, (axes,) = figures.canvas(100)
    axes.set_title('\x1b]0;title\x07 <b> ä')
    ElementTree.fromstring(figures.finish(figure, 'odd', 'names').standalone)


def test_pictures_of_the_user_s_own_stay_where_a_report_deletes_its_old_ones(tmp_path):
    plot = figures.finish(figures.canvas(100)[0], 'old', 'nothing')
    for name, svg in {'old': plot.standalone, 'new': plot.standalone, 'mine': plot.svg}.items():
        (tmp_path / f'{name}.svg').write_text(svg, encoding='utf-8')
        (tmp_path / f'{name}.png').touch()
    (tmp_path / 'photo.png').touch()
    figures.delete_others(tmp_path, ['new'])
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        'mine.png',
        'mine.svg',
        'new.png',
        'new.svg',
        'photo.png',
    ]


def test_an_interval_that_goes_beyond_the_plot_has_an_arrow_there():
    _, (axes,) = figures.canvas(200)
    axes.set_xlim(0.8, 0.9)
    plots._mark_cut(axes, 0.82, 0.88, 0, 'k')
    assert not axes.lines
    plots._mark_cut(axes, 0.7, 0.95, 0, 'k')
    assert [line.get_marker() for line in axes.lines] == ['<', '>']
