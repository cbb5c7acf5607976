"""A function of the user's own that returns arrays or tf.data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipeline.own import arrays
from data_pipeline.own.raw import Raw
from seedwise import references
from seedwise.errors import UserError


def read(name: str, data_dir: str, options: Mapping[str, Any]) -> Raw:
    """Calls NAME(data_dir, **options) of 'FILE.py:NAME'.

    It returns {'train': split, 'test': split}, or {'train': split} alone. A split is (inputs [n, ...], labels [n]), or a
    `tf.data.Dataset` of single examples (input, label), which is read to its end.

    Raises:
      UserError: it raises, or returns something else.
    """
    reference = references.parse(name, 'data.name')
    function = references.load(reference)
    what = f'{reference.file}: {reference.name}'
    returned = references.call(function, data_dir, file=reference.file, **options)
    if not isinstance(returned, Mapping) or 'train' not in returned or set(returned) - {'train', 'test'}:
        kind = (
            f'a mapping with {", ".join(map(str, returned))}'
            if isinstance(returned, Mapping)
            else type(returned).__name__
        )
        raise UserError(
            f"{what} returned {kind}: it must return {{'train': (inputs, labels), 'test': (inputs, labels)}}, or 'train'"
        )
    parts = {split: _split(returned[split], f'{what}, {split}') for split in ('train', 'test') if split in returned}
    inputs, labels = zip(*parts.values(), strict=True)
    shapes = [array.shape[1:] for array in inputs]
    if len(set(shapes)) > 1:
        raise UserError(f'{what} returned examples of shape {shapes[0]} for train and {shapes[1]} for test')
    train = len(labels[0]) if 'test' in parts else None
    return Raw(np.concatenate(inputs), np.concatenate(labels), train)


def _split(split: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(split, 'as_numpy_iterator'):
        try:
            examples = [*split.as_numpy_iterator()]
            split = np.stack([x for x, _ in examples]), np.stack([y for _, y in examples])
        except (TypeError, ValueError) as error:
            words = ' '.join(str(error).split())
            raise UserError(f'{what}: its examples must be (input, label), all of one shape: {words}') from error
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise UserError(f'{what} is {type(split).__name__}: it must be (inputs, labels) or a tf.data.Dataset of them')
    inputs, labels = (np.asarray(array) for array in split)
    inputs = arrays.as_inputs(inputs, f'{what}: inputs')
    return inputs, arrays.as_labels(labels, len(inputs), f'{what}: labels')
