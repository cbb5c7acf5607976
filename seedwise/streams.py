"""Standard streams that are closed, or close while a command runs, end no command, and are sent no commands themselves."""

import errno
import os
import sys
import unicodedata
from typing import IO, Any

from seedwise.errors import in_a_line

#: What writing to a closed pipe, and to a terminal that is gone, raises.
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)


def printable(text: str) -> str:
    """Returns a text as it can be printed: one from a stranger's folder could hold commands for the terminal."""
    shown = (c.isprintable() or unicodedata.category(c) == 'Zs' for c in text)
    return ''.join(c if ok else c.encode('unicode_escape').decode() for c, ok in zip(text, shown, strict=True))


def error_line(error: Exception) -> str:
    """Returns the line that reports a user's mistake, whatever the names in it hold."""
    return f'error: {printable(in_a_line(error))}'


def open_closed() -> None:
    """Opens standard input, output and error on the null device if the process was started without them.

    Otherwise the first file that is opened takes the number, and what is printed goes into it.
    """
    for number, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding='utf-8', closefd=False))  # noqa: SIM115 (open for good)
        else:  # something else has taken the number already
            setattr(sys, name, open(os.devnull, mode, encoding='utf-8'))  # noqa: SIM115


class Lasting:
    """A text stream that goes on as the null device when the one below it is gone."""

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text; returns the number of its characters."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        """Writes what is held in memory."""
        try:
            self._stream.flush()
        except OSError as error:
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        with open(os.devnull, 'wb') as null:
            os.dup2(null.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
