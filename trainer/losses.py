"""Loss of each example, from logits.

Each function takes labels (int, shape [batch]), logits (float, [batch, classes]) and the label smoothing s in [0, 1), and
returns the unreduced loss, shape [batch], in nats (except for the squared error). The log-probabilities come from
`log_softmax`, which neither overflows nor clips; Keras's losses on probabilities clip at 1e-7.

Importing this module does not import TensorFlow.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seedwise import references
from seedwise.errors import UserError
from seedwise.references import running

#: Examples that a user's own loss is tried on.
_TRIED = 8

#: In place of a weight for each class.
BALANCED = 'balanced'


def _targets(labels, logits, smoothing: float):
    """One-hot rows y, smoothed to y (1 - s) + s / classes (Szegedy et al. 2016, section 7)."""
    import tensorflow as tf

    one_hot = tf.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return one_hot * (1.0 - smoothing) + smoothing / logits.shape[-1]


def categorical_crossentropy(labels, logits, smoothing: float):
    """-sum_c y_c log p_c."""
    import tensorflow as tf

    return tf.nn.softmax_cross_entropy_with_logits(_targets(labels, logits, smoothing), logits)


def kl_divergence(labels, logits, smoothing: float):
    """sum_c y_c (log y_c - log p_c): cross-entropy less the entropy of y, which no weight changes."""
    import tensorflow as tf

    targets = _targets(labels, logits, smoothing)
    return tf.reduce_sum(tf.math.xlogy(targets, targets) - targets * tf.nn.log_softmax(logits), axis=-1)


def mean_squared_error(labels, logits, smoothing: float):
    """mean_c (y_c - p_c)^2, on probabilities, as Keras computes it behind a softmax layer (Brier 1950 without the mean)."""
    import tensorflow as tf

    return tf.reduce_mean(tf.square(_targets(labels, logits, smoothing) - tf.nn.softmax(logits)), axis=-1)


def class_weights(weights: tuple, dataset) -> np.ndarray | None:
    """Returns the weight of each class in the training loss, float64 [classes]; None: there are none.

    Args:
      weights: as `config.loss.class_weights` has them. ('balanced',): all classes have the same share in the loss,
        n / (classes x count), as scikit-learn's `class_weight='balanced'` (King & Zeng 2001); 0 without an example.
      dataset: the `data_pipeline.sources.Dataset` with the training part of the run.
    """
    if weights != (BALANCED,):
        return np.array(weights, np.float64) if weights else None
    counts = dataset.train.class_counts(dataset.classes)
    return np.where(counts > 0, counts.sum() / (len(counts) * np.maximum(counts, 1)), 0.0)


def computed_as(loss: Mapping[str, Any]) -> str:
    """Returns the loss that computes this one, so that runs of equal losses can use the same compiled steps.

    The labels are integers, so that the sparse cross-entropy is the cross-entropy. Without smoothing the entropy of a label
    is 0, so that the KL divergence is the cross-entropy too.

    Args:
      loss: as `config.loss`.
    """
    name = loss['name']
    equal = name == 'sparse_categorical_crossentropy' or (name == 'kl_divergence' and not loss['label_smoothing'])
    return 'categorical_crossentropy' if equal else name


def build(loss: Mapping[str, Any], classes: int = 2, dtype: str = 'float32') -> Callable:
    """Returns the loss of a run as a function of (labels, logits), shape [batch]; a user's own is tried out before.

    Args:
      loss: as `config.loss`.
      classes: number of classes.
      dtype: of the logits that the run will give it.

    Raises:
      UserError: a user's function raises, or does not return the loss of each example, of this example alone.
    """
    if not references.is_reference(loss['name']):
        function = LOSSES[computed_as(loss)]
        return lambda labels, logits: function(labels, logits, loss['label_smoothing'])
    reference = references.parse(loss['name'], 'loss.name')
    function, options = running.load(reference), dict(loss['options'])
    what = str(reference)
    kind = function if isinstance(function, type) else type(function)
    if any(base.__module__.startswith('keras.') for base in kind.__mro__):
        raise UserError(f'{what} is a Keras loss: it must be a function of (labels, logits) that returns [batch]')

    def own(labels, logits):
        value = running.call(function, reference.file, labels, logits, **options)
        shape = getattr(value, 'shape', None)
        if shape is None or len(shape) != 1 or None not in (sizes := {shape[0], labels.shape[0]}) and len(sizes) > 1:
            kind = type(value).__name__ if shape is None else f'shape {tuple(shape)}'
            raise UserError(f'{what} returned {kind}: it must return one number an example, [batch]')
        return value

    _try(own, what, classes, dtype)
    return own


def _try(loss: Callable, what: str, classes: int, dtype: str) -> None:
    """Calls a user's loss on random logits. Raises `UserError` where it could not be trained with, or not reproduced."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    labels = tf.constant(np.arange(_TRIED) % classes, tf.int32)
    logits = tf.constant(rng.normal(size=(_TRIED, classes)), dtype)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        whole = loss(labels, logits)
    if not tf.is_tensor(whole) or whole.dtype != dtype:
        kind = whole.dtype.name if tf.is_tensor(whole) else type(whole).__name__
        raise UserError(f'{what} returned {kind}: it must return a tensor of the type of the logits, {dtype}')
    if tape.gradient(whole, logits) is None:
        raise UserError(
            f'{what} has no gradient: it must be made of the logits by operations of keras.ops or TensorFlow'
        )
    parts = [loss(labels[part], logits[part]) for part in (slice(0, 3), slice(3, _TRIED))]
    if not np.allclose(whole, tf.concat(parts, 0), rtol=1e-4, atol=1e-5, equal_nan=True):
        raise UserError(
            f'{what} returns another loss of the same example when it is called with other examples, or again: it must '
            "depend on each example's label and logits alone, since replicas see a share of a batch each"
        )


LOSSES: dict[str, Callable] = {
    'categorical_crossentropy': categorical_crossentropy,
    'sparse_categorical_crossentropy': categorical_crossentropy,
    'kl_divergence': kl_divergence,
    'mean_squared_error': mean_squared_error,
}
