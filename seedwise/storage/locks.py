"""Files that one process at a time holds, so that two commands do not work on the same folder.

On a file system that has no locks (NFS without its lock service, Lustre mounted without `-o flock`) work goes on without
them, as HDF5's default is there, and one line says so.
"""

import contextlib
import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock

from seedwise.errors import writing

#: What such a file system answers.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

_said = False


@contextlib.contextmanager
def held(path: Path, timeout: float = -1) -> Iterator[None]:
    """Holds a lock file for this process.

    Args:
      path: of the file, which is made.
      timeout: seconds to wait for who has it; below 0: as long as it takes.

    Raises:
      filelock.Timeout: another process has it.
      OSError: it cannot be made.
    """
    # A soft lock, which is a file that is there or not, would outlive a process that is killed.
    lock = filelock.FileLock(path, timeout=timeout, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        _say(path.parent)
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Holds a lock file, in a folder that is made if it is not there, after waiting for who has it.

    Raises:
      CannotWrite: it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(path))
        yield


def _say(folder: Path) -> None:
    """Says once that there are no locks."""
    global _said
    if not _said:
        text = f'the file system of {folder} has no locks: let one command at a time work there'
        print(f'warning: {text}', file=sys.stderr)
        _said = True
