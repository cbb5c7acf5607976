"""The kernel computes what Keras's layer does, except for rounding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import relative_l2
from trainer.models import batch_norm


def network(dtype='float32', shape=(6, 5, 3), **options):
    keras.utils.set_random_seed(1)
    layer = keras.layers.BatchNormalization(dtype=dtype, name='norm', **options)
    layers = [
        keras.Input(shape),
        keras.layers.Dense(8, use_bias=False),
        layer,
        keras.layers.Flatten(),
        keras.layers.Dense(2),
    ]
    return keras.Sequential(layers)


def step(model, shape=(6, 5, 3)):
    """A training step's logits and gradients, and the moving averages after it."""
    images = np.random.default_rng(0).normal(3, 2, (7, *shape)).astype('float32')

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_sum(logits**2)
        return [logits, *tape.gradient(loss, model.trainable_variables)]

    values = compute()
    used = [operation.type for operation in compute.get_concrete_function().graph.get_operations()]
    norm = model.get_layer('norm')
    return [*values, norm.moving_mean.value, norm.moving_variance.value], 'FusedBatchNormV3' in used


@pytest.mark.parametrize(
    'options',
    [{}, {'momentum': 0.8, 'epsilon': 1e-5}, {'center': False, 'scale': False}, {'dtype': 'mixed_bfloat16'}],
    ids=str,
)
def test_a_step_is_that_of_keras(options):
    plain, fused = network(**options), network(**options)
    batch_norm.fuse(fused)
    (expected, unfused), (found, used) = step(plain), step(fused)
    assert not unfused
    assert used
    for theirs, ours in zip(expected, found, strict=True):
        assert relative_l2(np.float64(ours), np.float64(theirs)) < (1e-2 if 'dtype' in options else 1e-5)


@pytest.mark.parametrize(
    ('options', 'shape'),
    [({'synchronized': True}, (6, 5, 3)), ({'axis': 1}, (6, 5, 3)), ({'dtype': 'float64'}, (6, 5, 3)), ({}, (9,))],
    ids=['over all replicas', 'another axis', 'float64', 'no image'],
)
def test_what_the_kernel_cannot_do_is_left_to_keras(options, shape):
    plain, fused = network(shape=shape, **options), network(shape=shape, **options)
    batch_norm.fuse(fused)
    (expected, _), (found, used) = step(plain, shape), step(fused, shape)
    assert not used
    for theirs, ours in zip(expected, found, strict=True):
        np.testing.assert_array_equal(np.float64(ours), np.float64(theirs))


def test_evaluation_a_frozen_layer_and_what_is_saved_are_those_of_keras(tmp_path):
    plain, fused = network(), network()
    batch_norm.fuse(fused)
    images = np.ones((3, 6, 5, 3), 'float32')
    np.testing.assert_array_equal(fused(images, training=False), plain(images, training=False))
    fused.save(tmp_path / 'model.keras')
    loaded = keras.models.load_model(tmp_path / 'model.keras')
    np.testing.assert_array_equal(loaded(images), plain(images))
    fused.get_layer('norm').trainable = False
    assert not step(fused)[1]
