"""Commands that get a signal at a random moment and are started again: nothing is lost, doubled or taken for whole."""

import contextlib
import functools
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from seedwise import signals
from tests.helpers import ROOT, STUDY, TEST_DATA, hashes

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP)

#: Seconds for which a process is stopped: mostly a few, and at times a minute.
STOPPED = (0.5, 1, 2, 3, 5, 5, 60)

#: Seconds after which a command that was asked to stop, or that nobody disturbs, counts as hung.
HUNG = 300

#: What is said of a command that was faster than the signal; it has nothing left to do.
ENDED = 'it ended'

RUN = (
    f'--config={ROOT}/configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100',
    '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=7', '--config.threads=1',
    '--config.epochs=8', '--config.steps_per_call=5',
)  # fmt: skip

#: Scenario -> signal -> how many times it was sent; the campaign reads and empties it.
SENT: defaultdict[str, Counter[str]] = defaultdict(Counter)

#: Folder of what some commands start from, made once: a finished run and a finished study.
GIVEN: dict[str, Path] = {}


def of_run(folder: Path) -> dict[str, str]:
    return {'': json.loads((folder / 'work' / 'result.json').read_text())['weights_sha256']}


def of_study(folder: Path) -> dict[str, str]:
    assert (folder / 'work' / 'report' / 'index.html').exists()
    return hashes(folder / 'work')


def of_report(folder: Path) -> dict[str, str]:
    """Returns the digest of each file of a report, without the lines that hold times."""
    found = {}
    for file in sorted((folder / 'work' / 'report').rglob('*')):
        if file.is_file():
            lines = [line for line in file.read_bytes().splitlines() if b'class="time"' not in line]
            found[file.name] = hashlib.sha256(re.sub(rb'/tmp/[^\s"\\]*', b'', b'\n'.join(lines))).hexdigest()
    assert found, 'no report'
    return found


def of_export(folder: Path) -> dict[str, str]:
    """Returns the files of an export; the command itself compares what they compute with the run."""
    return {str(file.relative_to(folder)): '' for file in sorted((folder / 'work' / 'export').rglob('*'))}


