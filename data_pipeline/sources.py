"""Where examples come from: a TFDS dataset prepared earlier, files on disk, a download, the bundled digits, or the user's
own data.

`locate` decides which, without TensorFlow and within seconds also without a network; `load` then reads it.

The validation split. `load(..., seed)` draws the held-out training examples by the seed's own stream, so that each seed
of a comparison validates on other examples. With a fixed split, every result would depend on the same single draw, and the
interval over seeds would not include that variation (Bouthillier et al. 2021, "Accounting for Variance in Machine Learning
Benchmarks", section 3). Variants are compared seed by seed, and those of one seed share its split.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dataset import Dataset, Location
from data_pipeline.from_tfds import builders, download, folders, known, prepared
from data_pipeline.own import assemble, names
from seedwise.errors import UserError, unknown
from seedwise.storage import paths

#: Training and test examples of 'digits'.
DIGITS_TRAIN, DIGITS_TEST = 1437, 360

#: Shape of an image of 'digits'.
DIGITS_SHAPE = (28, 28, 1)


def default_data_dir() -> str:
    """TFDS's own choice of folder, by TFDS's own environment variable, without importing it."""
    return os.environ.get('TFDS_DATA_DIR', '') or os.path.expanduser('~/tensorflow_datasets')


def locate(
    name: str,
    data_dir: str = '',
    manual_dir: str = '',
    fallback: str = '',
    options: Mapping[str, Any] | None = None,
) -> Location:
    """Returns where to read `name` from: prepared copy, else files in `manual_dir`, else a download, else `fallback`.

    Args:
      name: of a dataset of TFDS, 'digits', or the user's own data (`own.names`).
      data_dir: folder of prepared datasets.
      manual_dir: folder with the dataset's original files; '': none.
      fallback: name of the dataset to take instead of one that is not available; '': none.
      options: for the user's own data.

    Raises:
      NotAvailable: the dataset is not here, its download does not begin, and `fallback` is ''.
      UserError: there is no such dataset, or `manual_dir` is missing files or holds others.
    """
    own = names.kind_of(name)
    check = paths.local if name == 'digits' or own else paths.folder  # which need no folder
    data_dir = os.path.abspath(check(data_dir or default_data_dir(), 'data.data_dir (or TFDS_DATA_DIR)'))
    if own:
        return assemble.locate(name, data_dir, options or {})
    manual_dir = os.path.abspath(check(manual_dir, 'data.manual_dir')) if manual_dir else ''
    if name == 'digits':
        return Location('digits', 'bundled', data_dir, '', train=DIGITS_TRAIN, image_shape=DIGITS_SHAPE)
    if folder := folders.find(name, data_dir):
        train, shape = folders.train_count(name, folder), folders.image_shape(folder)
        return Location(name, 'prepared', data_dir, manual_dir, train=train, image_shape=shape)
    _check_name(name, data_dir)
    files = download.registered_files(name)
    if manual_dir:
        download.check_manual_dir(name, manual_dir, files)
        _make_folder(data_dir)
        return Location(name, 'manual', data_dir, manual_dir)
    # The first file stands for all. TFDS reports what it has no list of.
    reason = download.unreachable(*files[0][:2]) if files else ''
    if reason:
        error = download.not_available(name, data_dir, reason)
        if not fallback:
            raise error
        return _instead(error, fallback, data_dir)
    _make_folder(data_dir)
    return Location(name, 'download', data_dir, '')


def locate_for(data: Mapping[str, Any], fallback: str = '') -> Location:
    """Returns where to read the data of a run from, as `locate` does.

    Args:
      data: the section `data` of the run's config.
      fallback: as `locate` says.
    """
    return locate(data['name'], data['data_dir'], data['manual_dir'], fallback, dict(data['options']))


def ensure_downloaded(location: Location, fallback: str = '', *, memory_limit_mb: int = 4096) -> Location:
    """Downloads, prepares and checks what `locate` found to be downloadable, and reads the user's own data.

    Needs no TensorFlow in this process.

    Returns:
      The location, with the number of training examples, or that of `fallback`.

    Raises:
      NotAvailable: the download failed, and `fallback` is ''.
      UserError: the dataset could not be prepared for another reason.
    """
    if location.source not in ('download', 'own'):
        return location
    try:
        return builders.prepare_apart(location, memory_limit_mb)
    except download.NotAvailable as error:
        if not fallback:
            raise
        return _instead(error, fallback, location.data_dir)


def _instead(error: download.NotAvailable, fallback: str, data_dir: str) -> Location:
    """Returns the location of what takes the place of a dataset, with the reason as a warning."""
    warning = (
        f"'{error.name.upper()}' IS NOT AVAILABLE HERE: THIS RUN TRAINS ON '{fallback.upper()}'. {error.name} needs one of: "
        f'{error.ways}.'
    )
    return dataclasses.replace(locate(fallback, data_dir), warning=warning)


def _make_folder(data_dir: str) -> None:
    try:
        os.makedirs(data_dir, exist_ok=True)
    except OSError as error:
        raise UserError(f'data.data_dir {data_dir} cannot be written: {error.strerror}') from error


def check_validation(name: str, train: int, validation: int) -> None:
    """Raises `UserError` where holding out `validation` of `train` examples leaves nothing to train on."""
    if validation >= train:
        raise UserError(
            f'data.validation is {validation:,}: {name} has {train:,} training examples, so at most {train - 1:,}'
        )


def _check_name(name: str, data_dir: str) -> None:
    import tensorflow_datasets as tfds  # its list of datasets needs no TensorFlow

    of_tfds = tfds.list_builders(with_community_datasets=False)
    if download.base_name(name) not in of_tfds:
        others = f'or any other image classification dataset of TFDS, or your own data ({names.FORMS})'
        prepared = [info.parents[1].name for info in Path(data_dir).glob('*/*/dataset_info.json')]
        raise unknown('dataset (data.name)', name, [*known.DATASETS, others], [*of_tfds, *prepared, *names.near(name)])


def load(location: Location, *, seed: int = 0, validation: int = 0, memory_limit_mb: int = 4096) -> Dataset:
    """Reads a located dataset, preparing it first where that has not been done.

    Args:
      location: what `locate` returned.
      seed: decides which examples are held out.
      validation: number of training examples held out.
      memory_limit_mb: a dataset of more MiB, as uint8 or float32, is streamed from its shards instead of kept in memory.

    Raises:
      NotAvailable: it could not be downloaded.
      UserError: it could not be prepared, is damaged, is not what its name says, is not one of equally sized images with
        one label each, or `validation` leaves nothing.
    """
    if location.source == 'own':
        dataset = assemble.load(location, memory_limit_mb)
    elif location.name == 'digits':
        dataset = _digits()
    else:
        dataset = prepared.read(location, builders.prepare(location), memory_limit_mb)
    return hold_out(dataset, seed=seed, validation=validation)


def hold_out(dataset: Dataset, *, seed: int, validation: int) -> Dataset:
    """Returns a dataset with `validation` of its training examples held out. Raises `UserError` where none would be left."""
    if not validation:
        return dataset
    check_validation(dataset.name, dataset.train.count, validation)
    train, held_out = dataset.train.split(seed, validation)
    return dataclasses.replace(dataset, train=train, validation=held_out)


def _digits() -> Dataset:
    """The 1,797 digits of scikit-learn (Alpaydin & Kaynak 1998), 8x8 scaled to 28x28, split 1,437 to 360 by class.

    From a file of our own: importing scikit-learn for them takes 2 s (one CPU core). It holds the training examples first.
    """
    import scipy.ndimage

    with np.load(Path(__file__).with_name('digits.npz')) as file:
        images, labels = file['images'], file['labels'].astype(np.int32)
    scaled = scipy.ndimage.zoom(images / 16.0, (1, 3.5, 3.5), order=1)
    images = np.round(255 * scaled).astype(np.uint8)[..., np.newaxis]
    n = DIGITS_TRAIN
    arrays = (images[:n], labels[:n], images[n:], labels[n:], np.array(10))
    return prepared.in_memory('digits', 'bundled', dict(zip((*prepared.ARRAYS, 'classes'), arrays, strict=True)))
