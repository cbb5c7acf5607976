"""What a process has around it: files that it may open, cores, a home, memory, /dev/shm, a place to write, and a clock.

A run either ends with its weights, or says in a line what it lacks, or is killed by the kernel and goes on afterwards.
"""

import ctypes
import json
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

from tests.faults import small
from tests.faults.machine import disk, mounts
from tests.helpers import ROOT, hashes

#: Where Linux keeps control groups of memory, version 1 and 2.
GROUPS = (Path('/sys/fs/cgroup/memory'), Path('/sys/fs/cgroup'))

GROUP = 'seedwise-fault'

DAY = 86400


def act(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Trains a run in other surroundings; returns (1, the fault)."""
    ways: dict[str, Callable[[], object]] = {
        'few open files': lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
        'one core': lambda: os.sched_setaffinity(0, {rng.choice([*os.sched_getaffinity(0)])}),
        'no home': lambda: [os.environ.pop(name, None) for name in ('HOME', 'USER', 'LOGNAME', 'XDG_CACHE_HOME')],
        'a home that is not there': lambda: os.environ.update(HOME='/proc/none', TMPDIR=str(folder)),
        'no stack': lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20)),
        'small files only': lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
        'little address space': lambda: little_address_space(megabytes << 20),
    }
    files, room = rng.randint(8, 80), int(10 ** rng.uniform(1, 6))
    if os.geteuid() == 0:
        ways |= {'no /dev/shm': no_shared_memory, 'a read-only install': read_only_install}
        if group := next((path for path in GROUPS if (path / 'memory.limit_in_bytes').exists()), None):
            ways['little memory'] = lambda: little_memory(group, megabytes << 20)
        if Path('/proc/self/timens_offsets').exists():
            ways['30 days of uptime'] = long_ago
    if disk.LOADED in os.environ:
        ways['the clock jumps'] = lambda: clock_jumps(jump, after)
    megabytes = int(10 ** rng.uniform(1, 3))
    jump, after = rng.choice([-DAY, DAY, 30 * DAY]), int(10 ** rng.uniform(0, 3))
    what = rng.choice([*ways])
    if what in ('30 days of uptime', 'the clock jumps') and rng.random() < 0.5:
        what, fault = budgeted(folder, f'{what} ({jump} s, {after})' if 'clock' in what else what, ways[what])
        return 1, f'{what}: {fault}' if fault else ''
    workdir = folder / 'run'
    ended = small.train(workdir, before=ways[what])
    if ended.code == mounts.NOT_ALLOWED:
        return 0, ''
    what += {
        'few open files': f' ({files})',
        'small files only': f' ({room} B)',
        'little memory': f' ({megabytes} MiB)',
        'little address space': f' ({megabytes} MiB more)',
        'the clock jumps': f' ({jump} s, after {after} looks at it)',
    }.get(what, '')
    if ended.code is not None and ended.code < 0 and what.startswith('little'):
        pass  # the kernel ended it, or TensorFlow did when it was given no memory
    elif fault := ended.fault((0,)):
        return 1, f'{what}: {fault}: {(ended.out + ended.err)[-2500:]}'
    if ended.code == 0:
        seconds = json.loads((workdir / 'result.json').read_text())['seconds']
        if not all(0 <= value < 1000 for value in seconds.values()):
            return 1, f'{what}: {seconds}'
    fault = small.continued(workdir)
    return 1, f'{what}: {fault}' if fault else ''


def budgeted(folder: Path, what: str, before: Callable[[], object]) -> tuple[str, str]:
    """A study that has an hour, which the clock of the day does not use up or add to; returns what was tried, the fault."""
    small.study()
    what = f'study, {what}'
    ended = small.compare(folder, flags=('--budget=1h',), before=before)
    if ended.code == mounts.NOT_ALLOWED:
        return what, ''
    if (fault := ended.fault((0,))) or ended.code:
        return what, f'{fault}: {(ended.out + ended.err)[-2500:]}'
    return what, '' if hashes(folder / 'work') == hashes(small.study() / 'work') else 'other runs, or other weights'


def clock_jumps(seconds: int, after: int) -> None:
    """Lets the clock of the day jump after so many looks at it, in this process and in each that it starts."""
    disk.shim().clock_set(ctypes.c_long(seconds), ctypes.c_long(after))
    os.environ.update(LD_PRELOAD=disk.with_shim(os.environ[disk.LOADED]), SEEDWISE_FAULTS_CLOCK=f'{seconds},{after}')


def long_ago() -> None:
    """Lets this machine have been started 30 days earlier: the monotonic clocks say so to a child, which goes on."""
    mounts.unshare(mounts.NEW_TIME)
    Path('/proc/self/timens_offsets').write_text(f'monotonic {30 * DAY} 0\nboottime {30 * DAY} 0\n')
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(code if code >= 0 else 128 - code)


def no_shared_memory() -> None:
    mounts.own()
    mounts.mount('none', '/dev/shm', 'tmpfs', mounts.READ_ONLY)


def read_only_install() -> None:
    mounts.own()
    mounts.mount(str(ROOT), str(ROOT), None, mounts.BIND)
    mounts.mount('none', str(ROOT), None, mounts.BIND | mounts.REMOUNT | mounts.READ_ONLY)


def little_address_space(more: int) -> None:
    """Lets this process take so many bytes more than it has (`ulimit -v`)."""
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (limit := pages * resource.getpagesize() + more, limit))


def little_memory(root: Path, limit: int) -> None:
    """Puts this process into a control group that may use so much more memory than it shares with its parent."""
    group = root / GROUP
    group.mkdir(exist_ok=True)
    (group / 'memory.limit_in_bytes').write_text(str(limit))
    (group / 'cgroup.procs').write_text(str(os.getpid()))
