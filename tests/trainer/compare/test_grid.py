"""A study as the list of its runs: what is accepted, and in which words the rest is refused."""

import re
import subprocess
import sys
from pathlib import Path

import ml_collections
import numpy as np
import pytest

from configs import default
from seedwise.dotted import types
from seedwise.errors import UserError
from tests.helpers import ROOT
from tests.trainer.compare.driver import refuse
from trainer import results
from trainer.compare import grid
from trainer.compare.normalize import normalize
from trainer.compare.tuning.search import searches_of


def study(**fields) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    usual = {'axes': {'optimizer': {'Adam': {}, 'SGD': {'optimizer': {'name': 'SGD'}}}}, 'seeds': 2}
    for key, value in (usual | fields).items():
        if value is not None:
            config[key] = value
    return config


def variants(config, given=()):
    grid.prepare(config, given)
    return grid.variants_of(config)


def test_axes_make_their_product_and_variants_are_taken_as_they_are(tmp_path):
    losses = {'CCE': {}, 'MSE': {'loss': {'name': 'mean_squared_error'}}}
    axes = {'optimizer': {'Adam': {}, 'SGD': {'optimizer': {'name': 'SGD'}}}, 'loss': losses}
    made = variants(study(axes=axes))
    assert {(v.labels['optimizer'], v.labels['loss']) for v in made} == {
        (o, lo) for o in ('Adam', 'SGD') for lo in losses
    }
    both = next(v for v in made if dict(v.labels) == {'optimizer': 'SGD', 'loss': 'MSE'})
    assert (both.config.optimizer.name, both.config.loss.name) == ('SGD', 'mean_squared_error')
    specs = grid.runs_of(made, [3, 5], tmp_path)
    assert len({spec.workdir for spec in specs}) == 8
    assert specs[1].workdir == tmp_path / made[0].name / '5'
    assert specs[1].config.seed == 5

    listed = {'small': {'labels': {'layers': '1'}, 'overrides': {'model': {'hidden': (8,)}}}}
    (only,) = variants(study(axes=None, variants=listed))
    assert (only.name, dict(only.labels), only.config.model.hidden) == ('small', {'layers': '1'}, (8,))


def test_names_are_safe_for_files_and_numbers_say_of_what():
    axes = {'learning_rate': {'1e-3': {}}, 'what': {'a/b c': {}}}
    (only,) = variants(study(axes=axes))
    assert only.name == 'learning_rate_1e-3-a_b_c'


def test_a_length_in_steps_takes_the_place_of_one_in_epochs():
    config = study()
    config.base.steps = 7
    assert all((v.config.steps, v.config.epochs) == (7, None) for v in variants(config, ['base.steps']))
    in_steps = study(axes={'length': {'short': {'steps': 3}}})
    assert [(v.config.steps, v.config.epochs) for v in variants(in_steps)] == [(3, None)]


@pytest.mark.parametrize('value', [1, 1.0, np.float32(1), np.int64(1)])
def test_a_number_of_an_override_is_the_same_run_however_it_is_written(value):
    config = study(axes={'rate': {'high': {'optimizer': {'learning_rate': value}}}})
    config.base.schedule.factors = (1, 0)
    (only,) = variants(config)
    assert isinstance(only.config.optimizer.learning_rate, float)
    expected = default.get_config()
    expected.optimizer.learning_rate, expected.schedule.factors = 1.0, (1.0, 0.0)
    expected.threads, expected.data.fallback = 1, ''
    assert results.config_hash(only.config) == results.config_hash(expected)


