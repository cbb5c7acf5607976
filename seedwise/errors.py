"""Errors that the user can fix: one line, exit code 2, no traceback."""

import contextlib
import difflib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

#: A longer list of names is cut to the nearest.
LONGEST = 400


class UserError(Exception):
    """Something the user asked for cannot be done. The message is one line and says what can."""


class CodeError(UserError):
    """A user's own code raised an error. `frames`: their part of its traceback, lines of text."""

    def __init__(self, message: str, frames: str):
        super().__init__(message)
        self.frames = frames


#: Errors of a whole file system, not of one path: nothing else can be written there either.
FILE_SYSTEM_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class CannotWrite(UserError):
    """A file or a folder cannot be written. `path`: which; `reason`: the system's words for why."""

    def __init__(self, path: Path | str, reason: str, advice: str = ''):
        """`advice`: what to do about it; none is needed if the whole file system cannot be written."""
        self.path, self.reason = path, reason
        if is_of_file_system(self):
            advice = 'what is finished is kept, and the same command continues when this is fixed'
        super().__init__(f'{path} cannot be written: {reason}' + (f'; {advice}' if advice else ''))


def is_of_file_system(error: BaseException | None) -> bool:
    """Returns whether an error, or one that led to it, is one of `FILE_SYSTEM_ERRORS`."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FILE_SYSTEM_ERRORS:
            return True
        # TensorFlow has no numbers for errors, only the system's words.
        if isinstance(error, CannotWrite) and error.reason in map(os.strerror, FILE_SYSTEM_ERRORS):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def writing(path: Path | str, advice: str = '') -> Iterator[None]:
    """Raises `CannotWrite`, which names `path`, for an `OSError` of the block: not all of them name a file."""
    try:
        yield
    except OSError as error:
        # A library's own words can be several lines (HDF5's are).
        reason = os.strerror(error.errno) if error.errno else str(error)
        reason = 'it is a file' if isinstance(error, FileExistsError) else reason
        raise CannotWrite(path, reason, advice) from error


class LostWorker(Exception):
    """Another worker of this run has died, or does not answer. The message is one line and names it."""


class Interrupted(Exception):
    """The command was asked to stop, and all is saved: the same command continues."""


def in_a_line(message: object, longest: int | None = None) -> str:
    """Returns the message of an error, which may be several lines of another library's, in one; cut to `longest` characters
    if that is given."""
    return ' '.join(str(message).split())[:longest]


def unknown(what: str, value: object, accepted: Iterable[str], others: Iterable[str] = ()) -> UserError:
    """Returns the error for a name that is in no table: what is accepted, and the nearest of it.

    Args:
      what: what the name is of.
      value: the name.
      accepted: the table.
      others: more that is accepted, too much to list: named only where it is the nearest.
    """
    names = sorted(accepted)
    close = _nearest(value, [*names, *others], 1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ''
    shown = ', '.join(name or "''" for name in names)
    if len(shown) > LONGEST:
        shown = f'{", ".join(_nearest(value, names, 8, cutoff=0))}, ... ({len(names)} in all)'
    return UserError(f"unknown {what} '{value}': accepted are {shown}.{hint}")


def _nearest(value: object, names: Iterable[str], count: int, cutoff: float) -> list[str]:
    """Returns the names most like `value`, whatever their case, the most like it first: those with the same letters in
    another order, those of which it is a whole word ('f1': 'macro_f1'), and those with the most letters in common.
    """
    typed, lower = str(value).lower(), {name.lower(): name for name in names}
    swapped = [name for name in lower if sorted(name) == sorted(typed)]
    worded = [name for name in lower if typed and f'_{typed}_' in f'_{name}_']
    likest = (difflib.get_close_matches(typed, some, count, least) for some, least in ((worded, 0), (lower, cutoff)))
    return [lower[name] for name in dict.fromkeys([*swapped, *(name for some in likest for name in some)])][:count]
