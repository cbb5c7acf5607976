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

from tests.faults import disk, small
from tests.helpers import ROOT

#: Where Linux keeps control groups of memory, version 1 and 2.
GROUPS = (Path('/sys/fs/cgroup/memory'), Path('/sys/fs/cgroup'))

GROUP = 'seedwise-fault'

#: Exit code of a process that may not change its surroundings here: nothing was tried.
NOT_ALLOWED = 77

DAY = 86400

#: Of <sched.h> and <sys/mount.h>.
NEW_MOUNTS, READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18


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
    if ended.code == NOT_ALLOWED:
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


def _mounted(source: str, place: str, kind: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    encoded = kind.encode() if kind else None
    if libc.mount(source.encode(), place.encode(), encoded, ctypes.c_ulong(flags), None):
        raise SystemExit(NOT_ALLOWED)


def _own_mounts() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS):
        raise SystemExit(NOT_ALLOWED)
    _mounted('none', '/', None, RECURSIVE | PRIVATE)


def no_shared_memory() -> None:
    _own_mounts()
    _mounted('none', '/dev/shm', 'tmpfs', READ_ONLY)


def read_only_install() -> None:
    _own_mounts()
    _mounted(str(ROOT), str(ROOT), None, BIND)
    _mounted('none', str(ROOT), None, BIND | REMOUNT | READ_ONLY)


def little_memory(root: Path, limit: int) -> None:
    """Puts this process into a control group that may use so much more memory than it shares with its parent."""
    group = root / GROUP
    group.mkdir(exist_ok=True)
    (group / 'memory.limit_in_bytes').write_text(str(limit))
    (group / 'cgroup.procs').write_text(str(os.getpid()))
