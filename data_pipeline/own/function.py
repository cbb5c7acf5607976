"""A function of the user's own that returns arrays or tf.data, in memory or put into the store."""

import contextlib
import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import checks
from data_pipeline.own import arrays, store
from data_pipeline.own.raw import Raw, weights_as_given
from seedwise import references
from seedwise.errors import UserError, in_a_line
from seedwise.references import running

#: Most examples, and about so many bytes of inputs, that are read at a time.
AT_A_TIME, BYTES_AT_A_TIME = 1000, 16 * 2**20

#: Examples of an array, evenly spaced, by which it is known again without reading all of it.
LOOKED_AT = 100

ACCEPTED = '(inputs, labels), (inputs, labels, sample_weight) or a tf.data.Dataset of them'

#: Inputs, labels and sample weights or None, of some examples.
Chunk = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def read(name: str, data_dir: str, options: Mapping[str, Any], memory_limit_mb: int, digest: str) -> Raw:
    """Calls NAME(data_dir, **options) of 'FILE.py:NAME'.

    It returns {'train': split, 'test': split}, or {'train': split} alone. A split is (inputs [n, ...], labels [n]), or a
    `tf.data.Dataset` of single examples (input, label), which is read to its end; each may have sample weights as a third.

    What does not fit into memory is written to the store once, some examples at a time, and read from there. It is known
    again by the function's file and options, by the shapes and numbers of the examples, and by some examples: the first
    ones of tf.data, and of arrays all labels and evenly spaced inputs.

    Args:
      name: the reference.
      data_dir: the folder that all datasets are in.
      options: arguments of the function.
      memory_limit_mb: the largest size of the inputs, as they are handed on, that is kept in memory.
      digest: of the function's file.

    Raises:
      UserError: it raises, or returns something else, or other examples when it is called again.
    """
    reference = references.parse(name, 'data.name')
    what = str(reference)
    function = running.load(reference)

    def call() -> list[_Split]:
        return _splits(running.call(function, reference.file, data_dir, **options), what, reference.file)

    splits, limit = call(), memory_limit_mb * 2**20
    chunks = _chunks(splits)
    first = next(chunks)
    size = _bytes(splits, first)
    if size is not None and size <= limit:
        return _in_memory(splits, first, chunks, math.inf)  # type: ignore[return-value]
    known_by = _known_by(splits, first)
    key = {'name': reference.name, 'options': json.dumps(options, sort_keys=True, default=list), 'known by': known_by}
    if (kept := store.found(data_dir, digest, key)) is not None:
        return kept
    if size is None and (read_whole := _in_memory(splits, first, chunks, limit)):
        return read_whole

    def write(make: Callable[..., Any]) -> Raw:
        print(f'preparing {reference.name} in {data_dir} (once): it does not fit into memory', file=sys.stderr)
        # What shuffles itself may give another order when it is read again, and the same when the function is called again.
        fresh = call() if any(split.stream is not None for split in splits) else splits
        rest = _chunks(fresh)
        again = next(rest)
        if _known_by(fresh, again) != known_by:
            raise UserError(
                f'{what} returned other examples when it was called again: they must depend on its arguments alone; leave '
                'out shuffle(), as the order of training is drawn by the seed, or anything else that is random'
            )
        return _written(reference.name, fresh, again, rest, make)

    return store.stored(data_dir, digest, key, write)


@dataclasses.dataclass
class _Split:
    """A split as it was returned by a function in `file`: arrays, or a tf.data.Dataset (`stream`). `count`: None if it is
    not known."""

    what: str
    file: Path
    dtype: np.dtype
    count: int | None
    weighted: bool
    arrays: tuple = ()
    stream: Any = None
    at_a_time: int = 1
    found: int = 0  # examples that were read

    def chunks(self) -> Iterator[Chunk]:
        self.found = 0
        some = self.at_a_time
        parts: Iterator[tuple]
        if self.stream is None:
            parts = (tuple(array[i : i + some] for array in self.arrays) for i in range(0, self.count or 0, some))
        else:
            parts = _iterated(self.stream.batch(some).prefetch(1), self.what, self.file)
        for inputs, labels, *more in parts:
            inputs = arrays.as_inputs(np.asarray(inputs), f'{self.what}: inputs')
            if labels.dtype == object:  # text, which TensorFlow has as bytes
                labels = np.array([x.decode(errors='replace') if isinstance(x, bytes) else x for x in labels.tolist()])
            labels = arrays.as_labels(labels, len(inputs), f'{self.what}: labels')
            weights = [weights_as_given(array, len(inputs), f'{self.what}: sample_weight') for array in more]
            self.found += len(inputs)
            yield inputs, labels, weights[0] if weights else None


