"""The tables of a report: numbers by hand, and their digits."""

import pandas as pd
import pytest

from tests.trainer.compare.report.synthetic import load, made_up
from trainer.compare.report import tables
from trainer.compare.report.layout import layout_of


def test_the_difference_to_the_paper_by_hand():
    study = load('behal_optimizers')
    runs = made_up(study, 2)
    runs['test_accuracy'] = runs['optimizer'].map({'SGD': 0.98, 'Adam': 0.985, 'Nadam': 0.98, 'Adadelta': 0.983})
    runs['test_accuracy'] += 0.0001 * (2 * runs['seed'] - 1)
    table = tables.summary(runs, layout_of(study, runs), study.paper.table).set_index('optimizer')
    # (0.002 + 0.001 + 0 + 0) / 4
    assert tables.to_paper(table, layout_of(study, runs))['test_accuracy']['difference'] == pytest.approx(0.00075)
    # Two seeds 0.0002 apart: sd 0.0001414, and t is 12.7; 12.7 * 0.0001414 * sqrt(1.5) + 0.0005 = 0.0027.
    assert not table['test_accuracy_outside'].any()
    runs['test_accuracy'] -= 0.001 * (runs['optimizer'] == 'SGD')
    table = tables.summary(runs, layout_of(study, runs), study.paper.table).set_index('optimizer')
    assert table['test_accuracy_outside'].tolist() == [True, False, False, False]
    some = tables.summary(runs, layout_of(study, runs), study.paper.table[:2])  # the paper has no number for the others
    printed = tables.printed(some, layout_of(study, runs))
    assert [cell.endswith('*') for cell in printed['test accuracy, difference']] == [True, False, False, False]


@pytest.mark.parametrize(
    ('low', 'high', 'digits'), [(0.9741, 0.9749, 4), (0.97, 0.98, 3), (0.973, 0.976, 4), (0.9, 0.96, 2), (0.5, 0.9, 2)]
)
def test_digits_are_those_that_the_interval_supports(low, high, digits):
    ends = {'test_accuracy_low': [low], 'test_accuracy_high': [high]}
    table = pd.DataFrame(ends | {'test_accuracy': [(low + high) / 2]})
    assert tables.digits_of(table, 'test_accuracy') == digits


def test_numbers_too_small_or_too_large_for_decimals_have_significant_digits():
    assert tables.digits_of(pd.DataFrame({'mse': [2e-6], 'mse_low': [1e-6], 'mse_high': [3e-6]}), 'mse') is None
    assert tables.interval(1.2345678e-6, 3e-6, None) == '[1.235e-06, 3e-06]'
    assert tables.number(-1.1e12, None) == '\N{MINUS SIGN}1.1e+12'
