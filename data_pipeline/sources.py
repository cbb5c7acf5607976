"""Where examples come from: a TFDS dataset prepared earlier, files on disk, a download, or the bundled digits.

`locate` decides which, without TensorFlow and within seconds also where there is no network; `load` then reads it.

The validation split. `load(..., seed)` draws the held-out training examples by the seed's own stream, so that each seed
of a comparison validates on other examples. A fixed split would leave one draw of the split in all results alike,
outside of their interval (Bouthillier et al. 2021, "Accounting for Variance in Machine Learning Benchmarks", section 3);
variants are compared seed by seed, and those of one seed share its split.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import UserError, unknown
from data_pipeline import decoded

PROBE_SECONDS = 4.0

#: Training and test examples of 'digits'.
DIGITS_TRAIN, DIGITS_TEST = 1437, 360


@dataclasses.dataclass(frozen=True)
class Location:
    """A dataset and the place that it will be read from."""

    name: str  # TFDS name, or 'digits'
    source: str  # 'prepared', 'manual', 'download' or 'bundled'
    data_dir: str
    manual_dir: str
    warning: str = ''  # why this is not the dataset that was asked for
    train: int | None = None  # number of training examples, where it is known before they are read


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset at hand. `train`, `validation` and `test` are `examples.InMemory` or `examples.Sharded`."""

    name: str
    source: str
    fingerprint: str  # SHA-256 over images and labels, training split first
    image_shape: tuple[int, int, int]
    classes: int
    train: Any
    validation: Any  # None where nothing is held out
    test: Any


def default_data_dir() -> str:
    """TFDS's own choice of folder, by TFDS's own environment variable, without importing it."""
    return os.environ.get('TFDS_DATA_DIR', '') or os.path.expanduser('~/tensorflow_datasets')


def locate(name: str, data_dir: str = '', manual_dir: str = '', fallback: str = '') -> Location:
    """Returns where to read `name` from: prepared copy, else files in `manual_dir`, else a download, else `fallback`.

    Raises:
      UserError: there is no such dataset, `manual_dir` is missing files or holds others, or the dataset cannot be had
        and `fallback` is ''.
    """
    data_dir = os.path.abspath(os.path.expanduser(data_dir or default_data_dir()))
    manual_dir = os.path.abspath(os.path.expanduser(manual_dir)) if manual_dir else ''
    if name == 'digits':
        return Location('digits', 'bundled', data_dir, '', train=DIGITS_TRAIN)
    if _prepared(name, data_dir):
        return Location(name, 'prepared', data_dir, manual_dir, train=_train_count(name, data_dir))
    _check_name(name)
    files = _registered_files(name)
    if manual_dir:
        _check_manual_dir(name, manual_dir, files)
        _make_folder(data_dir)
        return Location(name, 'manual', data_dir, manual_dir)
    reachable, reason = _reachable([url for url, *_ in files])
    if reachable:
        _make_folder(data_dir)
        return Location(name, 'download', data_dir, '')
    ways = (
        f'a copy that TFDS prepared in {data_dir}, its original files in --config.data.manual_dir, or a network that '
        f'reaches {reason}'
    )
    if fallback:
        warning = (
            f"'{name.upper()}' CANNOT BE HAD HERE: THIS RUN TRAINS ON '{fallback.upper()}'. To get {name}: {ways}."
        )
        return dataclasses.replace(locate(fallback, data_dir), warning=warning)
    raise UserError(f"dataset '{name}' cannot be had here: it takes {ways}")


def _make_folder(data_dir: str) -> None:
    try:
        os.makedirs(data_dir, exist_ok=True)
    except OSError as error:
        raise UserError(f'data.data_dir {data_dir} cannot be written: {error.strerror}') from error


def _prepared(name: str, data_dir: str) -> list[Path]:
    """Returns the dataset_info.json of each prepared version of `name` ('mnist', 'emnist/letters', 'mnist:3.0.1')."""
    path, _, version = name.partition(':')
    folder = os.path.join(data_dir, path.strip('/'))
    versions = [version] if version else os.listdir(folder) if os.path.isdir(folder) else []
    infos = [os.path.join(folder, version, 'dataset_info.json') for version in versions]
    return sorted(Path(info) for info in infos if os.path.isfile(info))


def _train_count(name: str, data_dir: str) -> int | None:
    """Returns the number of training examples that TFDS noted when it prepared `name`."""
    try:
        splits = [
            split
            for info in _prepared(name, data_dir)
            for split in json.loads(info.read_text(encoding='utf-8'))['splits']
        ]
        return max((sum(map(int, s['shardLengths'])) for s in splits if s['name'] == 'train'), default=None)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(name, data_dir) from error


