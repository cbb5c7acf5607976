"""Files that are written all at once, and JSON whose damage is reported in one line."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seedwise.errors import UserError, writing


@contextlib.contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[Path]:
    """Yields a path next to `path` to write to. What is there at the end takes the place of `path`, and after an error
    nothing does: a reader sees the old file or the new one, and a torn one never takes its name.

    Args:
      path: the file.
      partial: the path to write to, in the same folder; None: '.<name>.partial'.
    """
    partial = partial or path.with_name(f'.{path.name}.partial')
    try:
        partial.unlink(missing_ok=True)  # in a stranger's folder it may be a link to a file of the user's
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()  # on a full disk, its space is needed to continue
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file as `replacing` does, to the disk.

    Raises:
      CannotWrite: the old file is still there.
    """
    with writing(path), replacing(path) as partial, open(partial, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_utf8(path: Path, text: str) -> None:
    """Writes a text as UTF-8, and a line break after it, as `write_bytes` does."""
    # A path that is not UTF-8 is written as the bytes that it is.
    write_bytes(path, f'{text}\n'.encode(errors='surrogateescape'))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a mapping as JSON, as `write_bytes` does. Raises `ValueError` for a number that is not finite."""
    write_utf8(path, json.dumps(content, indent=2, allow_nan=False))


def read_json(path: Path, remedy: str) -> dict | None:
    """Returns the JSON object in a file, or None if there is no such file.

    Args:
      path: the file.
      remedy: what a user can do if the file is damaged, for the error.

    Raises:
      UserError: it cannot be read, or is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}') from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f'{path} is damaged: {remedy}')
    return content
