"""`python -m launch slurm` on a real cluster of two nodes."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import run
from tests.launch import slurm_cluster
from tests.trainer.test_resume import last_checkpoint
from trainer import cluster

ROOT = Path(__file__).parents[2]
TRAINER = (sys.executable, '-m', 'trainer.main')
MLP = (
    f'--config={ROOT}/configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100',
    '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=7', '--config.threads=1',
    '--config.epochs=300',
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
        shown = subprocess.run(
            ['scontrol', '-o', 'show', 'job', job], env=environ, capture_output=True, text=True
        ).stdout
        states = {part.split('=')[1] for part in shown.split() if part.startswith('JobState=')}
        if states and not states & {'PENDING', 'RUNNING', 'COMPLETING', 'SUSPENDED', 'REQUEUED'}:
            return ','.join(sorted(states))
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)


def logs(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob('slurm-*'))}


def worker(workdir: Path, index: int) -> psutil.Process:
    """Returns the process of one worker, as soon as it has a checkpoint behind it."""
    deadline = time.monotonic() + 60
    while True:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if f'--workdir={workdir}' in process.cmdline() and 'trainer.main' in process.cmdline():
                    if process.environ().get('SLURM_PROCID') == str(index) and process.parent().name() == 'slurmstepd':
                        return process
        assert time.monotonic() < deadline
        time.sleep(0.1)


def checkpoint_after(workdir: Path, step: int) -> int:
    """Waits for a checkpoint later than `step` and returns its step."""
    deadline = time.monotonic() + 60
    while last_checkpoint(workdir) <= step:
        assert time.monotonic() < deadline, logs(workdir.parent)
        time.sleep(0.05)
    return last_checkpoint(workdir)


def test_a_worker_killed_and_a_run_told_to_save_end_with_the_weights_of_an_undisturbed_run(slurm, tmp_path):
    workdir = tmp_path / 'a b'
    job = launch(tmp_path, slurm, '--nodes=2', '--', *TRAINER, *MLP, f'--workdir={workdir}')

    saved = checkpoint_after(workdir, 0)
    worker(workdir, 1).kill()
    killed = time.monotonic()
    while 'starting all workers again (1 of 3)' not in logs(tmp_path)[f'slurm-{job}.out']:
        assert time.monotonic() < killed + 30
        time.sleep(0.1)
    told = logs(tmp_path)[f'slurm-{job}-worker-0.out']
    chief = re.findall('Slurm job .*', told)[0]
    assert re.fullmatch(rf'Slurm job {job}, worker 0 of 2, chief node2:\d+', chief)
    assert re.search(r'^error: worker 1 \(node10:\d+\) was lost: .*', told, re.MULTILINE)
    assert 'Traceback' not in told

    # What Slurm does by itself ahead of the time limit (see the slow test), which is a minute at the least.
    checkpoint_after(workdir, saved + 100)
    subprocess.run(['scancel', '--signal=TERM', job], env=slurm, check=True)
    assert wait(job, slurm) == 'COMPLETED', logs(tmp_path)
    told = logs(tmp_path)[f'slurm-{job}-worker-0.out']
    assert 'all is saved: the same command continues' in told
    assert told.count('continuing at step') == 2

    result = json.loads((workdir / 'result.json').read_text())
    assert result['strategy']['workers'] == 2
    assert result['weights_sha256'] == run(tmp_path / 'whole', *MLP, launch=2)['weights_sha256']


@pytest.mark.slow
def test_ahead_of_its_time_limit_a_run_saves_and_slurm_continues_it(slurm, tmp_path):
    """Slow: no time limit is shorter than a minute."""
    long = [argument for argument in MLP if 'epochs' not in argument] + ['--config.epochs=3000']
    limits = ('--nodes=2', '--time=1', '--save=30')
    job = launch(tmp_path, slurm, *limits, '--', *TRAINER, *long, f'--workdir={tmp_path / "run"}')
    deadline = time.monotonic() + 200
    while 'continuing at step' not in logs(tmp_path).get(f'slurm-{job}-worker-0.out', ''):
        assert time.monotonic() < deadline, logs(tmp_path)
        time.sleep(0.5)
    subprocess.run(['scancel', job], env=slurm, check=True)
    assert wait(job, slurm) == 'CANCELLED'
    assert 'TIME LIMIT' not in str(logs(tmp_path))


def test_cancelled_it_saves_and_is_not_started_again(slurm, tmp_path):
    workdir = tmp_path / 'run'
    job = launch(tmp_path, slurm, '--', *TRAINER, *(a for a in MLP if 'every_steps' not in a), f'--workdir={workdir}')
    while not (workdir / 'tensorboard' / 'validation').exists():
        time.sleep(0.05)
    subprocess.run(['scancel', job], env=slurm, check=True)
    assert wait(job, slurm) == 'CANCELLED'
    assert last_checkpoint(workdir) > 0, logs(tmp_path)


def test_a_study_in_shards_ends_with_one_report(slurm, tmp_path):
    study = [
        f'--study={ROOT}/configs/studies/raj_optimizers_losses.py', '--study.seeds=2', '--study.base.epochs=1',
        '--study.base.data.name=digits', '--study.base.data.validation=0', f'--workdir={tmp_path / "study"}',
        '--workers=1',
    ]  # fmt: skip
    command = [sys.executable, '-m', 'trainer.compare', *study]
    job = launch(tmp_path, slurm, '--array=2', '--', *command)
    assert wait(str(int(job) + 2), slurm) == 'COMPLETED', logs(tmp_path)
    told = logs(tmp_path)
    assert len(list((tmp_path / 'study').glob('*/*/result.json'))) == 7 * 3 * 2
    assert sum('report: ' in text for text in told.values()) >= 1, told


def test_jobs_on_one_host_have_ports_of_their_own(slurm, tmp_path):
    """Two jobs at a time on the same two nodes, each with a worker on both."""
    code = 'from trainer import cluster; import time; print(*cluster.find().addresses); time.sleep(1)'
    jobs = [launch(tmp_path, slurm, '--nodes=2', '--', sys.executable, '-c', code) for _ in range(3)]
    assert [wait(job, slurm) for job in jobs] == ['COMPLETED'] * 3, logs(tmp_path)
    addresses = [logs(tmp_path)[f'slurm-{job}-worker-{i}.out'].split() for job in jobs for i in (0, 1)]
    assert addresses[0::2] == addresses[1::2], 'both workers see the same'
    assert len({address.split(':')[1] for pair in addresses for address in pair}) == 6


def test_arguments_come_through_sbatch_and_srun_unchanged(slurm, tmp_path):
    arguments = [
        'a b',
        '"',
        "'",
        '$HOME',
        '`id`',
        '*',
        '\\',
        'two\nlines',
        'dos\r\nlines\t',
        '',
        '--',
        '-n',
        '#',
        'é',
        '%j',
    ]
    code = 'import json, sys; print(json.dumps(sys.argv[1:]))'
    job = launch(tmp_path, slurm, '--nodes=2', '--', sys.executable, '-c', code, *arguments)
    assert wait(job, slurm) == 'COMPLETED', logs(tmp_path)
    for index in (0, 1):
        assert json.loads(logs(tmp_path)[f'slurm-{job}-worker-{index}.out']) == arguments


def test_hosts_are_read_as_slurm_reads_them(slurm):
    texts = ['node[2,10]', 'n', 'a[08-11]', 'a[1-2]b[3,5]-x,c', 'gpu-1-[1-2,004-006],login', 'a[99-101]']
    for text in texts:
        shown = subprocess.run(['scontrol', 'show', 'hostnames', text], env=slurm, capture_output=True, text=True)
        assert cluster.hostnames(text) == shown.stdout.split(), text


def test_what_sbatch_says_no_to_is_told_in_one_line(slurm, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'launch', 'slurm', '--submit', '--partition=none', '--', 'true'],
        cwd=tmp_path, env=slurm, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.count('\n') == 1
    assert 'invalid partition specified: none' in done.stderr
