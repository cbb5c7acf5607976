"""A real Slurm cluster of two nodes, node2 and node10, on this machine; and how tests use it."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import portpicker
import psutil

#: Both nodes are this machine: each has half of its two cores, or says so. Times in seconds.
CONF = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
# The ports of workers follow from it: another cluster of the tests may be running here.
FirstJobId={job}
AuthType=auth/munge
# A job that is requeued starts again after the second of these, which is 5 at the least.
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=1
ReturnToService=2
KillWait=30
NodeName=node[2,10] NodeHostname={hostname} NodeAddr=127.0.0.1 Port=[{ports[1]},{ports[2]}] CPUs=2
PartitionName=all Nodes=node[2,10] Default=YES State=UP
"""

OWN_SPACE = ('unshare', '--mount', '--pid', '--mount-proc', '--fork', '--kill-child')

#: What starts the daemons. They see an /etc/hosts of their own, in which the nodes' names are this machine.
START = """
mount --bind "$1/hosts" /etc/hosts
munged --foreground --key-file="$1/munge/key" --socket="$1/munge/socket" --log-file="$1/munge/log" \\
    --pid-file="$1/munge/pid" --seed-file="$1/munge/seed" --force &
while [ ! -S "$1/munge/socket" ]; do sleep 0.05; done
slurmctld -D &
slurmd -D -N node2 &
slurmd -D -N node10 &
wait
"""


def missing() -> str:
    """Returns why no cluster can be started here, '' where it can."""
    programs = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'unshare')
    absent = [name for name in programs if not shutil.which(name)]
    if absent:
        return f'no Slurm here: {", ".join(absent)} not found (Debian: apt-get install slurm-wlm munge)'
    if os.geteuid() or subprocess.run(['unshare', '--mount', 'true'], capture_output=True).returncode:
        return 'a Slurm cluster of our own can only be started by root, and where mounts are allowed'
    return ''


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Starts the daemons, yields the environment in which Slurm's commands find them, and stops them."""
    ports = [portpicker.pick_unused_port() for _ in range(3)]
    hostname = os.uname().nodename.partition('.')[0]
    (folder / 'slurm.conf').write_text(
        CONF.format(folder=folder, ports=ports, hostname=hostname, job=random.randrange(1, 60_000))
    )
    (folder / 'hosts').write_text(f'127.0.0.1 localhost {hostname} node2 node10\n')
    (folder / 'munge').mkdir(mode=0o700)
    (folder / 'munge' / 'key').write_bytes(os.urandom(1024))
    (folder / 'munge' / 'key').chmod(0o400)
    for name in ('state', 'node2', 'node10'):
        (folder / name).mkdir()
    environ = os.environ | {'SLURM_CONF': str(folder / 'slurm.conf')}
    with open(folder / 'daemons.log', 'wb') as log:
        daemons = subprocess.Popen(
            [*OWN_SPACE, 'bash', '-c', START, 'bash', str(folder)],
            env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while 'idle 2' not in ' '.join(_nodes(environ)):
            assert time.monotonic() < deadline, (folder / 'daemons.log').read_text()
            time.sleep(0.1)
        yield environ
    finally:
        daemons.kill()  # and with it, the first process of their own space of processes, all that is in it
        daemons.wait()


def _processes(environ: Mapping[str, str]) -> Iterator[tuple[psutil.Process, list[str], dict[str, str]]]:
    """Yields the processes of the cluster and of its jobs, with their words and their environment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            around = process.environ()
            if around.get('SLURM_CONF') == environ['SLURM_CONF']:
                yield process, process.cmdline(), around


def kill_node(environ: Mapping[str, str], node: str, *, everything: bool) -> int:
    """Kills a node's slurmd, or all that runs on the node, as a node that loses power; returns how many processes."""
    gone: set[psutil.Process] = set()
    for process, words, around in _processes(environ):
        if 'slurmd' in words[0] and node in words:
            gone.add(process)
        elif everything and around.get('SLURMD_NODENAME') == node:
            with contextlib.suppress(psutil.Error):  # a task, and the slurmstepd above it
                gone |= {process, *(one for one in process.parents() if 'slurmstepd' in ' '.join(one.cmdline()))}
    for process in gone:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return len(gone)


def start_node(environ: Mapping[str, str], node: str) -> None:
    """Starts the slurmd of a node again, among the other daemons."""
    beside = next(process for process, words, _ in _processes(environ) if words and 'slurmctld' in words[0])
    with open(Path(environ['SLURM_CONF']).with_name('daemons.log'), 'ab') as log:
        subprocess.Popen(
            ['nsenter', f'--target={beside.pid}', '--mount', '--pid', 'slurmd', '-D', '-N', node],
            env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _nodes(environ: dict[str, str]) -> list[str]:
    done = subprocess.run(['sinfo', '--noheader', '--format=%t %D'], env=environ, capture_output=True, text=True)
    return done.stdout.splitlines()


def submit(folder: Path, environ: dict[str, str], *arguments: str) -> list[str]:
    """Submits by our launcher, and returns the numbers of the jobs that it names."""
    done = subprocess.run(
        [sys.executable, '-m', 'launch', 'slurm', '--submit', *arguments],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return re.findall(r'scancel ([\d,]+)', done.stdout)[0].split(',')


def wait(job: str, environ: dict[str, str], timeout: float = 600) -> str:
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
