"""Commands in forks of one process that has imported what they need: a command takes as long as what it does.

python -m tests.forks [tensorflow]: a line on standard input has tasks that run together, as JSON, and a line on standard
output their answers. Without `tensorflow`, the process imports what commands need before they start TensorFlow.
"""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
        kill: tuple[Path, str, float] | None = None,
    ) -> forked.Ended:
        """Runs `python -m module arguments` to its end.

        Args:
          module: one that `forked.main_of` knows.
          arguments: of the command line.
          environ: all environment variables. What Python and TensorFlow read when they start has no effect.
          folder: where it runs.
          seconds: after which it is killed.
          user: whose process it is, if not that of this one, which must be root.
          kill: (folder, pattern, delay): it is killed (SIGKILL) so many seconds after there is such a file in the folder.
        """
        (ended,) = self._answer(
            [module, arguments, dict(environ), str(folder), seconds, user, kill and (str(kill[0]), *kill[1:])]
        )
        return ended

    def run_together(self, module: str, *arguments: str, environs: list[dict[str, str]]) -> list[forked.Ended]:
        """Runs the command once with each of the environments, all at the same time, to their ends."""
        return self._answer(*([module, arguments, environ, str(ROOT), 300, None, None] for environ in environs))

    def _answer(self, *tasks: list) -> list[forked.Ended]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(tasks) + '\n')
        self._process.stdin.flush()
        return [forked.Ended(*fields) for fields in json.loads(self._process.stdout.readline())]


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


def _cache_what_xla_compiles() -> None:
    """Lets forks read what an earlier one has compiled: 1.3 of the 3.3 s that a run of an epoch takes.

    (Processor time of configs/mlp_adam.py on the digits, 2 cores of an x86 CPU.) TensorFlow reads the variable here, and no
    command sees it. Commands that are processes of their own compile for themselves.
    """
    from tensorflow.python.client import pywrap_tf_session

    folder = tempfile.mkdtemp(prefix='seedwise-xla-')
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    before = os.environ.get('TF_XLA_FLAGS', '')
    os.environ['TF_XLA_FLAGS'] = f'{before} --tf_xla_persistent_cache_directory={folder}'
    pywrap_tf_session.TF_GetXlaConstantFoldingDisabled()  # reads the variable
    os.environ['TF_XLA_FLAGS'] = before


def _until(folder: str, pattern: str, delay: float) -> Callable[[], bool]:
    """Returns a function that says whether a file of the pattern has been in the folder for `delay` seconds."""
    since: list[float] = []

    def due() -> bool:
        if not since and any(Path(folder).glob(pattern)):
            since.append(time.monotonic())
        return bool(since) and time.monotonic() - since[0] >= delay

    return due


def main(words: list[str]) -> None:
    tasks, answers = os.fdopen(os.dup(0), encoding='utf-8'), os.fdopen(os.dup(1), 'w', encoding='utf-8')
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # what a command reads must not be the next task
    os.dup2(2, 1)
    if words:
        forked.imported()
        fork_workers()
        _cache_what_xla_compiles()
    else:
        forked.imported_without_tensorflow()

    def do(task: list) -> list:
        module, arguments, environ, folder, seconds, user, kill = task

        def settle() -> None:
            os.environ.clear()
            os.environ.update(environ)
            sys.path[0] = folder
            if user is not None:
                os.setgid(user)
                os.setuid(user)

        ended = forked.run(
            module, arguments, seconds, folder=folder, before=settle, until=_until(*kill) if kill else lambda: False
        )
        return [ended.code, ended.out, ended.err, ended.seconds]

    for line in tasks:
        first, *others = json.loads(line)
        with ThreadPoolExecutor(max(len(others), 1)) as pool:
            rest = pool.map(do, others)
            print(json.dumps([do(first), *rest]), file=answers, flush=True)


def fork_workers() -> None:
    """Has the workers of a study be forks too."""
    from tests import forked_workers
    from trainer.compare.engines import local

    local.start = forked_workers.start  # type: ignore[assignment]


if __name__ == '__main__':
    main(sys.argv[1:])
