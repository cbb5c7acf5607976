"""What takes long to read, kept as plain arrays: a folder of images is decoded once, not by each process.

Arrays that do not fit into memory are read from here, a batch at a time.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.own.raw import Raw
from seedwise.errors import writing

#: What was stored by another version is made again.
VERSION = 1

_INPUTS, _LABELS, _FACTS = 'inputs.npy', 'labels.npy', 'facts.json'

ADVICE = 'set --config.data.data_dir to a folder that can be written'


def stored(data_dir: str, digest: str, options: Mapping[str, Any], read: Callable[[Callable[..., Any]], Raw]) -> Raw:
    """Returns what `read` returns, from the store if it is there, else put there. Inputs are a memory-mapped array.

    Several processes may ask at once: one reads, the others wait.

    Args:
      data_dir: the folder that all datasets are in.
      digest: of the content.
      options: that it is read with.
      read: is given a function that makes an array of (shape, dtype) in the store.

    Raises:
      CannotWrite: the store cannot be written.
    """
    import filelock

    facts = json.dumps([VERSION, digest, {key: options[key] for key in sorted(options)}], default=list)
    folder = Path(data_dir, 'own', hashlib.sha256(facts.encode()).hexdigest()[:20])
    if (found := _load(folder)) is not None:
        return found
    with writing(folder, ADVICE):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.with_name(f'.{folder.name}.lock'))
        lock.acquire()
    try:
        if (found := _load(folder)) is not None:
            return found
        with _partial(folder) as partial:
            made: list[np.memmap] = []

            def make(shape: tuple[int, ...], dtype: Any) -> np.memmap:
                made.append(np.lib.format.open_memmap(partial / _INPUTS, 'w+', dtype, shape))
                return made[0]

            raw = read(make)
            with writing(folder, ADVICE):
                if made:
                    made[0].flush()
                else:
                    np.save(partial / _INPUTS, raw.inputs)
                noted = {'train': raw.train, 'notes': raw.notes, 'columns': raw.columns}
                np.save(partial / _LABELS, raw.labels.astype(str) if raw.labels.dtype == object else raw.labels)
                (partial / _FACTS).write_text(json.dumps(noted), encoding='utf-8')
                shutil.rmtree(folder, ignore_errors=True)  # damaged, or it would have been loaded
                partial.rename(folder)
    finally:
        lock.release()
    found = _load(folder)
    assert found is not None
    return found


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    with writing(folder, ADVICE):
        partial = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.{os.getpid()}.', dir=folder.parent))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _load(folder: Path) -> Raw | None:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding='utf-8'))
        inputs, labels = np.load(folder / _INPUTS, mmap_mode='r'), np.load(folder / _LABELS)
        raw = Raw(inputs, labels, facts['train'], tuple(facts['notes']), tuple(facts.get('columns', ())))
        return raw if len(inputs) == len(labels) else None
    except (OSError, ValueError, KeyError, EOFError):  # none, torn or damaged
        return None
