"""Models by name. Each returns logits (no softmax: the losses take logits, which is the stable form).

A model is a function of (fields of `config.model`, image shape, number of classes, `Layers`) that returns a Keras model;
adding one is that function and a line in `MODELS`. Importing this module does not import Keras.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from seedwise import references
from seedwise.errors import UserError

#: Keras activations that make sense on a hidden layer, and maxout (`tests/trainer/test_models.py` holds it against Keras).
ACTIVATIONS = (
    *('celu', 'elu', 'exponential', 'gelu', 'hard_shrink', 'hard_sigmoid', 'hard_silu', 'hard_swish', 'hard_tanh'),
    *(
        'leaky_relu',
        'linear',
        'log_sigmoid',
        'log_softmax',
        'maxout',
        'mish',
        'relu',
        'relu6',
        'selu',
        'sigmoid',
        'silu',
    ),
    *('soft_shrink', 'softmax', 'softplus', 'softsign', 'sparse_plus', 'sparse_sigmoid', 'sparsemax', 'squareplus'),
    *('swish', 'tanh', 'tanh_shrink'),
)

#: Keras initializers that need no argument.
INITIALIZERS = (
    *('glorot_normal', 'glorot_uniform', 'he_normal', 'he_uniform', 'lecun_normal', 'lecun_uniform'),
    *('ones', 'orthogonal', 'random_normal', 'random_uniform', 'truncated_normal', 'variance_scaling', 'zeros'),
)

#: Which hidden layers have batch normalisation or dropout.
WHERE = ('none', 'every', 'first', 'last')


def layer_seed(seed: int, name: str) -> int:
    """Returns the seed of one layer: its own stream, so that adding a layer changes no other layer's initial weights."""
    return int.from_bytes(hashlib.sha256(f'{seed}/{name}'.encode()).digest()[:4], 'little') % 2**31


class Layers:
    """Makes the layers that models are built of, with this run's seed, activation, normalisation and dropout."""

    def __init__(self, fields: Mapping[str, Any], hidden_layers: int, seed: int, synchronized: bool):
        self._fields = fields
        self._hidden_layers = hidden_layers
        self._seed = seed
        self._synchronized = synchronized

    def dense(self, x, units: int, name: str):
        import keras

        return keras.layers.Dense(units, kernel_initializer=self._initializer(name), name=name)(x)

    def convolution(self, x, filters: int, name: str):
        import keras

        size = self._fields['kernel_size']
        initializer = self._initializer(name)
        return keras.layers.Conv2D(filters, size, padding='same', kernel_initializer=initializer, name=name)(x)

    def hidden(self, x, linear: Callable, units: int, index: int, name: str):
        """Returns hidden layer `index` (from 0): linear map, batch normalisation, activation."""
        import keras

        if self._fields['activation'] == 'maxout':  # max(w1 x + b1, w2 x + b2), Goodfellow et al. 2013
            pieces = [self._normalised(linear(x, units, piece), index, piece) for piece in (name, f'{name}_maxout')]
            return keras.layers.Maximum(name=f'{name}_maximum')(pieces)
        x = self._normalised(linear(x, units, name), index, name)
        return keras.layers.Activation(self._fields['activation'], name=f'{name}_{self._fields["activation"]}')(x)

    def dropout(self, x, index: int, name: str):
        """Returns `x` behind dropout, where hidden layer `index` has it."""
        import keras

        if not self._chosen('dropout', index):
            return x
        seed = layer_seed(self._seed, f'{name}_dropout')
        return keras.layers.Dropout(self._fields['dropout_rate'], seed=seed, name=f'{name}_dropout')(x)

    def _normalised(self, x, index: int, name: str):
        import keras

        if not self._chosen('batch_norm', index):
            return x
        # Synchronized: each replica normalises by the statistics of the global batch, as one device does.
        return keras.layers.BatchNormalization(synchronized=self._synchronized, name=f'{name}_batch_norm')(x)

    def _initializer(self, name: str):
        import keras

        # With a seed of its own: the initializers of Keras draw theirs from one stream, in the order of creation.
        initializer = keras.initializers.get(self._fields['kernel_initializer'])
        config = initializer.get_config()
        if 'seed' in config:
            config['seed'] = layer_seed(self._seed, name)
        return type(initializer).from_config(config)

    def _chosen(self, field: str, index: int) -> bool:
        last = self._hidden_layers - 1
        return {'none': False, 'every': True, 'first': index == 0, 'last': index == last}[self._fields[field]]


def _head(x, fields: Mapping[str, Any], classes: int, layers: Layers, first_index: int):
    """Hidden dense layers and the logits."""
    import keras

    x = keras.layers.Flatten(name='flatten')(x)
    for i, units in enumerate(fields['hidden'], start=1):
        x = layers.hidden(x, layers.dense, units, first_index + i - 1, f'dense_{i}')
        x = layers.dropout(x, first_index + i - 1, f'dense_{i}')
    return layers.dense(x, classes, 'logits')


