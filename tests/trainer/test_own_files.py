"""A user's own files under the promises: same weights twice, after a kill, on replicas and workers."""

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT, command, last_checkpoint, run, wait_for

MINE = """
import keras
import tensorflow as tf
from configs import default
from parts import WIDTH


class Negative(keras.layers.Layer):
    def call(self, x):
        return 1 - x


def net(image_shape, classes, width=WIDTH, rate=0.2):
    inside = keras.Sequential([keras.layers.Dense(width, 'relu'), keras.layers.Dropout(rate)])
    image = keras.Input(image_shape)
    x = Negative()(keras.layers.Reshape((28, 28))(image))
    x = keras.layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x)
    return keras.Model(image, keras.layers.Dense(classes)(inside(keras.layers.Flatten()(x))))


class Momentum(keras.optimizers.SGD):
    def __init__(self, learning_rate=0.05, rho=0.9, **kwargs):
        super().__init__(learning_rate, momentum=rho, **kwargs)


def focal(labels, logits, gamma=2.0):
    p = keras.ops.take_along_axis(keras.ops.softmax(logits), labels[:, None], axis=-1)[:, 0]
    return -((1 - p) ** gamma) * keras.ops.log(p + 1e-7)


def noise(images, seeds, most=0.1):
    draw = lambda pair: pair[0] + tf.random.stateless_uniform(pair[0].shape, pair[1], -most, most)
    return tf.map_fn(draw, (images, seeds), fn_output_signature=tf.float32)


def get_config():
    config = default.get_config()
    config.data.name = 'digits'
    config.epochs = 2
    config.model.name = f'{__file__}:net'
    config.model.options = {'width': 32}
    config.optimizer.name = f'{__file__}:Momentum'
    config.loss.name = f'{__file__}:focal'
    config.data.augment.name = f'{__file__}:noise'
    config.data.augment.options = {'most': 0.2}
    config.threads = 1
    return config
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / 'mine.py').write_text(MINE)
    (tmp_path / 'parts.py').write_text('WIDTH = 16\n')
    return f'--config={tmp_path}/mine.py'


def test_a_run_of_own_files_repeats_itself_and_keeps_them(tmp_path, mine):
    first = run(tmp_path / 'a', mine, '--config.epochs=1')
    second = run(tmp_path / 'b', mine, '--config.epochs=1')
    assert first['weights_sha256'] == second['weights_sha256']
    # Attention with 2 heads of 4: three maps 28 -> 8 with 8 biases, and 8 -> 28 with 28: 3 * 232 + 252 = 948; then 784 x 32
    # + 32 and 32 x 10 + 10.
    assert first['parameters'] == 948 + 25_120 + 330
    assert list(first['sources']) == ['mine.py']
    assert {file.name for file in (tmp_path / 'a' / 'sources').iterdir()} == {'mine.py', 'parts.py'}
    evaluated = run(tmp_path / 'a', mine, '--config.epochs=0', fork=False)  # for what imports say
    assert 'cpu_feature_guard' not in evaluated['stderr']  # quiet, though the config file imports Keras
    assert f'{first["test"]["accuracy"]:.4f}' in evaluated['stdout']


@pytest.mark.slow
def test_killed_and_continued_on_one_device_two_replicas_and_two_workers(tmp_path, mine):
    """Slow: eight processes that compile a model with attention."""
    often = ('--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=5', '--config.eval_every_steps=5')
    often += ('--config.epochs=30',)
    for name, extra, launch in (
        ('one', (), 0),
        ('mirrored', ('--config.strategy=mirrored', '--config.replicas=2'), 0),
        ('workers', (), 2),
    ):
        whole = run(tmp_path / f'{name} whole', mine, *often, *extra, launch=launch)
        killed = tmp_path / f'{name} killed'
        process = command(mine, *often, *extra, f'--workdir={killed}', launch=launch, start_new_session=True)
        wait_for(lambda killed=killed: last_checkpoint(killed) > 10)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        again = run(killed, mine, *often, *extra, launch=launch)
        assert again['weights_sha256'] == whole['weights_sha256'], name


@pytest.mark.slow
def test_the_example_runs_and_is_judged(tmp_path):
    """Slow: ten runs."""
    import subprocess

    done = subprocess.run(
        [sys.executable, '-m', 'trainer.compare', '--study=examples/own_optimizer.py', f'--workdir={tmp_path}'],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    claims = json.loads((tmp_path / 'report' / 'claims.json').read_text())
    assert claims['claims'][0]['result'] in ('holds', 'does not hold', 'undecided')
    assert 'Signum' in done.stdout


BAD = """
import os
import sys
import keras