def _splits(returned: Any, what: str, file: Path) -> 'list[_Split]':
    if not isinstance(returned, Mapping) or 'train' not in returned or set(returned) - {'train', 'test'}:
        kind = (
            f'a mapping with {", ".join(map(str, returned))}'
            if isinstance(returned, Mapping)
            else type(returned).__name__
        )
        raise UserError(
            f"{what} returned {kind}: it must return {{'train': (inputs, labels), 'test': (inputs, labels)}}, or 'train'"
        )
    return [_split(returned[split], f'{what}, {split}', file) for split in ('train', 'test') if split in returned]


def _split(split: Any, what: str, file: Path) -> _Split:
    if hasattr(split, 'as_numpy_iterator'):
        return _stream(split, what, file)
    if not isinstance(split, tuple | list) or len(split) not in (2, 3):
        raise UserError(f'{what} is {type(split).__name__}: it must be {ACCEPTED}')
    # An HDF5 dataset, for one, is read in parts as a memory-mapped array is.
    inputs = split[0] if isinstance(getattr(split[0], 'dtype', None), np.dtype) else _array(split[0], f'{what}: inputs')
    labels, *weights = (_array(array, f'{what}: labels or sample_weight') for array in split[1:])
    shape = tuple(inputs.shape)
    arrays.as_inputs(np.broadcast_to(np.empty((), inputs.dtype), shape), f'{what}: inputs')  # checks without reading
    labels = arrays.as_labels(labels, shape[0], f'{what}: labels')
    weights = [weights_as_given(array, shape[0], f'{what}: sample_weight') for array in weights]
    each = inputs.dtype.itemsize * math.prod(shape[1:])
    return _Split(
        what, file, inputs.dtype, shape[0], bool(weights), (inputs, labels, *weights), at_a_time=_at_a_time(each)
    )


def _array(given: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(given)
    except (TypeError, ValueError) as error:  # lists of different lengths, for one
        raise UserError(f'{what}: no array can be made of {type(given).__name__}: {in_a_line(error)}') from error


def _stream(stream: Any, what: str, file: Path) -> _Split:
    import tensorflow as tf

    spec = stream.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3) or not all(isinstance(x, tf.TensorSpec) for x in spec):
        raise UserError(f'{what}: its examples must be (input, label) or (input, label, sample_weight), not {spec}')
    if all(one.shape.rank and one.shape[0] is None for one in spec):
        raise UserError(f'{what}: its examples must be (input, label), all of one shape: leave out batch()')
    count = int(stream.cardinality())
    if count == -1:
        raise UserError(f'{what}: it has no end: leave out repeat()')
    dtype, each = np.dtype(spec[0].dtype.as_numpy_dtype), 2**18
    if spec[0].shape.is_fully_defined():
        each = dtype.itemsize * math.prod(spec[0].shape)
    known = count if count >= 0 else None
    return _Split(what, file, dtype, known, len(spec) == 3, stream=stream, at_a_time=_at_a_time(each))


