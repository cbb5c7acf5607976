"""How a process ends that must not wait for TensorFlow."""

import contextlib
import os
import sys
from typing import NoReturn


def exit_now(code: int) -> NoReturn:
    """Ends the process at once, after what was printed: no `finally`, no `atexit`, no threads are waited for.

    For the ends at which TensorFlow hangs (it waits for a lost worker, or for a collective in another thread) or takes a
    second to take itself down. Files must be closed before: only the standard streams are flushed.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