def none(image_shape, classes): pass
def three(image_shape, classes):
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(3)])
def penalised(image_shape, classes):
    dense = keras.layers.Dense(classes, kernel_regularizer='l2')
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), dense])
def raises(image_shape, classes): return 1 / 0
def leaves(image_shape, classes): sys.exit(3)
def batch_norm(image_shape, classes):
    normalise = keras.layers.BatchNormalization()
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), normalise, keras.layers.Dense(classes)])
def compiled(image_shape, classes):
    model = keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
    model.compile('sgd', 'mse')
    return model
class Loop(keras.Sequential):
    def train_step(self, data): return {}
def own_loop(image_shape, classes):
    return Loop([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
def settings(image_shape, classes):
    keras.config.set_floatx('float16')
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
def policy(image_shape, classes):
    keras.config.set_dtype_policy('mixed_float16')
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
def cleared(image_shape, classes):
    keras.utils.clear_session()
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
def elsewhere(image_shape, classes): os.chdir('/')
def wide(image_shape, classes):
    dense = keras.layers.Dense(classes, dtype='float64')
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), dense])
def frozen(image_shape, classes):
    model = keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
    model.trainable = False
    return model
def narrow(image_shape, classes): return keras.Sequential([keras.Input((5,)), keras.layers.Dense(classes)])
def pair(image_shape, classes):
    inputs = [keras.Input(image_shape), keras.Input(image_shape)]
    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(inputs[0])))
class Fails(keras.Model):
    def call(self, x): return x @ 'y'
def fails(image_shape, classes): return Fails()
def number(learning_rate=0.1): return 3
class NoUpdate(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.1): super().__init__(learning_rate)
class Whole(NoUpdate):
    def apply(self, gradients, variables): self.iterations.assign_add(1)
def scaled(learning_rate=0.1): return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(learning_rate))
def total(labels, logits): return keras.ops.sum(logits)
def double(labels, logits): return keras.ops.cast(keras.ops.sum(logits, -1), 'float64')
def constant(labels, logits): return keras.ops.stop_gradient(logits[:, 0])
def relative(labels, logits): return logits[:, 0] / keras.ops.max(logits)
class Focal(keras.losses.Loss): pass
class Unstored(keras.layers.Layer):
    def __init__(self, inner): super().__init__()
    def call(self, x): return x