@dataclass
class Scenario:
    """A command that writes into a folder. `expected`: what `ended_with` finds if nobody disturbs it.

    `given`: what its folder holds before. `serves`: it runs until it is told to stop.
    """

    name: str
    words: list[str]
    ended_with: Callable[[Path], dict[str, str]] = of_run
    given: str = ''
    serves: bool = False
    expected: dict[str, str] | None = None
    seconds: float = 10.0

    def command(self, folder: Path) -> list[str]:
        return [sys.executable, *(word.replace('FOLDER', str(folder)) for word in self.words)]

    def prepare(self, folder: Path) -> None:
        if self.given:
            shutil.copytree(given(self.given), folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'study.py').write_text(STUDY)

    def start(self, folder: Path, place: Path = ROOT, err: IO | int = subprocess.PIPE) -> subprocess.Popen:
        """Starts the command in a place, as a shell would: with no signal blocked, as they are in this process."""
        return subprocess.Popen(
            self.command(folder), cwd=place, env=os.environ | self.environ(), stdout=subprocess.PIPE, stderr=err, text=True,
            start_new_session=True,
            preexec_fn=functools.partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, signals.STOP),  # noqa: PLW1509
        )  # fmt: skip

    def complete(self, folder: Path) -> str:
        """Runs it to its end and returns the fault; '' if there is none."""
        with tempfile.TemporaryFile('w+') as err:
            process = self.start(folder, err=err)
            if self.serves and (fault := asked(process)):
                return fault
            try:
                process.communicate(timeout=HUNG)
            except subprocess.TimeoutExpired:
                end(process)
                return 'it hung'
            err.seek(0)
            said = err.read()
        return f'exit code {process.returncode}: {said[-1500:]}' if process.returncode or 'Traceback' in said else ''

    def disturb(self, folder: Path, rng: random.Random) -> tuple[str, str]:
        """Starts the command and sends one signal; returns what was sent and the fault, '' if there is none."""
        process = self.start(folder)
        wait, sent = rng.uniform(0, self.seconds), rng.choice(SIGNALS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        whom, what = self.chosen(process, folder, rng)
        what = f'{sent.name} to {what} after {wait:.1f} s' if process.poll() is None else f'{ENDED} before {wait:.1f} s'
        for pid in whom:
            kill(pid, sent)
        if whom:
            SENT[self.name][sent.name] += 1
        if whom and sent == signal.SIGSTOP:
            time.sleep(rng.choice(STOPPED))
            for pid in whom:
                kill(pid, signal.SIGCONT)
            if self.serves:
                process.terminate()
        try:
            _, err = process.communicate(timeout=HUNG)
        except subprocess.TimeoutExpired:
            end(process)
            return what, f'it hung for {HUNG} s'
        if 'Traceback' in err and sent != signal.SIGKILL and not (sent == signal.SIGINT and before_us(err)):
            return what, f'a traceback, exit code {process.returncode}: {err[-1500:]}'
        return what, ''

    def chosen(self, process: subprocess.Popen, folder: Path, rng: random.Random) -> tuple[list[int], str]:
        """Returns the processes that get a signal, and their description."""
        members = family(process.pid)
        whom = members if rng.random() < 0.5 else [rng.choice(members)] if members else []
        return whom, f'{len(whom)} of {len(members)}'

    def environ(self) -> dict[str, str]:
        """Returns what is added to the environment of the command."""
        return {}

    def learn(self) -> None:
        """Runs it undisturbed, to know what it ends with and how long it takes."""
        with tempfile.TemporaryDirectory(prefix='seedwise-fault-') as name:
            folder = Path(name) / 'undisturbed'
            self.prepare(folder)
            self.environ()  # starts what it runs on
            started = time.monotonic()
            fault = self.complete(folder)
            assert not fault, f'{self.name}: {fault}'
            self.seconds = time.monotonic() - started
            self.expected = self.ended_with(folder)


def given(name: str) -> Path:
    """Returns a folder that holds a finished run or study in work/, which is trained once."""
    if name not in GIVEN:
        folder = Path(tempfile.mkdtemp(prefix='seedwise-fault-given-')) / 'given'
        scenario = next(one for one in scenarios() if one.name == name)
        scenario.prepare(folder)
        fault = scenario.complete(folder)
        assert not fault, fault
        GIVEN[name] = folder
    return GIVEN[name]


def forget() -> None:
    """Deletes what `given` made."""
    for folder in GIVEN.values():
        shutil.rmtree(folder.parent, ignore_errors=True)
    GIVEN.clear()


def scenarios() -> list[Scenario]:
    run, work = ['-m', 'trainer.main', *RUN], '--workdir=FOLDER/work'
    study = ['-m', 'trainer.compare', '--study=FOLDER/study.py', work, '--workers=2']
    made = [
        Scenario('run', [*run, work]),
        Scenario('run on two replicas', [*run, work, '--config.replicas=2']),
        Scenario('two workers', ['-m', 'launch', 'local', '--workers=2', '--', sys.executable, *run, work]),
        Scenario('study', study, of_study),
        Scenario('study by rounds', [*study, '--until-decided', '--seeds=5'], of_study),
        Scenario('report', [*study, '--report-only'], of_report, 'study'),
        Scenario('judge', ['-m', 'trainer.judge', 'FOLDER/work', '--report=FOLDER/work/report'], of_report, 'study'),
        Scenario('export', ['-m', 'trainer.export', 'FOLDER/work', '--format=saved_model'], of_export, 'run'),
        Scenario('export to litert', ['-m', 'trainer.export', 'FOLDER/work', '--format=litert'], of_export, 'run'),
        Scenario('serve', ['-m', 'trainer.serve', 'FOLDER/work', '--port=0'], of_run, 'run', serves=True),
    ]
    if (mnist := TEST_DATA / 'mnist').is_dir():
        prepared = [
            f'--config.data.manual_dir={mnist}',
            '--config.data.data_dir=FOLDER/data',
            '--config.data.fallback=',
        ]
        short = [word for word in run if not word.startswith('--config.epochs')]
        words = [*short, work, '--config.data.name=mnist', *prepared, '--config.steps=20']
        made.append(Scenario('preparation of data', words))
    return made


def before_us(said: str) -> bool:
    """Returns whether Ctrl-C came while Python itself started, or loaded what `seedwise.signals.starting` is in."""
    ours = re.findall(rf'File "{ROOT}/(?!\.venv)([^"]+)"', said)
    return not ours or any(re.fullmatch(r'(trainer|launch|data_pipeline)/__init__\.py', file) for file in ours)


def asked(process: subprocess.Popen) -> str:
    """Waits until a server listens, asks it for its page, and tells it to stop; returns the fault."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r'http://\S+', line)
    if not found:
        end(process)
        return f'it does not serve: {line!r}'
    with urllib.request.urlopen(f'{found[0]}/model.json', timeout=60) as answer:
        if 'class_names' not in json.load(answer):
            return 'it answers nothing'
    process.terminate()
    return ''


def family(pid: int) -> list[int]:
    """Returns a process and all that it has started, children last."""
    import psutil

    try:
        parent = psutil.Process(pid)
        return [pid, *(child.pid for child in parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def end(process: subprocess.Popen) -> None:
    for pid in family(process.pid):
        kill(pid, signal.SIGKILL)
    process.communicate()


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def finished(folder: Path) -> dict[Path, int]:
    """Returns the results that there are, and when each was written: no run is trained twice."""
    work = folder / 'work'
    return {path: path.stat().st_mtime_ns for path in (*work.glob('result.json'), *work.glob('*/*/result.json'))}


def trained_again(folder: Path, before: dict[Path, int]) -> str:
    """Returns which of the runs that had finished are gone, or were trained once more; '': none."""
    now = finished(folder)
    again = [str(path) for path, when in before.items() if now.get(path) != when]
    return f'trained again: {again}' if again else ''


def attack(scenario: Scenario, folder: Path, rng: random.Random, most: int = 8) -> tuple[int, str]:
    """Disturbs a command two to `most` times, lets it end, and returns the signals sent and the fault; '': there is none."""
    if scenario.expected is None:
        scenario.learn()
    scenario.prepare(folder)
    history: list[str] = []
    fault = ''
    for _ in range(rng.randint(2, most)):
        results = finished(folder)
        what, fault = scenario.disturb(folder, rng)
        history.append(what)
        if fault := fault or trained_again(folder, results):
            break
        if ENDED in what:
            break
    results = finished(folder)
    fault = fault or scenario.complete(folder) or trained_again(folder, results)
    if not fault and (found := scenario.ended_with(folder)) != scenario.expected:
        fault = f'it ended with {found}, not {scenario.expected}'
    return len(history), f'{scenario.name}: {history}: {fault}' if fault else ''
