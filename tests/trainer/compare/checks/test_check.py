"""Nothing that can be checked before is found out after: what verdicts and the report need is checked first."""

import importlib
import math
import sys
from pathlib import Path

import pytest

from seedwise.errors import UserError
from seedwise.storage import files
from tests.trainer.compare.checks.studies import TUNE, checked, claim, curve, row, study, tune
from tests.trainer.compare.pretended import result_of
from trainer.compare import __main__ as command
from trainer.compare import grid, normalize, runs
from trainer.compare.analysis.claims.selection import label
from trainer.compare.checks import check
from trainer.compare.report import tables
from trainer.compare.report.layout import layout_of
from trainer.compare.study import MADE_OF, Plan
from trainer.compare.tuning.search import score

STUDIES = [path.stem for path in Path(command.__file__).parents[2].glob('configs/studies/[!_]*.py')]


SENSITIVE = {'kind': 'less_sensitive', 'metric': 'validation_accuracy', 'margin': 0.01}

#: Variants as a list, of which not all have a label on each axis.
LISTED = {
    'small': {'labels': {'layers': 1}, 'overrides': {}},
    'large': {'labels': {'layers': 2, 'act': 'relu'}, 'overrides': {'model': {'hidden': (8, 8)}}},
}

#: What is wrong with a study -> what the line has.
WRONG = [
    # Selectors: axes, values, and combinations.
    (claim(a={'optimiser': 'Adam'}), "unknown axis in a of claim 'x' 'optimiser'", "Did you mean 'optimizer'?"),
    (claim(a={'optimizer': 'Adm'}), "unknown optimizer in a of claim 'x' 'Adm'", "Did you mean 'Adam'?"),
    (claim(b={'optimizer': ('SGD', 'Adm')}), "in b of claim 'x' 'Adm'", "Did you mean 'Adam'?"),
    (claim(where={'los': 'CCE'}), "unknown axis in where of claim 'x' 'los'", "Did you mean 'loss'?"),
    (claim(where={'loss': 'CE'}), "unknown loss in where of claim 'x' 'CE'", "Did you mean 'CCE'?"),
    (claim(a={'optimizer': 'SGD'}, where={'optimizer': 'Adam'}), "unknown optimizer in a of claim 'x' 'SGD'"),
    (claim(a={'tuning': 'rate'}), "unknown axis in a of claim 'x' 'tuning'"),
    (claim(a={'variant': 'Adam'}), "unknown variant in a of claim 'x' 'Adam'", 'CCE-Adam'),
    (claim(a='Adam'), "a of claim 'x' is 'Adam': it must be a mapping"),
    (claim(b='SGD'), "b of claim 'x' is 'SGD': it must be a mapping"),
    (claim(b=({'optimizer': 'SGD'},)), "kind 'better' takes one mapping"),
    (claim(kind='mostly', matched=('los',)), "unknown axis in matched of claim 'x' 'los'"),
    (claim(kind='mostly', matched='loss'), "matched of claim 'x' is 'loss': it must be a tuple of axes"),
    (
        claim(kind='mostly', a={'layers': '1'}, b={'layers': '2'}, matched=('act',)) | {'axes': {}, 'variants': LISTED},
        'a and b are there at no same act',
    ),
    (claim(kind='best', a={}, b=None), "has an empty 'a'"),
    (claim(kind='best', a={'optimizer': ('Adam', 'SGD')}, b=None), 'has no rival'),
    # Kinds, fields and their types.
    (claim(kind='beter'), "unknown kind of claim 'x' 'beter'", "Did you mean 'better'?"),
    (claim(metrik='test_loss'), "unknown field of a claim 'metrik'", "Did you mean 'metric'?"),
    (claim(id=3), 'id of claim', 'it must be text'),
    (claim(margin='small'), "margin of claim 'x' is 'small': it must be a number of at least 0"),
    (claim(margin=-1), 'margin of claim', 'at least 0'),
    (claim(alpha=5), 'alpha of claim', 'above 0 and below 1'),
    (claim(kind='equal'), "needs 'margin'"),
    (claim(kind='at_least', value='high'), "value of claim 'x' is 'high': it must be a number"),
    (claim(target='0.9'), "target of claim 'x' is '0.9': it must be a number"),
    (claim(quote=None), "quote of claim 'x' is None: it must be text"),
    (claim(reduce='max'), "unknown reduce of claim 'x' 'max'"),
    ({'claims': claim()['claims'] * 2}, "two claims are called 'x'"),
    ({'claims': claim()['claims'], 'checks': claim()['claims']}, "two claims are called 'x'"),
    ({'claims': {'x': {}}}, 'claims must be a tuple of mappings'),
    ({'checks': ('x',)}, 'checks must be a tuple of mappings'),
    # Metrics.
    (claim(metric='test_acuracy'), "unknown metric of claim 'x' 'test_acuracy'", "Did you mean 'test_accuracy'?"),
    (claim(metric='test_loss - train_los'), "'train_los'", "Did you mean 'train_loss'?"),
    (claim(metric='test_loss -'), "unknown metric of claim 'x' 'test_loss -'"),
    (claim(metric='optimizer'), "unknown metric of claim 'x' 'optimizer'"),
    (claim(metric='history'), "unknown metric of claim 'x' 'history'"),
    (claim(metric='test_loss.mean('), "unknown metric of claim 'x' 'test_loss.mean('"),
    (claim(metric='test_loss.nothing()'), "metric of claim 'x' is 'test_loss.nothing()'"),
    (claim(metric='test_loss - train_loss'), "which is better of 'test_loss - train_loss' is not known: state goal"),
    (claim(goal='mim'), 'goal'),
    (claim(metric='test_auc'), "metric of claim 'x' is test_auc: add 'auc' to base.metrics"),
    (claim(metric='train_auc') | {'base.metrics': ('auc',)}, "unknown metric of claim 'x' 'train_auc'"),
    (claim(metric='test_macro_f2') | {'base.metrics': ('macro_f1',)}, "Did you mean 'test_macro_f1'?"),
    ({'base.metrics': ('macro_f2',), **claim()}, "unknown metric 'macro_f2'", "Did you mean 'macro_f1'?"),
    ({'axes': {'m': {'a': {}, 'b': {'metrics': ('auc',)}}}}, 'the variants differ in metrics'),
    ({'margins': {'test_auc': 0.1}}, "unknown metric in margins 'test_auc'"),
    (claim(reduce='best', select_by='parameters'), "unknown select_by of claim 'x' 'parameters'"),
    (claim(metric='nothing(test_loss)'), "metric of claim 'x' is 'nothing(test_loss)'"),
    (claim(target=0.9), 'not measured during training', 'train_accuracy', 'test_every_evaluation'),
    (claim(metric='train_loss - validation_loss', target=0.9), 'with a target it must be one of'),
    (claim(kind='faster', metric='parameters', target=0.9), 'not measured during training'),
    (claim(metric='validation_loss') | {'base.data.validation': 0}, 'that needs data.validation > 0'),
    (claim(reduce='best') | {'base.data.validation': 0}, "select_by of claim 'x' is validation_loss"),
    (claim(reduce='best', select_by='validation_los'), "unknown select_by of claim 'x'", "'validation_loss'?"),
    # Trials.
    (claim(**SENSITIVE), "the study has no 'tune'"),
    (tune() | claim(**(SENSITIVE | {'metric': 'test_accuracy'})), 'trials do not open the test set'),
    (tune() | claim(**SENSITIVE, where={'tuning': 'default'}), "unknown tuning in where of claim 'x' 'default'"),
    (
        tune(tiers={'m': dict.fromkeys(('Adam', 'SGD'), {'optimizer': {'weight_decay': ('log', 1e-4, 1.0)}})})
        | claim(**SENSITIVE),
        'does not draw one',
    ),
    (
        tune(tiers={'m': dict.fromkeys(('Adam', 'SGD'), {'optimizer': {'learning_rate': ('linear', 0, 1.0)}})})
        | claim(**SENSITIVE),
        'which is not above 0',
    ),
    (tune(trial=3), "unknown field of tune 'trial'", "Did you mean 'trials'?"),
    (tune(trials=2.5), 'tune.trials is 2.5'),
    (tune(metric='test_accuracy'), "unknown tune.metric 'test_accuracy'"),
    (tune(metric='validation_auc'), "unknown tune.metric 'validation_auc'"),
    (tune(tiers={}), 'tune.tiers must be a mapping'),
    (tune(replicates=0), 'tune.replicates is 0'),
    (tune(replicates=3) | {'seeds': 4}, 'the study has 4 seeds for 3 replicates', '--study.seeds=3'),
    (tune(halving=3), 'tune.halving is 3'),
    (tune(halving={'eta': 3}), "tune.halving has no 'rungs'"),
    (tune(halving={'eta': 1, 'rungs': 2}), 'tune.halving.eta is 1'),
    (tune(halving={'eta': 3, 'rungs': 2, 'rung': 1}), "unknown field of tune.halving 'rung'"),
    (tune(sampler='tpee'), "unknown tune.sampler 'tpee'", "Did you mean 'tpe'?"),
    (tune(batch=2), 'tune.batch is for tpe and cmaes'),
    (tune(tiers={'rate': ('Adam',)}), 'tune.tiers.rate must be a mapping'),
    (tune(tiers={'rate': {'Adam': 3, 'SGD': 3}}), 'tune.tiers.rate must be a mapping'),
    (tune(tiers={'rate': {'Adam': {}, 'SGD': {}}}), "tune.tiers.rate draws nothing for 'CCE-Adam'"),
    (tune(tiers={'default': TUNE['tiers']['rate']}), "cannot be called 'default'"),
    (tune(tiers={'a/b': TUNE['tiers']['rate']}), "cannot be called 'a/b'"),
    (tune(tiers={'rate': TUNE['tiers']['rate'] | {'SDG': {}}}), "in tune.tiers.rate 'SDG'", "Did you mean 'SGD'?"),
    ({'tune': 3}, "the study's tune is 3"),
    # The paper's numbers.
    ({'paper': {'claims': ()}}, "paper has no 'reference'"),
    ({'paper': {'reference': 3}}, 'paper.reference is 3: it must be text'),
    ({'paper': {'reference': 'x', 'dataset': 3}}, 'paper.dataset is 3: it must be text'),
    ({'paper': {'reference': 'x', 'tabel': ()}}, "unknown field of paper 'tabel'", "Did you mean 'table'?"),
    ({'paper': 3}, "the study's paper is 3"),
    ({'paper': {'reference': 'x', 'claims': ({'id': 'y', 'kind': 'best'},)}}, "claim 'y' has no 'a'"),
    ({'paper': {'reference': 'x', 'table': {'a': 1}}}, 'paper.table must be a tuple of mappings'),
    (row(accuracy=0.9), "unknown field of row 1 of paper.table 'accuracy'", "'test_accuracy'?"),
    (row(test_accuracy='0.9'), "test_accuracy of row 1 of paper.table is '0.9'"),
    (row(variant={'optimizer': 'Adm'}), 'unknown optimizer in row 1 of paper.table', "'Adam'?"),
    ({'paper': {'reference': 'x', 'table': ({'test_loss': 1.0},)}}, "row 1 of paper.table has no 'variant'"),
    (curve(metric='loss'), "unknown metric of curve 1 of paper.curves 'loss'"),
    (curve(values=(1.0,)), 'curve 1 of paper.curves has 2 epochs and 1 values'),
    (curve(epochs=(1, 'two')), 'epochs of curve 1 of paper.curves must be a tuple of numbers'),
    (curve(variant={'loss': 'KL'}), "unknown loss in curve 1 of paper.curves 'KL'"),
    # Names that results have.
    ({'axes': {'steps': {'few': {'epochs': 1}, 'many': {}}}}, "an axis cannot be called 'steps'"),
    ({'axes': {'seed': {'a': {}}}}, "an axis cannot be called 'seed'"),
    ({'axes': {'test_accuracy_low': {'a': {}}}}, "an axis cannot be called 'test_accuracy_low'"),
    ({'axes': {'variant': {'a b': {}}}}, "an axis cannot be called 'variant' here"),
    (tune() | {'axes': {'tuning': {'a': {}}}}, "has an axis 'tuning' of its own"),
]


