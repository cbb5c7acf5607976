"""Studies on a cluster of Ray and on one of Slurm, each of two nodes on this machine: a process or a node is killed."""

import contextlib
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.faults.kills.commands import (
    SENT,
    SIGNALS,
    STOPPED,
    Scenario,
    family,
    finished,
    kill,
    of_study,
    trained_again,
)
from tests.helpers import ROOT
from tests.launch import slurm_cluster

#: Seconds after which a job that nobody holds up counts as hung: Slurm takes its time between two jobs.
HUNG = 900

#: The clusters that were started, which last as long as the campaign.
_KEPT = contextlib.ExitStack()


def forget() -> None:
    """Ends the clusters."""
    _KEPT.close()
    _started.clear()


_started: dict[str, object] = {}


def once(name: str, start: Callable[[], contextlib.AbstractContextManager]):
    """Returns what a context manager gives, which is entered once."""
    if name not in _started:
        _started[name] = _KEPT.enter_context(start())
    return _started[name]


def scenarios() -> list[Scenario]:
    """Returns what can be tried here: what is not installed is left out."""
    study = ['-m', 'trainer.compare', '--study=FOLDER/study.py', '--workdir=FOLDER/work', '--workers=1']
    made: list[Scenario] = []
    if not slurm_cluster.missing():
        launch = ['-m', 'launch', 'slurm', '--array=2', '--submit', '--', sys.executable]
        made.append(SlurmStudy('study on Slurm', [*launch, *study], of_study))
    if importlib.util.find_spec('ray'):
        made.append(RayStudy('study on Ray', [*study[:-1], '--workers=2', '--engine=ray'], of_study))
    return made


def belonging(text: str, folder: Path) -> list[int]:
    """Returns the processes whose command line has a text, and that work in or on a folder."""
    found = []
    for process in psutil.process_iter(['cmdline']):
        with contextlib.suppress(psutil.Error):
            words = ' '.join(process.info['cmdline'] or ())
            if text in words and (str(folder) in words or any(str(folder) in f.path for f in process.open_files())):
                found.append(process.pid)
    return found


class SlurmStudy(Scenario):
    """A study as an array of two jobs, and a second round of it."""

    def environ(self) -> dict[str, str]:
        slurm = once('slurm', _slurm)
        assert isinstance(slurm, dict)
        return slurm | {'PYTHONPATH': str(ROOT), 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}

    def submitted(self, folder: Path, seconds: float | None = None) -> str:
        """Submits it; kills the command that does so after some seconds. Returns the fault."""
        process = self.start(folder, folder)
        if seconds is not None:
            time.sleep(seconds)
            for pid in family(process.pid):
                kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=HUNG)
        return f'not submitted: {err}' if seconds is None and process.returncode else ''

    def jobs(self) -> list[str]:
        done = subprocess.run(['squeue', '-h', '-o', '%i %T'], env=self.environ(), capture_output=True, text=True)
        return done.stdout.splitlines()

    def ended(self) -> str:
        """Waits until no job is left, and returns the fault."""
        until = time.monotonic() + HUNG
        while jobs := self.jobs():
            if time.monotonic() > until:
                subprocess.run(['scancel', *(job.split()[0] for job in jobs)], env=self.environ(), check=False)
                return f'it hung for {HUNG} s: {jobs}'
            time.sleep(0.3)
        return ''

    def complete(self, folder: Path) -> str:
        before = set(slurm_cluster.logs(folder))
        if fault := self.submitted(folder) or self.ended():
            return fault
        said = {name: text for name, text in slurm_cluster.logs(folder).items() if name not in before}
        if 'Traceback' in str(said):
            return f'a traceback: {said}'
        if not (folder / 'work' / 'report' / 'index.html').exists():
            return f'no report: {said}'
        return ''

    def disturb(self, folder: Path, rng: random.Random) -> tuple[str, str]:
        if rng.random() < 0.2:
            seconds = rng.uniform(0, 2)
            self.submitted(folder, seconds)
            SENT[self.name]['SIGKILL'] += 1
            return f'SIGKILL to the command that submits after {seconds:.1f} s', ''
        if fault := self.submitted(folder):
            return 'submission', fault
        wait, sent = rng.uniform(0, 0.8 * self.seconds), rng.choice(SIGNALS)
        time.sleep(wait)
        way = rng.choice(['step', 'step', 'slurmd', 'node'])
        results = finished(folder)
        if way == 'step':
            members = sorted({*belonging('trainer.compare', folder)})
            whom = members if rng.random() < 0.3 else [rng.choice(members)] if members else []
            what = f'{sent.name} to {len(whom)} of {len(members)} processes'
            _send(whom, sent, rng)
            SENT[self.name][sent.name] += bool(whom)
        else:
            node = rng.choice(['node2', 'node2', 'node10'])  # the first is full before Slurm takes the second
            what = f'SIGKILL to {"slurmd" if way == "slurmd" else "all"} of {node}'
            SENT[self.name]['SIGKILL'] += 1
            gone = slurm_cluster.kill_node(self.environ(), node, everything=way == 'node')
            # When a node comes back, Slurm misses the jobs that it had, except for those that began less than 20 s ago.
            time.sleep(seconds := rng.choice([0, 1, 5, 20]) if way == 'slurmd' else 30)
            slurm_cluster.start_node(self.environ(), node)
            what += f' ({gone} processes), which is back after {seconds} s'
        return f'{what}, after {wait:.1f} s', self.ended() or trained_again(folder, results)


