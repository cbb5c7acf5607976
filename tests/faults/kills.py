"""Commands that get a signal at a random moment and are started again: nothing is lost, doubled or taken for whole."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers import ROOT, STUDY, hashes

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)

#: Seconds after which a command that was asked to stop, or that nobody disturbs, counts as hung.
HUNG = 300

RUN = (
    f'--config={ROOT}/configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100',
    '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=7', '--config.threads=1',
    '--config.epochs=8', '--config.steps_per_call=5',
)  # fmt: skip


@dataclass
class Scenario:
    """A command that writes into a folder. `expected`: what its runs end with if nobody disturbs it."""

    name: str
    words: list[str]
    studies: bool = False
    expected: dict[str, str] = field(default_factory=dict)
    seconds: float = 10.0

    def command(self, folder: Path) -> list[str]:
        return [sys.executable, *(word.replace('FOLDER', str(folder)) for word in self.words)]

    def ended_with(self, folder: Path) -> dict[str, str]:
        """Returns the hash of the weights of each run."""
        if self.studies:
            return hashes(folder / 'work')
        return {'': json.loads((folder / 'work' / 'result.json').read_text())['weights_sha256']}

    def learn(self, folder: Path) -> None:
        """Runs it undisturbed, to know what it ends with and how long it takes."""
        prepare(folder)
        started = time.monotonic()
        done = subprocess.run(self.command(folder), cwd=ROOT, capture_output=True, text=True, timeout=HUNG)
        assert done.returncode == 0, done.stderr
        self.seconds = time.monotonic() - started
        self.expected = self.ended_with(folder)


def scenarios() -> list[Scenario]:
    run, work = ['-m', 'trainer.main', *RUN], '--workdir=FOLDER/work'
    study = ['-m', 'trainer.compare', '--study=FOLDER/study.py', work, '--workers=2']
    return [
        Scenario('run', [*run, work]),
        Scenario('run on two replicas', [*run, work, '--config.replicas=2']),
        Scenario('two workers', ['-m', 'launch', 'local', '--workers=2', '--', sys.executable, *run, work]),
        Scenario('study', study, True),
        Scenario('study by rounds', [*study, '--until-decided', '--seeds=5'], True),
    ]


def prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'study.py').write_text(STUDY)


def family(pid: int) -> list[int]:
    """Returns a process and all that it has started, children last."""
    import psutil

    try:
        parent = psutil.Process(pid)
        return [pid, *(child.pid for child in parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def disturb(scenario: Scenario, folder: Path, rng: random.Random) -> tuple[str, str]:
    """Starts the command and sends one signal; returns what was sent and the fault, '' if there is none."""
    process = subprocess.Popen(
        scenario.command(folder),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait, sent = rng.uniform(0, 1.1 * scenario.seconds), rng.choice(SIGNALS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait)
    members = family(process.pid)
    whom = members if rng.random() < 0.5 else [rng.choice(members)] if members else []
    for pid in whom:
        kill(pid, sent)
    if sent == signal.SIGSTOP:
        time.sleep(rng.uniform(0.5, 5))
        for pid in whom:
            kill(pid, signal.SIGCONT)
    what = f'{sent.name} to {len(whom)} of {len(members)} after {wait:.1f} s'
    try:
        _, err = process.communicate(timeout=HUNG)
    except subprocess.TimeoutExpired:
        for pid in family(process.pid):
            kill(pid, signal.SIGKILL)
        process.communicate()
        return what, f'it hung for {HUNG} s'
    if 'Traceback' in err and sent not in (signal.SIGKILL,):
        return what, f'a traceback, exit code {process.returncode}: {err[-1500:]}'
    return what, ''


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def attack(scenario: Scenario, folder: Path, rng: random.Random, most: int = 4) -> tuple[int, str]:
    """Disturbs a command up to `most` times, lets it end, and returns the signals sent and the fault; '': there is none."""
    prepare(folder)
    history = []
    for _ in range(rng.randint(1, most)):
        what, fault = disturb(scenario, folder, rng)
        history.append(what)
        if fault:
            return len(history), f'{scenario.name}: {history}: {fault}'
    try:
        done = subprocess.run(scenario.command(folder), cwd=ROOT, capture_output=True, text=True, timeout=HUNG)
    except subprocess.TimeoutExpired:
        return len(history), f'{scenario.name}: {history}: hung at the end'
    if done.returncode:
        return len(history), f'{scenario.name}: {history}: exit code {done.returncode}: {done.stderr[-1500:]}'
    found = scenario.ended_with(folder)
    if found != scenario.expected:
        return len(history), f'{scenario.name}: {history}: other weights: {found}, not {scenario.expected}'
    if scenario.studies and not (folder / 'work' / 'report' / 'index.html').exists():
        return len(history), f'{scenario.name}: {history}: no report'
    return len(history), ''
