"""Starts workers as processes of this machine: `python -m launch local --workers=2 -- COMMAND ARG...`

    --workers=N    processes to start, each with its own TF_CONFIG (default 1)
    --restarts=N   times that all are started again, on new ports, after one failed (default 0)

With more than one, each line they print is shown behind `[worker 0] `. When one fails, the others are ended, its last
lines are shown once more, and its exit code is the launcher's (128 + n for signal n). SIGINT, SIGTERM and SIGHUP are
passed on. Exit codes 2 (a mistake in the command), 3 (the training diverged) and 75 (saved on SIGTERM; the same
command continues) never lead to a restart.
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from typing import IO

import portpicker

from launch.script import Parser, whole_number
from seedwise.errors import UserError
from seedwise.signals import unblock

SAVED = os.EX_TEMPFAIL  # 75
FINAL = (2, 3, SAVED)  # what a restart would only repeat, or must leave to whoever asked to stop
MAX_WORKERS = 64  # each takes half a GB with TensorFlow: more on one machine is a typing mistake
SAVE_SECONDS = 30.0  # from a signal passed on to SIGKILL: time to write a checkpoint
END_SECONDS = 10.0  # from the failure of one worker to SIGKILL for the others
POLL_SECONDS = 0.05
TAIL_LINES = 15


def main(argv: list[str]) -> int:
    """Runs the command after `--` as the flags before it ask; returns the exit code."""
    parser = Parser(__doc__, 'python -m launch local --workers=2 -- COMMAND ARG...')
    parser.add_argument('--workers', type=whole_number(1, MAX_WORKERS), default=1)
    parser.add_argument('--restarts', type=whole_number(0, 1_000_000), default=0)
    options, command = parser.parse(argv)
    if not shutil.which(command[0]):
        raise UserError(f'command not found: {command[0]!r}')

    unblock()
    signals = Signals()
    restarts = 0
    with contextlib.closing(Guard()) as guard:
        while True:
            exit_code, again = run_once(command, options.workers, signals, guard)
            if not again or restarts == options.restarts:
                return exit_code
            restarts += 1
            say(f'starting all workers again ({restarts} of {options.restarts})')


def run_once(command: list[str], count: int, signals: Signals, guard: Guard) -> tuple[int, bool]:
    """Starts the workers and waits for all; returns the exit code, and whether a restart makes sense."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(portpicker.pick_unused_port())
    addresses = [f'127.0.0.1:{port}' for port in ports]
    workers: list[Worker] = []
    try:
        for index in range(count):
            workers.append(Worker(index, command, addresses, guard))
        output = Output(workers)
        failed, stopped = watch(workers, output, signals)
    finally:
        for worker in workers:
            worker.end()
    output.close()

    failed = failed or first_failure(workers)
    if failed is None:
        return 0, False
    stopped = stopped or bool(signals.take())
    code = failed.exit_code or 0
    if not stopped and (count > 1 or code < 0):  # a lone worker has just reported why it failed
        report(failed, code)
    return (code if code > 0 else 128 - code), not stopped and code not in FINAL


def watch(workers: list[Worker], output: Output, signals: Signals) -> tuple[Worker | None, bool]:
    """Shows the workers' output until all have ended, or should have.

    Returns the first that failed, if any, and whether the launcher was asked to stop before that.
    """
    failed, stopped, deadline = None, False, math.inf
    while any(worker.exit_code is None or (deadline < math.inf and worker.signal(0)) for worker in workers):
        output.show(POLL_SECONDS)
        for number in signals.take():
            for worker in workers:
                worker.signal(number)
            stopped = stopped or failed is None
            deadline = min(deadline, time.monotonic() + SAVE_SECONDS)
        failed = failed or first_failure(workers)
        if failed and deadline == math.inf:
            for worker in workers:
                worker.signal(signal.SIGTERM)
            deadline = time.monotonic() + END_SECONDS
        if time.monotonic() > deadline:
            late = ', '.join(str(worker.index) for worker in workers if worker.exit_code is None)
            say(f'worker {late} did not end in time: killed' if late else 'what the workers had started is killed')
            break
    return failed, stopped


def first_failure(workers: list[Worker]) -> Worker | None:
    """Returns the worker that failed, if any; of several at once, one that a signal killed."""
    failed = [worker for worker in workers if worker.exit_code]
    return min(failed, key=lambda worker: ((worker.exit_code or 0) > 0, worker.index), default=None)


def report(worker: Worker, code: int) -> None:
    """Reports how a worker failed, with its last lines: they are far up when others failed in its wake."""
    if code == SAVED:
        say(f'worker {worker.index} saved and ended (exit code {code})')
        return
    how = f'failed with exit code {code}'
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f'was killed by {names.get(-code, f"signal {-code}")}'
    say(f'worker {worker.index} {how}' + ('; its last lines:' if worker.tail else ''))
    write(sys.stderr, b''.join(worker.name + line + b'\n' for line in worker.tail))


