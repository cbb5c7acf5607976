"""Built-in models that have options: resnet, vit, and those of keras.applications."""

import inspect
import itertools

import keras
import numpy as np
import pytest

from configs import default
from seedwise.errors import UserError
from tests.helpers import relative_l2, run, weights
from trainer import models, summaries
from trainer.config.check import check, check_images
from trainer.models import applications
from trainer.results import config_hash


def config(name, **options):
    made = default.get_config()
    made.model.name = name
    with made.unlocked():
        made.model.options = options
    check(made)
    return made


def build(name, shape=(32, 32, 3), replicas=1, **options):
    return models.build(config(name, **options), shape, 10, replicas)


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(('depth', 'parameters'), [(20, 269_722), (32, 464_154)])
def test_resnet_has_the_parameters_of_the_paper(depth, parameters):
    assert trainable(build('resnet', depth=depth)) == parameters  # table 6: 0.27 and 0.46 million


@pytest.mark.parametrize('name', ['resnet', 'vit', 'keras.applications.MobileNetV2'])
def test_a_model_is_seeded_saved_and_read_back(name, tmp_path):
    options = {'dropout': 0.1, 'depth': 1} if name == 'vit' else {'depth': 8} if name == 'resnet' else {'alpha': 0.35}
    model, same = (build(name, **options) for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), same.get_weights(), strict=True))
    model.save(tmp_path / 'model.keras')
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    read = keras.saving.load_model(tmp_path / 'model.keras', safe_mode=True)
    assert np.array_equal(model(images), read(images))


def test_the_shortcut_of_resnet_is_every_second_pixel_and_zeros():
    model = build('resnet', depth=8, filters=2)
    adds = [layer for layer in model.layers if layer.name.endswith('_add')]
    inner = keras.Model(model.input, [adds[0].output, adds[1].input[0]])
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    before, shortcut = (np.asarray(part) for part in inner(images))
    before = np.maximum(before, 0)
    assert np.array_equal(shortcut[..., :2], before[:, ::2, ::2])
    assert not shortcut[..., 2:].any()


def test_vit_knows_where_a_patch_is():
    model = build('vit', depth=1)
    image = np.random.default_rng(0).random((1, 32, 32, 3), dtype=np.float32)
    moved = np.roll(image, 4, axis=1)  # the same patches in other places
    biases = np.random.default_rng(1).normal(size=(64, 64))
    assert not np.allclose(model(image), model(moved), atol=1e-6)
    embedding = model.get_layer('embedding')
    assert embedding.bias.shape == biases.shape
    embedding.bias.assign(np.zeros_like(biases))
    assert np.allclose(model(image), model(moved), atol=1e-5)


@pytest.mark.parametrize('name', ['resnet', 'keras.applications.MobileNetV2'])
def test_replicas_normalise_by_the_global_batch(name):
    for replicas in (1, 2):
        layers = models.layers_of(build(name, replicas=replicas))
        normalised = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert {layer.synchronized for layer in normalised} == {replicas > 1}


def test_the_names_are_those_of_keras():
    functions = {name for name, value in vars(keras.applications).items() if inspect.isfunction(value)}
    assert set(applications.NAMES) == functions


@pytest.mark.parametrize('name', ['ResNet50', 'MobileNetV2', 'MobileNetV3Small', 'VGG16'])
def test_pixels_are_scaled_as_keras_does(name):
    """Caffe's way, TensorFlow's, within the model, and Caffe's once more without batch normalisation."""
    kernel, bias = applications._preprocessing(name)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 3)).astype(np.float32)
    modules = {
        'ResNet50': 'resnet',
        'MobileNetV2': 'mobilenet_v2',
        'MobileNetV3Small': 'mobilenet_v3',
        'VGG16': 'vgg16',
    }
    expected = getattr(keras.applications, modules[name]).preprocess_input(pixels.copy())
    assert np.allclose(pixels / 255 @ kernel + bias, expected, atol=1e-4)


def test_weights_from_a_file_are_the_initial_ones_and_may_stay(tmp_path):
    file, alpha = tmp_path / 'w.weights.h5', 0.35
    keras.utils.set_random_seed(7)
    base = keras.applications.MobileNetV2(
        alpha=alpha, include_top=False, weights=None, input_shape=(32, 32, 3), pooling='avg'
    )
    base.save_weights(file)
    model = build('keras.applications.MobileNetV2', weights=str(file), frozen=True, alpha=alpha)
    assert trainable(model) == 1280 * 10 + 10
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    features = base(keras.applications.mobilenet_v2.preprocess_input(images * 255))
    expected = np.asarray(features) @ model.get_layer('logits').kernel.numpy()
    assert np.allclose(model(images), expected, atol=1e-5)
    with pytest.raises(UserError, match=r'keras\.applications\.MobileNetV2: .*'):
        build('keras.applications.MobileNetV2', weights=str(file), alpha=0.5)


