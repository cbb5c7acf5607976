"""Runs commands of `trainer.compare`, each in a fork of the process that has imported what they need: 0.1 s a command."""

import os
from pathlib import Path

from tests import forks

#: Nobody, who owns nothing.
NOBODY = 65534


def run(*arguments: str | Path, user: int | None = None) -> tuple[int | None, str, str]:
    """Returns exit code, output and errors of `python -m trainer.compare` with the arguments.

    `user`: the user who runs it, if another than that of this process.
    """
    words = map(os.fspath, arguments)
    ended = forks.with_tensorflow().run('trainer.compare', *words, environ=os.environ, user=user)
    return ended.code, ended.out, ended.err


def refuse(*arguments: str | Path, user: int | None = None) -> str:
    """Returns the one line that a command prints which must be refused."""
    code, out, err = run(*arguments, user=user)
    assert code == 2, f'exit code {code}\n{out}\n{err}'
    assert len(err.splitlines()) == 1, err
    assert err.startswith('error: ')
    return err
