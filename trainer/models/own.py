"""What a run requires of a model of the user's own. Each check raises a `UserError` that names the function."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seedwise.errors import UserError
from seedwise.references import running


def settings() -> dict[str, Any]:
    """Returns the settings of the process that a function must leave as they are, by their names for errors."""
    return {
        'keras.config.floatx': keras.config.floatx(),
        'keras.config.image_data_format': keras.config.image_data_format(),
        'the dtype policy': keras.config.dtype_policy().name,
        'tf.config.run_functions_eagerly': tf.config.functions_run_eagerly(),
        # Another graph: the session was cleared, and the strategy's scope with it.
        "Keras's session (clear_session)": id(tf.compat.v1.get_default_graph()),
    }


def check_settings(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Checks that a function has changed nothing that is there for everything after it.

    Args:
      what: the function, for errors, as in all of these.
      before: `settings` before its file was loaded.
      after: `settings` now.
    """
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        tf.config.run_functions_eagerly(False)
        hint = (
            ': set config.precision in its place' if changed[0] in ('keras.config.floatx', 'the dtype policy') else ''
        )
        raise UserError(f"{what} changes Keras's settings for everything after it, {', '.join(changed)}{hint}")


def check_kind(what: str, model: Any) -> None:
    """Checks that it is a Keras model that a run can train."""
    if not isinstance(model, keras.Model):
        raise UserError(f'{what} returned {type(model).__name__}: it must return a Keras model')
    for method in ('train_step', 'compute_loss'):
        if not getattr(type(model), method).__module__.startswith('keras.'):
            raise UserError(
                f'{what} has a {method} of its own, which is not used: a run trains with its own loop and loss'
            )
    if model.compiled:
        raise UserError(
            f'{what} is compiled, and what it is compiled with is not used: leave compile out, and set the optimizer and '
            'the loss in the config'
        )


def check_input(what: str, file: Path, model: keras.Model, shape: tuple[int, ...]) -> None:
    """Checks that it takes a batch of examples, by calling it; what was not built is built by that.

    Args:
      file: the function's.
      model: what it returned.
      shape: of an example.
    """
    takes = f'it must take inputs of shape (batch, {", ".join(map(str, shape))})'
    inputs = getattr(model, 'inputs', None)
    if inputs is not None and len(inputs) != 1:
        raise UserError(f'{what} has {len(inputs)} inputs: {takes}')
    if inputs is not None and not tf.TensorShape(inputs[0].shape[1:]).is_compatible_with(shape):
        raise UserError(f'{what} takes inputs of shape {tuple(inputs[0].shape)}: {takes}')
    if inputs is None:
        try:
            model(np.zeros((1, *shape), 'float32'))
        except Exception as error:
            theirs = running.explain(error, [file])
            raise theirs or UserError(f'{what} cannot be called: {takes}: {running.words(error)}') from error


def check(what: str, model: keras.Model, layers: Sequence[keras.layers.Layer], precision: str, replicas: int) -> None:
    """Checks what the promises require: that it can be stored, trains something, in the run's precision, with the run's
    loss alone, and that it computes the same on all strategies.

    Args:
      model: built.
      layers: all of it, also inside of others.
      precision: `config.precision`.
      replicas: of the run.
    """
    try:
        keras.saving.serialize_keras_object(model)
    except NotImplementedError as error:
        name = re.search(r'Object (\w+) was', str(error))
        raise UserError(
            f'{what}: the model cannot be stored, since the class {name[1] if name else "of a layer"} has no get_config(): '
            'add it, so that it returns the arguments of __init__'
        ) from error
    if not model.trainable_variables:
        raise UserError(f'{what}: the model has no weights to train')
    for layer in layers:
        if replicas > 1 and isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized:
            raise UserError(
                f"{what}: layer '{layer.name}' would normalise each replica's share by itself: make it with "
                'BatchNormalization(synchronized=True)'
            )
    if model.losses or any(getattr(layer, 'activity_regularizer', None) for layer in layers):
        raise adds_losses(what)
    _check_precision(what, layers, precision)


def adds_losses(what: str) -> UserError:
    """Returns the error for a model with a loss besides the run's."""
    return UserError(
        f'{what} adds losses of its own (regularizers, add_loss), which are not counted: use a loss from a file, or weight '
        'decay of the optimizer'
    )


def _check_precision(what: str, layers: Sequence[keras.layers.Layer], precision: str) -> None:
    """Raises `UserError` for a layer of another float type: results would not have the precision that the config names."""
    policy = keras.DTypePolicy(precision)
    # Under a mixed policy, the last layers are often float32.
    accepted = {policy.compute_dtype, policy.variable_dtype} | ({'float32'} if precision.startswith('mixed') else set())
    for layer in layers:
        types = {layer.compute_dtype, layer.variable_dtype}
        others = sorted(str(name) for name in types - accepted if 'float' in str(name))
        if others:
            raise UserError(
                f"{what}: layer '{layer.name}' computes in {others[0]}, and precision is '{precision}': leave out "
                'its dtype, or set --config.precision'
            )