@pytest.mark.parametrize(('fields', 'words'), [(case[0], case[1:]) for case in WRONG], ids=lambda value: '')
def test_what_is_wrong_is_one_line_before_the_first_run(fields, words):
    with pytest.raises(UserError) as error:
        checked(study(**fields))
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'fields',
    [
        claim(),
        claim(metric='test_loss - train_loss', goal='min'),
        claim(metric='abs(test_loss)', goal='min'),
        claim(metric='validation_accuracy', target=0.9),
        claim(target=0.9) | {'base.test_every_evaluation': True},
        claim(a={'variant': 'CCE-Adam'}),
        claim(a={}),
        claim(kind='best', a={'optimizer': 'Adam'}, b=({'optimizer': 'SGD'}, {'loss': 'MSE'})),
        tune() | claim(**SENSITIVE),
        tune() | claim(where={'tuning': ('rate', 'default')}),
        row(test_accuracy=0.9, test_loss=1),
        curve(),
        {'axes': {'learning_rate': {'a': {}, 'b': {}}}},
        {'axes': {'name': {'a': {}, 'b': {}}, 'rate': {'c': {}, 'd': {}}}},
        {'axes': {'variant': {'a': {}, 'b': {}}}},
    ],
    ids=lambda value: '',
)
def test_what_is_right_is_accepted(fields):
    checked(study(**fields))


