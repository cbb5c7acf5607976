"""Models, losses and optimizers are Keras's, by Keras's names."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs import default
from seedwise.errors import UserError
from trainer import losses, models, optimizers, summaries


def config(**fields):
    made = default.get_config()
    for path, value in fields.items():
        section, _, field = path.partition('__')
        if field:
            made[section][field] = value
        else:
            made[section] = value
    return made


def build(replicas=1, **fields):
    return models.build(config(**fields), (28, 28, 1), 10, replicas)


def names(model, part):
    return [layer.name for layer in model.layers if part in layer.name]


def test_the_default_cnn_has_the_published_number_of_parameters():
    assert build(model__name='cnn').count_params() == 421_642


@pytest.mark.parametrize(
    ('hidden', 'parameters'),
    [((784,), 623_290), ((784, 784), 1_238_730), ((784, 784, 784), 1_854_170), ((), 7_850)],
)
def test_mlp_takes_any_list_of_widths(hidden, parameters):
    assert build(model__hidden=hidden).count_params() == parameters


@pytest.mark.parametrize('activation', models.ACTIVATIONS)
@pytest.mark.parametrize('name', models.MODELS)
def test_every_activation_builds_and_gives_finite_logits(name, activation):
    model = build(model__name=name, model__activation=activation, model__hidden=(8,), model__filters=(2,))
    logits = model(np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32))
    assert logits.shape == (3, 10)
    assert np.isfinite(logits).all()


def test_activations_are_all_of_keras_that_need_no_argument():
    functions = {n for n in dir(keras.activations) if n[0].islower()} - {'deserialize', 'get', 'serialize'}
    assert set(models.ACTIVATIONS) - {'maxout'} == functions - {'glu', 'threshold'}  # these take arguments


@pytest.mark.parametrize('initializer', models.INITIALIZERS)
def test_every_initializer_is_seeded_by_the_run(initializer):
    first, second, other = (
        build(model__kernel_initializer=initializer, seed=seed).get_weights()[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(first, second)
    fixed = initializer in ('zeros', 'ones')
    assert np.array_equal(first, other) == fixed


def test_maxout_is_the_larger_of_two_linear_maps():
    model = build(model__activation='maxout', model__hidden=(16,))
    assert model.count_params() == 2 * (784 * 16 + 16) + 16 * 10 + 10
    x = np.random.default_rng(0).random((4, 784), dtype=np.float32)
    w1, b1, w2, b2, w3, b3 = model.get_weights()
    expected = np.maximum(x @ w1 + b1, x @ w2 + b2) @ w3 + b3
    assert np.allclose(model(x.reshape(4, 28, 28, 1)), expected, atol=1e-4)


@pytest.mark.parametrize(
    ('where', 'layers'), [('none', []), ('every', [1, 2, 3]), ('first', [1]), ('last', [3])], ids=lambda x: str(x)
)
def test_batch_normalisation_and_dropout_go_where_they_are_asked_for(where, layers):
    model = build(model__hidden=(5, 6, 7), model__batch_norm=where, model__dropout=where)
    assert names(model, 'batch_norm') == [f'dense_{i}_batch_norm' for i in layers]
    assert names(model, 'dropout') == [f'dense_{i}_dropout' for i in layers]
    cnn = build(model__name='cnn', model__filters=(2, 3), model__hidden=(4,), model__dropout=where)
    expected_names = ['convolution_1_dropout', 'convolution_2_dropout', 'dense_1_dropout']
    assert names(cnn, 'dropout') == [expected_names[i - 1] for i in layers]


def test_adding_a_layer_leaves_the_other_layers_initial_weights():
    plain, normalised = build(), build(model__batch_norm='every', model__dropout='every', model__activation='maxout')
    assert np.array_equal(plain.get_layer('dense_1').kernel, normalised.get_layer('dense_1').kernel)
    assert np.array_equal(plain.get_layer('logits').kernel, normalised.get_layer('logits').kernel)


def test_arguments_of_the_optimizers_are_those_of_keras():
    classes = {
        name: cls
        for name, cls in inspect.getmembers(keras.optimizers, inspect.isclass)
        if issubclass(cls, keras.optimizers.Optimizer)
    }
    ours = set(classes) - {'Optimizer', 'LossScaleOptimizer', 'MultiOptimizer'}  # these wrap others
    assert set(optimizers.ARGUMENTS) == ours
    # Not of a comparison: what accumulates or scales gradients is the loop's, names choose layers, name names.
    ignored = {'self', 'kwargs', 'name', 'loss_scale_factor', 'gradient_accumulation_steps'}
    ignored |= {'exclude_layers', 'exclude_embeddings'}
    for name in ours:
        theirs = {key: value.default for key, value in inspect.signature(classes[name].__init__).parameters.items()}
        assert {*theirs} - ignored == {*optimizers.ARGUMENTS[name], *optimizers.COMMON}, name
        for argument, (kind, _, holds) in optimizers.ARGUMENTS[name].items():
            usual = theirs[argument]
            assert isinstance(usual, (float, int) if kind is float else kind), argument
            assert isinstance(usual, bool) == (kind is bool), argument
            assert holds(usual), argument
            assert kind is optimizers.TYPES[argument], argument


def test_a_wrong_argument_is_answered_with_the_right_ones():
    with pytest.raises(UserError, match=r'Adam.*momentum.*amsgrad, beta_1, beta_2'):
        optimizers.arguments(config(optimizer__options={'momentum': 0.9}).optimizer)


@pytest.mark.parametrize('name', optimizers.ARGUMENTS)
def test_every_optimizer_is_built_with_keras_defaults(name):
    made = optimizers.build({'name': name.lower(), 'options': {}}, {'name': 'constant'}, 100, 0, 'float32')
    plain = getattr(keras.optimizers, name)()
    ours, theirs = made.get_config(), plain.get_config()
    assert ours | {'name': ''} == theirs | {'name': ''}


def rates(total=100, warmup=0, **fields):
    schedule = {'name': 'constant', 'final_fraction': 0.0, 'decay_rate': 0.1, 'boundaries': (0.5, 0.75)}
    schedule |= {'factors': (0.1, 0.01)} | fields
    made = optimizers.build_schedule(schedule, 2.0, total, warmup)
    return [float(made(step)) if callable(made) else made for step in range(total + 1)]


def test_schedules():
    assert rates() == [2.0] * 101
    cosine = rates(name='cosine', final_fraction=0.1)
    assert (cosine[0], cosine[100]) == pytest.approx((2.0, 0.2))
    assert cosine[50] == pytest.approx(1.1)
    exponential = rates(name='exponential', decay_rate=0.01)
    assert (exponential[0], exponential[50], exponential[100]) == pytest.approx((2.0, 0.2, 0.02))
    piecewise = rates(name='piecewise')
    assert piecewise[49] == 2.0
    assert (piecewise[50], piecewise[74], piecewise[75]) == pytest.approx((0.2, 0.2, 0.02))
    warm = rates(name='cosine', warmup=20)
    assert (warm[0], warm[9], warm[19], warm[20]) == pytest.approx((0.1, 1.0, 2.0, 2.0))
    assert warm[60] == pytest.approx(1.0)
    assert rates(warmup=4)[:6] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0])


LOGITS = tf.constant(np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32))
LABELS = tf.constant([0, 3, 3, 9, 5, 1])


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('name', losses.LOSSES)
def test_losses_are_those_of_keras_on_probabilities(name, smoothing):
    ours = losses.LOSSES[name](LABELS, LOGITS, smoothing)
    target = np.eye(10, dtype=np.float32)[LABELS.numpy()] * (1 - smoothing) + smoothing / 10
    probabilities = tf.nn.softmax(LOGITS)
    if name == 'sparse_categorical_crossentropy':
        name = 'categorical_crossentropy'
    theirs = getattr(keras.losses, name)(target, probabilities)
    assert ours.shape == (6,)
    assert np.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize('name', losses.LOSSES)
def test_losses_stay_finite_where_probabilities_would_vanish(name):
    logits = tf.Variable([[200.0, -200.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = losses.LOSSES[name](tf.constant([1]), logits, 0.0)
    gradient = tape.gradient(loss, logits)
    assert np.isfinite(gradient).all()
    if name != 'mean_squared_error':
        assert float(loss[0]) == pytest.approx(400.0)


def test_the_three_cross_entropies_have_equal_gradients_on_one_hot_labels():
    gradients = []
    for name in ('categorical_crossentropy', 'sparse_categorical_crossentropy', 'kl_divergence'):
        logits = tf.Variable(LOGITS)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(losses.LOSSES[name](LABELS, logits, 0.0))
        gradients.append(tape.gradient(loss, logits).numpy())
    assert np.abs(gradients[0] - gradients[1]).max() < 1e-6
    assert np.abs(gradients[0] - gradients[2]).max() < 1e-6


def subclassed(fields, image_shape, classes, seed, synchronized):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__(name='mine')
            self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(fields['hidden'][0])

        def call(self, images):
            return self.dense(self.flat(images))

    return Mine()


def two_outputs(fields, image_shape, classes, seed, synchronized):
    image = keras.Input(image_shape)
    flat = keras.layers.Flatten()(image)
    return keras.Model(image, [keras.layers.Dense(classes)(flat), flat], name='mine')


@pytest.mark.parametrize('make', [subclassed, two_outputs], ids=lambda make: make.__name__)
def test_what_is_not_one_number_for_each_class_is_refused(monkeypatch, make):
    monkeypatch.setitem(models.MODELS, 'mlp', make)
    config = default.get_config()
    config.model.hidden = (7,)
    with pytest.raises(UserError, match=r"'mine' returns .*must return logits of shape \(batch, 10\)"):
        models.build(config, (4, 4, 1), 10, 1)


def test_a_subclassed_model_has_weights_and_does_not_break_the_dashboard(monkeypatch, tmp_path):
    monkeypatch.setitem(models.MODELS, 'mlp', subclassed)
    config = default.get_config()
    config.model.hidden = (10,)
    model = models.build(config, (4, 4, 1), 10, 1)
    assert model.count_params() == 170
    board = summaries.Summaries(tmp_path)
    board.start(config, 'digits', model)
    board.close()
    assert list(tmp_path.glob('events.*'))
