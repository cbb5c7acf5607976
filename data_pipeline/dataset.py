"""What the rest passes around: where a dataset is, and the dataset itself."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Location:
    """A dataset and the place that it will be read from."""

    name: str  # TFDS name, or 'digits'
    source: str  # 'prepared', 'manual', 'download' or 'bundled'
    data_dir: str
    manual_dir: str
    warning: str = ''  # why this is not the dataset that was asked for
    train: int | None = None  # number of training examples, if that is known before they are read


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset at hand. `train`, `validation` and `test` are `examples.InMemory` or `examples.Sharded`."""

    name: str
    source: str
    fingerprint: str  # SHA-256 over images and labels as they are stored, training split first
    image_shape: tuple[int, int, int]
    classes: int
    train: Any
    validation: Any  # None if nothing is held out
    test: Any
