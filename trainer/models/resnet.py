"""Residual network for small images: He et al. 2016 (Deep Residual Learning for Image Recognition), section 4.2."""

from trainer.models.options import Option, is_whole, whole

OPTIONS = {
    'depth': Option(
        20,
        'six times a whole number plus 2, such as 20, 32, 44, 56 or 110',
        lambda value: is_whole(value) and 8 <= value <= 1202 and value % 6 == 2,
    ),
    'filters': whole(16, 1, 1024),
}

#: Of batch normalisation: the share of the old moving average that a step keeps. Keras's default of 0.99 needs some 500
#: steps before evaluation sees the statistics of the weights that were trained, which is more than short runs have.
MOMENTUM = 0.9


def resnet(image_shape: tuple[int, ...], classes: int, depth: int = 20, filters: int = 16):
    """Returns the residual network of He et al. 2016, section 4.2, with logits [batch, classes].

    A 3x3 convolution, three stages of (depth - 2) / 6 blocks with 1, 2 and 4 times `filters` filters, on images of the full
    size, a half and a quarter, then the mean over the image, and the logits. Each block is two 3x3 convolutions, and its
    shortcut has no weights (the paper's option A). Kernels are drawn from He normal (its reference 13), all convolutions are
    followed by batch normalisation, and there is no dropout. With 20 layers, 10 classes and images of 32x32x3 it has
    269,722 trainable parameters.

    Args:
      image_shape: (height, width, channels).
      classes: number of classes.
      depth: weighted layers, 6 n + 2.
      filters: of the first stage.
    """
    import keras

    def convolution(x, count: int, stride: int, name: str):
        x = keras.layers.Conv2D(
            count, 3, stride, 'same', use_bias=False, kernel_initializer='he_normal', name=f'{name}_convolution'
        )(x)
        return keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=1e-5, name=f'{name}_batch_norm')(x)

    image = keras.Input(image_shape, name='image')
    x = keras.layers.Activation('relu', name='stem_relu')(convolution(image, filters, 1, 'stem'))
    for stage in range(3):
        count = filters * 2**stage
        for block in range((depth - 2) // 6):
            name = f'stage_{stage + 1}_block_{block + 1}'
            stride = 2 if stage and not block else 1
            y = keras.layers.Activation('relu', name=f'{name}_relu_1')(convolution(x, count, stride, f'{name}_1'))
            y = convolution(y, count, 1, f'{name}_2')
            if stride == 2:  # every second pixel, and zeros for the filters that are new
                x = keras.layers.AveragePooling2D(1, 2, name=f'{name}_every_second')(x)
                x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, count // 2)))
            x = keras.layers.Activation('relu', name=f'{name}_relu_2')(keras.layers.Add(name=f'{name}_add')([x, y]))
    x = keras.layers.GlobalAveragePooling2D(name='mean')(x)
    logits = keras.layers.Dense(classes, kernel_initializer='he_normal', name='logits')(x)
    return keras.Model(image, logits, name=f'resnet_{depth}')
