"""Any config is either run or refused in one line."""

import math
import runpy

import ml_collections
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import default
from seedwise import dotted
from seedwise.errors import UserError
from tests.helpers import ROOT
from trainer import optimizers
from trainer.config import check
from trainer.config.numbers import settle_numbers

FIELDS = dotted.types(default.get_config())
ALL = FIELDS | optimizers.FIELDS
CONFIGS = sorted(path.name for path in (ROOT / 'configs').glob('*.py') if '\ndef get_config' in path.read_text())

NUMBERS = st.one_of(st.integers(-(10**300), 10**300), st.floats(), st.sampled_from([0, 1, -1, math.nan, math.inf]))
NAMES = st.sampled_from(['SGD', 'lion', 'cnn', 'mlp', 'piecewise', 'mirrored', 'every', 'none', 'mnist', '', 'on'])
VALUES = st.one_of(NUMBERS, NAMES, st.text(), st.booleans(), st.none())
ANYTHING = st.one_of(VALUES, st.lists(VALUES, max_size=3).map(tuple), st.dictionaries(NAMES, VALUES, max_size=2))


def of_type(kind: type) -> st.SearchStrategy:
    tuples = st.lists(NUMBERS, max_size=3).map(tuple)
    return {int: st.integers(), float: st.floats(), bool: st.booleans(), str: NAMES, tuple: tuples}[kind]


def checked(values: dict) -> ml_collections.ConfigDict | None:
    """Returns the default config with these fields, or None where `check` refuses it."""
    config = default.get_config()
    with config.ignore_type():
        for path, value in values.items():
            dotted.put(config, path, value)
    try:
        settle_numbers(config)
        check.check(config)
    except UserError:
        return None
    return config


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(ALL)), ANYTHING, min_size=1, max_size=3))
def test_any_value_is_accepted_or_refused(values):
    # Nothing but `UserError` may come out of it, which `checked` makes None.
    config = checked(values)
    assert config is None or config.global_batch_size > 0


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_value_of_the_right_type_is_accepted_or_refused(data):
    paths = data.draw(st.lists(st.sampled_from(sorted(ALL)), min_size=1, max_size=4))
    checked({path: data.draw(of_type(ALL[path]), path) for path in paths})


def test_every_number_has_its_range():
    numbers = {path for path, kind in FIELDS.items() if kind in (int, float)}
    assert numbers == {path for path, _, _ in check._NUMBERS}


@pytest.mark.parametrize('name', CONFIGS)
def test_shipped_configs_are_accepted(name):
    check.check(runpy.run_path(str(ROOT / 'configs' / name))['get_config']())


@pytest.mark.parametrize(
    'values',
    [
        {'epochs': 0},
        {'model.hidden': ()},
        {'model.name': 'cnn', 'model.hidden': (), 'model.filters': (8,), 'model.dropout': 'last'},
        {'model.kernel_size': 50, 'model.name': 'cnn'},
        {'seed': 2**31 - 1},
        {'global_batch_size': 10**6},
        {'optimizer.name': 'rmsPROP', 'optimizer.rho': 0.0},
        {'optimizer.name': 'Muon', 'optimizer.muon_b': -4.0},
        {'optimizer.weight_decay': 1e30},
        {'schedule.name': 'piecewise', 'schedule.boundaries': (), 'schedule.factors': ()},
        {'schedule.warmup_epochs': 1000},
        {'replicas': 3, 'global_batch_size': 9},
        {'data.name': 'some/name:1.0.0'},
    ],
    ids=str,
)
def test_unusual_configs_are_accepted(values):
    assert checked(values) is not None


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'crop': -1}, 'data.augment.crop is -1: it must be from 0'),
        ({'cutout': 33}, "data.augment.cutout is 33: the images of 'mine' are 32x40, so at most 32"),
        ({'crop': 32}, 'at most 31'),
        ({'crop': True}, 'data.augment.crop is True: it must be a whole number'),
        ({'flip': 1}, 'data.augment.flip is 1: it must be true or false'),
        ({'mixup': -0.1}, 'data.augment.mixup is -0.1: it must be 0 (off), or from 0.001'),
        ({'mixup': '1'}, "data.augment.mixup is '1': it must be a number"),
        ({'name': 'flip'}, "unknown data.augment.name 'flip': accepted are '', FILE.py:NAME"),
        ({'options': {'most': 2}}, "data.augment.options are for FILE.py:NAME, and data.augment.name is ''"),
    ],
    ids=str,
)
def test_augmentation_that_cannot_be_done_is_refused(values, words):
    config = default.get_config()
    with config.unlocked(), config.ignore_type():
        config.data.augment.update(values)

    def check_all():
        check.check(config)
        check.check_images(config, 'mine', (32, 40, 3))

    with pytest.raises(UserError) as error:
        check_all()
    assert words in str(error.value)


def test_mixup_needs_an_even_batch_on_each_replica():
    config = default.get_config()
    config.global_batch_size, config.replicas, config.data.augment.mixup = 126, 2, 1.0
    with pytest.raises(UserError, match=r'126 is not divisible by 2 x 2 replicas, .* the nearest is 124 or 128'):
        check.check(config)
    config.replicas = 3
    check.check(config)


def test_a_table_has_mixup_and_no_flip():
    config = default.get_config()
    config.data.augment.mixup = 1.0
    check.check_images(config, 'wine', (13,))
    config.data.augment.flip = True
    with pytest.raises(UserError, match=r"flip is for images, and the examples of 'wine' .* set it to False"):
        check.check_images(config, 'wine', (13,))


@pytest.mark.parametrize('name', sorted(optimizers.ARGUMENTS))
def test_what_is_accepted_makes_an_optimizer(name):
    import keras

    for argument in (*optimizers.ARGUMENTS[name], *optimizers.COMMON):
        kind = ALL[f'optimizer.{argument}']
        for value in (True, False) if kind is bool else (0, 1, 10**9, 10**30, -1, -(10**30), 1e-300, 0.5, 1e300):
            fields = {'optimizer.name': name, 'optimizer.use_ema': True, f'optimizer.{argument}': value}
            if kind is float:
                fields[f'optimizer.{argument}'] = float(value)
            config = checked(fields)
            if config is not None:
                made = optimizers.build(config.optimizer, config.schedule, 10, 0, 'float32')
                assert isinstance(made, keras.optimizers.Optimizer)
