"""What `config.data.name` may be for a user's own data, and the digest of its content. Needs no TensorFlow.

folder:PATH         a folder of images, one folder a class
huggingface:PATH    a dataset of images that Hugging Face's `datasets` saved to disk
PATH.npz            arrays of both splits
PATH.npy            inputs; the option `labels` names the file of their labels
PATH.csv            a table: numbers, and a label
FILE.py:NAME        a function that returns arrays or tf.data
"""

import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seedwise import references
from seedwise.errors import UserError, unknown
from seedwise.storage import paths

FOLDER, HUGGINGFACE = 'folder:', 'huggingface:'

#: What is accepted, for errors.
FORMS = 'folder:PATH, huggingface:PATH, PATH.npz, PATH.npy, PATH.csv, FILE.py:NAME'

#: Forms of data that are files, not code.
FILED = ('folder', 'huggingface', 'arrays', 'table')

#: Forms of data that are a folder.
FOLDERS = ('folder', 'huggingface')

#: Larger folders are known by the names and sizes of their files: to read all of it would delay each start.
MOST_HASHED_BYTES = 2 * 2**30

#: Options of the test split, which every form but a function takes.
COMMON = ('test_share',)

#: Options that name a file.
FILES = ('labels', 'test', 'weights')


def kind_of(name: str) -> str:
    """Returns a form of `FILED`, or 'function'; '': not a name of the user's own data."""
    if name.startswith((FOLDER, HUGGINGFACE)):
        return name.partition(':')[0]
    if '.py:' in name:
        return 'function'
    return {'.npz': 'arrays', '.npy': 'arrays', '.csv': 'table'}.get(Path(name).suffix.lower(), '')


def path_of(name: str) -> Path:
    """Returns the folder or file that a name is about."""
    if kind_of(name) == 'function':
        return references.parse(name, 'data.name').file
    return Path(name.removeprefix(FOLDER).removeprefix(HUGGINGFACE)).expanduser()


def near(name: str) -> list[str]:
    """Returns the files next to what a name may mean that are data, for errors."""
    folder = Path(name).expanduser().parent
    return [str(file) for file in folder.glob('*.*') if kind_of(file.name)]


def title_of(name: str) -> str:
    """Returns how reports call the data: the last part of the path, or the function's name."""
    kind = kind_of(name)
    if kind == 'function':
        return name.rpartition(':')[2]
    return path_of(name).resolve().name if kind else name


def reader(kind: str) -> Callable:
    """Returns the function that reads a form; the names of its keyword arguments are the options."""
    from data_pipeline.own import arrays, folder, huggingface, table

    readers: dict[str, Callable] = {
        'folder': folder.read,
        'huggingface': huggingface.read,
        'arrays': arrays.read,
        'table': table.read,
    }
    return readers[kind]


def check(name: str, options: Mapping[str, Any]) -> None:
    """Checks what can be checked without reading the data, which are of a form of `FILED`.

    Raises:
      UserError: there is no such file or folder, or an option is unknown or out of range.
    """
    kind = kind_of(name)
    parameters = inspect.signature(reader(kind)).parameters.values()
    accepted = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY] + [*COMMON]
    for option in options:
        if option not in accepted:
            raise unknown(f'option of data.name ({kind})', option, accepted)
    share = options.get('test_share', 0.2)
    if not (isinstance(share, int | float) and 0 < share < 1):
        raise UserError(f'data.options.test_share is {share!r}: it must be above 0 and below 1')
    paths.local(name.removeprefix(FOLDER).removeprefix(HUGGINGFACE), 'data.name')
    path = path_of(name)
    if path.is_dir() if kind in FOLDERS else path.is_file():
        return
    what = 'folder' if kind in FOLDERS else 'file'
    if path.exists():
        raise UserError(f'data.name: {path} is not a {what}')

    def could_be_meant(other: Path) -> bool:
        return other.is_dir() if kind in FOLDERS else kind_of(other.name) != '' and other.is_file()

    raise paths.missing(str(path), path, what, could_be_meant, 'data.name')


def without_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options as they count for a hash: what a file that they name holds counts (`digest`), not where it is."""
    return {key: bool(value) if key in FILES else value for key, value in options.items()}


def digest(name: str, options: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of what the data hold, whatever their place.

    Of a folder: of the relative path and the content of each file, or where all together are more than
    `MOST_HASHED_BYTES`, of the relative path and size of each.

    Raises:
      UserError: something cannot be read.
    """
    kind, path = kind_of(name), path_of(name)
    if kind == 'function':
        return references.digest(path)
    others = [Path(options[key]).expanduser() for key in FILES if options.get(key)]
    try:
        if kind in FOLDERS:
            return _digest(_facts_of_folder(path), str(path))
        return _digest(_facts([path, *others]), '')
    except OSError as error:
        raise UserError(f'data.name: {error.filename} cannot be read: {error.strerror}') from error


def digest_of(file: Path) -> str:
    """Returns the SHA-256 of the content of one file, of whatever kind. Raises `OSError`."""
    return _digest(_facts([file]), '')


def files(folder: Path) -> Iterator[Path]:
    """Yields the files of a folder in the order of their paths, hidden ones left out."""
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith('.'))


def _facts(found: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in found)


_looked_at: dict[Path, tuple[dict[str, int], tuple[tuple[str, int, int], ...]]] = {}


def _facts_of_folder(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Returns the files' facts, looked up again where a file has come or gone: a study asks once for each of its runs."""
    path = path.resolve()
    folders, facts = _looked_at.get(path, ({}, ()))
    if not folders or any(_changed(folder) != changed for folder, changed in folders.items()):
        every = [path, *(Path(root) for root, _, _ in os.walk(path, followlinks=True))]
        folders = {str(folder): _changed(str(folder)) for folder in every}
        facts = _facts(files(path))
        _looked_at[path] = folders, facts
    return facts


def _changed(folder: str) -> int:
    return os.stat(folder).st_mtime_ns


@functools.lru_cache(maxsize=8)  # a study asks once for each of its runs
def _digest(facts: tuple[tuple[str, int, int], ...], root: str) -> str:
    whole = hashlib.sha256()
    by_content = sum(size for _, size, _ in facts) <= MOST_HASHED_BYTES or not root
    for path, size, _ in facts:
        if root:
            whole.update(f'{os.path.relpath(path, root)}\n'.encode(errors='surrogateescape'))
        if by_content:
            with open(path, 'rb') as file:
                whole.update(hashlib.file_digest(file, 'sha256').digest())
        else:
            whole.update(f'{size}\n'.encode())
    return whole.hexdigest()
