"""SIGTERM, SIGINT (Ctrl-C) and SIGHUP (a closed terminal) as requests to stop: work is saved first.

A Python signal handler must not interrupt a computation. oneDNN's compiled matrix products move the stack pointer, so that a
handler that runs in the middle of one overwrites the heap. Once TensorFlow is there, no C handler runs at all: the signals
are blocked in every thread, and one thread waits for them and asks the interpreter to call the Python handlers of the main
thread, between two of its instructions.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from seedwise import process, shadowing

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def deliver_by_thread() -> None:
    """Blocks the signals and starts the thread that waits for them. Call before TensorFlow starts its threads.

    A process that is not ours, such as a notebook, does not call it. Child processes inherit the blocked signals.
    """
    if threading.current_thread() is threading.main_thread() and not _waiting.is_set():
        _waiting.set()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
        threading.Thread(target=_deliver, name='signals', daemon=True).start()


def unblock() -> None:
    """Lets the signals through that whoever started this process had blocked, as a process with TensorFlow does."""
    if not _waiting.is_set():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)


def starting(is_command: bool | None = None) -> None:
    """Has Ctrl-C end this process at once, without a traceback, until `started` is called.

    Args:
      is_command: whether the process is a command of ours, which has modules to import before it can handle anything; None:
        whether Python was told to run a module of ours. In any other program Ctrl-C is left as it is.
    """
    if is_command is None:
        words = sys.orig_argv
        module = words[words.index('-m') + 1] if '-m' in words[:-1] else ''
        is_command = sys.argv[:1] == ['-m'] and module.partition('.')[0] in shadowing.PACKAGES
    if is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def started() -> None:
    """Undoes `starting`: Ctrl-C raises KeyboardInterrupt, as ever."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_imports(message: str) -> None:
    """Has Ctrl-C end this process at once, with a message and exit code 130, while a module is imported.

    Elsewhere it raises KeyboardInterrupt as ever. An import takes seconds here, and may swallow that: Python ignores what is
    raised in the callback by which it lets go of a module's lock, and the command would run on.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        while frame:
            if frame.f_code.co_filename.startswith('<frozen importlib'):
                process.give_back_stderr()
                with contextlib.suppress(OSError):
                    os.write(2, f'{message}\n'.encode())  # `print` may be what was interrupted
                os._exit(130)
            frame = frame.f_back
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, handle)


_waiting = threading.Event()


def _deliver() -> None:
    while True:
        number = signal.Signals(signal.sigwait(STOP))
        handler = signal.getsignal(number)
        if callable(handler):
            _thread.interrupt_main(number)
        elif handler == signal.SIG_DFL:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
            os.kill(os.getpid(), number)


@contextlib.contextmanager
def stop_requests(stop: Callable[[int], None]) -> Iterator[None]:
    """Calls `stop` with the number of each signal that asks this process to stop.

    A second Ctrl-C interrupts at once, as ever. SIGHUP stays ignored where it was, as under nohup. Outside of the main
    thread, where Python handles no signals, nothing is changed: a caller that works in another thread stops in its own way.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop(number)

    handled = [number for number in STOP if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