@pytest.mark.parametrize('name', [name for name in STUDIES if name != 'keras_2019'])
def test_the_studies_that_come_with_us_pass(name):
    checked(importlib.import_module(f'configs.studies.{name}').get_config())


@pytest.mark.parametrize(
    ('selector', 'words'),
    [
        ({'batch': 64}, 'batch 64'),
        ({'batch': (64, 128)}, 'batch 64 or 128'),
        ({'hidden': (64, 32)}, 'hidden (64, 32)'),
        ({'hidden': ((64, 32), (64,))}, 'hidden (64, 32) or (64,)'),
        ({'amsgrad': True}, 'amsgrad True'),
    ],
)
def test_selectors_name_values_as_the_axes_do(selector, words):
    config = study(claims=({'id': 'x', 'kind': 'at_least', 'a': selector, 'value': 0.5},))
    config.axes = {'batch': {64: {}, 128: {}}, 'hidden': {(64, 32): {}, (64,): {}}, 'amsgrad': {True: {}, False: {}}}
    checked(config)
    assert label(config.claims[0]['a']) == words


def test_two_values_of_one_name_are_refused():
    config = study()
    config.axes = {'batch': {64: {}, '64': {}}}
    with pytest.raises(UserError, match="axes.batch has two values that are written '64'"):
        grid.prepare(config)


