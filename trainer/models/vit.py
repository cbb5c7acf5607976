"""Vision transformer for small images."""

from collections.abc import Mapping
from typing import Any

from seedwise.errors import UserError
from trainer.models.options import fraction, whole

OPTIONS = {
    'patch_size': whole(4, 1, 512),
    'width': whole(64, 1, 8192),
    'depth': whole(6, 1, 100),
    'heads': whole(4, 1, 128),
    'mlp_width': whole(128, 1, 65536),
    'dropout': fraction(0.0),
}


def check(options: Mapping[str, Any]) -> None:
    """Raises `UserError` if the width cannot be shared by the heads."""
    width, heads = (options.get(name, OPTIONS[name].default) for name in ('width', 'heads'))
    if width % heads:
        raise UserError(f'model.options.width is {width}: it must be a multiple of model.options.heads, {heads}')


def check_shape(options: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Raises `UserError` if images of this shape cannot be cut into patches."""
    size = options.get('patch_size', OPTIONS['patch_size'].default)
    if shape[0] % size or shape[1] % size:
        raise UserError(
            f'model.options.patch_size is {size}: it must divide the height and the width of the images, '
            f'{shape[0]} and {shape[1]}'
        )


def vit(
    image_shape: tuple[int, ...],
    classes: int,
    patch_size: int = 4,
    width: int = 64,
    depth: int = 6,
    heads: int = 4,
    mlp_width: int = 128,
    dropout: float = 0.0,
):
    """Returns a vision transformer (Dosovitskiy et al. 2021, section 3.1) with logits [batch, classes].

    The image is cut into patches, and each is mapped to a vector with a learned bias of its position, which is the position
    embedding. `depth` blocks follow: normalisation and attention, normalisation and a perceptron (GELU), each added
    to what came in. The mean over the patches, normalised, makes the logits. It takes the place of the class token, as in
    Beyer et al. 2022 (Better plain ViT baselines for ImageNet-1k).

    Args:
      image_shape: (height, width, channels), multiples of `patch_size`.
      classes: number of classes.
      patch_size: side of a patch, in pixels.
      width: length of a patch's vector, a multiple of `heads`.
      depth: number of blocks.
      heads: of each attention.
      mlp_width: hidden units of each block's perceptron.
      dropout: share of the units that are dropped after attention and in the perceptron, in training.
    """
    import keras

    layers = keras.layers
    rows, columns, channels = image_shape[0] // patch_size, image_shape[1] // patch_size, image_shape[2]
    image = keras.Input(image_shape, name='image')
    x = layers.Reshape((rows, patch_size, columns, patch_size, channels), name='cut')(image)
    x = layers.Permute((1, 3, 2, 4, 5), name='by_patch')(x)
    x = layers.Reshape((rows * columns, patch_size**2 * channels), name='patches')(x)
    x = layers.EinsumDense(
        'bpd,dw->bpw',
        (rows * columns, width),
        bias_axes='pw',
        bias_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        name='embedding',
    )(x)
    for i in range(1, depth + 1):
        y = layers.LayerNormalization(epsilon=1e-6, name=f'block_{i}_norm_1')(x)
        y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f'block_{i}_attention')(y, y)
        x = layers.Add(name=f'block_{i}_add_1')([x, layers.Dropout(dropout, name=f'block_{i}_dropout_1')(y)])
        y = layers.LayerNormalization(epsilon=1e-6, name=f'block_{i}_norm_2')(x)
        y = layers.Dense(mlp_width, 'gelu', name=f'block_{i}_mlp_1')(y)
        y = layers.Dense(width, name=f'block_{i}_mlp_2')(layers.Dropout(dropout, name=f'block_{i}_dropout_2')(y))
        x = layers.Add(name=f'block_{i}_add_2')([x, layers.Dropout(dropout, name=f'block_{i}_dropout_3')(y)])
    x = layers.LayerNormalization(epsilon=1e-6, name='norm')(layers.GlobalAveragePooling1D(name='mean')(x))
    return keras.Model(image, layers.Dense(classes, name='logits')(x), name='vit')