def unstored(image_shape, classes):
    dense = keras.layers.Dense(classes)
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), dense, Unstored(object())])
"""

FAULTS = {
    'model.none': 'none returned NoneType: it must return a Keras model',
    'model.three': 'it must return logits of shape (batch, 10)',
    'model.penalised': 'adds losses of its own',
    'model.raises': 'bad.py, line 12: ZeroDivisionError: division by zero',
    'model.leaves': 'bad.py, line 13: SystemExit: 3',
    'model.compiled': 'compiled is compiled, and what it is compiled with is not used',
    'model.own_loop': 'own_loop has a train_step of its own, which is not used',
    'model.settings': "settings changes Keras's settings for everything after it",
    'model.batch_norm': "layer 'batch_normalization' would normalise each replica's share by itself",
    'model.unstored': 'the model cannot be stored, since the class Unstored has no get_config()',
    'model.policy': 'for everything after it, the dtype policy: set config.precision in its place',
    'model.cleared': "Keras's session (clear_session)",
    'model.elsewhere': 'elsewhere changes the current folder',
    'model.wide': "computes in float64, and precision is 'float32'",
    'model.frozen': 'the model has no weights to train',
    'model.narrow': 'takes inputs of shape (None, 5): it must take inputs of shape (batch, 28, 28, 1)',
    'model.pair': 'pair has 2 inputs: it must take inputs of shape (batch, 28, 28, 1)',
    'model.fails': 'bad.py, line 47: ',
    'optimizer.number': 'number made int: it must make a Keras optimizer',
    'optimizer.scaled': 'scaled made a LossScaleOptimizer: return the optimizer inside of it',
    'optimizer.NoUpdate': 'NoUpdate has no update_step(gradient, variable, learning_rate)',
    'loss.double': 'double returned float64: it must return a tensor of the type of the logits, float32',
    'loss.constant': 'constant has no gradient',
    'loss.relative': 'relative returns another loss of the same example when it is called with other examples, or again',
    'loss.Focal': 'Focal is a Keras loss: it must be a function of (labels, logits)',
    'loss.total': 'total returned shape (): it must return one number an example',
}


NOISY = """
import keras
import numpy as np
import tensorflow as tf

class Noise(keras.layers.Layer):
    def __init__(self, kind, when, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.when = kind, when
    def get_config(self):
        return super().get_config() | {'kind': self.kind, 'when': self.when}
    def call(self, x, training=False):
        draw = np.random.normal() if self.kind == 'numpy' else tf.random.normal(())
        return x + draw if training or self.when == 'always' else x

class Seeded(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(1)
        self.count = self.add_weight(shape=(), initializer='zeros', trainable=False)
    def call(self, x, training=False):
        self.count.assign_add(1.0)
        return x + self.count + keras.random.normal((), seed=self.generator) if training else x

class Penalty(keras.layers.Layer):
    def call(self, x, training=False):
        if training: self.add_loss(keras.ops.sum(x))
        return x

class Fails(keras.layers.Layer):
    def call(self, x, training=False):
        if training: raise ValueError('here')
        return x

class Always(keras.layers.Dropout):
    def call(self, x, training=False):
        return super().call(x, training=True)

def recurrent():
    return keras.Sequential([keras.layers.Reshape((10, 1)), keras.layers.LSTM(10, dropout=0.5)])

OTHERS = {'seeded': Seeded, 'penalty': Penalty, 'fails': Fails, 'softmax': keras.layers.Softmax, 'recurrent': recurrent}
OTHERS['always'] = lambda: Always(0.5)

def net(image_shape, classes, layer='seeded', when='always'):
    noise = OTHERS[layer]() if layer in OTHERS else Noise(layer, when)
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes), noise])
"""


def test_a_model_that_a_run_cannot_use_is_noticed_when_it_is_called(tmp_path, monkeypatch, capsys):
    import numpy as np

    from configs import default
    from seedwise.errors import UserError
    from trainer import models
    from trainer.models import random_layers

    (tmp_path / 'noisy.py').write_text(NOISY)
    monkeypatch.chdir(tmp_path)

    def check(**options):
        config = default.get_config()
        config.model.name = 'noisy.py:net'
        with config.unlocked():
            config.model.options = options
        model = models.build(config, (4, 4, 1), 10, 1)
        before = [weight.copy() for weight in model.get_weights()]
        random_layers.check_repeats(model, random_layers.StepSeeds(model), (4, 4, 1), Path('noisy.py'))
        assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
        model(np.zeros((1, 4, 4, 1)))  # as in evaluation, which is not of a step

    for layer in ('numpy', 'tensorflow'):
        with pytest.raises(UserError, match='returns different logits for the same images: random numbers must come'):
            check(layer=layer)
        with pytest.raises(UserError, match='different logits for the same images in training: random'):
            check(layer=layer, when='training')
    with pytest.raises(UserError, match='different logits for the same images: random'):
        check(layer='always')
    with pytest.raises(UserError, match='adds losses of its own'):
        check(layer='penalty')
    with pytest.raises(UserError, match='returns probabilities: it must return logits'):
        check(layer='softmax')
    capsys.readouterr()
    with pytest.raises(UserError, match=r'^noisy.py, line \d+: ValueError: here$'):
        check(layer='fails')
    shown = capsys.readouterr().err
    assert "raise ValueError('here')" in shown
    assert 'random_layers' not in shown, 'a frame of ours'
    check()
    check(layer='recurrent')  # draws a mask of dropout in evaluation too


def test_what_is_wrong_with_an_own_function_is_one_line(tmp_path, monkeypatch):
    """In this process: each starts where a run would."""
    from configs import default
    from seedwise.errors import UserError
    from trainer import losses, models, optimizers

    (tmp_path / 'bad.py').write_text(BAD)
    monkeypatch.chdir(tmp_path)
    build = {
        'model': lambda config, replicas: models.build(config, (28, 28, 1), 10, replicas),
        'optimizer': lambda config, _: optimizers.build(config.optimizer, config.schedule, 10, 0, 'float32'),
        'loss': lambda config, _: losses.build(config.loss),
    }
    for name, words in FAULTS.items():
        section, _, function = name.partition('.')
        config = default.get_config()
        config[section].name = f'bad.py:{function}'
        with pytest.raises(UserError) as error:
            build[section](config, 2 if function == 'batch_norm' else 1)
        assert words in str(error.value), name
    config = default.get_config()
    config.optimizer.name = 'bad.py:Whole'
    assert build['optimizer'](config, 1).name == 'Whole'.lower(), 'its apply needs no update_step'


SCHEDULE = """
from keras import ops

