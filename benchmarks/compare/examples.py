"""The examples that all sides train on, in one file."""

from pathlib import Path

import numpy as np

from benchmarks.compare.networks import MNIST, NETWORKS
from seedwise import tensorflow_import
from seedwise.errors import UserError


def write(model: str, images: str, count: int, file: str) -> dict:
    """Writes `count` training examples and the test examples of a model's data to a .npz file.

    Args:
      model: key of `NETWORKS`; MNIST for images of its shape.
      images: name of a dataset of 32x32x3 for the others; '': random images.
      count: training examples.
      file: path.

    Returns:
      {'real': whether a model can learn anything from them}.

    Raises:
      UserError: the dataset is not available, too small, or of another shape.
    """
    network = NETWORKS[model]
    name = 'mnist' if network.image_shape == MNIST else images
    arrays = _dataset(name, network.image_shape, count) if name else _random(network.image_shape, count)
    np.savez(Path(file), **dict(zip(('x_train', 'y_train', 'x_test', 'y_test'), arrays, strict=True)))
    return {'real': bool(name)}


def _dataset(name: str, shape: tuple[int, ...], count: int) -> tuple[np.ndarray, ...]:
    tensorflow_import.import_tensorflow()
    from data_pipeline import sources

    dataset = sources.load(sources.locate(name))
    if count > dataset.train.count or dataset.image_shape != shape:
        raise UserError(
            f'{name} has {dataset.train.count:,} training images of {dataset.image_shape}, but {count:,} of {shape} are '
            'needed: --steps sets how many, --images which'
        )
    return dataset.train.images[:count], dataset.train.labels[:count], dataset.test.images, dataset.test.labels


def _random(shape: tuple[int, ...], count: int) -> tuple[np.ndarray, ...]:
    draws = np.random.default_rng(0)
    train, test = (draws.integers(0, 256, (size, *shape), np.uint8) for size in (count, 1000))
    labels = np.arange(max(count, 1000), dtype=np.int32) % 10
    return train, labels[:count], test, labels[:1000]
