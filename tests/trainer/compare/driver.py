"""Runs commands of `trainer.compare`, each in a fork of one process that has imported what they need: 0.1 s a command.

A task a line on standard input, as JSON: the arguments, and the user to be, if another; the answer a line on standard
output: exit code, standard output and standard error.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.helpers import ROOT

#: Nobody, who owns nothing.
NOBODY = 65534


class Driver:
    """The process, from a test's side."""

    def __init__(self) -> None:
        command = [sys.executable, '-m', 'tests.trainer.compare.driver']
        self._process = subprocess.Popen(
            command, cwd=ROOT, encoding='utf-8', stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, *arguments: str | Path, user: int | None = None) -> tuple[int, str, str]:
        """Returns exit code, output and errors of `python -m trainer.compare` with the arguments."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({'arguments': [*map(os.fspath, arguments)], 'user': user}) + '\n')
        self._process.stdin.flush()
        return tuple(json.loads(self._process.stdout.readline()))

    def refuse(self, *arguments: str | Path, user: int | None = None) -> str:
        """Returns the one line that a command prints which must be refused."""
        code, out, err = self.run(*arguments, user=user)
        assert code == 2, f'exit code {code}\n{out}\n{err}'
        assert len(err.splitlines()) == 1, err
        assert err.startswith('error: ')
        return err

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    import trainer.compare.__main__ as command
    from seedwise import commands
    from trainer.compare import dashboard, runs  # noqa: F401
    from trainer.compare.checks import check  # noqa: F401
    from trainer.compare.engines import local  # noqa: F401
    from trainer.compare.report import page, screen, write  # noqa: F401
    from trainer.compare.report.charts import plots, tuning_plots  # noqa: F401

    for line in sys.stdin:
        task = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                for number, file in ((1, out), (2, err)):
                    os.dup2(file.fileno(), number)
                os._exit(run(commands.run, command.main, task['arguments'], task['user']))
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            said = [file.seek(0) or file.read().decode() for file in (out, err)]
        print(json.dumps([code, *said]), flush=True)


def run(call, command, arguments: Sequence[str], user: int | None) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    with contextlib.suppress(io.UnsupportedOperation):
        try:
            if user is not None:
                os.setgid(user)
                os.setuid(user)
            sys.argv = ['trainer.compare', *arguments]
            code = call(command)
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    return code


if __name__ == '__main__':
    main()
