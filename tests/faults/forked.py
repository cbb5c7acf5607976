"""Real commands in forks of this process, which has imported TensorFlow already: a run takes a second, a mistake none."""

import contextlib
import importlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn


@dataclass(frozen=True)
class Ended:
    """How a command ended. `code`: its exit code; below 0: minus the signal that killed it; None: it hung."""

    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith('error: ')]

    def fault(self, codes: tuple[int, ...]) -> str:
        """Returns what is wrong with how a command ended; '' if nothing is. `codes`: what it may end with, besides 2."""
        if self.code is None:
            return f'it hung for {self.seconds:.0f} s'
        if 'Traceback' in self.err + self.out:
            return f'a traceback, exit code {self.code}'
        if self.code == 2:
            lines = [line for line in self.err.splitlines() if line.strip()]
            if len(self.errors) != 1 or not lines[-1].startswith('error: '):
                return f'exit code 2 with {len(self.errors)} lines of error'
            return ''
        if self.code not in codes:
            return f'exit code {self.code}'
        return ''


def run(
    module: str,
    arguments: list[str],
    seconds: float = 120,
    memory: int = 12 << 30,
    folder: Path | None = None,
    before: Callable[[], object] = lambda: None,
    until: Callable[[], bool] = lambda: False,
) -> Ended:
    """Runs `python -m module arguments` in a fork.

    Args:
      module: one that `main_of` knows.
      arguments: of the command line.
      seconds: after which it counts as hung.
      memory: bytes of address space that it may take.
      folder: where it runs; None: here.
      before: is called in the fork, first of all.
      until: it is killed (SIGKILL) as soon as this is true.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        pid = os.fork()
        if not pid:
            child(module, arguments, out, err, memory, folder, before)
        code = _wait(pid, started + seconds, until)
        took = time.monotonic() - started
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode('utf-8', 'replace'))
        return Ended(code, texts[0], texts[1], took)


def _wait(pid: int, end: float, until: Callable[[], bool]) -> int | None:
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if not done and until():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def child(
    module: str,
    arguments: list[str],
    out: IO,
    err: IO,
    memory: int,
    folder: Path | None,
    before: Callable[[], object],
) -> NoReturn:
    """Runs the command in this process, which is a fresh fork and ends with it."""

    def work() -> int:
        os.chdir(folder or '.')
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        hear_signals()
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.stdout = os.fdopen(os.dup(1), 'w', encoding='utf-8')
        sys.stderr = os.fdopen(os.dup(2), 'w', encoding='utf-8', errors='backslashreplace')
        sys.argv = [module, *arguments]
        before()
        return main_of(module)()

    end_with(work)


def end_with(work: Callable[[], int]) -> NoReturn:
    """Ends this process, a fork, with the exit code that `work` returns, and with nothing else of what was forked."""
    code = 1
    try:
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def hear_signals() -> None:
    """The thread that waits for signals has stayed in the parent: as a process of its own would, the fork starts one."""
    from seedwise import signals

    signals._waiting.clear()
    signals.unblock()


def main_of(module: str) -> Callable[[], int]:
    """Returns what `python -m module` calls."""
    from seedwise import commands

    name = {'trainer.compare': 'trainer.compare.__main__', 'launch': 'launch.__main__'}.get(module, module)
    command = importlib.import_module(name)
    if module.startswith('tests.'):
        return lambda: command.main(sys.argv)
    if module == 'launch':
        return lambda: command.main(sys.argv[1:])
    return command.run if module == 'trainer.judge' else lambda: commands.run(command.main)


def imported() -> None:
    """Imports what the commands import, so that forks need not; not the commands, whose flags have the same names."""
    from seedwise import tensorflow_import

    tensorflow_import.import_tensorflow()
    _import('trainer.compare.reporting', 'trainer.compare.report.screen', 'trainer.judging.read', 'trainer.train')
    _import('trainer.compare.dashboard', 'trainer.compare.checks.check', 'trainer.compare.engines.local')
    _import('scipy.stats', 'scipy.ndimage')  # the latter scales the bundled digits


def imported_without_tensorflow() -> None:
    """Imports what `trainer.main` and `data_pipeline.prepare` import before TensorFlow."""
    _import('seedwise.commands', 'trainer.config.check', 'trainer.config.unused', 'trainer.results')


def _import(*modules: str) -> None:
    for module in modules:
        importlib.import_module(module)