@pytest.mark.parametrize('length', [255, 256, 1000])
@pytest.mark.parametrize('letter', ['x', 'ö'])
def test_long_names_are_cut_and_told_apart(length, letter):
    names = [letter * length + end for end in 'ab']
    cut = [normalize.file_name(name) for name in names]
    assert len(set(cut)) == 2
    assert all(len(name.encode()) <= 255 for name in cut)
    assert normalize.file_name(letter * 100) == letter * 100


def test_a_library_that_the_report_needs_and_that_does_not_load_is_found_out_first(monkeypatch):
    monkeypatch.setitem(sys.modules, 'trainer.compare.report.write', None)
    with pytest.raises(UserError, match=r'the report cannot be written here \(.*Error: .*--noreport'):
        check.check_libraries()


def test_the_columns_of_results_are_those_that_are_known_of(tmp_path):
    plan = checked(study(**tune()))
    rows = []
    for spec, read in (
        (plan.runs()[0], runs.read),
        (plan.trials[0], lambda specs: (runs.read_trials(plan.config, specs), 0)),
    ):
        spec = grid.RunSpec(spec.variant, spec.seed, tmp_path / spec.variant.name, spec.drawn)
        spec.workdir.mkdir()
        files.write_json(spec.workdir / 'result.json', result_of(spec))
        rows.append(read([spec])[0])
    numbers = check.numbers(plan.variants)
    known = {*check.COLUMNS, *check.OF_TUNING, *numbers, 'variant', *plan.variants[0].labels}
    assert {column for frame in rows for column in frame if '.' not in column} <= known
    assert all(set(numbers) <= set(frame) for frame in rows)
    layout = layout_of(plan.config, rows[0])
    table = tables.summary(rows[0], layout)
    assert {column for column in table if not column.startswith(('test_accuracy_', 'test_loss_'))} <= known


