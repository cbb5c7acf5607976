"""Two workers, each in a network namespace of its own, started as by hand on two machines: nobody ends or restarts them."""

import ctypes
import json
import os
import re
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.faults import forked
from tests.faults.networks.wire import ENDS, Wire
from tests.helpers import ROOT, last_checkpoint

#: What the workers know each other by: names, as on a cluster, and the port that examples of TF_CONFIG have.
NAMES = ('first.example', 'second.example')
ADDRESSES = tuple(f'{name}:2222' for name in NAMES)

#: Seconds in which a lost worker is found out, as docs/launch.md says, and what this may take longer on busy cores.
LOST, SLACK = 30, 15

#: Seconds for which workers wait here for one that does not come (SEEDWISE_START_SECONDS).
START = 15

#: Seconds after which two workers that nobody cut off for good count as hung.
HUNG = 400

#: 88 steps, with dropout.
RUN = (
    f'--config={ROOT}/configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100',
    '--config.model.hidden=(32,)', '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=7',
    '--config.threads=1', '--config.epochs=8', '--config.steps_per_call=1',
)  # fmt: skip

#: Bytes of address space that a worker may take.
MEMORY = 12 << 30

#: Of <sched.h> and <sys/mount.h>.
NEW_MOUNTS, NEW_NET, BIND, RECURSIVE, PRIVATE = 0x20000, 0x40000000, 4096, 16384, 1 << 18


def hosts(known: dict[str, str]) -> str:
    return ''.join(f'{address} {name}\n' for name, address in {'localhost': '127.0.0.1', **known}.items())


TRUE_HOSTS = dict(zip(NAMES, ENDS, strict=True))


def _enter(namespace: str, files: dict[Path, str]) -> None:
    """Moves this process into a network namespace, where it sees its own files in the place of the system's."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f'/run/netns/{namespace}', 'rb') as file:
        done = [libc.setns(file.fileno(), NEW_NET), libc.unshare(NEW_MOUNTS)]
    done.append(libc.mount(b'none', b'/', None, ctypes.c_ulong(RECURSIVE | PRIVATE), None))
    for own, place in files.items():
        done.append(libc.mount(os.fsencode(own), place.encode(), None, ctypes.c_ulong(BIND), None))
    assert not any(done), os.strerror(ctypes.get_errno())


@dataclass
class Worker:
    """A process that was started. `code`: its exit code; below 0: minus the signal that killed it; None: it runs."""

    index: int
    pid: int
    err: IO
    code: int | None = None

    def poll(self) -> bool:
        """Returns whether it runs."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code is None

    def kill(self) -> None:
        """Kills it, and returns when it is gone."""
        self.signal(signal.SIGKILL)
        while self.poll():
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        if self.poll():
            os.kill(self.pid, number)

    @property
    def said(self) -> str:
        self.err.seek(0)
        return self.err.read().decode('utf-8', 'replace')

    def fault(self, codes: tuple[int, ...], told: str = '') -> str:
        """Returns what is wrong with how it ended. `told`: what its line of error must match, if it ends with code 1."""
        code, said = self.code, self.said
        shown = f'worker {self.index}: {said[-3000:]}'
        if code is None:
            return f'it hung: {shown}'
        if 'Traceback' in said:
            return f'a traceback, exit code {code}: {shown}'
        if code not in codes:
            return f'exit code {code}: {shown}'
        lines = [line for line in said.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith('error: ')]
        if code == 1 and (errors != lines[-1:] or not re.search(told, errors[0])):
            return f'no line that says {told!r}: {shown}'
        return ''


@dataclass
class Pair:
    """The two workers of a run in `folder`/run. `names`: what each of them takes the two names for."""

    folder: Path
    wire: Wire
    workers: dict[int, Worker] = field(default_factory=dict)
    #: Where names are asked for that are not in a worker's file of hosts: '' answers at once that there is nobody to ask.
    nameserver: str = ''
    #: Whether it is only a matter of moments whether they still need each other.
    near_the_end: bool = False
    #: For which they wait for each other: shorter where one waits in vain.
    start_seconds: int = 60

    def know(self, index: int, known: dict[str, str]) -> None:
        """Sets what a worker's names mean, also while it runs."""
        with (self.folder / f'hosts{index}').open('r+' if (self.folder / f'hosts{index}').exists() else 'w') as file:
            file.write(hosts(known))  # the same file stays in its place: it may be mounted
            file.truncate()

    def start(self, *indices: int) -> None:
        for index in indices or (0, 1):
            if not (self.folder / f'hosts{index}').exists():
                self.know(index, TRUE_HOSTS)
            resolver = self.folder / 'resolv.conf'
            resolver.write_text(f'nameserver {self.nameserver or "127.0.0.1"}\noptions timeout:5 attempts:2\n')
            task = {'cluster': {'worker': ADDRESSES}, 'task': {'type': 'worker', 'index': index}}
            environ = {'TF_CONFIG': json.dumps(task), 'SEEDWISE_START_SECONDS': str(self.start_seconds)}
            files = {self.folder / f'hosts{index}': '/etc/hosts', resolver: '/etc/resolv.conf'}
            err = (self.folder / f'said{index}-{time.monotonic_ns()}').open('w+b')
            pid = os.fork()
            if not pid:
                forked.child(
                    'trainer.main', [*RUN, f'--workdir={self.folder / "run"}'], err, err, MEMORY, ROOT,
                    lambda: (os.environ.update(environ), _enter(self.wire.names[index], files)),  # noqa: B023
                )  # fmt: skip
            self.workers[index] = Worker(index, pid, err)

    def wait(self, seconds: float, *indices: int) -> None:
        """Waits until the workers have ended, for `seconds` at the most."""
        waited = [self.workers[index] for index in indices or self.workers]
        end = time.monotonic() + seconds
        while [one for one in waited if one.poll()] and time.monotonic() < end:
            time.sleep(0.05)

    def trains(self, seconds: float = HUNG) -> bool:
        """Waits for a new checkpoint; returns whether there was one before a worker ended."""
        before, end = last_checkpoint(self.folder / 'run'), time.monotonic() + seconds
        while last_checkpoint(self.folder / 'run') <= before:
            if time.monotonic() > end or not all(one.poll() for one in self.workers.values()):
                return False
            time.sleep(0.02)
        return True

    def end(self) -> None:
        """Ends what runs, and forgets it."""
        for worker in self.workers.values():
            worker.kill()
            worker.err.close()
        self.workers.clear()

    def finished(self) -> str:
        """Returns the digest of the final weights, '' if there is no result."""
        file = self.folder / 'run' / 'result.json'
        return json.loads(file.read_text())['weights_sha256'] if file.exists() else ''
