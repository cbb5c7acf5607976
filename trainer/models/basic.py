"""Multi-layer perceptron and convolutional network, which the fields of `config.model` describe."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

#: Keras activations that make sense on a hidden layer, and maxout (`tests/trainer/test_models.py` holds it against Keras).
ACTIVATIONS = (
    'celu', 'elu', 'exponential', 'gelu', 'hard_shrink', 'hard_sigmoid', 'hard_silu', 'hard_swish', 'hard_tanh',
    'leaky_relu', 'linear', 'log_sigmoid', 'log_softmax', 'maxout', 'mish', 'relu', 'relu6', 'selu', 'sigmoid', 'silu',
    'soft_shrink', 'softmax', 'softplus', 'softsign', 'sparse_plus', 'sparse_sigmoid', 'sparsemax', 'squareplus', 'swish',
    'tanh', 'tanh_shrink',
)  # fmt: skip

#: Keras initializers that need no argument.
INITIALIZERS = (
    'glorot_normal', 'glorot_uniform', 'he_normal', 'he_uniform', 'lecun_normal', 'lecun_uniform', 'ones', 'orthogonal',
    'random_normal', 'random_uniform', 'truncated_normal', 'variance_scaling', 'zeros',
)  # fmt: skip

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
        """Returns `x` [batch, features] behind a dense layer: [batch, units]."""
        import keras

        return keras.layers.Dense(units, kernel_initializer=self._initializer(name), name=name)(x)

    def convolution(self, x, filters: int, name: str):
        """Returns `x` [batch, height, width, channels] behind a convolution: [batch, height, width, filters]."""
        import keras

        size = self._fields['kernel_size']
        initializer = self._initializer(name)
        return keras.layers.Conv2D(filters, size, padding='same', kernel_initializer=initializer, name=name)(x)

    def hidden(self, x, linear: Callable, units: int, index: int, name: str, pool: Callable = lambda x: x):
        """Returns hidden layer `index` (from 0): linear map, batch normalisation, activation, and max pooling by `pool`.

        ReLU stands behind the pooling. As it never decreases, output and gradients are the same to the last bit, but it has
        a quarter of the elements to pass over.
        """
        import keras

        activation = self._fields['activation']
        if activation == 'maxout':  # max(w1 x + b1, w2 x + b2), Goodfellow et al. 2013
            pieces = [self._normalised(linear(x, units, piece), index, piece) for piece in (name, f'{name}_maxout')]
            return pool(keras.layers.Maximum(name=f'{name}_maximum')(pieces))
        x = self._normalised(linear(x, units, name), index, name)
        activate = keras.layers.Activation(activation, name=f'{name}_{activation}')
        return activate(pool(x)) if activation == 'relu' else pool(activate(x))

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
        pool = keras.layers.MaxPooling2D(2, padding='same', name=f'pooling_{i}')
        x = layers.hidden(x, layers.convolution, count, i - 1, f'convolution_{i}', pool)
        x = layers.dropout(x, i - 1, f'convolution_{i}')
    return keras.Model(image, _head(x, fields, classes, layers, len(filters)), name='cnn')