def damaged(name: str, data_dir: str) -> UserError:
    """The error for a prepared dataset whose files are not as TFDS wrote them."""
    folders = ' or '.join(str(info.parent) for info in _prepared(name, data_dir))
    return UserError(f"dataset '{name}' in {folders} is damaged: delete that folder, and it is prepared anew")


def check_validation(name: str, train: int, validation: int) -> None:
    """Raises `UserError` where holding out `validation` of `train` examples leaves nothing to train on."""
    if validation >= train:
        raise UserError(
            f'data.validation is {validation:,}: {name} has {train:,} training examples, so at most {train - 1:,}'
        )


def _check_name(name: str) -> None:
    import tensorflow_datasets as tfds  # its list of datasets needs no TensorFlow

    names = tfds.list_builders(with_community_datasets=False)
    if name.split('/')[0].split(':')[0] not in names:
        few = ('digits', 'mnist', 'fashion_mnist', 'kmnist', 'emnist', 'cifar10', 'cifar100')
        raise unknown('dataset (data.name)', name, [*few, 'or any other image classification dataset of TFDS'], names)


def _registered_files(name: str) -> list[tuple[str, int, str, str]]:
    """(URL, bytes, SHA-256, file name) of each file that TFDS registers for a dataset; [] where it keeps no such list."""
    import tensorflow_datasets as tfds

    base = name.split('/')[0].split(':')[0]
    root = Path(tfds.__file__).parent
    for path in (root / 'url_checksums' / f'{base}.txt', root / 'datasets' / base / 'checksums.tsv'):
        if path.exists():
            rows = [line.split('\t') for line in path.read_text(encoding='utf-8').splitlines()]
            return [(row[0], int(row[1]), row[2], row[3]) for row in rows if len(row) >= 4]
    return []


def _check_manual_dir(name: str, manual_dir: str, files: list[tuple[str, int, str, str]]) -> None:
    if not os.path.isdir(manual_dir):
        raise UserError(f'data.manual_dir {manual_dir} is not a folder')
    for _, size, sha256, filename in files:
        path = Path(manual_dir, filename)
        if not path.is_file():
            raise UserError(f'data.manual_dir {manual_dir} lacks {filename} of {name}')
        if path.stat().st_size != size:
            raise UserError(
                f'{path} is cut off or another file: it has {path.stat().st_size:,} bytes, and {filename} of {name} has '
                f'{size:,}'
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise UserError(f'{path} is another file: its SHA-256 is not that of {filename} of {name}, {sha256}')


def _reachable(urls: list[str]) -> tuple[bool, str]:
    """Whether the first of `urls` answers within `PROBE_SECONDS`, and the host that was asked.

    TFDS itself would try for minutes. All of urllib's proxies and certificates apply, as they do to the download.
    """
    if not urls:
        return True, ''  # nothing to probe: TFDS will say
    host = urllib.parse.urlsplit(urls[0]).hostname or urls[0]

    def ask() -> bool:
        try:
            request = urllib.request.Request(urls[0], method='HEAD')
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                return True
        except urllib.error.HTTPError as error:
            return error.code == 405  # the host is there and minds the method only
        except (OSError, ValueError):
            return False

    # In a thread of its own, since a name server that never answers is bound by no timeout of urllib's.
    executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    try:
        return executor.submit(ask).result(timeout=PROBE_SECONDS), host
    except concurrent.futures.TimeoutError:
        return False, host
    finally:
        executor.shutdown(wait=False)


def load(location: Location, *, seed: int = 0, validation: int = 0, memory_limit_mb: int = 4096) -> Dataset:
    """Reads a located dataset, preparing it first where that has not been done.

    Args:
      location: what `locate` returned.
      seed: decides which examples are held out.
      validation: number of training examples held out.
      memory_limit_mb: a dataset of more MiB as uint8 is streamed from its shards instead of kept in memory.

    Raises:
      UserError: the dataset is not one of equally sized images with one label each, or `validation` leaves nothing.
    """
    dataset = _digits() if location.name == 'digits' else _tfds(location, memory_limit_mb)
    return hold_out(dataset, seed=seed, validation=validation)


def hold_out(dataset: Dataset, *, seed: int, validation: int) -> Dataset:
    """Returns a dataset with `validation` of its training examples held out. Raises `UserError` where none would be left."""
    if not validation:
        return dataset
    check_validation(dataset.name, dataset.train.count, validation)
    train, held_out = dataset.train.split(seed, validation)
    return dataclasses.replace(dataset, train=train, validation=held_out)


def _digits() -> Dataset:
    """The 1,797 digits that scikit-learn bundles (Alpaydin & Kaynak 1998), 8x8 scaled to 28x28, split 1,437 to 360."""
    import scipy.ndimage
    import sklearn.datasets
    import sklearn.model_selection

    bunch = sklearn.datasets.load_digits()
    scaled = scipy.ndimage.zoom(bunch.images / 16.0, (1, 3.5, 3.5), order=1)
    images = np.round(255 * scaled).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int32)
    indices = np.arange(len(labels))
    train, test = sklearn.model_selection.train_test_split(
        indices, test_size=DIGITS_TEST, stratify=labels, random_state=0
    )
    return _in_memory('digits', 'bundled', (images[train], labels[train]), (images[test], labels[test]), 10)


