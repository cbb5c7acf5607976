"""What the rest passes around: where a dataset is, and the dataset itself."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Location:
    """A dataset and the place that it will be read from."""

    name: str  # TFDS name, or 'digits'; of the user's own data, how reports call it
    source: str  # 'prepared', 'manual', 'download' or 'bundled'; 'own': the user's own data
    data_dir: str
    manual_dir: str
    warning: str = ''  # why this is not the dataset that was asked for
    train: int | None = None  # number of training examples, if that is known before they are read
    image_shape: tuple[int, ...] = ()  # as of `Dataset`, if that is known before they are read
    image_bytes: int = 0  # of the user's own data: what all images take in memory; 0: not known
    path: str = ''  # of the user's own data: `config.data.name`
    options: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # of the user's own data: `config.data.options`
    notes: tuple[str, ...] = ()  # what the user should know of how the data are read, a sentence each


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset at hand. `train`, `validation` and `test` are `examples.InMemory`, `OnDisk` or `Sharded`."""

    name: str
    source: str
    fingerprint: str  # SHA-256 over images and labels as they are stored, training split first
    image_shape: tuple[int, ...]  # (height, width, channels), or (features,) of a table
    classes: int
    train: Any
    validation: Any  # None if nothing is held out
    test: Any
    class_names: tuple[str, ...] = ()  # in the order of the labels; (): not known
    notes: tuple[str, ...] = ()  # as of `Location`
    unscaled: bool = False  # float inputs that are not all in [0, 1]
    columns: tuple[str, ...] = ()  # of a table with names: those of the features, in their order
