"""Small runs and studies that forks train in a second, and what they end with if nothing goes wrong."""

import functools
import json
import shutil
import tempfile
import threading
from pathlib import Path

from seedwise.storage import files
from tests.faults import forked
from tests.helpers import ROOT, hashes, study_text

RUN = (
    f'--config={ROOT}/configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100',
    '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=3', '--config.threads=1',
    '--config.epochs=2', '--config.steps_per_call=1',
)  # fmt: skip

STUDY = study_text(
    'config.base.model.hidden = (8,)',
    'config.base.epochs, config.base.threads = 1, 1',
    "config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}",
    'config.seeds = 2',
)

#: The only folder that holds what is made once.
_KEPT = functools.cache(lambda: Path(tempfile.mkdtemp(prefix='seedwise-fault-given-')))


def forget() -> None:
    """Deletes what was made once."""
    if _KEPT.cache_info().currsize:
        shutil.rmtree(_KEPT(), ignore_errors=True)
        _KEPT.cache_clear()


def train(workdir: Path, seed: int = 0, wait: float = 120, **options) -> forked.Ended:
    """Trains the small run in a fork."""
    return forked.run('trainer.main', [*RUN, f'--config.seed={seed}', f'--workdir={workdir}'], seconds=wait, **options)


def compare(folder: Path, workdir: Path | None = None, shard: str = '', flags: tuple = (), **options) -> forked.Ended:
    """Trains the small study, or a shard of it, in folder/work or in another folder."""
    with files.replacing(folder / 'study.py', folder / f'.study.{threading.get_ident()}') as partial:
        partial.write_text(STUDY)  # while other shards read it
    arguments = [f'--study={folder}/study.py', f'--workdir={workdir or folder / "work"}', '--workers=1']
    return forked.run(
        'trainer.compare', [*arguments, *flags, *([f'--shard={shard}'] if shard else [])], seconds=600, **options
    )


def sha(workdir: Path) -> str:
    """Returns the digest of a run's final weights; '': it has not finished."""
    file = workdir / 'result.json'
    return json.loads(file.read_text())['weights_sha256'] if file.exists() else ''


@functools.cache
def finished(seed: int = 0) -> Path:
    """Returns the folder of a finished run, which is not to be changed."""
    workdir = _KEPT() / f'run{seed}'
    ended = train(workdir, seed)
    assert ended.code == 0, ended.err
    return workdir


@functools.cache
def unfinished(seed: int = 0) -> Path:
    """Returns the folder of a run that was killed after some checkpoints, which is not to be changed."""
    workdir = _KEPT() / f'unfinished{seed}'
    ended = train(workdir, seed, until=lambda: (workdir / 'checkpoints' / 'step-12.index').exists())
    assert ended.code == -9, ended.err
    return workdir


@functools.cache
def study() -> Path:
    """Returns a folder with study.py and the finished study in work/, which is not to be changed."""
    folder = _KEPT() / 'study'
    folder.mkdir()
    ended = compare(folder)
    assert ended.code == 0, ended.err
    return folder


def continued(workdir: Path, seed: int = 0) -> str:
    """Trains the run to its end, and returns what is wrong with it: it must end with the weights of `finished`."""
    ended = train(workdir, seed)
    if fault := ended.fault((0,)):
        return f'afterwards {fault}: {ended.err[-1500:]}'
    if ended.code:
        return f'afterwards it does not go on: {ended.err[-500:]}'
    return '' if sha(workdir) == sha(finished(seed)) else 'other weights'


def continued_study(folder: Path, workdir: Path) -> str:
    """The same for the study."""
    ended = compare(folder, workdir)
    if fault := ended.fault((0,)):
        return f'afterwards {fault}: {ended.err[-1500:]}'
    if ended.code:
        return f'afterwards it does not go on: {ended.err[-500:]}'
    return '' if hashes(workdir) == hashes(study() / 'work') else 'other weights'
