"""Commands in forks of one process that has imported what they need: a command takes as long as what it does.

python -m tests.forks [tensorflow]: a task a line on standard input, as JSON, and the answer a line on standard output.
Without `tensorflow`, the process imports what commands need before they start TensorFlow.
"""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.faults import forked

ROOT = Path(__file__).parent.parent


class Forks:
    """The process, from a test's side."""

    def __init__(self, *words: str, environ: Mapping[str, str] | None = None):
        """`words`: of its command line; `environ`: what it is started with, if not with that of this process."""
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'tests.forks', *words],
            cwd=ROOT, env=environ, encoding='utf-8', stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(
        self,
        module: str,
        *arguments: str,
        environ: Mapping[str, str],
        folder: Path = ROOT,
        seconds: float = 300,
        user: int | None = None,
    ) -> forked.Ended:
        """Runs `python -m module arguments` to its end.

        Args:
          module: one that `forked.main_of` knows.
          arguments: of the command line.
          environ: all environment variables. What Python and TensorFlow read when they start has no effect.
          folder: where it runs.
          seconds: after which it is killed.
          user: whose process it is, if not that of this one, which must be root.
        """
        assert self._process.stdin
        assert self._process.stdout
        task = [module, arguments, dict(environ), str(folder), seconds, user]
        self._process.stdin.write(json.dumps(task) + '\n')
        self._process.stdin.flush()
        return forked.Ended(*json.loads(self._process.stdout.readline()))


@functools.cache
def with_tensorflow() -> Forks:
    """The one process of all tests in this process."""
    return Forks('tensorflow')


@functools.cache
def without_tensorflow() -> Forks:
    """The same, where TensorFlow cannot be imported."""
    return Forks(environ=os.environ | {'PYTHONPATH': no_tensorflow()})


@functools.cache
def no_tensorflow() -> str:
    """A PYTHONPATH on which TensorFlow cannot be imported."""
    folder = Path(tempfile.mkdtemp(prefix='seedwise-no-tensorflow-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / 'tensorflow').mkdir()
    (folder / 'tensorflow' / '__init__.py').write_text(
        "raise RuntimeError('TensorFlow was imported')", encoding='utf-8'
    )
    return os.pathsep.join(map(str, [folder, ROOT]))


def main(words: list[str]) -> None:
    tasks, answers = os.fdopen(os.dup(0), encoding='utf-8'), os.fdopen(os.dup(1), 'w', encoding='utf-8')
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # what a command reads must not be the next task
    os.dup2(2, 1)
    if words:
        forked.imported()
        fork_workers()
    else:
        forked.imported_without_tensorflow()
    for line in tasks:
        module, arguments, environ, folder, seconds, user = json.loads(line)

        def settle(environ=environ, folder=folder, user=user) -> None:
            os.environ.clear()
            os.environ.update(environ)
            sys.path[0] = folder
            if user is not None:
                os.setgid(user)
                os.setuid(user)

        ended = forked.run(module, arguments, seconds, folder=folder, before=settle)
        print(json.dumps([ended.code, ended.out, ended.err, ended.seconds]), file=answers, flush=True)


def fork_workers() -> None:
    """Has the workers of a study be forks too."""
    from tests import forked_workers
    from trainer.compare.engines import local

    local.start = forked_workers.start  # type: ignore[assignment]


if __name__ == '__main__':
    main(sys.argv[1:])
