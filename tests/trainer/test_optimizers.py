"""Every optimizer with its options: the same numbers on every strategy, as plain Keras has them, resumed or not."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import portpicker
import pytest
import tensorflow as tf

from seedwise.errors import UserError
from tests.forks import Forks, with_tensorflow
from tests.helpers import ROOT, run
from tests.trainer import optimizer_cases
from trainer import models, optimizers, steps
from trainer.config.check import check
from trainer.loop.blocks import Blocks

CASES = optimizer_cases.cases('default')


def start(which: str, folder, *strategies: str, **environ: str) -> subprocess.Popen:
    words = [sys.executable, '-m', 'tests.trainer.optimizer_cases', which, str(folder), *strategies]
    environment = os.environ | {'TF_CPP_MIN_LOG_LEVEL': '3'} | environ
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize(
    ('which', 'workers'),
    [('few', 0), *(pytest.param(which, 2, marks=pytest.mark.slow) for which in ('default', 'all'))],
)
def test_every_optimizer_ends_with_the_same_weights_on_every_strategy(tmp_path, which, workers):
    """Slow with two workers, which compile each once more, and with more than a few: 'default' has all options of each at
    once, and 'all' 180 combinations.
    """
    addresses = [f'127.0.0.1:{portpicker.pick_unused_port()}' for _ in range(2)]
    clusters = [{'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': i}} for i in range(2)]
    words = (which, str(tmp_path), 'one_device', 'mirrored')
    ended = with_tensorflow().run('tests.trainer.optimizer_cases', *words, environ=os.environ, seconds=1500)
    assert ended.code == 0, ended.err[-3000:]
    processes = [start(which, tmp_path, 'multi_worker', TF_CONFIG=json.dumps(c)) for c in clusters[:workers]]
    for process in processes:
        out, _ = process.communicate(timeout=1500)
        assert process.returncode == 0, out.decode()[-3000:]
    names = ('one_device', 'mirrored', *(f'multi_worker_{i}' for i in range(workers)))
    one, *others = (np.load(tmp_path / f'{name}.npz') for name in names)
    assert len(one.files) == 2 * len(optimizer_cases.cases(which))
    for other in others:
        for name in one.files:
            distance = np.linalg.norm(one[name] - other[name]) / np.linalg.norm(one[name])
            assert distance < 1e-12, name


@pytest.fixture(scope='module')
def devices():
    return tf.distribute.OneDeviceStrategy('CPU:0')


def by_keras(config) -> tuple[np.ndarray, np.ndarray]:
    """Trains as a plain Keras loop would, and returns what `optimizer_cases.trained` returns."""
    data = optimizer_cases.dataset()
    blocks = Blocks(config, tf.distribute.OneDeviceStrategy('CPU:0'), data).train(0, [1] * optimizer_cases.STEPS)
    model = models.build(config, data.image_shape, data.classes, 1)
    optimizer = getattr(keras.optimizers, config.optimizer.name)(**optimizers.arguments(config.optimizer))
    optimizer.build(model.trainable_variables)
    trained, evaluated = [], []

    def look(first: bool = False):
        weights = [variable.numpy() for variable in model.trainable_variables]
        trained.append(optimizer_cases.flat(model.trainable_variables))
        if not first:
            optimizer.finalize_variable_values(model.trainable_variables)
        evaluated.append(optimizer_cases.flat(model.trainable_variables))
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)

    look(first=True)
    for images, labels in blocks:
        with tf.GradientTape() as tape:
            logits = model(tf.cast(images[0], tf.float64) / 255, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels[0], logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        look()
    return np.array(trained), np.array(evaluated)


@pytest.mark.parametrize('name', [name for name in CASES if 'ScheduleFree' not in name])
def test_every_optimizer_is_plain_keras_step_by_step(devices, name):
    config = optimizer_cases.config_of(CASES[name])
    for ours, theirs in zip(optimizer_cases.trained(config, devices), by_keras(config), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_schedule_free_is_that_of_its_paper(devices):
    """Defazio et al. 2024, equations 3 to 5, with x, y and z kept. Keras's own loses the old z on TensorFlow."""
    fields = {'name': 'ScheduleFreeAdamW', 'learning_rate': 0.05, 'beta_1': 0.7, 'beta_2': 0.95, 'epsilon': 1e-4}
    config = optimizer_cases.config_of(fields | {'warmup_steps': 3})
    data = optimizer_cases.dataset()
    blocks = Blocks(config, devices, data).train(0, [1] * optimizer_cases.STEPS)
    model = models.build(config, data.image_shape, data.classes, 1)
    x = z = y = [variable.numpy() for variable in model.trainable_variables]
    velocity = [np.zeros_like(weight) for weight in x]
    trained, evaluated = [y], [x]
    for t, (images, labels) in enumerate(blocks, start=1):
        for variable, value in zip(model.trainable_variables, y, strict=True):
            variable.assign(value)
        with tf.GradientTape() as tape:
            logits = model(tf.cast(images[0], tf.float64) / 255, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels[0], logits))
        gradients = [g.numpy() for g in tape.gradient(loss, model.trainable_variables)]
        rate = 0.05 * min(t / 3, 1)
        velocity = [0.95 * v + 0.05 * g**2 for v, g in zip(velocity, gradients, strict=True)]
        u = [g / (np.sqrt(v / (1 - 0.95**t)) + 1e-4) for g, v in zip(gradients, velocity, strict=True)]
        z = [a - rate * b for a, b in zip(z, u, strict=True)]
        x = [(1 - 1 / t) * a + b / t for a, b in zip(x, z, strict=True)]
        y = [0.3 * a + 0.7 * b for a, b in zip(z, x, strict=True)]
        trained.append(y)
        evaluated.append(x)
    for ours, theirs in zip(optimizer_cases.trained(config, devices), (trained, evaluated), strict=True):
        expected = np.array([np.concatenate([weight.ravel() for weight in weights]) for weights in theirs])
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('name', ['Adam averaged', 'RMSprop with all', 'ScheduleFreeAdamW with all', 'Muon with all'])
def test_every_kind_of_average_resumes_bit_for_bit(devices, name):
    config = optimizer_cases.config_of(CASES[name])
    whole = optimizer_cases.trained(config, devices)
    resumed = optimizer_cases.trained(config, devices, resumed_at=4)
    assert np.array_equal(whole, resumed)


