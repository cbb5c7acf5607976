"""Promise 1: the numbers of random layers, wherever they are in a model, depend on seed, layer, step and replica alone."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs import default
from seedwise.errors import UserError
from tests.helpers import ROOT
from trainer import models, steps
from trainer.models.random_layers import StepSeeds


def dropout_masks(seed: int, step: int):
    """Returns the masks that two dropout layers draw in one step."""
    config = default.get_config()
    config.model.hidden, config.model.dropout = (64, 64), 'every'
    model = models.build(config, (4, 4, 1), 10, 1)
    seeds = StepSeeds(model)
    layers = [layer for layer in model.layers if 'dropout' in layer.name]
    with seeds.at(tf.constant(seed), tf.constant(step)):
        return [layer(np.ones((8, 64), 'float32'), training=True).numpy() > 0 for layer in layers]


def assert_independent(mask, other):
    """Independent masks of rate 0.5 agree on half of the units, give or take four standard deviations."""
    assert not np.array_equal(mask, other)
    assert abs((mask == other).mean() - 0.5) < 4 * 0.5 / np.sqrt(mask.size)


def test_masks_are_a_function_of_seed_step_and_layer_and_differ_by_each():
    base = dropout_masks(0, 5)
    assert all(np.array_equal(a, b) for a, b in zip(base, dropout_masks(0, 5), strict=True))
    assert_independent(*base)
    for other in (dropout_masks(1, 5), dropout_masks(0, 6)):
        for mask, changed in zip(base, other, strict=True):
            assert_independent(mask, changed)


def test_no_two_replicas_draw_the_same_masks():
    """Two real replicas of a MirroredStrategy, in a process of its own: the number of devices is fixed by the first use."""
    code = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from configs import default
from trainer import models
from trainer.models.random_layers import StepSeeds
strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
config = default.get_config()
config.model.dropout = 'every'
with strategy.scope():
    model = models.build(config, (4, 4, 1), 10, 2)
seeds = StepSeeds(model)
@tf.function(autograph=False)
def draw():
    def replica():
        with seeds.at(tf.constant(0), tf.constant(5)):
            return model.get_layer('dense_1_dropout')(tf.ones((8, 64)), training=True)
    return strategy.experimental_local_results(strategy.run(replica))
first, second = (mask.numpy() > 0 for mask in draw())
print(len(first), int(np.array_equal(first, second)), float((first == second).mean()))
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    rows, equal, share = map(float, done.stdout.split())
    assert (rows, equal) == (8, 0)
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(8 * 64)


def nested(fields, image_shape, classes, seed, synchronized):
    """A model with dropout inside of a nested model and inside of attention, none of them seeded."""
    image = keras.Input(image_shape)
    rows = keras.layers.Reshape(image_shape[:2])(image)
    attended = keras.layers.MultiHeadAttention(2, 4, dropout=0.5)(rows, rows)
    inner = keras.Sequential([keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(8)])
    noisy = keras.layers.GaussianNoise(0.5)(inner(attended))
    return keras.Model(image, keras.layers.Dense(classes, kernel_initializer='ones')(noisy))


class Hidden(keras.layers.Layer):
    """A layer that keeps its generator where nobody looks."""

    def __init__(self, **options):
        super().__init__(**options)
        self.generators = [keras.random.SeedGenerator(1)]

    def call(self, inputs, training=False):
        return keras.random.dropout(inputs, 0.5, seed=self.generators[0]) if training else inputs


def hidden(fields, image_shape, classes, seed, synchronized):
    image = keras.Input(image_shape)
    return keras.Model(image, keras.layers.Dense(classes)(Hidden(name='mine')(keras.layers.Flatten()(image))))


def program(config):
    return steps.Program(config, tf.distribute.OneDeviceStrategy('CPU:0'), (6, 6, 1), 3, total_steps=8, warmup_steps=0)


@pytest.fixture
def config():
    made = default.get_config()
    made.global_batch_size = 16
    return made


def block(steps_, first):
    rng = np.random.default_rng(first)
    return tf.constant(rng.integers(0, 256, (steps_, 16, 6, 6, 1), np.uint8)), tf.constant(
        rng.integers(0, 3, (steps_, 16), np.int32)
    )


def test_nested_dropout_attention_and_noise_are_under_the_seed_and_need_no_state(config, monkeypatch):
    monkeypatch.setitem(models.MODELS, 'mlp', nested)
    first = program(config)
    start = [variable.numpy() for variable in first.variables]
    first.train(block(4, 0), 7, 0)
    middle = [variable.numpy() for variable in first.variables]
    first.train(block(4, 4), 7, 4)
    keras.utils.set_random_seed(123)  # Keras's own seeds are drawn by Python's generator, another one in each process
    second = program(config)
    for variable, value in zip(second.variables, start, strict=True):
        variable.assign(value)
    second.train(block(4, 0), 7, 0)
    for variable, value in zip(second.variables, middle, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    second.train(block(4, 4), 7, 4)
    ends = [[variable.numpy() for variable in made.variables] for made in (first, second)]
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)
    for variable, value in zip(second.variables, start, strict=True):
        variable.assign(value)
    second.train(block(4, 0), 8, 0)
    assert any(
        not np.array_equal(variable.numpy(), value) for variable, value in zip(second.variables, middle, strict=True)
    )


def test_a_generator_that_is_not_found_is_refused_by_its_name(config, monkeypatch):
    monkeypatch.setitem(models.MODELS, 'mlp', hidden)
    with pytest.raises(UserError, match='mine'):
        program(config)