def test_weights_count_by_their_content(tmp_path):
    def hashed(name, content):
        (tmp_path / name).write_bytes(content)
        return config_hash(config('keras.applications.VGG16', weights=str(tmp_path / name)))

    assert hashed('a.h5', b'1') == hashed('b.h5', b'1') != hashed('c.h5', b'2')


BAD = (
    ('renset', {}, "unknown model.name 'renset': accepted are cnn, mlp, resnet, vit. Did you mean 'resnet'?"),
    ('keras.applications.ResNet5', {}, "Did you mean 'keras.applications.ResNet50'?"),
    ('ResNet50', {}, "unknown model.name 'ResNet50': Keras's own model is keras.applications.ResNet50"),
    ('mlp', {'width': 3}, "model.options are for FILE.py:NAME and other models, and model.name is 'mlp'"),
    (
        'resnet',
        {'dept': 20},
        "unknown option of model 'resnet' 'dept': accepted are depth, filters. Did you mean 'depth'?",
    ),
    ('resnet', {'depth': 21}, 'model.options.depth is 21: it must be six times a whole number plus 2'),
    ('resnet', {'filters': True}, 'model.options.filters is True: it must be a whole number from 1 to 1,024'),
    ('vit', {'width': 30}, 'model.options.width is 30: it must be a multiple of model.options.heads, 4'),
    ('vit', {'dropout': 1.0}, 'model.options.dropout is 1.0: it must be at least 0 and below 1'),
    ('keras.applications.VGG16', {'alpha': 1.0}, "unknown option of model 'keras.applications.VGG16' 'alpha'"),
    (
        'keras.applications.VGG16',
        {'weights': 'imagenet'},
        'model.options.weights is imagenet: it must be a file that ends',
    ),
    ('keras.applications.VGG16', {'weights': 'none.h5'}, 'model.options.weights: none.h5 does not exist'),
    ('keras.applications.VGG16', {'resize': (8,)}, 'model.options.resize is (8,): it must be a height and a width'),
)


@pytest.mark.parametrize(('name', 'options', 'words'), BAD, ids=itertools.count())
def test_a_mistake_is_one_line(name, options, words):
    with pytest.raises(UserError) as error:
        config(name, **options)
    assert words in str(error.value)


SHAPES = (
    ('resnet', {}, (30,), "model.name 'resnet' is for images, and the examples of 'x' have 30 features"),
    ('vit', {}, (30, 28, 1), 'model.options.patch_size is 4: it must divide the height and the width of the images'),
    ('keras.applications.Xception', {}, (32, 32, 3), 'needs images of at least 71x71, and these are 32x32: set'),
    ('keras.applications.VGG16', {'resize': (16, 40)}, (64, 64, 3), 'at least 32x32, and these are 16x40'),
    ('keras.applications.VGG16', {}, (64, 64, 4), 'needs images of 1 or 3 channels, and these have 4'),
)


@pytest.mark.parametrize(('name', 'options', 'shape', 'words'), SHAPES, ids=itertools.count())
def test_a_shape_that_does_not_fit_is_one_line(name, options, shape, words):
    with pytest.raises(UserError) as error:
        check_images(config(name, **options), 'x', shape)
    assert words in str(error.value)


@pytest.mark.parametrize('name', ['resnet', 'keras.applications.MobileNetV2'])
def test_the_graph_on_the_board_connects_operations_and_nested_models(name):
    model = build(name, shape=(32, 32, 1))
    nodes = {node.name: list(node.input) for node in summaries._graph(model).node}
    assert [name for name, inputs in nodes.items() if not inputs] == ['image']
    reached, todo = set(), ['logits']
    while todo:
        reached.add(one := todo.pop())
        todo += [name for name in nodes[one] if name not in reached]
    assert reached == set(nodes)


@pytest.mark.slow
@pytest.mark.parametrize(
    'model',
    [
        ('--config.model.name=resnet', '--config.model.options.depth=8', '--config.model.options.filters=4'),
        ('--config.model.name=vit', '--config.model.options.dropout=0.0', '--config.model.options.patch_size=2'),
        (
            '--config.model.name=keras.applications.MobileNetV2',
            '--config.model.options.alpha=0.35',
            '--config.model.options.resize=(32,32)',
        ),
    ],
    ids=lambda model: model[0].rpartition('=')[2],
)
def test_the_same_weights_on_every_strategy(tmp_path, model):
    """Slow: three runs of up to a minute each; test_strategies.py has batch normalisation and convolutions."""
    words = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.steps=6', *model)
    words += ('--config.precision=float64', '--config.eval_every_steps=6')
    run(tmp_path / 'one', *words)
    run(tmp_path / 'two', *words, '--config.strategy=mirrored', '--config.replicas=2')
    run(tmp_path / 'workers', *words, launch=2)
    one, two, workers = (weights(tmp_path / name) for name in ('one', 'two', 'workers'))
    # Float64 rounds at 1e-16. The 52 normalisations of MobileNetV2, after each other, and Adam's division make more of it.
    accepted = 1e-10 if 'keras.applications' in model[0] else 1e-12
    assert relative_l2(one, two) < accepted
    assert relative_l2(one, workers) < accepted
