"""How a process ends that must not wait for TensorFlow, and how long ago it was started."""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import NoReturn


def age() -> float:
    """Returns how many seconds ago this process was started; 0: the system does not say it (Linux does)."""
    try:
        ticks = int(Path('/proc/self/stat').read_text().rpartition(')')[2].split()[19])  # proc(5): starttime
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf('SC_CLK_TCK'))
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


#: Where standard error went before it was redirected for a while, and the file that it goes to meanwhile.
held_back: list[tuple[int, Path]] = []


def give_back_stderr() -> None:
    """Undoes what redirects standard error, for a process that is about to end."""
    while held_back:
        saved, file = held_back.pop()
        with contextlib.suppress(OSError):
            os.dup2(saved, 2)
            file.unlink()


def exit_now(code: int) -> NoReturn:
    """Ends the process at once, after what was printed: no `finally`, no `atexit`, no threads are waited for.

    For the ends at which TensorFlow hangs (it waits for a lost worker, or for a collective in another thread) or takes a
    second to take itself down. Files must be closed before: only the standard streams are flushed.
    """
    give_back_stderr()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
