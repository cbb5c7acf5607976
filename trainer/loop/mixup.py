"""Mixup: pairs of training examples are mixed, inputs and losses alike (Zhang et al. 2018, "mixup: Beyond Empirical Risk
Minimization", section 2).

As the authors' own implementation does, one coefficient is drawn for each global batch, and the two labels are mixed by
their losses: this is the same number as the loss of mixed labels for cross-entropy, and needs nothing of other losses than
class indices. The paper pairs a batch with a random permutation of itself. Here the places 0 and 1, 2 and 3, ... of a
global batch are pairs: the order of the examples is random already, and however many replicas share a batch, both of a pair
are on the same one.
"""

import numpy as np
import tensorflow as tf

# Of the key of the random numbers, next to the run's seed.
_STREAM = 0x6D69787570


def coefficients(alpha: float, seed: int, first_step: int, steps: int) -> np.ndarray:
    """Returns the coefficient of each step, float32 [steps], drawn from Beta(alpha, alpha) by (seed, step)."""
    key = np.array([seed, _STREAM], np.uint64)
    streams = (np.random.Philox(key=key, counter=[0, 0, 0, step]) for step in range(first_step, first_step + steps))
    return np.array([np.random.Generator(stream).beta(alpha, alpha) for stream in streams], np.float32)


def partners(x):
    """Returns the other one of each pair, for x of shape [batch, ...] with an even batch."""
    pairs = tf.reshape(x, [-1, 2, *x.shape[1:]])
    return tf.reshape(pairs[:, ::-1], [-1, *x.shape[1:]])


def mixed(coefficient, x, other):
    """coefficient * x + (1 - coefficient) * other, in the type of x."""
    coefficient = tf.cast(coefficient, x.dtype)
    return coefficient * x + (1 - coefficient) * other
