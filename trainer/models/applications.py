"""The models of keras.applications by name, with a new last layer."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedwise.errors import UserError, in_a_line
from trainer.models.options import Option, is_number, is_whole

PREFIX = 'keras.applications.'

#: Name -> side of the smallest image that it takes (`tests/trainer/test_built_in_models.py` holds both against Keras).
NAMES: dict[str, int] = {
    **{f'ConvNeXt{size}': 32 for size in ('Tiny', 'Small', 'Base', 'Large', 'XLarge')},
    **{f'DenseNet{depth}': 32 for depth in (121, 169, 201)},
    **{f'EfficientNetB{size}': 32 for size in range(8)},
    **{f'EfficientNetV2{size}': 32 for size in ('B0', 'B1', 'B2', 'B3', 'S', 'M', 'L')},
    **{'InceptionResNetV2': 75, 'InceptionV3': 75, 'Xception': 71},
    **{'MobileNet': 32, 'MobileNetV2': 32, 'MobileNetV3Large': 32, 'MobileNetV3Small': 32},
    **{'NASNetLarge': 32, 'NASNetMobile': 32},
    **{f'ResNet{depth}{version}': 32 for depth in (50, 101, 152) for version in ('', 'V2')},
    **{'VGG16': 32, 'VGG19': 32},
}

_SUFFIXES = ('.h5', '.keras')


def _is_size(value: Any) -> bool:
    sides = value if isinstance(value, tuple | list) else ()
    return value is None or (len(sides) == 2 and all(is_whole(side) and 1 <= side <= 4096 for side in sides))


OPTIONS = {
    'weights': Option(
        None, 'a file of weights without the top, or None', lambda value: value is None or isinstance(value, str)
    ),
    'frozen': Option(False, 'True or False', lambda value: isinstance(value, bool)),
    'resize': Option(None, 'a height and a width up to 4,096, such as (96, 96), or None', _is_size),
}

#: Option of the MobileNets: the factor of the number of filters.
ALPHA = Option(1.0, 'above 0 and at most 10', lambda value: is_number(value) and 0 < value <= 10)


def is_application(name: str) -> bool:
    """Returns whether a model's name is one of keras.applications."""
    return name.removeprefix(PREFIX) in NAMES and name.startswith(PREFIX)


def full_name(name: str) -> str:
    """Returns how a config names a model of keras.applications."""
    return f'{PREFIX}{name}'


def options_of(name: str) -> dict[str, Option]:
    """Returns the options of a model of keras.applications."""
    return OPTIONS | ({'alpha': ALPHA} if name.startswith(f'{PREFIX}MobileNet') else {})


def check_weights(file: Path) -> None:
    """Raises `UserError` if a file cannot hold weights."""
    if file.suffix not in _SUFFIXES:
        raise UserError(f'model.options.weights is {file}: it must be a file that ends in {" or ".join(_SUFFIXES)}')
    if not file.is_file() or not os.access(file, os.R_OK):
        raise UserError(f'model.options.weights: {file} {"cannot be read" if file.exists() else "does not exist"}')


def check_shape(name: str, options: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Raises `UserError` if the model does not take images of this shape."""
    smallest = NAMES[name.removeprefix(PREFIX)]
    sides = tuple(options.get('resize') or shape[:2])
    if min(sides) < smallest:
        raise UserError(
            f'{name} needs images of at least {smallest}x{smallest}, and these are {sides[0]}x{sides[1]}: set '
            f'model.options.resize=({smallest}, {smallest}) or more'
        )
    if shape[2] not in (1, 3):
        raise UserError(f'{name} needs images of 1 or 3 channels, and these have {shape[2]}')


def build(
    name: str,
    image_shape: tuple[int, ...],
    classes: int,
    weights: str | None = None,
    frozen: bool = False,
    resize: tuple[int, int] | None = None,
    **options: Any,
):
    """Returns a model of keras.applications without its top, with the mean over the image and new logits [batch, classes].

    Images of one channel are repeated to three. All are scaled as the model's own `preprocess_input` does, which weights
    from a file need. Nothing is downloaded.

    Args:
      name: `PREFIX` and the name.
      image_shape: (height, width, channels).
      classes: number of classes.
      weights: file with initial weights of the model without its top, as Keras offers them; None: random ones.
      frozen: whether all but the logits stay as they are; batch normalisation then uses its stored statistics.
      resize: (height, width) that images are brought to first, bilinearly.
      **options: `alpha` of the MobileNets.

    Raises:
      UserError: the file does not hold weights of this model.
    """
    import keras

    short = name.removeprefix(PREFIX)
    image = x = keras.Input(image_shape, name='image')
    if image_shape[2] == 1:
        x = keras.layers.Concatenate(name='channels')([x, x, x])
    if resize:
        x = keras.layers.Resizing(*resize, name='resize')(x)
    scaling = keras.layers.Dense(3, trainable=False, dtype='float32', name='preprocessing')
    x = scaling(x)
    scaling.set_weights(_preprocessing(short))
    shape = (*(resize or image_shape[:2]), 3)
    try:
        with warnings.catch_warnings():
            # Keras warns of lists of layers that are not in the file, although the layers are.
            warnings.filterwarnings('ignore', 'Skipping nested container')
            base = getattr(keras.applications, short)(
                include_top=False, weights=weights, input_shape=shape, pooling='avg', **options
            )
    except (ValueError, OSError) as error:
        raise UserError(f'{name}: {in_a_line(error, 300)}') from error
    base.trainable = not frozen
    logits = keras.layers.Dense(classes, name='logits')(base(x))
    return keras.Model(image, logits, name=short.lower())


def _preprocessing(name: str) -> list:
    """Returns kernel [3, 3] and bias [3] of what the model's `preprocess_input` does to pixels in [0, 1].

    It scales and shifts each channel, and for some models turns RGB to BGR: a linear map, whatever the model.
    """
    import keras
    import numpy as np

    modules = [module for module in vars(keras.applications).values() if hasattr(module, 'preprocess_input')]
    # MobileNetV3 is in none of these: it scales the pixels itself.
    preprocess = next((module.preprocess_input for module in modules if hasattr(module, name)), _as_they_are)
    pixels = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).reshape(4, 1, 1, 3)
    done = np.asarray(preprocess(pixels.astype('float32'), data_format='channels_last'), 'float64').reshape(4, 3)
    return [(done[1:] - done[0]).astype('float32'), done[0].astype('float32')]


def _as_they_are(pixels, data_format: str):
    return pixels
