"""`python -m launch slurm` on a real cluster of two nodes."""

import json
import subprocess
import sys
import time

import pytest

from tests.helpers import MLP, STUDY, TRAINER, last_checkpoint
from tests.launch.conftest import AWKWARD
from tests.launch.slurm_cluster import logs, submit, wait
from trainer import cluster


@pytest.mark.slow
def test_ahead_of_its_time_limit_a_run_saves_and_slurm_continues_it(slurm, tmp_path):
    """Slow: Slurm counts time limits in minutes, and may send the signal one minute early."""
    long = [argument for argument in MLP if 'epochs' not in argument] + ['--config.epochs=3000']
    limits = ('--nodes=2', '--time=3', '--save=60')

    def told(texts: dict[str, str]) -> str:
        return texts.get(f'slurm-{job}-worker-0.out', '')

    [job] = submit(tmp_path, slurm, *limits, '--', *TRAINER, *long, f'--workdir={tmp_path / "run"}')
    deadline = time.monotonic() + 600
    while 'continuing at step' not in told(logs(tmp_path)).partition('all is saved')[2]:
        assert time.monotonic() < deadline, logs(tmp_path)
        time.sleep(0.5)
    subprocess.run(['scancel', job], env=slurm, check=True)
    assert wait(job, slurm) == 'CANCELLED'
    assert 'TIME LIMIT' not in str(logs(tmp_path))


@pytest.mark.slow
def test_cancelled_it_saves_and_is_not_started_again(slurm, tmp_path):
    """Slow: one more import of TensorFlow; what saves is tested in test_resume.py."""
    workdir = tmp_path / 'run'
    [job] = submit(tmp_path, slurm, '--', *TRAINER, *(a for a in MLP if 'every_steps' not in a), f'--workdir={workdir}')
    while not (workdir / 'tensorboard' / 'validation').exists():
        time.sleep(0.05)
    subprocess.run(['scancel', job], env=slurm, check=True)
    assert wait(job, slurm) == 'CANCELLED'
    assert last_checkpoint(workdir) > 0, logs(tmp_path)


def test_a_study_in_shards_ends_with_one_report(slurm, tmp_path):
    file, workdir = tmp_path / 'small.py', tmp_path / 'study'
    file.write_text(STUDY)
    command = [sys.executable, '-m', 'trainer.compare', f'--study={file}', f'--workdir={workdir}', '--workers=1']
    short = ('--study.seeds=2', '--study.base.epochs=1', '--study.base.jit=off')
    job, second = submit(tmp_path, slurm, '--array=2', '--', *command, *short)
    assert wait(second, slurm) == 'COMPLETED', logs(tmp_path)
    assert sorted(str(path.parent.relative_to(workdir)) for path in workdir.glob('*/*/result.json')) == [
        'SGD/0', 'SGD/1', 'ScheduleFreeAdamW/0', 'ScheduleFreeAdamW/1',
    ]  # fmt: skip
    assert (workdir / 'report' / 'index.html').exists(), logs(tmp_path)
    reports = [name for name, text in logs(tmp_path).items() if 'report: ' in text]
    assert len(reports) == 1, logs(tmp_path)
    assert reports[0].startswith(f'slurm-{job}_')


def test_jobs_on_one_host_have_ports_of_their_own(slurm, tmp_path):
    """Two jobs at a time on the same two nodes, each with a worker on both."""
    code = 'from trainer import cluster; import time; print(*cluster.find().addresses); time.sleep(1)'
    jobs = [submit(tmp_path, slurm, '--nodes=2', '--', sys.executable, '-c', code)[0] for _ in range(3)]
    assert [wait(job, slurm) for job in jobs] == ['COMPLETED'] * 3, logs(tmp_path)
    addresses = [logs(tmp_path)[f'slurm-{job}-worker-{i}.out'].split() for job in jobs for i in (0, 1)]
    assert addresses[0::2] == addresses[1::2], 'both workers see the same'
    assert len({address.split(':')[1] for pair in addresses for address in pair}) == 6


def test_arguments_come_through_sbatch_and_srun_unchanged(slurm, tmp_path):
    code = 'import json, sys; print(json.dumps(sys.argv[1:]))'
    [job] = submit(tmp_path, slurm, '--nodes=2', '--', sys.executable, '-c', code, *AWKWARD)
    assert wait(job, slurm) == 'COMPLETED', logs(tmp_path)
    for index in (0, 1):
        assert json.loads(logs(tmp_path)[f'slurm-{job}-worker-{index}.out']) == list(AWKWARD)


def test_hosts_are_read_as_slurm_reads_them(slurm):
    texts = ['node[2,10]', 'n', 'a[08-11]', 'x[1-2][3-4],c', 'gpu-1-[1-2,004-006],login', 'a[99-101]']
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