@pytest.mark.parametrize(
    'precision', ['float32', 'mixed_float16', pytest.param('mixed_bfloat16', marks=pytest.mark.slow)]
)
def test_averages_work_under_every_precision_and_xla(devices, precision):
    """bfloat16 is slow: float16 averages the same float32 weights, and has the scale of its loss too."""
    config = optimizer_cases.config_of(CASES['Adam averaged'], precision=precision, jit='on')
    trained, evaluated = optimizer_cases.trained(config, devices)
    assert np.isfinite(evaluated).all()
    assert not np.array_equal(trained[-1], evaluated[-1])


def test_averaged_weights_are_evaluated_kept_as_best_hashed_and_saved(tmp_path):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.data.validation=200')
    arguments += ('--config.epochs=3', '--config.optimizer.learning_rate=0.01')
    averaged = ('--config.optimizer.use_ema=true', '--config.optimizer.ema_momentum=0.9')
    plain = run(tmp_path / 'plain', *arguments)
    result = run(tmp_path / 'averaged', *arguments, *averaged)
    assert result['weights_sha256'] != plain['weights_sha256']
    # Training itself is the same: its losses are those of the weights that are trained.
    assert [row['train_loss'] for row in result['history']] == [row['train_loss'] for row in plain['history']]
    assert [row['validation_loss'] for row in result['history']] != [row['validation_loss'] for row in plain['history']]
    again = run(tmp_path / 'averaged', *arguments, *averaged, '--config.epochs=0')
    assert f'{result["test"]["loss"]:.4f}' in again['stdout']
    overwritten = run(tmp_path / 'overwritten', *arguments, *averaged, '--config.optimizer.ema_overwrite_frequency=3')
    assert overwritten['weights_sha256'] not in (plain['weights_sha256'], result['weights_sha256'])


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        ({'jit': 'on', 'replicas': 2}, 'XLA compiles the step of one device only'),
        ({'jit': 'on', 'strategy': 'mirrored'}, 'XLA compiles the step of one device only'),
        ({'jit': 'on', 'model.name': 'cnn'}, 'XLA has no deterministic gradient of max pooling'),
        ({'optimizer.name': 'ScheduleFreeAdamW', 'optimizer.use_ema': True}, 'averages its weights itself'),
        (
            {'optimizer.name': 'ScheduleFreeAdamW', 'optimizer.options.beta_1': 0.0},
            'for ScheduleFreeAdamW it must be above 0',
        ),
        ({'optimizer.name': 'lion', 'optimizer.options.beta_1': 0.0}, 'for Lion it must be above 0'),
    ],
)
def test_what_cannot_be_is_refused_before_tensorflow_starts(changes, line):
    config = optimizer_cases.config_of({})
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=line):
        check(config)


def test_a_keras_that_sums_gradients_elsewhere_is_refused_with_several_replicas():
    class Other:
        pass

    with pytest.raises(UserError, match='sums gradients in a way that is not known'):
        steps._sum_no_gradients(Other(), 2)
    steps._sum_no_gradients(Other(), 1)


def test_two_replicas_sum_gradients_once_with_the_lowest_keras(tmp_path):
    """The lowest that setup.py allows is where SEEDWISE_TEST_KERAS says; test_strategies.py tries the installed one."""
    lowest = os.environ.get('SEEDWISE_TEST_KERAS')
    if not lowest:
        pytest.skip('SEEDWISE_TEST_KERAS does not name a folder with the lowest Keras that setup.py allows')
    forks = Forks('tensorflow', environ=os.environ | {'PYTHONPATH': lowest})
    arguments = ('--config=configs/mlp_sgd.py', '--config.data.name=digits', '--config.epochs=1')
    arguments += ('--config.precision=float64', '--config.optimizer.momentum=0.9')
    for replicas in (1, 2):
        strategy = ('--config.strategy=mirrored', f'--config.replicas={replicas}')
        workdir = tmp_path / f'{replicas}'
        ended = forks.run('trainer.main', *arguments, *strategy, f'--workdir={workdir}', environ=os.environ)
        assert ended.code == 0, ended.err
        version = json.loads((workdir / 'result.json').read_text())['versions']['keras']
        assert f"'keras>={version.rpartition('.')[0]}" in (ROOT / 'setup.py').read_text(encoding='utf-8')
    one, two = (
        np.concatenate([weight.ravel() for weight in keras.models.load_model(folder / 'model.keras').get_weights()])
        for folder in (tmp_path / '1', tmp_path / '2')
    )
    assert np.linalg.norm(one - two) < 1e-12 * np.linalg.norm(one)
