"""What takes long to read, kept as plain arrays: a folder of images is decoded once, not by each process.

Arrays that do not fit into memory are read from here, a batch at a time.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.own.raw import Raw
from seedwise.errors import writing
from seedwise.storage import locks, paths

#: What was stored by another version is made again.
VERSION = 1

_INPUTS, _LABELS, _WEIGHTS, _FACTS = 'inputs.npy', 'labels.npy', 'weights.npy', 'facts.json'

ADVICE = 'set --config.data.data_dir to a folder that can be written'


def stored(data_dir: str, digest: str, options: Mapping[str, Any], read: Callable[[Callable[..., Any]], Raw]) -> Raw:
    """Returns what `read` returns, which is read once and kept in the store: its inputs are a memory-mapped array there.

    Several processes may ask at once: one reads, the others wait.

    Args:
      data_dir: the folder that all datasets are in.
      digest: of the content.
      options: that it is read with.
      read: is given a function that makes an array of (shape, dtype) in the store; where shape[0] is None, a `Growing`.

    Raises:
      CannotWrite: the store cannot be written.
    """
    folder = _folder(data_dir, digest, options)
    if (kept := _load(folder)) is not None:
        return kept
    with contextlib.ExitStack() as stack:
        with writing(folder, ADVICE):
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locks.held(folder.with_name(f'.{folder.name}.lock')))
        if (kept := _load(folder)) is not None:
            return kept
        with writing(folder, ADVICE):
            partial = stack.enter_context(paths.scratch(folder))
        made: list[Any] = []

        def make(shape: tuple, dtype: Any) -> Any:
            file = partial / _INPUTS
            growing = shape[0] is None
            made.append(
                Growing(file, shape[1:], dtype) if growing else np.lib.format.open_memmap(file, 'w+', dtype, shape)
            )
            return made[0]

        raw = read(make)
        with writing(folder, ADVICE):
            if made:
                made[0].flush()
            else:
                np.save(partial / _INPUTS, raw.inputs)
            noted: dict[str, Any] = {'train': raw.train, 'notes': raw.notes, 'columns': raw.columns}
            noted |= {'extent': raw.extent, 'content': raw.content, 'weighted': raw.weights is not None}
            if raw.weights is not None:
                np.save(partial / _WEIGHTS, raw.weights)
            np.save(partial / _LABELS, raw.labels.astype(str) if raw.labels.dtype == object else raw.labels)
            (partial / _FACTS).write_text(json.dumps(noted), encoding='utf-8')
            shutil.rmtree(folder, ignore_errors=True)  # damaged, or it would have been loaded
            partial.rename(folder)
    kept = _load(folder)
    assert kept is not None
    return kept


def found(data_dir: str, digest: str, options: Mapping[str, Any]) -> Raw | None:
    """Returns what `stored` has put into the store; None: it is not there."""
    return _load(_folder(data_dir, digest, options))


class Growing:
    """An .npy file whose number of examples is not known before the last one is written."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any):
        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        self._count = 0
        with writing(path.parent, ADVICE), open(path, 'wb') as file:
            self._write_header(file)
            self._start = file.tell()

    def append(self, examples: np.ndarray) -> None:
        """Writes examples, [n, *shape], behind the others. Raises `CannotWrite`."""
        self._count += len(examples)
        with writing(self._path.parent, ADVICE), open(self._path, 'ab') as file:
            file.write(np.ascontiguousarray(examples, self._dtype).data)

    def flush(self) -> None:
        """Writes the number of examples into the header."""
        with open(self._path, 'r+b') as file:
            self._write_header(file)
            assert file.tell() == self._start, 'NumPy leaves no room for the number of examples'

    def _write_header(self, file: Any) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        shape = (self._count, *self._shape)
        np.lib.format.write_array_header_1_0(file, {'descr': descr, 'fortran_order': False, 'shape': shape})


def _folder(data_dir: str, digest: str, options: Mapping[str, Any]) -> Path:
    facts = json.dumps([VERSION, digest, {key: options[key] for key in sorted(options)}], default=list)
    return Path(data_dir, 'own', hashlib.sha256(facts.encode()).hexdigest()[:20])


def _load(folder: Path) -> Raw | None:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding='utf-8'))
        inputs, labels = np.load(folder / _INPUTS, mmap_mode='r'), np.load(folder / _LABELS)
        raw = Raw(
            inputs,
            labels,
            facts['train'],
            tuple(facts['notes']),
            tuple(facts.get('columns', ())),
            np.load(folder / _WEIGHTS) if facts.get('weighted') else None,
            tuple(facts['extent']) if facts.get('extent') else None,
            facts.get('content', ''),
        )
        return raw if len(inputs) == len(labels) else None
    except (OSError, ValueError, KeyError, EOFError):  # none, torn or damaged
        return None