class Worker:
    """One process of the command, which leads a process group of its own.

    Ctrl-C in a terminal signals the launcher's whole group. Workers in that group would be signalled twice, once more when
    the launcher passes it on, and the second time commonly means "at once, without saving".
    """

    def __init__(self, index: int, command: list[str], addresses: list[str], guard: Guard) -> None:
        tf_config = {'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}}
        environment = {**os.environ, 'TF_CONFIG': json.dumps(tf_config)}
        pipe = None  # a lone worker keeps the terminal
        if len(addresses) > 1:
            pipe = subprocess.PIPE
            environment.setdefault('PYTHONUNBUFFERED', '1')  # else Python's lines wait until they fill 8 KB
        self.index = index
        self.name = f'[worker {index}] '.encode()
        self.tail: collections.deque[bytes] = collections.deque(maxlen=TAIL_LINES)
        try:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, process_group=0
            )
        except OSError as error:
            raise UserError(f'cannot start {command[0]!r}: {error.strerror}') from error
        self._guard = guard
        guard.tell(f'+{self.process.pid}\n')

    @property
    def exit_code(self) -> int | None:
        """None while it runs, -n when signal n killed it."""
        return self.process.poll()

    def signal(self, number: int) -> bool:
        """Sends a signal to it and all it has started; returns whether any of them was there."""
        try:
            os.killpg(self.process.pid, number)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Ends everything that it started."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._guard.tell(f'-{self.process.pid}\n')


class Guard:
    """A process that kills the workers when the launcher was itself killed with -9 and cannot.

    It learns that from the end of its input. The kernel's parent-death signal would be less code, but it is Linux's
    alone and spares the children of a worker, such as the training that a shell script runs.
    """

    # Its input: "+group" for a worker's process group that was started, "-group" for one that has ended.
    CODE = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == '+' else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, '-I', '-S', '-c', self.CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of signals that are meant for the launcher
            encoding='utf-8',
        )

    def tell(self, line: str) -> None:
        """Adds to its input."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody killed it: the workers can do without
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def close(self) -> None:
        """Ends it; it kills what has not been reported to have ended."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


class Signals:
    """The signals that reached the launcher and wait to be passed on."""

    def __init__(self) -> None:
        self._waiting: list[int] = []
        passed_on = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM}
        # The terminal was closed: time to save. Not so under nohup, which has SIGHUP ignored.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            passed_on[signal.SIGHUP] = signal.SIGTERM
        for received, sent in passed_on.items():
            signal.signal(received, lambda *_, sent=sent: self._waiting.append(sent))

    def take(self) -> list[int]:
        """Returns those that came since the last call."""
        return [self._waiting.pop(0) for _ in range(len(self._waiting))]


class Output:
    """Shows what the workers print, each on the stream it was printed on."""

    def __init__(self, workers: list[Worker]) -> None:
        self._selector = selectors.DefaultSelector()
        for worker in workers:
            for pipe, stream in ((worker.process.stdout, sys.stdout), (worker.process.stderr, sys.stderr)):
                if pipe:
                    self._selector.register(pipe, selectors.EVENT_READ, Lines(worker, stream))

    def show(self, timeout: float) -> bool:
        """Shows the output that has come after at most `timeout` seconds; returns whether there was any."""
        if not self._selector.get_map():
            time.sleep(timeout)
            return False
        ready = self._selector.select(timeout)
        for key, _ in ready:
            chunk = os.read(key.fd, 1 << 16)
            if not chunk:
                self._selector.unregister(key.fileobj)
            key.data.add(chunk)
        return bool(ready)

    def close(self) -> None:
        """Shows the rest, when the workers have ended."""
        stop = time.monotonic() + 1  # a daemon that left its worker's group may print for ever
        while self.show(0) and time.monotonic() < stop:
            pass
        self._selector.close()


class Lines:
    """Cuts what one worker prints on one stream into lines, and shows them behind its name.

    A progress bar redraws its line after a carriage return. On a terminal each state is drawn in the same place;
    elsewhere only the last one of a line is written, which is what a terminal would show in the end.
    """

    def __init__(self, worker: Worker, stream: IO[str]) -> None:
        self._worker = worker
        self._stream = stream
        self._rest = b''

    def add(self, chunk: bytes) -> None:
        """Shows the lines that `chunk` completes; an empty one says that no more will come."""
        *lines, rest = (self._rest + chunk).split(b'\n')
        if rest and not chunk:
            lines, rest = [rest], b''
        states = rest.split(b'\r')[-2:]
        self._rest = b'\r'.join(states)
        erase = b'\r\x1b[2K' if self._stream.isatty() else b''
        text = b''
        for line in lines:
            line = line.rstrip(b'\r').rpartition(b'\r')[2]
            self._worker.tail.append(line)
            text += erase + self._worker.name + line + b'\n'
        if erase and len(states) == 2:
            # A state that takes more than one row of the terminal could not be erased.
            text += erase + (self._worker.name + (states[1] or states[0]))[: shutil.get_terminal_size().columns - 1]
        write(self._stream, text)


def say(text: str) -> None:
    """Prints a line of the launcher's own."""
    write(sys.stderr, f'[launch] {text}\n'.encode())


def write(stream: IO[str], text: bytes) -> None:
    """Writes all of it at once. Where nobody reads any more (`| head`), the launcher is asked to stop, as by SIGTERM."""
    try:
        while text:
            text = text[os.write(stream.fileno(), text) :]
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        signal.raise_signal(signal.SIGTERM)
