"""Models by name. Each returns logits (no softmax: the losses take logits, which is the stable form).

`mlp` and `cnn` are described by the fields of `config.model`. Every other model has `config.model.options`: those that are
built in (`resnet`, `vit`, keras.applications.NAME) have a table of their options, and a user's own function its arguments.
Importing this module does not import Keras.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seedwise import references
from seedwise.errors import UserError, unknown
from seedwise.references import running
from trainer.models import applications, resnet, vit
from trainer.models.basic import ACTIVATIONS, INITIALIZERS, WHERE, cnn, mlp
from trainer.models.options import Option

__all__ = [
    'ACTIVATIONS',
    'INITIALIZERS',
    'MODELS',
    'WHERE',
    'build',
    'check_name',
    'check_shape',
    'has_convolutions',
    'has_max_pooling',
]

#: Name -> function of (`config.model`, image shape, classes, seed, synchronized).
MODELS: dict[str, Callable] = {'mlp': mlp, 'cnn': cnn}

#: Name -> function of (image shape, classes, **options), and its options.
WITH_OPTIONS: dict[str, tuple[Callable, Mapping[str, Option]]] = {
    'resnet': (resnet.resnet, resnet.OPTIONS),
    'vit': (vit.vit, vit.OPTIONS),
}


def has_options(name: str) -> bool:
    """Returns whether `config.model.options` describes the model, and not the fields next to it."""
    return name not in MODELS


def check_name(name: str, options: Mapping[str, Any]) -> None:
    """Checks a built-in model's name and options.

    Raises:
      UserError: there is no such model or option, or the option's value is out of range.
    """
    table = _options(name)
    if name in applications.NAMES:
        raise UserError(f"unknown model.name '{name}': Keras's own model is {applications.full_name(name)}")
    if table is None:
        raise unknown('model.name', name, [*MODELS, *WITH_OPTIONS], map(applications.full_name, applications.NAMES))
    for option, value in options.items():
        if option not in table:
            if name in MODELS:
                raise UserError(f"model.options are for FILE.py:NAME and other models, and model.name is '{name}'")
            raise unknown(f"option of model '{name}'", option, table)
        if not table[option].holds(value):
            raise UserError(f'model.options.{option} is {value!r}: it must be {table[option].rule}')
    if name == 'vit':
        vit.check(options)
    if weights := weights_file(name, options):
        applications.check_weights(weights)


def check_shape(name: str, options: Mapping[str, Any], data: str, shape: tuple[int, ...]) -> None:
    """Raises `UserError` if a built-in model does not take examples of this shape.

    Args:
      name: of the model.
      options: of the model.
      data: name of the dataset, for errors.
      shape: of an example; (): not known yet.
    """
    if name == 'mlp' or references.is_reference(name) or not shape:
        return
    if len(shape) == 1:
        raise UserError(
            f"model.name '{name}' is for images, and the examples of '{data}' have {shape[0]:,} features: use 'mlp'"
        )
    if name == 'vit':
        vit.check_shape(options, shape)
    if applications.is_application(name):
        applications.check_shape(name, options, shape)


def weights_file(name: str, options: Mapping[str, Any]) -> Path | None:
    """Returns the file that a built-in model's initial weights are read from, or None."""
    weights = options.get('weights') if applications.is_application(name) else None
    return Path(weights).expanduser() if weights else None


def _options(name: str) -> Mapping[str, Option] | None:
    if name in MODELS:
        return {}
    if name in WITH_OPTIONS:
        return WITH_OPTIONS[name][1]
    return applications.options_of(name) if applications.is_application(name) else None


def build(config, image_shape: tuple[int, ...], classes: int, replicas: int):
    """Returns the Keras model of `config`, [batch, height, width, channels] in [0, 1] -> logits [batch, classes]."""
    import keras

    from trainer.loop.scaling import float_type

    # Not restored: Keras makes an optimizer's learning rate in floatx when the optimizer is built, after the model, and a
    # schedule reads it while a step is traced. Each run of a process sets it here, before either.
    keras.config.set_floatx(float_type(config.precision))
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        if references.is_reference(config.model.name):
            model = _from_file(config, image_shape, classes, replicas)
        elif config.model.name in MODELS:
            model = MODELS[config.model.name](config.model, image_shape, classes, config.seed, replicas > 1)
        else:
            model = _with_options(config, image_shape, classes, replicas)
        _check_output(model, image_shape, classes)
        return model
    finally:
        keras.config.set_dtype_policy(previous)
        _forget_seed()


def _with_options(config, image_shape: tuple[int, ...], classes: int, replicas: int):
    import keras

    name, options = config.model.name, dict(config.model.options)
    keras.utils.set_random_seed(config.seed)  # initial weights
    if name in WITH_OPTIONS:
        model = WITH_OPTIONS[name][0](image_shape, classes, **options)
    else:
        model = applications.build(name, image_shape, classes, **options)
    for layer in layers_of(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = replicas > 1  # normalises by the statistics of the global batch, as one device does
    return model


def _from_file(config, image_shape: tuple[int, ...], classes: int, replicas: int):
    import keras

    from trainer.models import own

    reference = references.parse(config.model.name, 'model.name')
    settings = own.settings()
    function = running.load(reference)
    keras.utils.set_random_seed(config.seed)  # initial weights without a seed of their own are the run's too
    model = running.call(function, reference.file, image_shape, classes, **dict(config.model.options))
    what = str(reference)
    own.check_settings(what, settings, own.settings())
    own.check_kind(what, model)
    own.check_input(what, reference.file, model, image_shape)
    _check_output(model, image_shape, classes)
    own.check(what, model, layers_of(model), config.precision, replicas)
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


def has_max_pooling(model) -> bool:
    """Returns whether a model has layers of max pooling over windows, also inside of nested models."""
    from keras.src.layers.pooling.base_pooling import BasePooling

    return any(isinstance(layer, BasePooling) and layer.pool_mode == 'max' for layer in layers_of(model))


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


def _forget_seed() -> None:
    """Takes back TensorFlow's global seed, which Keras sets: with one, TensorFlow lets operations draw random numbers that a
    run that is continued would not draw again; without, it refuses them."""
    import tensorflow as tf

    tf.random.set_seed(None)
