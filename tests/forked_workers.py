"""Workers of a study in forks of the process that runs it, which has imported TensorFlow: each starts at once, not in 4 s.

They are processes like any other workers: of their own session, with their own environment and nothing open but their
connection, and they end when their pool is killed.
"""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO, NoReturn

from tests.faults import forked


class Process:
    """A fork, with what a pool needs of `subprocess.Popen`."""

    def __init__(self, pid: int):
        self.pid, self.returncode = pid, None

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (3600 if timeout is None else timeout)
        while self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise subprocess.TimeoutExpired('worker', timeout or 0)
            else:
                time.sleep(0.005)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


#: Of the process that was forked: what is let go of closes its file, which may be another by then.
kept: list[IO[str]] = []


def start(fd: int, environment: Mapping[str, str], output: IO[bytes]) -> Process:
    """As `local.start`."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        _work(fd, environment, output)
    return Process(pid)


def _work(fd: int, environment: Mapping[str, str], output: IO[bytes]) -> NoReturn:
    def work() -> int:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        forked.hear_signals()
        os.setsid()
        for target in (1, 2):
            os.dup2(output.fileno(), target)
        kept.extend((sys.stdout, sys.stderr))
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, 'w', closefd=False), 'utf-8') for n in (1, 2))
        os.closerange(3, fd)  # above all, the connections of the other workers
        os.closerange(fd + 1, os.sysconf('SC_OPEN_MAX'))
        os.environ.update(environment)
        from trainer.compare.engines import worker

        return worker.main(fd)

    forked.end_with(work)