def _send(whom: list[int], sent: signal.Signals, rng: random.Random) -> None:
    for pid in whom:
        kill(pid, sent)
    if sent == signal.SIGSTOP:
        time.sleep(rng.choice(STOPPED))
        for pid in whom:
            kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _slurm() -> Iterator[dict[str, str]]:
    kept = tempfile.TemporaryDirectory(prefix='seedwise-slurm-', ignore_cleanup_errors=True)
    with kept as folder, slurm_cluster.cluster(Path(folder)) as environ:
        yield environ


class RayStudy(Scenario):
    """A study of which Ray places two workers, one on each node."""

    def environ(self) -> dict[str, str]:
        return {'RAY_ADDRESS': once('ray', _ray).address}  # type: ignore[attr-defined]

    def chosen(self, process: subprocess.Popen, folder: Path, rng: random.Random) -> tuple[list[int], str]:
        way = rng.choice(['command', 'workers', 'worker', 'actor', 'node'])
        if way == 'command':
            return super().chosen(process, folder, rng)
        if way == 'node':
            cluster = once('ray', _ray)
            node = list(cluster.worker_nodes)[0]  # type: ignore[attr-defined]
            cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]
            cluster.add_node(**NODE)  # type: ignore[attr-defined]
            return [], 'nobody; a node was killed and another one came'
        text = 'ray::Holder' if way == 'actor' else 'trainer.compare.engines.worker'
        while not (members := _of_ray(text)) and process.poll() is None:  # not placed yet, or all of them ended
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 3))  # at their start, too, each moment is as likely
        whom = members if way == 'workers' else [rng.choice(members)] if members else []
        return whom, f'{len(whom)} of {len(members)} {text}'


def _of_ray(text: str) -> list[int]:
    """Returns the processes of that name that a node of the cluster here has started."""
    cluster = once('ray', _ray)
    nodes = [cluster.head_node, *cluster.worker_nodes]  # type: ignore[attr-defined]
    raylets = [one.process.pid for node in nodes for one in node.all_processes.get('raylet', ())]
    found = []
    for pid in {pid for raylet in raylets for pid in family(raylet)}:
        with contextlib.suppress(psutil.Error):
            if re.search(re.escape(text), ' '.join(psutil.Process(pid).cmdline())):
                found.append(pid)
    return sorted(found)


NODE = {'num_cpus': 1, 'object_store_memory': 100 * 2**20}


@contextlib.contextmanager
def _ray() -> Iterator[object]:
    from ray.cluster_utils import Cluster

    os.environ |= {'RAY_worker_niceness': '0'}  # on a machine that is shared, its workers would be the last to run
    before = signal.getsignal(signal.SIGTERM)
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, 'include_dashboard': False})
    try:
        cluster.add_node(**NODE)
        signal.signal(signal.SIGTERM, before)  # Ray has put its own there
        yield cluster
    finally:
        cluster.shutdown()
