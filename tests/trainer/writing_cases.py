"""Trains a small run for each write of it that can fail, with that failing, and then once more; prints what came of it.

A program of its own, because it compiles once for all of them: `python -m tests.trainer.writing_cases FOLDER` prints, as
JSON, case -> [error, what was printed, checkpoints and torn files that were left, error after space was made, SHA-256 of
the final weights], and that SHA-256 of a run that nothing disturbed.
"""

import contextlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from configs import default
from data_pipeline import sources
from seedwise import tensorflow_import
from tests.trainer.disks import mounted

#: Of a file system in memory.
PAGE_KIB = 4

Prepare = Callable[[Path], 'contextlib.AbstractContextManager[Callable[[], object]]']


@contextlib.contextmanager
def disk(folder: Path, leave: int, *options: str) -> Iterator[Callable[[], object]]:
    """Puts the run on a disk with so many KiB left; yields what makes space."""
    with mounted(folder, '4m') as small:
        small.leave(leave)
        if options:
            small.remount(*options)
        yield small.make_space


@contextlib.contextmanager
def in_the_way(path: Path, *, folder: bool = False) -> Iterator[Callable[[], object]]:
    """Puts a file, or a folder, where the run wants to write; yields what removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if folder else path.touch()
    yield path.rmdir if folder else path.unlink


def main(argv: list[str]) -> int:
    folder = Path(argv[1])
    tensorflow_import.import_tensorflow()
    from trainer.compare.engines.worker import Trainer

    plain, saving, shown = config(), config(every_steps=4), config(tensorboard=True)
    trainer = Trainer(plain, sources.locate('digits'))
    trainer.run(plain, folder / 'undisturbed', True)
    model = -(-(folder / 'undisturbed' / 'model.keras').stat().st_size // (PAGE_KIB * 1024)) * PAGE_KIB
    cases: dict[str, tuple[object, Prepare]] = {
        'workdir, read-only': (plain, lambda at: disk(at, 4096, 'ro')),
        'workdir, a file': (plain, lambda at: in_the_way(at)),
        'config.json, full': (plain, lambda at: disk(at, 0)),
        'checkpoints, full': (saving, lambda at: disk(at, 100)),
        'checkpoints, full at the second': (saving, lambda at: disk(at, PAGE_KIB + 100 + 3 * model)),
        'model.keras, full': (plain, lambda at: disk(at, 8)),
        'model.keras, a folder': (plain, lambda at: in_the_way(at / 'model.keras', folder=True)),
        'test_correct.npy, a folder': (plain, lambda at: in_the_way(at / '.test_correct.npy.partial', folder=True)),
        # config.json and test_correct.npy take a page each.
        'result.json, full': (plain, lambda at: disk(at, 2 * PAGE_KIB + model)),
        'result.json, a folder': (plain, lambda at: in_the_way(at / '.result.json.partial', folder=True)),
        'tensorboard, full': (shown, lambda at: disk(at / 'tensorboard', 8)),
        'tensorboard, read-only': (shown, lambda at: disk(at / 'tensorboard', 4096, 'ro')),
        'tensorboard, a file': (shown, lambda at: in_the_way(at / 'tensorboard')),
    }
    found = {}
    for i, (name, (needed, prepare)) in enumerate(cases.items()):
        workdir = folder / str(i)
        with contextlib.redirect_stderr(io.StringIO()) as said, prepare(workdir) as make_space:
            errors: list[str] = []
            left: list[str] = []
            for attempt in range(2):
                try:
                    trainer.run(needed, workdir, True)
                    errors.append('')
                except Exception as error:
                    errors.append(f'{type(error).__name__}: {error}')
                if attempt == 0:
                    left = [
                        path.name for path in workdir.rglob('*') if re.search('partial|_temp|step-.*index', path.name)
                    ]
                    make_space()
            result = workdir / 'result.json'
            sha = json.loads(result.read_text(encoding='utf-8'))['weights_sha256'] if result.exists() else None
        found[name] = errors[0], said.getvalue(), left, errors[1], sha
    undisturbed = json.loads((folder / 'undisturbed' / 'result.json').read_text(encoding='utf-8'))
    print(json.dumps({'undisturbed': undisturbed['weights_sha256'], 'cases': found}))
    shutil.rmtree(folder)
    return 0


def config(*, every_steps: int = 0, tensorboard: bool = False):
    """Returns a run of 12 steps, of four each call."""
    made = default.get_config()
    made.data.name, made.epochs, made.steps_per_call, made.threads = 'digits', 1, 4, 1
    made.model.hidden = (64,)
    made.checkpoint.every_steps, made.tensorboard.enabled = every_steps, tensorboard
    return made


if __name__ == '__main__':
    sys.exit(main(sys.argv))
