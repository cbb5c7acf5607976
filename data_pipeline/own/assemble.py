"""From what was read to a `Dataset`: classes, a test split, types, in memory or on disk."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipeline import checks
from data_pipeline.dataset import Dataset, Location
from data_pipeline.own import function, names, store
from data_pipeline.own.raw import Cast, Raw
from seedwise.errors import UserError

#: Share of the examples of a class that become the test split where the data have none.
TEST_SHARE = 0.2

#: Examples that are looked at at a time.
_AT_A_TIME = 10_000


def locate(name: str, data_dir: str, options: Mapping[str, Any]) -> Location:
    """Returns the location of the user's own data. Raises `UserError` if it does not exist, or an option is wrong."""
    if names.kind_of(name) != 'function':
        names.check(name, options)
    return Location(names.title_of(name), 'own', data_dir, '', path=name, options=dict(options))


def prepare(location: Location, memory_limit_mb: int) -> Location:
    """Returns the location with the number of training examples and notes; of a function, as it is. Needs no TensorFlow."""
    if names.kind_of(location.path) == 'function':
        return location
    settled = _settled(location, memory_limit_mb)
    size = checks.handed_on_bytes(settled.inputs)
    return dataclasses.replace(
        location,
        train=len(settled.train),
        notes=settled.notes,
        image_shape=settled.inputs.shape[1:],
        image_bytes=size,
    )


def load(location: Location, memory_limit_mb: int) -> Dataset:
    """Reads the user's own data.

    Raises:
      UserError: they cannot be read, or are not examples of classes.
    """
    from data_pipeline.examples import InMemory, OnDisk

    settled = _settled(location, memory_limit_mb)
    inputs = settled.inputs
    fits = checks.handed_on_bytes(inputs) <= memory_limit_mb * 2**20
    parts = settled.labels, None, settled.weights
    whole = InMemory(checks.handed_on(np.asarray(inputs)), *parts) if fits else OnDisk(inputs, *parts)
    train, test = whole.part(settled.train.astype(np.int32)), whole.part(settled.test.astype(np.int32))
    return Dataset(
        location.name,
        names.kind_of(location.path),
        settled.fingerprint,
        inputs.shape[1:],
        len(settled.classes),
        train,
        None,
        test,
        class_names=settled.classes,
        notes=settled.notes,
        unscaled=settled.outside,
        columns=settled.columns,
    )


@dataclasses.dataclass(frozen=True)
class _Settled:
    inputs: Any
    labels: np.ndarray  # int32 [n], from 0
    classes: tuple[str, ...]
    train: np.ndarray  # indices
    test: np.ndarray
    notes: tuple[str, ...]
    fingerprint: str
    outside: bool  # some input is not in [0, 1]
    columns: tuple[str, ...]
    weights: np.ndarray | None  # float64 [n], in the training loss


def _settled(location: Location, memory_limit_mb: int) -> _Settled:
    options = dict(location.options)
    share = options.pop('test_share', TEST_SHARE) if names.kind_of(location.path) != 'function' else TEST_SHARE
    key = json.dumps(options, sort_keys=True)
    digest = names.digest(location.path, location.options)
    return _read(location.path, location.name, location.data_dir, key, share, memory_limit_mb, digest)


@functools.lru_cache(maxsize=1)
def _read(path: str, title: str, data_dir: str, key: str, share: float, memory_limit_mb: int, digest: str) -> _Settled:
    options = {name: tuple(x) if isinstance(x, list) else x for name, x in json.loads(key).items()}
    kind = names.kind_of(path)
    if kind == 'function':
        raw = function.read(path, data_dir, options, memory_limit_mb, digest)
    else:
        file = names.path_of(path)
        slow = kind != 'arrays' or (file.suffix == '.npz' and file.stat().st_size > memory_limit_mb * 2**20)
        read = functools.partial(names.reader(kind), file, **options)
        raw = store.stored(data_dir, digest, options, read) if slow else read(None)
    return _settle(title, raw, share, digest if kind != 'function' else '', key)


def _settle(title: str, raw: Raw, share: float, digest: str, key: str) -> _Settled:
    notes = [*raw.notes]
    labels, classes = _classes(title, raw.labels, notes)
    if raw.train is None:
        train, test = _held_out(title, labels, classes, share, notes)
    else:
        train, test = np.arange(raw.train), np.arange(raw.train, len(labels))
        for split, part in (('training', train), ('test', test)):
            if not len(part):
                raise UserError(f"dataset '{title}' has no examples in its {split} split: at least 1 is needed")
    _only_in_one(labels, classes, train, test, notes)
    _check_weights(title, raw.weights, train, notes)
    inputs, outside = _numbers(title, raw)
    hashed = json.dumps(names.without_paths(json.loads(key)), sort_keys=True)
    content = hashlib.sha256(f'{digest} {hashed} {share}'.encode())
    if not digest:
        content.update(raw.content.encode())
        for array in (labels, raw.weights):
            content.update(b'' if array is None else np.ascontiguousarray(array).data)
    fingerprint = content.hexdigest()
    return _Settled(inputs, labels, classes, train, test, tuple(notes), fingerprint, outside, raw.columns, raw.weights)


