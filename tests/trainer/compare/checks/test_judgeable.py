"""What passes the checks of a study can be judged and reported."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedwise.errors import UserError
from tests.trainer.compare.checks.studies import TUNE, checked, curve, finished, study
from trainer.compare.analysis.claims import NEEDS
from trainer.compare.analysis.claims.verdicts import verdict
from trainer.compare.report import tables
from trainer.compare.report.charts import figures, plots
from trainer.compare.report.layout import layout_of
from trainer.compare.report.write import write_report

SELECTORS = st.dictionaries(
    st.sampled_from(['optimizer', 'loss', 'tuning', 'variant', 'nothing']),
    st.sampled_from(['Adam', 'SGD', 'CCE', 'rate', ('Adam', 'SGD'), ('CCE', 'MSE'), 3, None]),
    max_size=2,
)
METRICS = ['test_accuracy', 'train_loss', 'validation_loss - test_loss', 'seconds_total', 'steps', 'nothing', '1', '']
CLAIMS = st.fixed_dictionaries(
    {'id': st.just('x'), 'kind': st.sampled_from([*NEEDS, 'nothing']), 'a': SELECTORS},
    optional={
        'b': st.one_of(SELECTORS, st.lists(SELECTORS, max_size=2).map(tuple), st.none()),
        'where': SELECTORS,
        'metric': st.sampled_from(METRICS),
        'matched': st.sampled_from([(), ('loss',), ('loss', 'optimizer'), ('nothing',)]),
        'reduce': st.sampled_from(['mean', 'best']),
        'select_by': st.sampled_from(METRICS),
        'margin': st.sampled_from([0, 0.1, 1, -1, 'much']),
        'value': st.sampled_from([0.5, 1, None, float('nan')]),
        'target': st.sampled_from([0.5, None]),
        'unit': st.sampled_from(['epoch', 'seconds']),
        'quantifier': st.sampled_from(['all', 'any']),
        'alpha': st.sampled_from([0.05, 0.5]),
    },
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(CLAIMS, st.booleans(), st.booleans())
def test_a_claim_that_passes_can_be_judged(made, tuned, validated):
    config = study(claims=(made,), **{'base.data.validation': 200 * validated})
    if tuned:
        config.tune, config.base.data.validation = TUNE, 200
    try:
        plan = checked(config)
    except UserError:
        return
    [settled] = config.claims
    found = verdict(settled, finished(plan), finished(plan, trials=True) if tuned else None)
    assert found.result in ('holds', 'does not hold', 'undecided')
    assert found.seeds, found.sentence  # it is about runs that there are


NAMES = {
    'numbers': {64: {}, 128: {}, -0.1: {}},
    'truths': {True: {}, False: {}},
    'tuples': {(64, 32): {}, (64,): {}},
    'mixed': {'none': {}, 0.1: {}, 1: {}},
    'odd': {'a b': {}, 'a/c': {}, 'größer 🙂': {}, '-': {}, '$\\x$': {}, '<b>&"': {}, '_y': {}, '%d{}': {}, '-5': {}},
    'long': {'x' * 300: {}, 'y' * 300: {}},
}


@pytest.mark.parametrize(
    'kind', [kind if kind in ('mixed', 'odd', 'long') else pytest.param(kind, marks=pytest.mark.slow) for kind in NAMES]
)
def test_every_value_of_an_axis_that_is_accepted_can_be_reported(tmp_path, monkeypatch, kind):
    """Two axes of such values, with a claim about one of them and a paper's number and curve of it.

    Slow for those that 'mixed' has one of.
    """
    monkeypatch.setitem(figures.STYLE, 'savefig.dpi', 20)  # PNGs of full size would take half of the time
    values = NAMES[kind]
    first, second = list(values)[:2]
    config = study()
    # 'model' makes a chart for each of its values, and 'name' is what many columns are called.
    config.axes = {'name': values, 'model': {value: {} for value in list(values)[:2]}}
    config.claims = ({'id': 'x', 'kind': 'better', 'a': {'name': first}, 'b': {'name': second}},)
    config.paper = {'reference': 'x'}
    config.paper.table = ({'variant': {'name': first, 'model': second}, 'test_accuracy': 0.9},)
    config.paper.curves = (curve(variant={'name': first, 'model': second})['paper']['curves'][0],)
    plan = checked(config)
    frame = finished(plan).assign(dataset=None)
    assert len(plan.variants) == 2 * len(values)
    for variant in plan.variants:
        (tmp_path / variant.name).mkdir()
        assert Path(variant.name).name == variant.name
    write_report(config, frame, None, tmp_path / 'report', study_name='small', dataset_name='mnist', command='')
    claims = json.loads((tmp_path / 'report' / 'claims.json').read_text(encoding='utf-8'))
    assert claims['claims'][0]['seeds'] == 2
    table = pd.read_csv(tmp_path / 'report' / 'table.csv', dtype=str, keep_default_na=False)
    assert set(table['name']) == {str(value) for value in values}
    assert (table['test_accuracy_paper'] != '').sum() == 1


def test_an_axis_may_be_called_as_a_column_that_a_chart_adds():
    config = study(axes={'batch': {'a': {}, 'b': {}}, 'name': {'c': {}, 'd': {}}})
    frame = finished(checked(config))
    layout = layout_of(config, frame)
    _, (axes,) = figures.canvas(200)
    plots.draw_intervals(axes, frame, tables.summary(frame, layout), layout, 'test_accuracy', {}, 'digits')
    seeds = [line for line in axes.lines if line.get_marker() == '|']
    assert sum(len(line.get_xdata()) for line in seeds) == len(frame)
