"""Arrays: PATH.npz with both splits, or PATH.npy with a file of labels."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.own.raw import Raw, weights_as_given
from seedwise.errors import UserError, in_a_line

#: Names of the inputs and the labels of a split in an .npz file; {} is 'train', 'test' or 'val'.
PAIRS = (
    ('x_{}', 'y_{}'),
    ('{}_images', '{}_labels'),
    ('{}_x', '{}_y'),
    ('X_{}', 'y_{}'),
    ('{}_data', '{}_labels'),
    ('{}_features', '{}_labels'),
)
#: The same where the file has one split.
SINGLE = (('x', 'y'), ('X', 'y'), ('images', 'labels'), ('data', 'labels'), ('features', 'labels'), ('data', 'target'))

#: Name of the sample weights in an .npz file, alone or with '_train': as Keras's `fit` calls them.
WEIGHTS = 'sample_weight'


def read(path: Path, make: Any = None, *, labels: str = '', weights: str = '') -> Raw:
    """Reads arrays: inputs [n, height, width], [n, height, width, channels] or [n, features], and labels [n].

    Labels may be one-hot rows. A .npy file of inputs is read where it lies, a batch at a time.

    Args:
      path: the .npz file, with names such as x_train, y_train, x_test, y_test (`PAIRS`, `SINGLE`), and sample_weight_train
        or sample_weight if examples have weights in the training loss; or the .npy file.
      make: not used.
      labels: the .npy file of the labels, for a .npy file of inputs.
      weights: the .npy file of the sample weights, for a .npy file of inputs; '': there are none.

    Raises:
      UserError: the file is damaged, or its arrays are not these.
    """
    del make
    try:
        if path.suffix.lower() == '.npy':
            if not labels:
                raise UserError(f'{path} holds inputs alone: name the file of their labels in data.options.labels')
            inputs, known = np.load(path, mmap_mode='r'), np.load(Path(labels).expanduser())
            given = weights_as_given(np.load(Path(weights).expanduser()), len(inputs), weights) if weights else None
            return Raw(as_inputs(inputs, path), as_labels(known, len(inputs), labels), None, weights=given)
        if labels or weights:
            option = 'labels' if labels else 'weights'
            raise UserError(f'data.options.{option} is for a .npy file: an .npz file holds its own')
        with np.load(path, allow_pickle=False) as stored:
            return _of(stored, path)
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        pickled = 'allow_pickle' in str(error)
        what = 'it holds Python objects: store numbers' if pickled else in_a_line(error)
        raise UserError(f'{path} cannot be read: {what}') from error


def _of(stored: Any, path: Path) -> Raw:
    names = set(stored.files)
    notes = []
    for x, y in PAIRS:
        train = x.format('train'), y.format('train')
        if names >= set(train):
            parts = [train]
            held_out = [(x.format(s), y.format(s)) for s in ('test', 'val', 'valid')]
            there = [pair for pair in held_out if names >= set(pair)]
            parts += there[:1]
            if len(there) > 1:
                notes.append(f'{there[0][0]} is the test split; {there[1][0]} is not used')
            break
    else:
        parts = [pair for pair in SINGLE if names >= set(pair)][:1]
    if not parts:
        raise UserError(
            f'{path} has the arrays {", ".join(sorted(names)) or "none"}: it must have x_train and y_train (and x_test '
            'and y_test), or x and y'
        )
    inputs = [as_inputs(stored[x], f'{x} in {path}') for x, _ in parts]
    labels = [as_labels(stored[y], len(i), f'{y} in {path}') for i, (_, y) in zip(inputs, parts, strict=True)]
    shapes = [array.shape[1:] for array in inputs]
    if len(set(shapes)) > 1:
        raise UserError(f'{path} has examples of shape {shapes[0]} in {parts[0][0]} and {shapes[1]} in {parts[1][0]}')
    count = len(labels[0]) if len(parts) > 1 else None
    weights = None
    if found := [name for name in (f'{WEIGHTS}_train', WEIGHTS) if name in names]:
        of_train = weights_as_given(stored[found[0]], len(labels[0]), f'{found[0]} in {path}')
        weights = np.concatenate([of_train, *(np.ones(len(more)) for more in labels[1:])])
    return Raw(np.concatenate(inputs), np.concatenate(labels), count, tuple(notes), weights=weights)


def as_inputs(array: np.ndarray, what: Any) -> np.ndarray:
    """Returns [n, height, width, channels] or [n, features]: a channel is added to images without."""
    if array.ndim not in (2, 3, 4) or not all(array.shape[1:]):
        raise UserError(
            f'{what} has the shape {array.shape}: it must be [n, height, width, channels], [n, height, width] or '
            '[n, features]'
        )
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 2, 3, 4):
        raise UserError(
            f'{what} has the shape {array.shape}: the channels must come last; transpose it to (0, 2, 3, 1)'
        )
    if array.dtype.kind not in 'buif':
        raise UserError(f'{what} is of type {array.dtype}: it must hold numbers')
    return array[..., np.newaxis] if array.ndim == 3 else array


def as_labels(array: np.ndarray, count: int, what: Any) -> np.ndarray:
    """Returns [n] labels of an array [n], [n, 1] or of one-hot rows [n, classes]."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if (
        array.ndim == 2
        and array.dtype.kind in 'buif'
        and ((array == 0) | (array == 1)).all()
        and (array.sum(1) == 1).all()
    ):
        array = array.argmax(1)
    if array.ndim != 1:
        raise UserError(f'{what} has the shape {array.shape}: labels must be [n], or one-hot rows [n, classes]')
    if len(array) != count:
        raise UserError(f'{what} has {len(array):,} labels for {count:,} examples')
    return array