def _at_a_time(each: int) -> int:
    """Returns how many examples of so many bytes are read at a time."""
    return min(AT_A_TIME, max(1, BYTES_AT_A_TIME // max(1, each)))


def _iterated(batches: Any, what: str, file: Path) -> Iterator[tuple]:
    import tensorflow as tf

    try:
        yield from batches.as_numpy_iterator()
    except tf.errors.OpError as error:
        words = in_a_line(error.message)
        if 'different shapes' in words:
            raise UserError(f'{what}: its examples must be (input, label), all of one shape: {words}') from error
        raise running.explain(error, [file]) or UserError(f'{what} fails: {running.words(error)}') from error


def _chunks(splits: list[_Split]) -> Iterator[Chunk]:
    """Yields the examples of all splits in turn. Raises `UserError` if there are none, or not all are of one shape."""
    shapes: dict[str, tuple] = {}
    for split in splits:
        for chunk in split.chunks():
            shapes.setdefault(split.what, chunk[0].shape[1:])
            if len({*shapes.values()}) > 1 or chunk[0].shape[1:] != shapes[split.what]:
                other, here = next(iter(shapes.items())), chunk[0].shape[1:]
                raise UserError(f'{split.what} has examples of shape {here}, and {other[0]} of shape {other[1]}')
            yield chunk
        if not split.found:
            raise UserError(f'{split.what} has no examples: at least 1 is needed')


def _bytes(splits: list[_Split], first: Chunk) -> int | None:
    """Returns the size of all inputs as they are handed on; None: it is not known before they are read."""
    if any(split.count is None for split in splits):
        return None
    return sum(split.count or 0 for split in splits) * checks.handed_on_bytes(first[0][:1])


def _known_by(splits: list[_Split], first: Chunk) -> str:
    """Returns a hash by which data are known again without reading all of them."""
    known = hashlib.sha256()
    for split in splits:
        known.update(f'{split.dtype} {split.count} {bool(split.arrays)} {first[0].shape}'.encode())
        if split.arrays:
            inputs, *rest = split.arrays
            places = np.unique(np.linspace(0, max(0, len(inputs) - 1), LOOKED_AT).astype(int))[: len(inputs)]
            _update(known, *(np.asarray(inputs[i]) for i in places), *rest)
    _update(known, *(array for array in first if array is not None))
    return known.hexdigest()


def _update(hashed: Any, *given: np.ndarray) -> None:
    for array in given:
        hashed.update(f'{array.dtype} {array.shape}'.encode())
        hashed.update(array.astype(str).tobytes() if array.dtype == object else array.tobytes())


class _Gathered:
    """What is kept of all examples besides their inputs, and what is known of these."""

    def __init__(self, splits: list[_Split]):
        self.splits = splits
        self.dtype = np.result_type(*(split.dtype for split in splits))
        self._labels: list[np.ndarray] = []
        self._weights: list[np.ndarray | None] = []
        self._hash = hashlib.sha256()
        self._shape: tuple[int, ...] = ()

    def add(self, chunk: Chunk) -> np.ndarray:
        """Takes some examples, and returns their inputs in the type of all."""
        inputs = np.ascontiguousarray(chunk[0], self.dtype)
        self._shape = inputs.shape[1:]
        self._labels.append(chunk[1])
        self._weights.append(chunk[2])
        self._hash.update(inputs.data)
        return inputs

    def raw(self, inputs: Any) -> Raw:
        train = self.splits[0].found if len(self.splits) > 1 else None
        pairs = zip(self._weights, self._labels, strict=True)
        weights = [np.ones(len(y)) if w is None else w for w, y in pairs]
        return Raw(
            inputs,
            np.concatenate(self._labels),
            train,
            weights=np.concatenate(weights) if self.splits[0].weighted else None,
            content=f'{self.dtype} {self._shape} {self._hash.hexdigest()}',
        )


def _in_memory(splits: list[_Split], first: Chunk, rest: Iterator[Chunk], limit: float) -> Raw | None:
    """Returns all examples; None: they do not fit."""
    gathered, kept, size = _Gathered(splits), [], 0
    with contextlib.closing(rest):  # type: ignore[type-var]
        for chunk in _all(first, rest):
            size += checks.handed_on_bytes(chunk[0])
            if size > limit:
                return None
            kept.append(gathered.add(chunk))
    return gathered.raw(np.concatenate(kept))


def _written(name: str, splits: list[_Split], first: Chunk, rest: Iterator[Chunk], make: Callable[..., Any]) -> Raw:
    """Writes all examples to the store, with their extent. Raises `UserError` if a number is not finite."""
    gathered = _Gathered(splits)
    array = make((None, *first[0].shape[1:]), gathered.dtype)
    low, high, count = np.inf, -np.inf, 0
    for chunk in _shown(_all(first, rest), splits):
        inputs = gathered.add(chunk)
        checks.check_finite(f"dataset '{name}'", inputs, count)
        low, high, count = min(low, inputs.min()), max(high, inputs.max()), count + len(inputs)
        array.append(inputs)
    return dataclasses.replace(gathered.raw(array), extent=(np.asarray(low).item(), np.asarray(high).item()))


def _all(first: Chunk, rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield first
    yield from rest


def _shown(chunks: Iterator[Chunk], splits: list[_Split]) -> Iterator[Chunk]:
    """Yields the chunks, with a bar on a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    counts = [split.count for split in splits]
    total = None if None in counts else sum(count or 0 for count in counts)
    text = progress.TextColumn
    columns = (
        text('preparing'),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        text('examples'),
        progress.TimeElapsedColumn(),
        text('ETA'),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task('', total=total)
        for chunk in chunks:
            yield chunk
            bar.advance(task, len(chunk[0]))
