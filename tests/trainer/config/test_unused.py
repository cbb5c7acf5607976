"""Options without effect are reported; what this processor computes slowly too."""

import pytest

from configs import default
from seedwise import config_files
from tests.helpers import ROOT, run
from trainer.compare import grid
from trainer.config import unused
from trainer.config.check import check

OFF = {'tensorboard__enabled': False}

#: A model, and for these rules a loss, from a file.
OWN = f'{ROOT}/examples/own_optimizer.py:network'


def config(**changes):
    made = default.get_config()
    made.update_from_flattened_dict({path.replace('__', '.'): value for path, value in changes.items()})
    check(made)
    return made


@pytest.mark.parametrize(
    ('changes', 'fields', 'cured'),
    [
        ({'optimizer__ema_momentum': 0.5}, ['optimizer.ema_momentum'], {'optimizer__use_ema': True}),
        ({'optimizer__ema_overwrite_frequency': 3}, ['optimizer.ema_overwrite_frequency'], {'optimizer__use_ema': True}),
        (
            {'optimizer__name': 'SGD', 'optimizer__options__nesterov': True},
            ['optimizer.options.nesterov'],
            {'optimizer__options__momentum': 0.9},
        ),
        ({'monitor': 'accuracy'}, ['monitor'], {'data__validation': 100}),
        ({'model__dropout_rate': 0.2}, ['model.dropout_rate'], {'model__dropout': 'every'}),
        ({'model__filters': (8,), 'model__kernel_size': 5}, ['model.filters', 'model.kernel_size'], {'model__name': 'cnn'}),
        ({'model__activation': 'tanh', 'model__hidden': ()}, ['model.activation'], {'model__hidden': (5,)}),
        ({'schedule__final_fraction': 0.1}, ['schedule.final_fraction'], {'schedule__name': 'cosine'}),
        ({'schedule__decay_rate': 0.2}, ['schedule.decay_rate'], {'schedule__name': 'exponential'}),
        ({'schedule__boundaries': (0.2, 0.3)}, ['schedule.boundaries'], {'schedule__name': 'piecewise'}),
        ({'schedule__factors': (0.2, 0.3)}, ['schedule.factors'], {'schedule__name': 'piecewise'}),
        ({'data__name': 'digits', 'data__manual_dir': '/x'}, ['data.manual_dir'], {'data__name': 'mnist'}),
        ({'data__name': 'digits', 'data__memory_limit_mb': 1}, ['data.memory_limit_mb'], {'data__name': 'mnist'}),
        ({'strategy': 'one_device', 'tpu': 'mine'}, ['tpu'], {'strategy': 'tpu'}),
        ({'strategy': 'tpu', 'threads': 2}, ['threads'], {'strategy': 'auto'}),
        *(
            ({'model__name': OWN, f'model__{field}': value}, [f'model.{field}'], {'model__name': 'mlp'})
            for field, value in (
                ('hidden', (5,)),
                ('kernel_initializer', 'he_normal'),
                ('batch_norm', 'every'),
                ('dropout', 'every'),
            )
        ),
        (
            {'loss__name': OWN, 'loss__label_smoothing': 0.1},
            ['loss.label_smoothing'],
            {'loss__name': 'kl_divergence'},
        ),
        (OFF | {'tensorboard__profile_steps': 2}, ['tensorboard.profile_steps'], {'tensorboard__enabled': True}),
        (OFF | {'tensorboard__images': False}, ['tensorboard.images'], {'tensorboard__enabled': True}),
        (OFF | {'tensorboard__hparams': False}, ['tensorboard.hparams'], {'tensorboard__enabled': True}),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_each_rule(changes, fields, cured):
    assert list(unused.unused(config(**changes))) == fields
    assert not unused.unused(config(**changes | cured))


def test_every_rule_is_tested():
    (marks,) = [mark for mark in test_each_rule.pytestmark if mark.name == 'parametrize']
    tested = {field for _, fields, _ in marks.args[1] for field in fields}
    assert tested == {field for fields, _, _ in unused.RULES for field in fields}


@pytest.mark.parametrize('file', sorted((ROOT / 'configs').glob('*.py')), ids=lambda file: file.stem)
def test_no_shipped_config_has_an_option_without_effect(file):
    if 'get_config' in file.read_text(encoding='utf-8'):
        assert not unused.unused(config_files.load(file, []))


@pytest.mark.parametrize('file', sorted((ROOT / 'configs' / 'studies').glob('*.py')), ids=lambda file: file.stem)
def test_no_shipped_study_has_an_option_without_effect(file):
    if 'get_config' in file.read_text(encoding='utf-8'):
        study = config_files.load(file, [])
        grid.prepare(study)
        assert not unused.warnings({variant.name: variant.config for variant in grid.variants_of(study)})


def test_a_study_names_the_variants_concerned():
    wrong, right = config(model__dropout_rate=0.2), config()
    configs = {f'v{i}': wrong for i in range(5)} | {'right': right}
    (line,) = unused.warnings(configs)
    assert line == "model.dropout_rate has no effect in v0, v1, v2 and 2 more: model.dropout is 'none'"


def test_a_run_reports_it_once_and_trains_all_the_same(tmp_path):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.epochs=1')
    result = run(tmp_path / 'run', *arguments, '--config.optimizer.ema_momentum=0.5')
    assert result['stderr'].count('optimizer.ema_momentum has no effect: optimizer.use_ema is not set') == 1