def test_the_command_line_sets_an_override_as_its_field_is_set():
    """A whole number in the file is no reason to take nothing but whole numbers."""
    path = 'axes.rate.high.optimizer.learning_rate'
    config = study(axes={'rate': {'high': {'optimizer': {'learning_rate': 1}}}})
    normalize(config, [path])
    assert types(config)[path] is float
    config = study(axes={'beta': {'low': {'optimizer': {'beta_1': 0}}}})
    normalize(config, ['axes.beta.low.optimizer.beta_1', 'base.optimizer.beta_2'])
    assert types(config)['axes.beta.low.optimizer.beta_1'] is types(config)['base.optimizer.beta_2'] is float
    # One that follows another field still does.
    config = study()
    config.axes = {'rate': {'high': {'model': {'dropout_rate': config.base.model.get_ref('dropout_rate')}}}}
    normalize(config, ['axes.rate.high.model.dropout_rate'])
    config.base.model.dropout_rate = 0.25
    assert variants(config)[0].config.model.dropout_rate == 0.25


def test_an_override_sets_an_argument_of_the_optimizer_as_a_field_or_as_an_option(tmp_path):
    overrides = {'field': {'momentum': 1}, 'option': {'options': {'momentum': 1.0}}, 'keras': {'momentum': None}}
    config = study(axes={'momentum': {name: {'optimizer': value} for name, value in overrides.items()} | {'base': {}}})
    config.base.data.validation = 200
    config.base.optimizer.name, config.base.optimizer.momentum = 'SGD', 0.5
    made = {variant.name: variant for variant in variants(config)}
    found = {name: variant.config.optimizer.options.to_dict() for name, variant in made.items()}
    assert found == {'field': {'momentum': 1.0}, 'option': {'momentum': 1.0}, 'keras': {}, 'base': {'momentum': 0.5}}
    field, option = (results.config_hash(made[name].config) for name in ('field', 'option'))
    assert field == option
    config.tune = {'trials': 1, 'metric': 'validation_loss'}
    config.tune.tiers = {'all': {name: {'optimizer': {'momentum': ('linear', 0.1, 0.2)}} for name in made}}
    for search in searches_of(config, [*made.values()], tmp_path):
        (spec,) = search.trials()
        assert spec.config.optimizer.options.momentum == spec.drawn['optimizer.momentum']


def test_what_is_drawn_between_whole_numbers_is_a_number(tmp_path):
    config = study(seeds=1)
    config.base.data.validation = 200
    config.tune = {'trials': 2, 'metric': 'validation_loss'}
    config.tune.tiers = {'rate': {name: {'optimizer': {'learning_rate': ('log', 1, 2)}} for name in ('Adam', 'SGD')}}
    for spec in searches_of(config, variants(config), tmp_path)[0].trials():
        assert isinstance(spec.config.optimizer.learning_rate, float)


def test_values_of_any_type_make_the_same_runs_as_their_names():
    """Overrides by number, and those of a tier by number."""
    config = study(axes={'batch': {64: {'global_batch_size': 64}, 128: {}}, 'rate': {0.1: {}, 0.5: {}}})
    made = variants(config)
    assert {(v.labels['batch'], v.labels['rate']) for v in made} == {
        (batch, rate) for batch in ('64', '128') for rate in ('0.1', '0.5')
    }
    assert [v.config.global_batch_size for v in made if v.name == 'batch_64-rate_0.1'] == [64]
    config = study(axes=None, variants={1: {'labels': {'layers': 1}, 'overrides': {'model': {'hidden': (8,)}}}})
    (only,) = variants(config)
    assert (only.name, dict(only.labels)) == ('1', {'layers': '1'})
    config = study(axes={'batch': {64: {}}}, tune={'trials': 2, 'metric': 'validation_loss'})
    config.base.data.validation = 200
    config.tune.tiers = {'rate': {64: {'optimizer': {'learning_rate': ('log', 0.1, 1.0)}}}}
    assert len(searches_of(config, variants(config), Path('x'))[0].trials()) == 2


def test_a_study_runs_on_the_data_it_asks_for_with_one_thread():
    assert {(v.config.data.fallback, v.config.threads) for v in variants(study())} == {('', 1)}


