"""Random numbers of a model's layers as a function of (seed, layer, step, replica).

Keras's seed generators count their calls in a variable that is the same on all replicas: all replicas would drop the same
units, and a resumed run would have to restore the count. Here the generators of all layers, also of nested models and inside
of attention, compute their seed from the run's seed, the layer, the step and the replica instead.
"""

import contextlib
import functools
import math
import threading
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from seedwise.errors import UserError
from seedwise.references import running
from trainer import models
from trainer.models import own

#: Generator of dropout masks. TensorFlow's default takes 58 ms to draw 200 x 784 numbers under XLA on one CPU thread, and
#: Philox 0.5 ms. At 128 x 512 both take the same.
RNG = 'philox'


class StepSeeds:
    """Seeds the random layers of a model for one step at a time.

    Raises:
      UserError: the model has a random layer whose generator is not found, so that its numbers would not be reproducible.
    """

    def __init__(self, model: keras.Model):
        self._now = threading.local()  # replicas of a MirroredStrategy are traced in threads of their own
        layers = models.layers_of(model)  # if it misses any, their generators are counted below
        seeded: set[int] = set()  # identities of the generators' states
        for layer in layers:
            for generator in [value for value in vars(layer).values() if isinstance(value, keras.random.SeedGenerator)]:
                if id(generator.state) not in seeded:
                    generator.next = functools.partial(self._draw, len(seeded))
                    seeded.add(id(generator.state))
            if type(layer) is keras.layers.Dropout:
                layer.call = functools.partial(_dropout, layer)
        for state in model.variables:
            if state.name == 'seed_generator_state' and id(state) not in seeded:
                inner = min((layer for layer in layers if _has(layer, state)), key=lambda layer: len(layer.variables))
                raise UserError(
                    f"layer '{inner.name}' draws random numbers that the run cannot seed: keep its SeedGenerator as an "
                    'attribute, such as self.seed_generator'
                )

    @contextlib.contextmanager
    def at(self, seed: tf.Tensor, step: tf.Tensor):
        """Returns a context in which layers draw for this step; `seed` and `step` are int32 scalars."""
        self._now.seed, self._now.step = seed, step
        try:
            yield
        finally:
            del self._now.seed, self._now.step

    def _draw(self, number: int, ordered: bool = True) -> tf.Tensor:
        """Returns the seed, shape [2], that layer `number` draws with: its own stream, then step and replica in it.

        In evaluation, which is not of a step, the seed is a constant: an LSTM with dropout draws a mask there, and does not
        use it.
        """
        bits = functools.partial(tf.random.stateless_uniform, [2], minval=None, maxval=None, dtype=tf.int32, alg=RNG)
        if not hasattr(self._now, 'seed'):
            return tf.constant([0, number])
        stream = bits(tf.stack([self._now.seed, number]))
        return bits(tf.bitwise.bitwise_xor(stream, tf.stack([self._now.step, _replica()])))


def check_repeats(model: keras.Model, seeds: StepSeeds, image_shape: tuple[int, ...], file: Path) -> None:
    """Calls a user's model twice on the same images, in this process and on one device.

    Args:
      model: built.
      seeds: of its layers.
      image_shape: (height, width, channels).
      file: the user's.

    Raises:
      UserError: it cannot be called; the logits differ: it draws random numbers that the run cannot seed, or depends on
        something outside; or they are probabilities; or there are losses besides the run's in training.
    """
    images = np.linspace(0, 1, 2 * math.prod(image_shape), dtype='float32').reshape(2, *image_shape)
    # All of them: some models change trained ones too.
    states = [(variable, np.copy(variable.numpy())) for variable in model.variables]
    for training in (False, True):
        logits = []
        for i in range(2):
            step = 0 if training else i  # nothing that is drawn in evaluation may be used
            with seeds.at(tf.constant(0), tf.constant(step)):
                try:
                    logits.append(np.asarray(model(images, training=training)))
                except Exception as error:
                    what = f"model '{model.name}' cannot be called{' in training' * training}"
                    raise running.explain(error, [file]) or UserError(f'{what}: {running.words(error)}') from error
            if model.losses:
                raise own.adds_losses(f"model '{model.name}'")
            for variable, value in states:
                variable.assign(value.copy())  # a variable may take the array itself, and change it
        if not np.array_equal(logits[0], logits[1], equal_nan=True):
            raise UserError(
                f"model '{model.name}' returns different logits for the same images{' in training' * training}: random "
                'numbers must come from keras.random with a SeedGenerator that a layer keeps as an attribute, and are for '
                'training alone'
            )
        rows = logits[0].astype(np.float64)
        if (rows >= 0).all() and np.allclose(rows.sum(1), 1, rtol=0, atol=1e-4):
            raise UserError(
                f"model '{model.name}' returns probabilities: it must return logits, so leave the softmax out"
            )


def _has(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    return any(own is variable for own in layer.variables)


def _replica() -> tf.Tensor:
    """Returns the number of the replica that runs this, int32."""
    return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)


def _dropout(layer: keras.layers.Dropout, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
    """Keras's own dropout with `RNG` as the generator."""
    if not training or not layer.rate:
        return inputs
    seed = layer.seed_generator.next()
    return tf.nn.experimental.stateless_dropout(inputs, layer.rate, seed, RNG, layer.noise_shape)
