"""What several test modules share: runs of the real commands in real processes, and small studies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import portpicker

from tests import forks

ROOT = Path(__file__).parent.parent

#: Folder of the data sets' original files, one folder each, and of schemas/; set by `SEEDWISE_TEST_DATA`.
TEST_DATA = Path(os.environ.get('SEEDWISE_TEST_DATA') or ROOT / 'no test data')

#: Why a test that needs them skips.
NO_TEST_DATA = 'SEEDWISE_TEST_DATA does not name a folder with '

#: A run of two workers takes a few seconds; it saves often.
TRAINER = (sys.executable, '-m', 'trainer.main')
MLP = (
    f'--config={ROOT}/configs/mlp_adam.py', '--config.data.name=digits', '--config.data.validation=100',
    '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=7', '--config.threads=1',
    '--config.epochs=40',
)  # fmt: skip


#: Processes that tests started and may have left running, where they failed: `tests.conftest` ends them.
STARTED: list[subprocess.Popen] = []


def _start(words: list[str], **options) -> subprocess.Popen:
    STARTED.append(
        subprocess.Popen(words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    )
    return STARTED[-1]


def command(*arguments: str, launch: int = 0, **options) -> subprocess.Popen:
    """Starts `python -m trainer.main` with the arguments, below `launch local` with that many workers if asked for."""
    trainer = [sys.executable, '-m', 'trainer.main', *arguments]
    if launch:
        trainer = [sys.executable, '-m', 'launch', 'local', f'--workers={launch}', '--', *trainer]
    return _start(trainer, **options)


#: Environment variables that nothing reads before a command has begun.
READ_LATE = {'PYTEST_CURRENT_TEST', 'TFDS_DATA_DIR', *(f'{what}_proxy' for what in ('all', 'http', 'https', 'no'))}
READ_LATE |= {name.upper() for name in READ_LATE}


def run(
    workdir: Path,
    *arguments: str,
    launch: int = 0,
    code: int = 0,
    timeout: float = 300,
    env: Mapping[str, str] = os.environ,
    fork: bool = True,
) -> dict:
    """Runs the command to its end and returns the result; fails where the exit code is not `code`.

    In a fork of a process that has imported TensorFlow, which saves seconds, unless `fork` is false, the environment is
    another than that process's, or there are several workers.
    """
    words = [*arguments, f'--workdir={workdir}']
    if fork and not launch and read_late(env):
        ended = forks.with_tensorflow().run('trainer.main', *words, environ=env, seconds=timeout)
        ended_with, out, err = ended.code, ended.out, ended.err
    else:
        process = command(*words, launch=launch, env=env)
        out, err = process.communicate(timeout=timeout)
        ended_with = process.returncode
    assert ended_with == code, f'exit code {ended_with}\n{out}\n{err}'
    path = workdir / 'result.json'
    result = json.loads(path.read_text()) if path.exists() else {}
    return result | {'stdout': out, 'stderr': err}


def run_workers(workdir: Path, *arguments: str, workers: int = 2, env: Mapping[str, str] = os.environ) -> dict:
    """Runs the command as so many workers, in forks as `run`, to their end and returns the result; fails where one does."""
    addresses = [f'127.0.0.1:{portpicker.pick_unused_port()}' for _ in range(workers)]
    tasks = [{'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': i}} for i in range(workers)]
    environs = [{**env, 'TF_CONFIG': json.dumps(task)} for task in tasks]
    words = [*arguments, f'--workdir={workdir}']
    for ended in forks.with_tensorflow().run_together('trainer.main', *words, environs=environs):
        assert ended.code == 0, f'exit code {ended.code}\n{ended.out}\n{ended.err}'
    return json.loads((workdir / 'result.json').read_text())


def kill_run(workdir: Path, *arguments: str, delay: float = 0) -> None:
    """Kills (SIGKILL) the command, in a fork as `run`, `delay` seconds after the first checkpoint; fails if it has ended."""
    kill = (workdir, 'checkpoints/step-*.index', delay)
    words = [*arguments, f'--workdir={workdir}']
    ended = forks.with_tensorflow().run('trainer.main', *words, environ=os.environ, kill=kill)
    assert ended.code == -signal.SIGKILL, f'exit code {ended.code}\n{ended.err}'


def read_late(environ: Mapping[str, str]) -> bool:
    """Returns whether an environment differs from that of this process only in what nothing reads at its start."""
    return {name for name, _ in environ.items() ^ os.environ.items()} <= READ_LATE


def study_text(*lines: str) -> str:
    """Returns the text of a study file on the bundled digits; `lines` say what differs from the default config."""
    head = ['import ml_collections', 'from configs import default', '', '', 'def get_config():']
    body = [
        'config = ml_collections.ConfigDict()',
        'config.base = default.get_config()',
        "config.base.data.name = 'digits'",
        *lines,
        'return config',
    ]
    return '\n'.join([*head, *(f'    {line}' for line in body), ''])


def weights(workdir: Path):
    """Returns all weights of a run's model.keras as one float64 vector, read by plain Keras."""
    import keras
    import numpy as np

    model = keras.models.load_model(workdir / 'model.keras', compile=False)
    return np.concatenate([weight.ravel().astype(np.float64) for weight in model.get_weights()])


def relative_l2(a, b) -> float:
    """||a - b|| / ||a||."""
    import numpy as np

    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


#: Two variants x three seeds of half a second each. XLA, which takes 2 s to compile a step, for one of the two.
STUDY = study_text(
    'config.base.model.hidden = (32,)',
    "config.base.model.dropout = 'every'",
    'config.base.epochs = 4',
    "config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('ScheduleFreeAdamW', 'SGD')}}",
    "config.axes.optimizer.SGD.jit = 'off'",
    'config.seeds = 3',
)


def compare(*arguments: str, **options) -> subprocess.Popen:
    """Starts `python -m trainer.compare` with the arguments."""
    return _start([sys.executable, '-m', 'trainer.compare', *arguments], **options)


def finish(*arguments: str, code: int = 0, seconds: float = 300, env: Mapping[str, str] = os.environ) -> str:
    """Runs a study to its end and returns what it printed; fails where the exit code is not `code`.

    In a fork, as `run`; so are its workers, in forks of that.
    """
    if read_late(env):
        ended = forks.with_tensorflow().run('trainer.compare', *arguments, environ=env, seconds=seconds)
        ended_with, out, err = ended.code, ended.out, ended.err
    else:
        out, err = (process := compare(*arguments, env=env)).communicate(timeout=seconds)
        ended_with = process.returncode
    assert ended_with == code, f'exit code {ended_with}\n{out}\n{err}'
    return out + err


def results_of(workdir: Path) -> dict[str, dict]:
    return {
        str(path.parent.relative_to(workdir)): json.loads(path.read_text()) for path in workdir.glob('*/*/result.json')
    }


def hashes(workdir: Path) -> dict[str, str]:
    return {run: result['weights_sha256'] for run, result in results_of(workdir).items()}


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'it did not happen in time'
        time.sleep(0.02)


def last_checkpoint(workdir) -> int:
    """Returns the step of the newest checkpoint, 0 if there is none."""
    steps = [int(path.stem.rpartition('-')[2]) for path in (workdir / 'checkpoints').glob('step-*.index')]
    return max(steps, default=0)


def line_of(code: int | None, out: str, err: str) -> str:
    """Returns the line that a command printed which must have failed as promised."""
    assert code == 2, err
    assert out == ''
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith('error: ')
    assert len(lines[0]) < 700
    return lines[0]
