"""The compiled steps: precision, divergence, evaluation."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from configs import default
from seedwise.errors import UserError
from tests.helpers import run
from trainer import steps, strategy
from trainer.checkpoints import Checkpoints
from trainer.loop import mixup, xla


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


@pytest.mark.parametrize('validation', [0, 100])
def test_a_loss_that_is_not_finite_at_an_evaluation_ends_the_run_as_diverged(tmp_path, validation):
    """The training loss of the only step is finite: it is that of the initial weights."""
    arguments = ('--config=configs/mlp_sgd.py', '--config.data.name=digits', '--config.steps=1')
    arguments += ('--config.optimizer.learning_rate=1e6', f'--config.model.hidden={(64,) * 9}')
    arguments += (f'--config.data.validation={validation}', '--config.model.kernel_initializer=he_uniform')
    result = run(tmp_path / 'run', *arguments, code=3)
    assert (result['status'], result['diverged_steps'], result['test']['examples']) == ('diverged', [1, 1], 0)
    assert 'DIVERGED' in result['stdout']


def test_weights_that_are_nan_end_the_run_where_the_loss_is_finite(tmp_path):
    """Keras's Adafactor divides 0 by 0 for units that never fire, and ReLU makes 0 of what is NaN before the loss."""
    arguments = ('--config=configs/cnn_adam.py', '--config.data.name=digits', '--config.data.validation=0')
    arguments += ('--config.optimizer.name=Adafactor', '--config.optimizer.learning_rate=0.001', '--config.epochs=2')
    result = run(tmp_path / 'run', *arguments, code=3)
    assert result['status'] == 'diverged'
    assert 'DIVERGED' in result['stdout']


SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in (('mlp', 'float64'), ('cnn', 'mixed_bfloat16'))]


@pytest.mark.parametrize(('model', 'precision'), [('mlp', 'mixed_float16'), *SLOW])
def test_every_precision_learns_on_two_replicas(tmp_path, precision, model):
    """Slow where test_strategies.py has the same sums already, and with convolutions."""
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', f'--config.precision={precision}')
    arguments += (f'--config.model.name={model}', '--config.model.filters=(8,)', '--config.epochs=12')
    arguments += ('--config.strategy=mirrored', '--config.replicas=2')
    result = run(tmp_path / 'run', *arguments)
    assert result['test']['accuracy'] > 0.85
    assert result['status'] == 'completed'


def program(precision: str, **fields) -> steps.Program:
    config = default.get_config()
    config.precision, config.global_batch_size = precision, 16
    config.update_from_flattened_dict({path.replace('__', '.'): value for path, value in fields.items()})
    devices = tf.distribute.OneDeviceStrategy('CPU:0')
    return steps.Program(config, devices, (6, 6, 1), 3, total_steps=8, warmup_steps=0)


def block(number: int):
    """Four steps of 16 examples."""
    rng = np.random.default_rng(number)
    images, labels = rng.integers(0, 256, (4, 16, 6, 6, 1), np.uint8), rng.integers(0, 3, (4, 16), np.int32)
    return tf.constant(images), tf.constant(labels)


def values(made: steps.Program) -> list[np.ndarray]:
    return [variable.numpy() for variable in made.variables]