def test_of_shards_that_find_all_finished_one_reports_until_something_has_changed(tmp_path):
    config = study(axes={'o': {'a': {}, 'b': {'optimizer': {'name': 'SGD'}}}})
    grid.prepare(config)

    def reports(about='x') -> bool:
        plan = Plan(config, tmp_path, 1, 2)
        again = plan.reports(plan.runs(), about)
        files.write_utf8(tmp_path / 'report' / MADE_OF, plan.made_of(plan.runs(), about))
        return again

    (tmp_path / 'report').mkdir()
    for spec in Plan(config, tmp_path, 0, 2).runs():
        spec.workdir.mkdir(parents=True)
        files.write_json(spec.workdir / 'result.json', {'config_hash': spec.hash, 'status': 'completed'})
    assert [reports(), reports()] == [True, False]
    files.write_json(spec.workdir / 'result.json', {'config_hash': spec.hash, 'status': 'diverged'})
    assert [reports(), reports()] == [True, False]
    config.seeds = 1  # no result is newer than the report
    assert [reports(), reports()] == [True, False]
    assert [reports('y'), reports('y')] == [True, False]


def test_claims_are_about_the_first_metric_and_know_the_direction_of_ones_own(tmp_path):
    (tmp_path / 'own.py').write_text("def cost(labels, logits): return 0\ncost.goal = 'min'\n")
    paper = {'reference': 'x', 'claims': ({**claim()['claims'][0], 'id': 'y'},)}
    made = study(**claim(), paper=paper, **tune(metric='validation_cost'))
    made.base.metrics = (f'{tmp_path}/own.py:cost', 'auc')
    plan = checked(made)
    assert {variant.config.metrics for variant in plan.everything()} == {made.base.metrics}
    own, papers = made.claims[0], made.paper.claims[0]
    assert (own['metric'], own['goal'], papers['metric']) == ('test_cost', 'min', 'test_accuracy')
    assert grid.metrics_of(made) == {'test_cost': 'min', 'test_auc': 'max', 'test_loss': 'min'}
    result = {'status': 'completed', 'monitor': 'cost', 'metrics': {'cost': 'min'}}
    worse, better = ({**result, 'history': [{'validation_cost': value}]} for value in (3.0, 2.0))
    assert score(worse, 'validation_cost') < score(better, 'validation_cost')
    assert score({**result, 'history': [{'validation_cost': None}]}, 'validation_cost') == -math.inf
