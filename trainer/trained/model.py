"""The model of a finished run: inputs as the data pipeline hands them on -> probabilities of the classes."""

import zipfile
from collections.abc import Callable

import keras
import ml_collections
import numpy as np
import tensorflow as tf

from seedwise import dotted, references
from seedwise.errors import UserError
from trainer import models
from trainer.checkpoints import load_weights
from trainer.loop.scaling import float_type, scaled
from trainer.results import MODEL
from trainer.trained.finished import Finished


class Trained:
    """A finished run's model.

    Attributes:
      model: the Keras model, inputs -> logits.
      class_names: in the order of the labels.
      precision: as `config.precision`.
    """

    def __init__(self, run: Finished, *, trust: bool = False, in_float32: keras.Model | None = None):
        """Reads the model.

        Args:
          run: whose model it is.
          trust: whether code that the run's folder holds may run.
          in_float32: is taken instead of the one in the run's folder.

        Raises:
          UserError: the model is damaged, or needs code that is not trusted.
        """
        self.precision = str(run.config['precision']) if in_float32 is None else 'float32'
        self.model = _read(run, trust) if in_float32 is None else in_float32
        self._run = run
        count = self._classes()
        self.class_names = run.class_names or tuple(map(str, range(count)))
        if len(self.class_names) != count:
            raise UserError(
                f'{run.workdir / MODEL} has {count} classes, and result.json names {len(self.class_names)}: they are not of '
                'one run'
            )
        self._compiled: dict[str, Callable] = {}

    def _classes(self) -> int:
        """Returns how many classes the model has; `UserError` if it does not take what result.json says that it does."""
        shape = self._run.shape
        others = UserError(
            f'{self._run.workdir / MODEL} does not take {self._run.form}, as result.json says: they are not of one run'
        )
        taken = tuple(getattr(self.model, 'input_shape', None) or (None, *shape))
        if len(taken) != 1 + len(shape) or any(n not in (None, m) for n, m in zip(taken[1:], shape, strict=True)):
            raise others  # before there is an array of that shape, which may be as large as a stranger likes
        try:
            return int(self.model(np.zeros((1, *shape), 'float32')).shape[-1])
        except (TypeError, ValueError, MemoryError, tf.errors.OpError) as error:
            raise others from error

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Returns the probability of each class, float32 [n, classes], of inputs [n, ...].

        Args:
          inputs: uint8, or float32: in [0, 1], or of an `unscaled` run as they are.
        """
        name = inputs.dtype.name
        if name not in self._compiled:
            signature = [tf.TensorSpec([None, *self._run.shape], inputs.dtype)]
            self._compiled[name] = tf.function(self.compute, input_signature=signature, autograph=False)
        return self._compiled[name](inputs).numpy()

    def in_float32(self) -> 'Trained':
        """Returns the same model with float32 as the precision of all layers; their weights in it are the same."""

        def clone(layer):
            return type(layer).from_config(layer.get_config() | {'dtype': 'float32'})

        copy = keras.models.clone_model(self.model, clone_function=clone, recursive=True)
        copy.set_weights(self.model.get_weights())
        return Trained(self._run, in_float32=copy)

    def compute(self, inputs: tf.Tensor) -> tf.Tensor:
        """The computation of `probabilities`, the same as in training: scale, normalise, model, softmax."""
        dtype = float_type(self.precision)
        moments = [tf.constant(x, dtype) for x in self._run.moments or ()]
        logits = self.model(scaled(inputs, dtype, moments), training=False)
        return tf.nn.softmax(tf.cast(logits, 'float32'))


def _read(run: Finished, trust: bool) -> keras.Model:
    file = run.workdir / MODEL
    damaged = UserError(f'{file} is damaged: delete {run.workdir} and train the run again')
    if not zipfile.is_zipfile(file):
        raise damaged
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(run.config['precision'])  # that of the model itself, which Keras does not store
    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise damaged from error
    except Exception as error:  # many kinds, for a user's own classes, for a lambda, and for other damage
        own = run.own_model
        if own is None:
            raise damaged from error
        if not trust:
            raise UserError(
                f"the model in {run.workdir} is made by a user's own code, {own.file}, which runs only if you trust it: "
                'read it, and give --trust'
            ) from error
    finally:
        keras.config.set_dtype_policy(previous)
    model = _of_own_code(run)
    load_weights(model, file)
    return model


def _of_own_code(run: Finished) -> keras.Model:
    """Returns the model, with initial weights, that the run's copy of the user's code makes, as it was made in training."""
    own = run.own_model
    assert own is not None
    if not own.file.is_file():
        raise UserError(f'{own.file}, which makes the model, is not there: copy it back, or train the run again')
    config = ml_collections.ConfigDict(dotted.with_tuples(run.config))
    config.model.name = f'{own.file}:{own.name}'
    references.check(own, 'model.name', references.FIELDS['model.name'], config.model.options)
    classes = len(run.class_names)
    if not classes:
        raise UserError(
            f'{run.workdir / "result.json"} does not name the classes: train the run again with this version'
        )
    return models.build(config, run.shape, classes, 1)
