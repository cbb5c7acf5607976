"""The examples of a split, in memory or in TFDS shards, as streams of keys that are fetched a batch at a time.

A key names an example: its index in memory, or its serialized record. Order, sharding and batching work on keys
(`pipeline.py`); images are gathered or decoded only for the examples that a worker needs.
"""

import dataclasses
import functools
import mmap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipeline.checks import Form, at_a_time, handed_on, usable_in_graph

#: Examples that are looked at at a time.
AT_A_TIME = 1000

# Streams of random numbers; each is used for one thing, so that none repeats another's numbers.
_ORDER, _SHARD_ORDER, _SPLIT, AUGMENT = range(4)


def draw_seed(seed: int, stream: int, first=0, second=0):
    """Returns the seed, shape [2], of one draw: `first` < 2^31 and `second` < 2^24 count within a run's stream."""
    high = tf.constant(seed * 8 + stream, tf.int64)
    low = tf.cast(first, tf.int64) * 2**24 + tf.cast(second, tf.int64)
    return tf.stack([high, low])


def permutation(n, seed):
    """Returns a random order of range(n), int32: a pure function of `seed`, shape [2] (`draw_seed`).

    Not `index_shuffle`, which needs no array: with its default 4 rounds the orders of two epochs of 60,000 examples
    correlate by 0.89, and with 16 rounds the position of a given index is still not uniform (chi-square test).
    """
    return tf.random.experimental.stateless_shuffle(tf.range(n), seed)


def _drawn(count: int, seed: int, epoch: int) -> np.ndarray:
    with tf.device('CPU:0'):
        return permutation(count, draw_seed(seed, _ORDER, epoch)).numpy()


#: Splits up to this size keep the orders of many epochs: the variants of a study have the same seeds. Of a larger one, a
#: batch may span two epochs.
_FEW = 100_000
_of_few, _of_many = functools.lru_cache(maxsize=256)(_drawn), functools.lru_cache(maxsize=2)(_drawn)


def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return (_of_few if count <= _FEW else _of_many)(count, seed, epoch)


