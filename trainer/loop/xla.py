"""Whether XLA compiles the training step."""

import re

import keras
import tensorflow as tf

from seedwise.errors import UserError
from trainer import models
from trainer.config.check import jit_needs_one_device


def use_xla(config, devices, model: keras.Model) -> bool:
    """Returns whether XLA compiles the training step.

    'auto', from measurements on 2 CPU cores: XLA trains dense networks 1.3 to 2 times as fast and convolutional ones at a
    third of the speed; on several logical CPUs it fails, and TPUs compile everything anyway. XLA has no deterministic
    gradient of max pooling on any device, and TensorFlow refuses to compile the one that it has.

    Raises:
      UserError: the config asks for XLA where it fails.
    """
    on_cpu = not tf.config.list_logical_devices('GPU')
    one_device = isinstance(devices, tf.distribute.OneDeviceStrategy)
    if config.jit == 'on' and on_cpu and not one_device and not isinstance(devices, tf.distribute.TPUStrategy):
        raise jit_needs_one_device()
    if config.jit != 'auto':
        return config.jit == 'on'
    return one_device and not (on_cpu and models.has_convolutions(model)) and not models.has_max_pooling(model)


def check_may_do_without(error: tf.errors.InvalidArgumentError, jit: str) -> None:
    """Returns if a step that XLA could not compile may be run without it.

    XLA does not know all operations, such as that of Keras's RandomTranslation, and tells only when it compiles.

    Args:
      error: what the first call of the step raised.
      jit: the config's.

    Raises:
      UserError: XLA was asked for.
      InvalidArgumentError: the error has another reason.
    """
    if 'unsupported operations when trying to compile' not in error.message:
        raise error
    if jit == 'on':
        found = re.search(r"No registered '(\w+)'", error.message)
        operation = f'the operation {found[1]}' if found else 'an operation of this step'
        raise UserError(f"jit is 'on', but XLA does not know {operation}: use --config.jit=auto") from error
