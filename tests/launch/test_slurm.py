"""`python -m launch slurm` on a real cluster of two nodes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.launch import slurm_cluster

ROOT = Path(__file__).parents[2]
MLP = (
    f'--config={ROOT}/configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100',
    '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=7', '--config.threads=1',
)  # fmt: skip


@pytest.fixture(scope='module')
def slurm(tmp_path_factory):
    """The environment in which Slurm's commands find the cluster."""
    reason = slurm_cluster.missing()
    if reason:
        pytest.skip(reason)
    with slurm_cluster.cluster(tmp_path_factory.mktemp('slurm')) as environ:
        yield environ | {'PYTHONPATH': str(ROOT), 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}


def launch(folder: Path, environ: dict[str, str], *arguments: str) -> str:
    """Submits and returns the job's number."""
    done = subprocess.run(
        [sys.executable, '-m', 'launch', 'slurm', '--submit', *arguments],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split('Slurm job ')[1].split()[0].rstrip(',')


def wait(job: str, environ: dict[str, str], timeout: float = 120) -> str:
    """Waits for the end of a job and returns its state; fails, with the queue, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        shown = subprocess.run(['scontrol', '-o', 'show', 'job', job], env=environ, capture_output=True, text=True).stdout
        states = {part.split('=')[1] for part in shown.split() if part.startswith('JobState=')}
        if states and not states & {'PENDING', 'RUNNING', 'COMPLETING', 'SUSPENDED', 'REQUEUED'}:
            return ','.join(sorted(states))
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)


def logs(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob('slurm-*'))}


def test_two_workers(slurm, tmp_path):
    command = [sys.executable, '-m', 'trainer.main', *MLP, '--config.epochs=2', f'--workdir={tmp_path / "a b"}']
    job = launch(tmp_path, slurm, '--nodes=2', '--', *command)
    assert wait(job, slurm) == 'COMPLETED', logs(tmp_path)
    print(logs(tmp_path))
    result = json.loads((tmp_path / 'a b' / 'result.json').read_text())
    assert result['strategy']['workers'] == 2