class InMemory:
    """A split, or a part of one, held as arrays.

    Attributes:
      count: number of examples.
      image_bytes: bytes of an image.
      weights: of each example in the training loss, float64 [n]; None: there are none.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        indices: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ):
        """Takes images [n, height, width, channels], labels int32 [n] and the part's indices (None: all).

        Images are uint8, or float32 in [0, 1].
        """
        self.images = images
        self.labels = labels
        self.weights = weights
        self.indices = np.arange(len(labels), dtype=np.int32) if indices is None else indices
        self.count = len(self.indices)
        self.image_bytes = images.itemsize * int(np.prod(images.shape[1:]))

    @property
    def dtype(self) -> str:
        """Of the inputs as they are handed on: 'uint8' or 'float32'."""
        return handed_on(self.images[:0]).dtype.name

    def split(self, seed: int, held_out: int) -> tuple['InMemory', 'InMemory']:
        """Returns two parts: the remaining examples, and `held_out` randomly chosen ones."""
        order = permutation(self.count, draw_seed(seed, _SPLIT)).numpy()
        parts = self.indices[np.sort(order[held_out:])], self.indices[np.sort(order[:held_out])]
        return self.part(parts[0]), self.part(parts[1])

    def shuffled(self, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
        """Returns the keys of one epoch, in its order, in batches of any size."""
        order = permutation(self.count, draw_seed(seed, _ORDER, epoch))
        return tf.data.Dataset.from_tensors(tf.gather(self._keys, order))

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """Returns the keys of `shuffled` as an array."""
        return self.indices[_order(self.count, seed, epoch)]

    def in_order(self) -> tf.data.Dataset:
        """Returns the keys of all examples once, in the source's order, in batches of any size."""
        return tf.data.Dataset.from_tensors(self._keys)

    def fetch(self, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the images and labels of keys of any shape."""
        images, labels = self._tensors
        return tf.gather(images, keys), tf.gather(labels, keys)

    def fetch_weights(self, keys: tf.Tensor, dtype: str) -> tuple[tf.Tensor, ...]:
        """Returns the weights of keys of any shape in the training loss; (): there are none."""
        return () if self.weights is None else (tf.cast(tf.gather(self._weights, keys), dtype),)

    def part(self, indices: np.ndarray) -> 'InMemory':
        """Returns those of the examples, int32 indices of the arrays."""
        part = type(self)(self.images, self.labels, indices, self.weights)
        part._tensors = self._tensors  # not copied once more
        if self.weights is not None:
            part._weights = self._weights
        return part

    @functools.cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel or feature over the examples, float64; see `moments_of`."""
        some = at_a_time(self.images.shape[1:], AT_A_TIME)
        return moments_of(self._some(self.indices[i : i + some]) for i in range(0, self.count, some))

    def class_counts(self, classes: int) -> np.ndarray:
        """Returns the number of examples of each class, int64 [classes]."""
        return np.bincount(self.labels[self.indices], minlength=classes)

    def _some(self, indices: np.ndarray) -> np.ndarray:
        return self.images[indices]

    @functools.cached_property
    def _tensors(self):
        with tf.init_scope(), tf.device('CPU:0'):
            return tf.constant(self.images), tf.constant(self.labels)

    @functools.cached_property
    def _weights(self):
        with tf.init_scope(), tf.device('CPU:0'):
            return tf.constant(self.weights)

    @functools.cached_property
    def _keys(self):
        with tf.init_scope(), tf.device('CPU:0'):
            return tf.constant(self.indices)


class OnDisk(InMemory):
    """A split, or a part of one, whose inputs are read from a memory-mapped array when they are needed."""

    def __init__(self, images: Any, labels: np.ndarray, indices: np.ndarray | None = None, weights: Any = None):
        """As `InMemory`; images may be of any type that `handed_on` takes."""
        super().__init__(images, labels, indices, weights)
        self.image_bytes = handed_on(images[:1]).nbytes

    def fetch(self, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the images and labels of keys of any shape."""
        labels = tf.gather(self._tensors, keys)
        images = tf.numpy_function(self._read, [keys], handed_on(self.images[:1]).dtype)
        return tf.ensure_shape(images, [*keys.shape, *self.images.shape[1:]]), labels

    def _read(self, keys: np.ndarray) -> np.ndarray:
        flat, position = np.unique(keys, return_inverse=True)  # read in the order in which they lie
        return self._some(flat)[position].reshape(*keys.shape, *self.images.shape[1:])

    def _some(self, indices: np.ndarray) -> np.ndarray:
        some = handed_on(self.images[indices])
        # The pages that were read stay in the system's cache, and no longer count as memory of this process.
        if mapped := getattr(getattr(self.images, 'array', self.images), '_mmap', None):
            mapped.madvise(mmap.MADV_DONTNEED)
        return some

    @functools.cached_property
    def _tensors(self):
        with tf.init_scope(), tf.device('CPU:0'):
            return tf.constant(self.labels)


def moments_of(arrays: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the standard deviation of the last axis over all others, float64 [channels].

    Those of uint8 are of numbers in [0, 1], as models get them. A deviation of 0 is given as 1.
    """
    count, mean, spread = 0, np.zeros(()), np.zeros(())
    for array in arrays:
        some = array.reshape(-1, array.shape[-1]).astype(np.float64) / (255 if array.dtype == np.uint8 else 1)
        # Two groups merged by their means and sums of squares: Chan, Golub & LeVeque 1983, equation 2.1.
        more, its_mean = len(some), some.mean(0)
        step, count = its_mean - mean, count + more
        spread = spread + ((some - its_mean) ** 2).sum(0) + step**2 * (count - more) * more / count
        mean = mean + step * more / count
    deviation = np.sqrt(spread / count)
    return np.asarray(mean), np.where(deviation > 0, deviation, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Sharded:
    """A split, or a part of one, streamed from TFDS's shards.

    Each epoch shuffles the order of the shards, and then the examples within each shard. One shard is held as serialized
    records at a time.
    """

    name: str  # of the split
    paths: tuple[str, ...]
    lengths: tuple[int, ...]  # records in each shard
    features: Any  # tfds.features.FeaturesDict
    form: Form
    chosen: np.ndarray  # bool [records]: those in this part

    @classmethod
    def of(cls, info: Any, form: Form, split: str) -> 'Sharded':
        """Returns a whole split of a prepared dataset, from its `tfds.core.DatasetInfo` and what `form_of` made of it."""
        paths = tuple(str(path) for path in info.splits[split].filepaths)
        lengths = tuple(info.splits[split].shard_lengths)
        return cls(split, paths, lengths, info.features, form, np.ones(sum(lengths), bool))

    @property
    def count(self) -> int:
        """Number of examples."""
        return int(self.chosen.sum())

    def split(self, seed: int, held_out: int) -> tuple['Sharded', 'Sharded']:
        """Returns two parts: the remaining examples, and `held_out` randomly chosen ones."""
        indices = np.flatnonzero(self.chosen)
        drawn = np.zeros_like(self.chosen)
        drawn[indices[permutation(len(indices), draw_seed(seed, _SPLIT)).numpy()[:held_out]]] = True
        return dataclasses.replace(self, chosen=self.chosen & ~drawn), dataclasses.replace(self, chosen=drawn)

    def shuffled(self, seed: int, epoch: tf.Tensor) -> tf.data.Dataset:
        """Returns the keys of one epoch, in its order, in batches of any size."""

        def records(shard):
            keys = self._records(shard)
            return keys.map(lambda k: tf.gather(k, permutation(tf.size(k), draw_seed(seed, _ORDER, epoch, shard))))

        order = permutation(len(self.paths), draw_seed(seed, _SHARD_ORDER, epoch))
        return tf.data.Dataset.from_tensor_slices(order).flat_map(records)

    def in_order(self) -> tf.data.Dataset:
        """Returns the keys of all examples once, in the source's order, in batches of any size."""
        return tf.data.Dataset.range(len(self.paths)).flat_map(self._records)

    @property
    def image_bytes(self) -> int:
        """Bytes of an image as it is handed on."""
        return self.form.image_bytes

    @property
    def dtype(self) -> str:
        """Of the images as they are handed on: 'uint8' or 'float32'."""
        return 'uint8' if self.form.dtype == 'uint8' else 'float32'

    def fetch(self, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the images and labels of keys of any shape: uint8, or float32 in [0, 1], and int32."""
        shape = self.form.shape
        signature = (tf.TensorSpec(shape, self.form.dtype), tf.TensorSpec((), tf.int32))
        images, labels = tf.map_fn(self._decode, tf.reshape(keys, [-1]), fn_output_signature=signature)
        images, labels = usable_in_graph(self.name, images, labels, self.form.classes)
        return tf.reshape(images, tf.concat([tf.shape(keys), shape], 0)), tf.reshape(labels, tf.shape(keys))

    @functools.cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel over the examples, float64; see `moments_of`."""
        return moments_of(handed_on(images) for images, _ in self.read(AT_A_TIME))

    def class_counts(self, classes: int) -> np.ndarray:
        """Returns the number of examples of each class, int64 [classes]. No image is decoded."""
        import tensorflow_datasets as tfds

        skip = {self.form.image: tfds.decode.SkipDecoding()}
        records = self.in_order().unbatch()
        labels = records.map(lambda record: self.features.deserialize_example(record, decoders=skip)[self.form.label])
        counts = np.zeros(classes, np.int64)
        for some in labels.batch(10_000).as_numpy_iterator():
            known = some[(some >= 0) & (some < classes)]  # others are refused when they are read
            counts += np.bincount(known, minlength=classes)
        return counts

    def read(self, at_a_time: int = 10_000) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields all examples in the source's order: images [n, height, width, channels] as stored, labels int32 [n]."""
        records = self.in_order().unbatch().map(self._decode, num_parallel_calls=tf.data.AUTOTUNE)
        yield from records.batch(at_a_time).as_numpy_iterator()

    def fetch_weights(self, keys: tf.Tensor, dtype: str) -> tuple[tf.Tensor, ...]:
        """Returns (): there are none."""
        return ()

    def shards(self) -> Iterator['Sharded']:
        """Yields each shard of a whole split by itself."""
        for path, length in zip(self.paths, self.lengths, strict=True):
            yield dataclasses.replace(self, paths=(path,), lengths=(length,), chosen=np.ones(length, bool))

    def _decode(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = self.features.deserialize_example(record)
        # A declared shape is not a checked one: images may be files of any size.
        image = tf.ensure_shape(example[self.form.image], self.form.shape)
        return image, tf.cast(example[self.form.label], tf.int32)

    def _records(self, shard: tf.Tensor) -> tf.data.Dataset:
        starts = tf.constant(np.cumsum((0, *self.lengths)), tf.int64)
        length = tf.gather(tf.constant(self.lengths, tf.int64), shard)
        chosen = tf.slice(tf.constant(self.chosen), [tf.gather(starts, shard)], [length])
        batch = tf.data.TFRecordDataset(tf.gather(tf.constant(self.paths), shard)).batch(length)
        # Otherwise an empty file would be read as a shard without examples instead of as damage.
        batch = batch.apply(tf.data.experimental.assert_cardinality(1))
        return batch.map(lambda records: tf.boolean_mask(records, chosen))
