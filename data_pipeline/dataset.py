"""What the rest passes around: where a dataset is, and the dataset itself."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class Examples(Protocol):
    """The examples of a split, or a part of them: `examples.InMemory`, `OnDisk` or `Sharded`, whose methods say more.

    A key names an example; images are fetched for keys, and only for those that a worker needs.
    """

    @property
    def count(self) -> int:
        """Number of examples."""

    @property
    def image_bytes(self) -> int:
        """Bytes of an image as it is handed on."""

    @property
    def dtype(self) -> str:
        """Of the images as they are handed on: 'uint8' or 'float32'."""

    @property
    def moments(self) -> 'tuple[np.ndarray, np.ndarray]':
        """Mean and standard deviation of each channel or feature, float64."""

    def split(self, seed: int, held_out: int) -> 'tuple[Any, Any]':
        """Returns two parts: the remaining examples, and `held_out` randomly chosen ones."""

    def shuffled(self, seed: int, epoch: 'tf.Tensor') -> 'tf.data.Dataset':
        """Returns the keys of one epoch, in its order, in batches of any size."""

    def in_order(self) -> 'tf.data.Dataset':
        """Returns the keys of all examples once, in the source's order, in batches of any size."""

    def fetch(self, keys: 'tf.Tensor') -> 'tuple[tf.Tensor, tf.Tensor]':
        """Returns the images and labels of keys of any shape."""

    def fetch_weights(self, keys: 'tf.Tensor', dtype: str) -> 'tuple[tf.Tensor, ...]':
        """Returns the weights of keys of any shape in the training loss; (): there are none."""

    def class_counts(self, classes: int) -> 'np.ndarray':
        """Returns the number of examples of each class, int64 [classes]."""


@dataclasses.dataclass(frozen=True)
class Location:
    """A dataset and the place that it will be read from.

    Attributes:
      name: as TFDS has it, or 'digits'; of the user's own data, how reports call it.
      source: 'prepared', 'manual', 'download' or 'bundled'; 'own': the user's own data.
      data_dir: the folder that all datasets are in.
      manual_dir: the folder with the original files; '': none.
      warning: why this is not the dataset that was asked for; '': it is.
      train: number of training examples; None: not known before they are read.
      image_shape: as of `Dataset`; (): not known before they are read.
      image_bytes: of the user's own data, what all images take in memory; 0: not known.
      path: of the user's own data, `config.data.name`.
      options: of the user's own data, `config.data.options`.
      notes: what the user should know of how the data are read, a sentence each.
    """

    name: str
    source: str
    data_dir: str
    manual_dir: str
    warning: str = ''
    train: int | None = None
    image_shape: tuple[int, ...] = ()
    image_bytes: int = 0
    path: str = ''
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset at hand.

    Attributes:
      name, source, notes: as of `Location`.
      fingerprint: SHA-256 over images and labels as they are stored, training split first.
      image_shape: (height, width, channels), or (features,) of a table.
      classes: number of classes.
      train, validation, test: the splits; None: nothing is held out for validation.
      class_names: in the order of the labels; (): not known.
      unscaled: whether inputs are floats that are not all in [0, 1].
      columns: of a table with names, those of the features, in their order.
    """

    name: str
    source: str
    fingerprint: str
    image_shape: tuple[int, ...]
    classes: int
    train: Examples
    validation: Examples | None
    test: Examples
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unscaled: bool = False
    columns: tuple[str, ...] = ()