def test_more_seeds_go_to_the_same_folder_and_another_base_to_another():
    base = study()
    more = study(seeds=10)
    other = study()
    other.base.epochs = 3
    folders = [grid.default_workdir('configs/studies/x.py', one) for one in (base, more, other)]
    assert folders[0] == folders[1] != folders[2]


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'axis': {}}, "unknown field of a study 'axis'.*Did you mean 'axes'"),
        ({'axes': {'o': {'Adam': {'optimiser': {'name': 'SGD'}}}}}, "variant 'Adam': unknown field 'optimiser.name'"),
        ({'axes': {'o': {'Adem': {'optimizer': {'name': 'Adem'}}}}}, "variant 'Adem': .*Did you mean 'Adam'"),
        ({'axes': {'o': {'Adam': {'epochs': 'five'}}}}, "variant 'Adam': epochs is 'five': it must be a whole number"),
        ({'axes': {'o': {'A': {'optimizer': {'beta_1': 'x'}}}}}, "optimizer.beta_1 is 'x': it must be a number"),
        ({'axes': {'o': {'A': {'optimizer': {'betta_1': 0.5}}}}}, "Did you mean 'optimizer.beta_1'"),
        ({'axes': {'o': {'A': {'modle': {'options': {'width': 3}}}}}}, "unknown field 'modle.options.width'"),
        ({'axes': {'o': {'A': {'optimizer': {'rho': 0.5}}}}}, "unknown argument of optimizer Adam 'rho'"),
        ({'axes': {'o': {'A': {'optimizer': {'rho': 0.5, 'options': {'rho': 0.6}}}}}}, 'rho is 0.6: give one'),
        ({'axes': {'o': {'a b': {}, 'a/b': {}}}}, "two variants would have the folder 'a_b'"),
        ({'axes': {'o': {'report': {}}}}, "folder 'report'"),
        ({'axes': {'o': {'Adam': 3}}}, "axis 'o' must be a mapping"),
        ({'axes': {'o': {}}}, 'no variant'),
        ({'axes': None}, "either 'axes'"),
        ({'variants': {'a': {'overrides': {}}}}, "either 'axes'"),
        ({'axes': None, 'variants': {'a': {'labels': {}}}}, "variant 'a' has no overrides"),
        ({'axes': {'d': {'mnist': {}, 'digits': {'data': {'name': 'digits'}}}}}, 'differ in data.name'),
        ({'axes': {'d': {'one': {}, 'two': {'threads': 2}}}}, 'differ in threads'),
        ({'seeds': 0}, 'seeds is 0'),
        ({'seeds': (1, 1)}, 'there twice'),
        ({'seeds': 'all'}, "seeds is 'all'"),
    ],
)
def test_what_is_wrong_with_a_study_is_said_in_one_line(fields, words):
    with pytest.raises(UserError, match=words) as error:
        variants(study(**fields))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--study=configs/studies/raj_optimizer_losses.py'], 'raj_optimizers_losses.py'),
        (['--study=configs/studies/raj_optimizers_losses.py', '--shard=4/4'], '0 <= i < n'),
        (['--study=configs/studies/raj_optimizers_losses.py', '--engine=locale'], "Did you mean 'local'"),
        (['--study=configs/studies/raj_optimizers_losses.py', '--study.seed=3'], "Did you mean 'seeds'"),
        (['--study=configs/studies/raj_optimizers_losses.py', '--study.base.epochs=-1'], "variant '.*': epochs is -1"),
        (
            ['--study=configs/studies/raj_optimizers_losses.py', '--report-only', '--workdir=/nowhere'],
            'no finished run',
        ),
        (['--study=configs/studies/raj_optimizers_losses.py', '--study.base.data.name=mnisd'], 'mnisd'),
        (
            ['--study=configs/studies/raj_optimizers_losses.py', '--study.base.loss.name=mean_squared_error'],
            r'--study\.base\.loss\.name has no effect: every variant has a value of its own',
        ),
    ],
)
def test_a_wrong_command_ends_with_one_line(arguments, words):
    assert re.search(words, refuse(*arguments))


def test_a_wrong_command_waits_for_no_slow_import():
    code = "import sys, trainer.compare.__main__; print({'pandas', 'scipy', 'tensorflow', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, encoding='utf-8', timeout=60)
    assert done.stdout == 'set()\n', done.stdout + done.stderr