def _numbers(title: str, raw: Raw) -> tuple[Any, bool]:
    """Returns the inputs as uint8, uint16 or floats, and whether they are floats of which some are not in [0, 1].

    What lies on disk is converted when it is read. Raises `UserError` if a number is not finite.
    """
    inputs = raw.inputs
    of_images = inputs.ndim == 4 and inputs.dtype in (np.uint8, np.uint16)
    if of_images:
        return inputs, False
    low, high = raw.extent or _extent(title, inputs)
    if inputs.dtype.kind != 'f':
        pixels = inputs.ndim == 4 and inputs.dtype.kind != 'b' and low >= 0 and high <= 255
        dtype = np.uint8 if pixels else np.float32  # features are numbers, not pixels
        inputs = Cast(inputs, dtype) if isinstance(inputs, np.memmap) else inputs.astype(dtype)
    return inputs, inputs.dtype.kind == 'f' and (low < 0 or high > 1)


def _check_weights(title: str, weights: np.ndarray | None, train: np.ndarray, notes: list[str]) -> None:
    """Raises `UserError` if a weight of a training example is negative or not finite, or all are 0."""
    if weights is None:
        return
    of_train = weights[train]
    wrong = ~np.isfinite(of_train) | (of_train < 0)
    if wrong.any():
        at = train[wrong][0]
        raise UserError(
            f"dataset '{title}' has the sample weight {weights[at]:g} in example {at:,} (from 0): it must be a finite "
            'number of at least 0'
        )
    if not of_train.any():
        raise UserError(f"dataset '{title}' has only sample weights of 0 in its training split: nothing can be learned")
    notes.append('each training example has its sample weight in the training loss; evaluation counts each once')


def _classes(title: str, labels: np.ndarray, notes: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the labels as numbers from 0, int32, and the names of the classes in their order."""
    if labels.dtype.kind == 'f':
        if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
            example = labels[~np.isfinite(labels) | (labels != np.round(labels))][0]
            raise UserError(f"dataset '{title}' has the label {example:g}: labels must be whole numbers or text")
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in 'iub':
        labels = labels.astype(str)
    values, numbers = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        only = f", '{values[0]}'" if len(values) else ''
        raise UserError(
            f"dataset '{title}' has {'one class' if len(values) else 'no examples'}{only}: at least 2 are needed"
        )
    if len(values) > 100 and len(values) > len(labels) / 2:
        raise UserError(
            f"dataset '{title}' has {len(values):,} different labels in {len(labels):,} examples: these are not classes"
        )
    if labels.dtype.kind in 'iu':
        low, high = int(values[0]), int(values[-1])
        missing = sorted(set(range(low, high + 1)) - {*values.tolist()}) if high - low < 10_000 else []
        if missing:
            several = ', '.join(map(str, missing[:5])) + ', ...' * (len(missing) > 5)
            notes.append(
                f'labels go from {low} to {high}, and {several} does not occur: there are {len(values)} classes'
            )
        elif low:
            notes.append(f'labels go from {low} to {high}: class {low} is the first')
    return numbers.reshape(-1).astype(np.int32), tuple(map(str, values.tolist()))


def _held_out(
    title: str, labels: np.ndarray, classes: tuple[str, ...], share: float, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of a training and a test split, stratified by class: the same ones whatever a run's seed."""
    import sklearn.model_selection

    counts = np.bincount(labels)
    rare = [name for name, count in zip(classes, counts, strict=True) if count < 2]
    if rare:
        raise UserError(
            f"dataset '{title}' has one example of class '{rare[0]}', and no test split: each class needs 2 or more"
        )
    size = min(max(round(share * len(labels)), len(classes)), len(labels) - len(classes))
    train, test = sklearn.model_selection.train_test_split(
        np.arange(len(labels)), test_size=size, stratify=labels, random_state=0
    )
    notes.append(
        f'{title} has no test split: {size:,} of its {len(labels):,} examples are held out as one, the same for every seed'
    )
    return np.sort(train), np.sort(test)


def _only_in_one(labels, classes: tuple[str, ...], train, test, notes: list[str]) -> None:
    seen = [np.bincount(labels[part], minlength=len(classes)) > 0 for part in (train, test)]
    for name, in_train, in_test in zip(classes, *seen, strict=True):
        if not in_train:
            notes.append(f"class '{name}' is only in the test split: no model can learn it")
        elif not in_test:
            notes.append(f"class '{name}' is not in the test split: how well it is recognised is not measured")


def _extent(title: str, inputs: Any) -> tuple[float, float]:
    """Returns the least and the greatest number. Raises `UserError` if one is not finite."""
    low, high = [], []
    at_a_time = checks.at_a_time(inputs.shape[1:], _AT_A_TIME)
    for first in range(0, len(inputs), at_a_time):
        some = np.asarray(inputs[first : first + at_a_time])
        checks.check_finite(f"dataset '{title}'", some, first)
        low.append(some.min())
        high.append(some.max())
    return min(low).item(), max(high).item()
