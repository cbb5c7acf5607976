"""From examples as the data pipeline hands them on to what a model is given, in training and in every use of the model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from data_pipeline.sources import Dataset

#: Mean and standard deviation of each channel or feature, float64 [channels].
Moments = tuple[np.ndarray, np.ndarray]


def float_type(precision: str) -> str:
    """Returns the type of inputs, losses and sums under a `config.precision`; a mixed one is float32 outside of layers."""
    return 'float64' if precision == 'float64' else 'float32'


def normalizes(config, dataset: 'Dataset') -> bool:
    """Returns whether inputs are normalised by the moments of the training examples."""
    return config.data.normalize == 'standard' or (config.data.normalize == 'auto' and dataset.unscaled)


def scaled(examples, dtype: str, moments: Sequence[Any] = ()):
    """Returns examples as a model takes them.

    Args:
      examples: [batch, ...]. uint8 is divided by 255; float32 is in [0, 1] already, or consists of numbers as they are.
      dtype: of the result, 'float32' or 'float64'.
      moments: mean and standard deviation in that type, by which inputs are normalised; (): they are not.
    """
    inputs = tf.cast(examples, dtype)
    if examples.dtype == tf.uint8:
        inputs = inputs / 255
    if moments:
        mean, deviation = moments
        inputs = (inputs - mean) / deviation
    return inputs
