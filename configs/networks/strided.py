"""A small convolutional network without pooling: strides halve the image instead, which leaves less to compute.

    config.model.name = 'configs.networks.strided:network'

`configs/cnn_99_fast.py` uses it.
"""

from collections.abc import Sequence

import keras


def network(
    image_shape: tuple[int, ...], classes: int, widths: Sequence[int] = (24, 24, 48, 48), momentum: float = 0.9
):
    """Returns a model of convolutions in pairs, the first of each pair with stride 2, then logits.

    Each convolution (He et al. 2015 initializer, no bias) has batch normalisation and ReLU behind it. The first one has
    kernels of 5x5, the others of 3x3.

    Args:
      image_shape: (height, width, channels).
      classes: number of logits.
      widths: filters of each convolution.
      momentum: of the moving averages of batch normalisation. Keras's default, 0.99, takes longer than an epoch.
    """
    image = x = keras.Input(image_shape)
    for i, filters in enumerate(widths):
        size, strides = (3 if i else 5), (1 if i % 2 else 2)
        convolution = keras.layers.Conv2D(
            filters, size, strides, padding='same', use_bias=False, kernel_initializer='he_normal'
        )
        x = keras.layers.BatchNormalization(momentum=momentum)(convolution(x))
        x = keras.layers.Activation('relu')(x)
    return keras.Model(image, keras.layers.Dense(classes)(keras.layers.Flatten()(x)), name='strided')