def _in_memory(name: str, source: str, train, test, classes: int) -> Dataset:
    from data_pipeline.examples import InMemory

    digest = hashlib.sha256()
    for array in (*train, *test):
        digest.update(np.ascontiguousarray(array).data)
    shape = train[0].shape[1:]
    return Dataset(name, source, digest.hexdigest(), shape, classes, InMemory(*train), None, InMemory(*test))


def prepare(location: Location):
    """Returns the TFDS builder of a located dataset, prepared. Safe for several processes at once: one works, all wait."""
    import filelock
    import tensorflow_datasets as tfds

    if location.source == 'prepared':
        return _builder(location)
    # TFDS's bars are for downloads that somebody watches.
    if location.source != 'download' or not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with filelock.FileLock(os.path.join(location.data_dir, f'.{location.name.replace("/", ".")}.lock')):
            builder = _builder(location)  # within the lock: it knows only what was prepared when it was made
            if not builder.is_prepared():
                print(f'preparing {location.name} in {location.data_dir} (once)', file=sys.stderr)
                options = tfds.download.DownloadConfig(manual_dir=location.manual_dir or None)
                with contextlib.redirect_stdout(io.StringIO()):
                    builder.download_and_prepare(download_config=options)
            return builder
    except PermissionError as error:
        raise UserError(f'data.data_dir {location.data_dir} cannot be written: {error.strerror}') from error
    except (tfds.download.DownloadError, OSError) as error:
        raise UserError(f"dataset '{location.name}' could not be prepared: {str(error).splitlines()[0]}") from error


def _builder(location: Location):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(location.name, data_dir=location.data_dir)
    except (ValueError, tfds.core.registered.DatasetNotFoundError) as error:
        raise UserError(f"data.name '{location.name}': {str(error).splitlines()[0]}") from error


def _tfds(location: Location, memory_limit_mb: int) -> Dataset:
    names = ('train_images', 'train_labels', 'test_images', 'test_labels', 'classes')
    versions = [info.parent for info in _prepared(location.name, location.data_dir)]
    copy = decoded.read(versions[0], names) if len(versions) == 1 else None
    if copy and sum(array.nbytes for array in copy.values()) <= memory_limit_mb * 2**20:
        *arrays, classes = copy.values()
        return _in_memory(location.name, location.source, arrays[:2], arrays[2:], int(classes))
    return _read_tfds(location, memory_limit_mb, names)


def _read_tfds(location: Location, memory_limit_mb: int, names: tuple[str, ...]) -> Dataset:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from data_pipeline.examples import Sharded

    builder = prepare(location)
    info = builder.info
    keys = info.supervised_keys
    features = info.features
    ok = (
        keys
        and isinstance(features[keys[0]], tfds.features.Image)
        and isinstance(features[keys[1]], tfds.features.ClassLabel)
    )
    if not ok:
        raise UserError(f"dataset '{location.name}' is not one of images with one class label each")
    shape = features[keys[0]].shape
    if None in shape:
        raise UserError(f"dataset '{location.name}' has images of several sizes, {shape}: one size is needed")
    missing = {'train', 'test'} - set(info.splits)
    if missing:
        raise UserError(
            f"dataset '{location.name}' has no {' and no '.join(sorted(missing))} split: {sorted(info.splits)}"
        )
    splits = [Sharded.of(info, split) for split in ('train', 'test')]
    size = sum(split.count for split in splits) * int(np.prod(shape))
    classes = features[keys[1]].num_classes
    if size <= memory_limit_mb * 2**20:
        try:
            train, test = (split.read() for split in splits)
        except tf.errors.OpError as error:  # which one, depends on the damage
            raise damaged(location.name, location.data_dir) from error
        decoded.write(Path(builder.data_dir), dict(zip(names, (*train, *test, np.array(classes)), strict=True)))
        return _in_memory(location.name, location.source, train, test, classes)
    # Too large to hash: name and version stand for the content, which TFDS checks when it prepares it.
    fingerprint = hashlib.sha256(f'{info.full_name} {[split.lengths for split in splits]}'.encode()).hexdigest()
    return Dataset(location.name, location.source, fingerprint, shape, classes, splits[0], None, splits[1])