def triangle(progress, peak=0.5):
    return ops.minimum(progress / peak, (1 - progress) / (1 - peak))

def two(progress): return ops.stack([progress, progress])
def none(progress): return None
"""


def test_a_schedule_from_a_file(tmp_path, monkeypatch):
    from configs import default
    from seedwise.errors import UserError
    from trainer import optimizers
    from trainer.config.check import check

    (tmp_path / 'rates.py').write_text(SCHEDULE)
    monkeypatch.chdir(tmp_path)
    config = default.get_config()
    config.schedule.name = 'rates.py:triangle'
    with config.unlocked():
        config.schedule.options = {'peak': 0.25}
    check(config)
    schedule = optimizers.build_schedule(config.schedule, 2.0, 110, 10)
    # Ten steps of warm-up to the base rate, then the function from 0 on.
    assert [float(schedule(step)) for step in (0, 9, 10, 35, 60, 110)] == pytest.approx(
        [0.2, 2.0, 0.0, 2.0, 4 / 3, 0.0]
    )
    for name, words in (('two', r'two returned the shape \(2,\): it must return one number'), ('none', 'no number')):
        config.schedule.name, config.schedule.options = f'rates.py:{name}', {}
        with pytest.raises(UserError, match=words):
            optimizers.build_schedule(config.schedule, 2.0, 110, 10)
    config.schedule.name = 'rates.py:triangel'
    with pytest.raises(UserError, match="unknown name in schedule.name 'triangel': .* Did you mean 'triangle'"):
        check(config)


def test_an_edit_while_a_study_runs_is_noticed(tmp_path, monkeypatch):
    from configs import default
    from seedwise.errors import UserError
    from trainer.compare.grid import RunSpec, Variant

    (tmp_path / 'rates.py').write_text(SCHEDULE)
    monkeypatch.chdir(tmp_path)
    config = default.get_config()
    config.schedule.name = 'rates.py:triangle'
    spec = RunSpec(Variant('a', {}, config), 0, tmp_path / 'a' / '0')
    assert spec.hash
    spec.check_unchanged()
    (tmp_path / 'rates.py').write_text(SCHEDULE.replace('0.5', '0.6'))
    with pytest.raises(UserError, match=r'rates.py was edited while the study was running, from a, seed 0 on'):
        spec.check_unchanged()
