"""The compiled steps: masks of dropout, precision, divergence."""

import numpy as np
import pytest
import tensorflow as tf

from configs import default
from tests.helpers import run
from trainer import models, steps


def dropout_masks(seed: int, step: int, replica: int, replicas: int = 2):
    """Returns the masks that two dropout layers draw in one step on one replica."""
    config = default.get_config()
    config.model.hidden, config.model.dropout = (64, 64), 'every'
    model = models.build(config, (4, 4, 1), 10, replicas)
    draws = steps._Draws(model, replicas)
    draws.replica = lambda: tf.constant(replica)
    layers = [layer for layer in model.layers if 'dropout' in layer.name]
    with draws.at(tf.constant(seed), tf.constant(step)):
        return [layer(np.ones((8, 64), 'float32'), training=True).numpy() > 0 for layer in layers]


def test_dropout_masks_differ_by_seed_step_replica_and_layer_and_are_a_function_of_them():
    base = dropout_masks(0, 5, 0)
    assert all(np.array_equal(a, b) for a, b in zip(base, dropout_masks(0, 5, 0), strict=True))
    assert not np.array_equal(*base)
    for other in (dropout_masks(1, 5, 0), dropout_masks(0, 6, 0), dropout_masks(0, 5, 1)):
        for mask, changed in zip(base, other, strict=True):
            assert not np.array_equal(mask, changed)
            # Independent masks of rate 0.5 agree on half of the 512 units, give or take four standard deviations.
            assert abs((mask == changed).mean() - 0.5) < 4 * 0.5 / np.sqrt(512)


def test_a_diverging_run_says_between_which_steps_and_exits_with_3(tmp_path):
    arguments = ('--config=configs/mlp_sgd.py', '--config.data.name=digits', '--config.epochs=20')
    arguments += ('--config.optimizer.learning_rate=1e5', '--config.loss.name=categorical_crossentropy')
    arguments += ('--config.model.hidden=(64, 64, 64, 64)', '--config.steps_per_call=10')
    result = run(tmp_path / 'run', *arguments, code=3)
    first, last = result['diverged_steps']
    assert result['status'] == 'diverged'
    assert 1 <= first <= last == result['steps']
    assert last - first < 10
    assert f'between steps {first:,} and {last:,}' in result['stdout']


@pytest.mark.parametrize(
    ('model', 'precision'), [('mlp', 'float64'), ('mlp', 'mixed_float16'), ('cnn', 'mixed_bfloat16')]
)
def test_every_precision_learns_and_resumes_on_two_replicas(tmp_path, precision, model):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', f'--config.precision={precision}')
    arguments += (f'--config.model.name={model}', '--config.model.filters=(8,)', '--config.epochs=12')
    arguments += ('--config.strategy=mirrored', '--config.replicas=2')
    result = run(tmp_path / 'run', *arguments)
    assert result['test']['accuracy'] > 0.85
    assert result['status'] == 'completed'


def test_loss_scaling_skips_steps_that_overflow(tmp_path):
    """With the initial scale of 2^15, float16 gradients of a large loss overflow; training goes on all the same."""
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.precision=mixed_float16')
    result = run(tmp_path / 'run', *arguments, '--config.epochs=8', '--config.model.kernel_initializer=random_normal')
    assert result['status'] == 'completed'
    assert result['test']['accuracy'] > 0.8


def test_early_stopping_ends_after_patience_evaluations_and_keeps_the_best(tmp_path):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.data.validation=200')
    arguments += ('--config.optimizer.learning_rate=0.05', '--config.epochs=200', '--config.early_stopping_patience=3')
    result = run(tmp_path / 'run', *arguments)
    losses = [row['validation_loss'] for row in result['history']]
    assert len(losses) < 200
    assert np.argmin(losses) == len(losses) - 4


def test_epochs_zero_is_an_evaluation_only(tmp_path):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits')
    untrained = run(tmp_path / 'new', *arguments, '--config.epochs=0')
    assert untrained['steps'] == 0
    assert untrained['history'] == []
    assert untrained['test']['examples'] == 360
    trained = run(tmp_path / 'run', *arguments, '--config.epochs=5')
    again = run(tmp_path / 'run', *arguments, '--config.epochs=0')
    assert f'{trained["test"]["accuracy"]:.4f}' in again['stdout']
    assert again['weights_sha256'] == trained['weights_sha256']