@pytest.mark.parametrize(
    'precision', ['float64', 'mixed_float16', pytest.param('mixed_bfloat16', marks=pytest.mark.slow)]
)
def test_every_precision_resumes_from_its_checkpoint(tmp_path, precision):
    """bfloat16 is slow: it has no more state than float64. float16 has the scale of its loss."""
    whole, resumed = program(precision), program(precision)
    whole.train(block(0), 0, 0)
    options = {'keep': 1, 'every_steps': 0, 'every_seconds': 0}
    Checkpoints(tmp_path, whole.variables, **options).save({'step': 4})
    whole.train(block(1), 0, 4)
    assert Checkpoints(tmp_path, resumed.variables, **options).restore() == {'step': 4}
    resumed.train(block(1), 0, 4)
    for a, b in zip(values(whole), values(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixup_mixes_the_inputs_and_the_losses_of_each_pair():
    """The squared error of mixed labels would be another number than the mixed errors."""
    made = program('float64', data__augment__mixup=0.7, loss__name='mean_squared_error')
    model = keras.models.clone_model(made.model)
    model.set_weights(made.model.get_weights())
    images, labels = (x.numpy()[:1] for x in block(0))
    weights = np.random.default_rng(1).uniform(0, 2, (1, 16))  # of each example, and so of its label's loss
    trained = made.train((tf.constant(images), tf.constant(labels), tf.constant(weights)), 5, 3)
    share = float(mixup.coefficients(0.7, 5, 3, 1)[0])
    order = [place + 1 - 2 * (place % 2) for place in range(16)]  # 1, 0, 3, 2, ...
    inputs, classes = images[0] / 255, np.eye(3)[labels[0]]
    logits = model(share * inputs + (1 - share) * inputs[order]).numpy()
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    each = share * weights[0] * ((classes - p) ** 2).mean(-1)
    each += (1 - share) * weights[0][order] * ((classes[order] - p) ** 2).mean(-1)
    assert trained.totals.loss == pytest.approx(each.sum(), rel=1e-9)
    assert trained.totals.correct == (p.argmax(-1) == labels[0]).sum()  # the label of the first of each pair counts


def test_the_coefficients_of_mixup_are_beta_and_their_own_for_each_seed_and_step():
    for alpha in (0.2, 1.0):
        drawn = mixup.coefficients(alpha, 0, 0, 2000)
        assert scipy.stats.kstest(drawn, scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01
        np.testing.assert_array_equal(mixup.coefficients(alpha, 0, 1500, 500), drawn[1500:])
        assert not np.isin(mixup.coefficients(alpha, 1, 0, 2000), drawn).all()
    for alpha in (0.001, 1000.0):
        assert np.isfinite(mixup.coefficients(alpha, 0, 0, 100)).all()


def test_a_step_that_overflows_is_skipped_and_the_scale_of_the_loss_halved():
    made = program('mixed_float16')
    made.optimizer.dynamic_scale.assign(2.0**30)
    before = made.model.get_weights()
    trained = made.train(tuple(x[:1] for x in block(0)), 0, 0)
    assert np.isfinite(trained.totals.loss)
    assert made.optimizer.dynamic_scale.numpy() == 2.0**29
    for a, b in zip(before, made.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for number in range(40):  # until the scale fits, and the weights move
        made.train(block(number), 0, 4 * number)
    assert made.optimizer.dynamic_scale.numpy() < 2.0**29
    assert any(not np.array_equal(a, b) for a, b in zip(before, made.model.get_weights(), strict=True))


def test_every_evaluation_opens_the_test_set_where_a_study_redoes_a_paper_that_did(tmp_path):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.epochs=2')
    extra = ('--config.test_every_evaluation=true', '--config.metrics=auc,calibration_error')
    result = run(tmp_path / 'run', *arguments, *extra)
    assert all(row['test_auc'] > 0.5 > row['test_calibration_error'] > 0 for row in result['history'])
    assert result['history'][-1]['validation_auc'] is None
    assert len(result['history']) == 2
    assert all(0 < row['test_accuracy'] < 1 for row in result['history'])
    assert result['history'][-1]['test_accuracy'] == result['test']['accuracy']
    assert 'test loss' in result['stderr']
    plain = run(tmp_path / 'plain', *arguments)
    assert all('test_loss' not in row for row in plain['history'])
    assert plain['weights_sha256'] == result['weights_sha256']


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
    trained = run(tmp_path / 'run', *arguments, '--config.epochs=1')
    again = run(tmp_path / 'run', *arguments, '--config.epochs=0', '--config.metrics=brier_score')
    assert 'brier' in again['stdout']
    assert f'{trained["test"]["accuracy"]:.4f}' in again['stdout']
    assert again['weights_sha256'] == trained['weights_sha256']


def shifted(image_shape, classes):
    """Has an operation that XLA does not know."""
    shift = keras.layers.RandomTranslation(0.1, 0.1)
    return keras.Sequential([keras.Input(image_shape), shift, keras.layers.Flatten(), keras.layers.Dense(classes)])


def test_a_step_that_xla_cannot_compile_is_run_without_it_unless_it_was_asked_for():
    auto, off = (program('float32', model__name=f'{__file__}:shifted', jit=jit) for jit in ('auto', 'off'))
    for made in (auto, off):
        made.train(block(0), 0, 0)
    assert all(map(np.array_equal, values(auto), values(off)))
    with pytest.raises(
        UserError, match='XLA does not know the operation ImageProjectiveTransformV3: use --config.jit=auto'
    ):
        program('float32', model__name=f'{__file__}:shifted', jit='on').train(block(0), 0, 0)


def test_a_model_with_max_pooling_is_not_compiled_by_xla():
    """XLA has no deterministic gradient of it, and TensorFlow says so only when it compiles the first step."""
    config, device = default.get_config(), tf.distribute.OneDeviceStrategy('CPU:0')

    def model(*first) -> keras.Model:
        return keras.Sequential([keras.Input((8, 8, 1)), *first, keras.layers.Flatten(), keras.layers.Dense(2)])

    assert xla.use_xla(config, device, model())
    assert xla.use_xla(config, device, model(keras.layers.AveragePooling2D(2)))
    assert not xla.use_xla(config, device, model(keras.Sequential([keras.layers.MaxPooling2D(2)])))


@pytest.fixture
def determinism():
    from tensorflow.python.framework import config

    was = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    yield
    if not was:
        config.disable_op_determinism()


def test_an_operation_without_a_deterministic_implementation_is_named(determinism):
    @tf.function(jit_compile=True)
    def gradient(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(tf.nn.max_pool2d(images, 2, 2, 'VALID', name='pooling'))
        return tape.gradient(loss, images)

    said = r'GPU MaxPool .* \(at .*MaxPoolGrad\), and a run .*: use --config.jit=off'
    with pytest.raises(UserError, match=said), strategy.determinism_explained():
        gradient(tf.ones([1, 4, 4, 1]))


#: What GPUs raise, from TensorFlow's sources -> what is said of it.
ON_GPUS = {
    '{{function_node __wrapped__AdjustContrastv2_device_/job:localhost/replica:0/task:0/device:GPU:0}} A deterministic GPU '
    'implementation of AdjustContrastv2 is not currently available. [Op:AdjustContrastv2] name: ': (
        'A deterministic GPU implementation of AdjustContrastv2 is not currently available, and'
    ),
    'Determinism is not yet supported in GPU implementation of Bincount.\n\t [[{{node a/Bincount}}]] [Op:__inference_1]': (
        'Determinism is not yet supported in GPU implementation of Bincount (at a/Bincount), and'
    ),
    'The GPU implementation of SoftmaxCrossEntropyWithLogits that would have been executed is not deterministic. Note that '
    'the Python API uses an alternative': (
        'The GPU implementation of SoftmaxCrossEntropyWithLogits that would have been executed is not deterministic, and'
    ),
}


@pytest.mark.parametrize(('message', 'said'), ON_GPUS.items())
def test_what_gpus_raise_becomes_one_line(message, said):
    with pytest.raises(UserError) as raised, strategy.determinism_explained():
        raise tf.errors.UnimplementedError(None, None, message)
    assert str(raised.value).startswith(said)
    assert str(raised.value).endswith("or train on the CPU (CUDA_VISIBLE_DEVICES='')")


def test_other_errors_stay_what_they_are():
    with pytest.raises(tf.errors.UnimplementedError), strategy.determinism_explained():
        raise tf.errors.UnimplementedError(None, None, 'Conv2D is not implemented for int4')
