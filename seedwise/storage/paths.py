"""Files and folders: those that a user names, checked before any work is done for them, and scratch folders next to them."""

import contextlib
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from seedwise.errors import UserError, unknown

#: The longest name of a file or folder, in bytes, on the file systems that are used.
_LONGEST = 255


def local(text: str, what: str) -> Path:
    """Returns a path on this machine's file systems, with '~' expanded.

    Args:
      text: as the user typed it.
      what: what it was typed for, such as '--workdir'.

    Raises:
      UserError: it names another kind of place, or no file can have this name.
    """
    scheme = re.match(r'([A-Za-z][\w+.-]*)://', text)
    if scheme:
        raise UserError(
            f"{what} '{text}' is not a folder of this machine: {scheme[1]}:// is not read or written directly; mount it "
            '(for example with gcsfuse or s3fs) or copy it, and name the folder'
        )
    if '\0' in text:
        raise UserError(f'{what} {text!r} holds a null character: no file can have this name')
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # '~nobody'
        raise UserError(f"{what} '{text}': there is no such user; write the folder in full") from error
    long = [part for part in path.parts if len(os.fsencode(part)) > _LONGEST]
    if long:
        raise UserError(
            f"{what} has a name of {len(os.fsencode(long[0])):,} bytes, '{long[0][:20]}...': at most {_LONGEST} are "
            f'possible; choose another {what}'
        )
    if not path.is_absolute():
        try:
            os.getcwd()
        except OSError as error:
            raise UserError(f"{what} '{text}': the current folder has been deleted; change to another one") from error
    return path


def file(text: str, what: str) -> Path:
    """Returns the path of a file, which need not exist yet, in a folder that does; otherwise as `local` does.

    Raises:
      UserError: also if the path is a folder, or its parent folder does not exist.
    """
    path = local(text, what)
    if path.is_dir():
        raise UserError(f'{what} {text} is a folder: name a file')
    if not path.parent.is_dir():
        raise UserError(f'{what} {text}: the folder {path.parent} does not exist')
    return path


def folder(text: str, what: str) -> Path:
    """Returns a folder that is there or can be made, as `local` does.

    Raises:
      UserError: also if it, or a folder above it, is a file, or a symbolic link to nothing or to itself.
    """
    path = local(text, what)
    for place in (path, *path.parents):
        try:
            if place.is_dir():
                return path
            if place.exists():
                raise UserError(f'{what} {text}: {place} is a file, not a folder; choose another {what}')
            if place.is_symlink():
                raise UserError(
                    f'{what} {text}: {place} is a symbolic link to {os.readlink(place)}, which does not exist'
                )
        except UserError:
            raise
        except OSError as error:
            raise UserError(f'{what} {text}: {place} cannot be read: {error.strerror}') from error
    return path


def missing(text: str, path: Path, what: str, accepted: Callable[[Path], bool], where: str = '') -> UserError:
    """Returns the error for a path that does not exist, with the nearest of those next to it.

    Args:
      text: as the user typed it.
      path: what it means.
      what: what should be there, such as 'folder of a run'.
      accepted: whether a path next to it could be meant.
      where: the field or the flag that names it, if the line should say so.
    """
    try:
        near = [str(other) for other in sorted(path.parent.iterdir()) if accepted(other)]
    except OSError:
        near = []
    if near:
        return unknown(f'{what} in {where}' if where else what, text, near)
    return UserError(f'{where}: {text} does not exist' if where else f'{text} does not exist')


@contextlib.contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Makes a folder next to `path` in which it is written, and deletes it at the end.

    It also deletes those that processes of this machine left next to it when they were killed.
    """
    import psutil

    for left in path.parent.glob(f'.{glob.escape(path.name)}.*.scratch.*'):
        pid = left.name.removeprefix(f'.{path.name}.').partition('.')[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}.{os.getpid()}.scratch.', dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
