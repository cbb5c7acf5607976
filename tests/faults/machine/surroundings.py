"""What a process has around it: files that it may open, cores, a home, memory, /dev/shm, a place to write, and a clock.

A run either ends with its weights, or says in a line what it lacks, or is killed by the kernel and goes on afterwards.
"""

import json
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

from tests.faults import small
from tests.faults.machine import disk, mounts
from tests.helpers import ROOT

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
        'a home that is not there': lambda: os.environ.update(HOME='/nowhere', TMPDIR=str(folder)),
        'no stack': lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20)),
        'small files only': lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    }
    files, room = rng.randint(8, 80), int(10 ** rng.uniform(1, 6))
    if os.geteuid() == 0:
        ways |= {'no /dev/shm': no_shared_memory, 'a read-only install': read_only_install}
        if group := next((path for path in GROUPS if (path / 'memory.limit_in_bytes').exists()), None):
            ways['little memory'] = lambda: little_memory(group, megabytes << 20)
    if disk.LOADED in os.environ:
        ways['the clock jumps'] = lambda: disk.shim().clock_set(rng.choice([-DAY, DAY, 30 * DAY]), rng.randint(0, 300))
    megabytes = int(10 ** rng.uniform(1, 3))
    what = rng.choice([*ways])
    workdir = folder / 'run'
    ended = small.train(workdir, before=ways[what])
    if ended.code == mounts.NOT_ALLOWED:
        return 0, ''
    what += {
        'few open files': f' ({files})',
        'small files only': f' ({room} B)',
        'little memory': f' ({megabytes} MiB)',
    }.get(what, '')
    if ended.code is not None and ended.code < 0 and 'little memory' in what:
        pass  # the kernel ended it
    elif fault := ended.fault((0,)):
        return 1, f'{what}: {fault}: {(ended.out + ended.err)[-2500:]}'
    if ended.code == 0:
        seconds = json.loads((workdir / 'result.json').read_text())['seconds']
        if not all(0 <= value < 1000 for value in seconds.values()):
            return 1, f'{what}: {seconds}'
    fault = small.continued(workdir)
    return 1, f'{what}: {fault}' if fault else ''


def no_shared_memory() -> None:
    mounts.own()
    mounts.mount('none', '/dev/shm', 'tmpfs', mounts.READ_ONLY)


def read_only_install() -> None:
    mounts.own()
    mounts.mount(str(ROOT), str(ROOT), None, mounts.BIND)
    mounts.mount('none', str(ROOT), None, mounts.BIND | mounts.REMOUNT | mounts.READ_ONLY)


def little_memory(root: Path, limit: int) -> None:
    """Puts this process into a control group that may use so much more memory than it shares with its parent."""
    group = root / GROUP
    group.mkdir(exist_ok=True)
    (group / 'memory.limit_in_bytes').write_text(str(limit))
    (group / 'cgroup.procs').write_text(str(os.getpid()))