def mlp(fields: Mapping[str, Any], image_shape: tuple[int, ...], classes: int, seed: int, synchronized: bool):
    """Multi-layer perceptron: the image flattened, `hidden` dense layers, logits."""
    import keras

    layers = Layers(fields, len(fields['hidden']), seed, synchronized)
    image = keras.Input(image_shape, name='image')
    return keras.Model(image, _head(image, fields, classes, layers, 0), name='mlp')


def cnn(fields: Mapping[str, Any], image_shape: tuple[int, ...], classes: int, seed: int, synchronized: bool):
    """Convolutions, each with 2x2 max pooling, then dense layers, logits.

    With filters (32, 64), kernels of 3x3 and one hidden layer of 128 units on 28x28x1 images this is the network of
    Ranjbar's report on handwritten digit recognition (section 3, figures 8 to 16), 421,642 parameters.
    """
    import keras

    filters = fields['filters']
    layers = Layers(fields, len(filters) + len(fields['hidden']), seed, synchronized)
    image = x = keras.Input(image_shape, name='image')
    for i, count in enumerate(filters, start=1):
        x = layers.hidden(x, layers.convolution, count, i - 1, f'convolution_{i}')
        x = keras.layers.MaxPooling2D(2, padding='same', name=f'pooling_{i}')(x)
        x = layers.dropout(x, i - 1, f'convolution_{i}')
    return keras.Model(image, _head(x, fields, classes, layers, len(filters)), name='cnn')


MODELS: dict[str, Callable] = {'mlp': mlp, 'cnn': cnn}


def build(config, image_shape: tuple[int, ...], classes: int, replicas: int):
    """Returns the Keras model of `config`, [batch, height, width, channels] in [0, 1] -> logits [batch, classes]."""
    import keras

    # Not restored: Keras makes an optimizer's learning rate in floatx when the optimizer is built, after the model, and a
    # schedule reads it while a step is traced. Each run of a process sets it here, before either.
    dtypes = {'float32': 'float32', 'float64': 'float64'}
    keras.config.set_floatx(dtypes.get(config.precision, 'float32'))
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        if references.is_reference(config.model.name):
            model = _from_file(config, image_shape, classes, replicas)
        else:
            model = MODELS[config.model.name](config.model, image_shape, classes, config.seed, replicas > 1)
        _check_output(model, image_shape, classes)
        return model
    finally:
        keras.config.set_dtype_policy(previous)


def _from_file(config, image_shape: tuple[int, ...], classes: int, replicas: int):
    import keras

    reference = references.parse(config.model.name, 'model.name')
    function = references.load(reference)
    keras.utils.set_random_seed(config.seed)  # initial weights without a seed of their own are the run's too
    model = references.call(function, image_shape, classes, file=reference.file, **dict(config.model.options))
    what = f'{reference.file}: {reference.name}'
    if not isinstance(model, keras.Model):
        raise UserError(f'{what} returned {type(model).__name__}: it must return a Keras model')
    _check_output(model, image_shape, classes)
    try:
        keras.saving.serialize_keras_object(model)
    except NotImplementedError as error:
        name = re.search(r'Object (\w+) was', str(error))
        raise UserError(
            f'{what}: the model cannot be stored, since the class {name[1] if name else "of a layer"} has no get_config(): '
            'add it, so that it returns the arguments of __init__'
        ) from error
    layers = layers_of(model)
    if replicas > 1:
        for layer in layers:
            if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized:
                raise UserError(
                    f"{what}: layer '{layer.name}' would normalise each replica's share by itself: make it with "
                    'BatchNormalization(synchronized=True)'
                )
    if model.losses or any(getattr(layer, 'activity_regularizer', None) for layer in layers):
        raise UserError(
            f'{what} adds losses of its own (regularizers, add_loss), which are not counted: use a loss from a file, or '
            'weight decay of the optimizer'
        )
    return model


def layers_of(model) -> list:
    """Returns all layers inside of a model, those of the model itself first, in the order in which they were made."""
    # Keras has no public way to the layers inside of layers.
    every = {id(layer): layer for layer in [*model.layers, *model._flatten_layers(include_self=True, recursive=True)]}
    return [*every.values()]


def has_convolutions(model) -> bool:
    """Returns whether a model has convolutions, also inside of nested models."""
    from keras.src.layers.convolutional.base_conv import BaseConv
    from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv

    return any(isinstance(layer, BaseConv | BaseDepthwiseConv) for layer in layers_of(model))


def _check_output(model, image_shape: tuple[int, ...], classes: int) -> None:
    """Raises `UserError` if a model returns something else than one number for each class."""
    import numpy as np

    if hasattr(model, 'output'):
        shape = model.output_shape
    else:  # a subclassed model has no shape, and no weights, before its first call
        output = model(np.zeros((1, *image_shape), 'float32'))
        shape = tuple(output.shape) if hasattr(output, 'shape') else type(output).__name__
    if not isinstance(shape, tuple) or tuple(shape)[1:] != (classes,):
        raise UserError(f"model '{model.name}' returns {shape}: it must return logits of shape (batch, {classes})")
