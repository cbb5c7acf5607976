"""A dataset that TFDS prepared, from its folder to a `Dataset`: read, checked, and in memory or streamed."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_pipeline import checks
from data_pipeline.dataset import Dataset, Location
from data_pipeline.from_tfds import decoded, download, folders, identity
from seedwise.errors import UserError

if TYPE_CHECKING:
    from data_pipeline.examples import Sharded

#: The arrays of a dataset in memory, in the order in which they are hashed, and the number of classes.
ARRAYS = ('train_images', 'train_labels', 'test_images', 'test_labels')
_NAMES = (*ARRAYS, 'classes')


def read(location: Location, folder: Path, memory_limit_mb: int) -> Dataset:
    """Reads the dataset that is prepared in `folder`.

    Raises:
      UserError: it is damaged, is not what its name says, or is not one of images with one class label each.
    """
    dataset = _read(location, folder, memory_limit_mb)
    return dataclasses.replace(dataset, class_names=folders.class_names(folder, dataset.classes))


def _read(location: Location, folder: Path, memory_limit_mb: int) -> Dataset:
    if not decoded.checked(folder):
        identity.check_twins(location.name, folder, location.data_dir)
    arrays = decoded.read(folder, _NAMES)
    limit = memory_limit_mb * 2**20
    if arrays is None or checks.handed_on_bytes(arrays['train_images'], arrays['test_images']) > limit:
        return _read_shards(location, folder, memory_limit_mb)
    dataset = in_memory(location.name, location.source, arrays)
    identity.check(location.name, folder, dataset.fingerprint)
    decoded.mark_checked(folder, dataset.fingerprint)
    return dataset


def in_memory(name: str, source: str, arrays: Mapping[str, np.ndarray]) -> Dataset:
    """Returns a dataset of arrays as they are stored, with the names `ARRAYS` and 'classes'.

    Raises:
      UserError: there are no examples, labels or pixels are out of range, or the splits have images of different sizes.
    """
    from data_pipeline.examples import InMemory

    digest = hashlib.sha256()
    for key in ARRAYS:
        digest.update(np.ascontiguousarray(arrays[key]).data)
    classes = int(arrays['classes'])
    checks.check_classes(name, classes)
    splits = []
    for split in ('train', 'test'):
        images, labels = arrays[f'{split}_images'], arrays[f'{split}_labels']
        checks.check_count(name, split, len(labels))
        splits.append(InMemory(*checks.usable(name, split, images, labels, classes)))
    shapes = [split.images.shape[1:] for split in splits]
    if shapes[0] != shapes[1]:
        raise checks.several_sizes(name, f'{shapes[0]} and {shapes[1]}')
    return Dataset(name, source, digest.hexdigest(), shapes[0], classes, splits[0], None, splits[1])


@contextlib.contextmanager
def errors_explained(location: Location) -> Iterator[None]:
    """Makes a `UserError` of what TensorFlow raises for a streamed dataset that is damaged or cannot be used.

    Where examples are streamed, only the step that needs one finds out.
    """
    import tensorflow as tf

    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        folder = folders.find(location.name, location.data_dir) if location.source not in ('bundled', 'own') else None
        if folder and (refusal := checks.refusal(location.name, error.message)):
            raise refusal from error
        if folder and (isinstance(error, tf.errors.DataLossError) or 'IteratorGetNext' in error.message):
            raise _damaged(location.name, folder, _splits(location, folder)) from error
        raise


def _read_shards(location: Location, folder: Path, memory_limit_mb: int) -> Dataset:
    import tensorflow as tf

    name = location.name
    splits = train, test = _splits(location, folder)
    form = train.form
    try:
        if (train.count + test.count) * form.image_bytes > memory_limit_mb * 2**20:
            return _streamed(location, folder, splits)
        parts = [zip(*split.read(), strict=True) for split in splits]
        arrays = [np.concatenate(array) for part in parts for array in part]
    except tf.errors.OpError as error:  # which one, depends on the damage
        raise checks.refusal(name, error.message) or _damaged(name, folder, splits) from error
    stored = dict(zip(_NAMES, (*arrays, np.array(form.classes)), strict=True))
    dataset = in_memory(name, location.source, stored)
    identity.check(name, folder, dataset.fingerprint)
    decoded.write(folder, stored)
    decoded.mark_checked(folder, dataset.fingerprint)
    return dataset


def _streamed(location: Location, folder: Path, splits: 'tuple[Sharded, Sharded]') -> Dataset:
    name, form = location.name, splits[0].form
    for split in splits:  # all are checked on their way to the model, but a run should not be long under way by then
        checks.usable(name, split.name, *next(split.read(at_a_time=100)), form.classes)
    if download.base_name(name) in identity.KNOWN:
        fingerprint = decoded.checked(folder) or _fingerprint(splits)
        identity.check(name, folder, fingerprint)
    else:
        # Too large to hash each time: what TFDS noted stands for the content.
        noted = folders.splits(name, folder)
        facts = [(noted[split.name]['shardLengths'], noted[split.name]['numBytes']) for split in splits]
        full_name = folder.relative_to(location.data_dir).as_posix()
        fingerprint = hashlib.sha256(f'{full_name} {facts}'.encode()).hexdigest()
    decoded.mark_checked(folder, fingerprint)
    return Dataset(name, location.source, fingerprint, form.shape, form.classes, splits[0], None, splits[1])


def _fingerprint(splits: 'tuple[Sharded, Sharded]') -> str:
    """Returns the fingerprint that `in_memory` gives the same dataset, with a batch in memory at a time."""
    digest = hashlib.sha256()
    for split in splits:
        labels = []
        for images, batch_labels in split.read():
            digest.update(images.data)
            labels.append(batch_labels)
        digest.update(np.concatenate(labels).data)
    return digest.hexdigest()


def _splits(location: Location, folder: Path) -> 'tuple[Sharded, Sharded]':
    """Returns the training and the test split, and raises `UserError` if they are not what is accepted."""
    import tensorflow_datasets as tfds

    from data_pipeline.examples import Sharded

    folders.splits(location.name, folder)
    try:
        info = tfds.builder_from_directory(folder).info
    except Exception as error:  # whatever TFDS raises, it cannot read its own notes
        raise folders.damaged(location.name, folder, 'features.json') from error
    if info.file_format.value != 'tfrecord':
        raise UserError(
            f"dataset '{location.name}' in {folder} is stored as {info.file_format.value}: "
            "it must be tfrecord, which is TFDS's default"
        )
    form = checks.form_of(location.name, info)
    return Sharded.of(info, form, 'train'), Sharded.of(info, form, 'test')


def _damaged(name: str, folder: Path, splits: 'tuple[Sharded, Sharded]') -> UserError:
    """Returns the error for a damaged dataset, which names the first file that cannot be read to its end."""
    import tensorflow as tf

    for shard in (shard for split in splits for shard in split.shards()):
        with contextlib.suppress(tf.errors.OpError):
            if sum(len(labels) for _, labels in shard.read()) == shard.count:
                continue
        return folders.damaged(name, folder, Path(shard.paths[0]).name)
    return folders.damaged(name, folder, 'one of its files')
