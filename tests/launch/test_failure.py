"""Workers that die, or never come: the others end and say who it was, all start again, and the weights are the same.

On a machine that does nothing else the others end within 15 seconds.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import portpicker
import psutil
import pytest

from tests.helpers import MLP, ROOT, TRAINER, command, last_checkpoint
from tests.launch.slurm_cluster import logs, submit, wait

#: Seconds from the end of one worker to that of all, the promise; and to wait for anything else before giving up.
END, PATIENCE = 30, 600


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> str:
    """The weights of a run of two workers that nobody disturbs.

    With restarts all the same: a machine that is suspended for ten seconds misses the workers' heartbeats.
    """
    workdir = tmp_path_factory.mktemp('undisturbed') / 'run'
    launcher = [sys.executable, '-m', 'launch', 'local', '--workers=2', '--restarts=9', '--', *TRAINER, *MLP]
    subprocess.run([*launcher, f'--workdir={workdir}'], cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE)
    return json.loads((workdir / 'result.json').read_text())['weights_sha256']


def worker(workdir: Path, index: int) -> psutil.Process:
    """Returns the process of one worker of a run."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if 'trainer.main' in process.cmdline()[:3] and f'--workdir={workdir}' in process.cmdline():
                    environ = process.environ()
                    task = json.loads(environ.get('TF_CONFIG', '{"task": {"index": -1}}'))['task']['index']
                    if str(index) in (str(task), environ.get('SLURM_PROCID')):
                        return process
        time.sleep(0.1)
    raise AssertionError(f'no worker {index}')


def checkpoint_after(workdir: Path, step: int) -> int:
    """Waits for a checkpoint later than `step` and returns its step."""
    deadline = time.monotonic() + PATIENCE
    while last_checkpoint(workdir) <= step:
        assert time.monotonic() < deadline, logs(workdir.parent)
        time.sleep(0.05)
    return last_checkpoint(workdir)


@pytest.mark.slow
def test_under_slurm_a_worker_killed_and_a_run_told_to_save_end_with_the_same_weights(slurm, tmp_path, undisturbed):
    """Slow: each start imports TensorFlow twice, and Slurm takes its time between jobs."""
    workdir = tmp_path / 'a b'
    [job] = submit(tmp_path, slurm, '--nodes=2', '--restarts=9', '--', *TRAINER, *MLP, f'--workdir={workdir}')

    saved = checkpoint_after(workdir, 0)
    worker(workdir, 1).kill()
    killed = time.monotonic()
    while f'exit code {128 + signal.SIGKILL}: starting all workers again' not in logs(tmp_path)[f'slurm-{job}.out']:
        assert time.monotonic() < killed + END
        time.sleep(0.1)
    told = logs(tmp_path)[f'slurm-{job}-worker-0.out']
    chief = re.findall('Slurm job .*', told)[0]
    assert re.fullmatch(rf'Slurm job {job}, worker 0 of 2, chief node2:\d+', chief)
    assert re.search(r'^error: worker 1 \(node10:\d+\) was lost: .*', told, re.MULTILINE)
    assert 'Traceback' not in told

    # What Slurm does by itself ahead of the time limit (see the slow test), which is a minute at the least.
    checkpoint_after(workdir, saved + 50)
    subprocess.run(['scancel', '--signal=TERM', job], env=slurm, check=True)
    assert wait(job, slurm) == 'COMPLETED', logs(tmp_path)
    told = logs(tmp_path)[f'slurm-{job}-worker-0.out']
    assert 'all is saved: the same command continues' in told
    assert told.count('continuing at step') >= 2

    result = json.loads((workdir / 'result.json').read_text())
    assert result['strategy']['workers'] == 2
    assert result['weights_sha256'] == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize('index', [0, 1])
def test_under_launch_local_a_worker_killed_changes_nothing(tmp_path, undisturbed, index):
    """Slow: each imports TensorFlow four times. By default test_resume.py kills workers, and their launcher with them."""
    workdir = tmp_path / 'run'
    launcher = [sys.executable, '-m', 'launch', 'local', '--workers=2', '--restarts=9', '--', *TRAINER, *MLP]
    told = tmp_path / 'told.txt'
    with told.open('w') as file:
        process = subprocess.Popen(
            [*launcher, f'--workdir={workdir}'], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=file
        )
    checkpoint_after(workdir, 0)
    worker(workdir, index).kill()
    killed = time.monotonic()
    while '[launch] starting all workers again' not in told.read_text():
        assert time.monotonic() < killed + END, told.read_text()
        time.sleep(0.1)
    assert f'[launch] worker {index} was killed by SIGKILL' in told.read_text()
    assert process.wait(timeout=PATIENCE) == 0, told.read_text()
    assert json.loads((workdir / 'result.json').read_text())['weights_sha256'] == undisturbed


def start(workdir: Path, addresses: list[str], index: int, model: str = '', **environ: str) -> subprocess.Popen:
    """Starts one worker by hand: nobody ends it when another fails."""
    words = [f'--workdir={workdir}', *([model] if model else [])]
    tf_config = {'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}}
    return command(*MLP, *words, env=os.environ | {'TF_CONFIG': json.dumps(tf_config)} | environ)


@pytest.mark.parametrize('index', [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_worker_that_never_comes_is_named(tmp_path, index):
    """Slow for the other one: it is the same code."""
    addresses = [f'127.0.0.1:{portpicker.pick_unused_port()}' for _ in range(2)]
    process = start(tmp_path / 'run', addresses, index, SEEDWISE_START_SECONDS='2')
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    missing = 1 - index
    assert err.splitlines()[-1].startswith(
        f'error: within 2 s (SEEDWISE_START_SECONDS) not all workers started: worker {missing} ({addresses[missing]}): '
    )


def test_workers_with_different_files_are_refused(tmp_path):
    addresses = [f'127.0.0.1:{portpicker.pick_unused_port()}' for _ in range(2)]
    workers = []
    for index, width in enumerate((8, 9)):
        (folder := tmp_path / str(index)).mkdir()
        (folder / 'mine.py').write_text(
            'import keras\ndef net(shape, classes):\n    layers = keras.layers\n    return keras.Sequential('
            f'[keras.Input(shape), layers.Flatten(), layers.Dense({width}), layers.Dense(classes)])\n'
        )
        workers.append(start(tmp_path / 'run', addresses, index, model=f'--config.model.name={folder}/mine.py:net'))
    for process in workers:
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2, err
        assert err.splitlines()[-1].startswith(f'error: worker 1 ({addresses[1]}) has another config than worker 0')


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize('index', [0, 1])
def test_a_worker_that_dies_or_stands_still_ends_the_other(tmp_path, index, number):
    """Slow: four pairs of workers. Nobody but the trainer itself can end the other one here."""
    addresses = [f'127.0.0.1:{portpicker.pick_unused_port()}' for _ in range(2)]
    workers = [start(tmp_path / 'run', addresses, i) for i in range(2)]
    try:
        checkpoint_after(tmp_path / 'run', 0)
        workers[index].send_signal(number)
        _, err = workers[1 - index].communicate(timeout=END)
    finally:
        for process in workers:
            process.kill()
    assert workers[1 - index].returncode == 1
    last = err.splitlines()[-1]
    assert last.startswith(f'error: worker {index} ({addresses[index]}) was lost: all must start again'), err
    assert 'Traceback' not in err
