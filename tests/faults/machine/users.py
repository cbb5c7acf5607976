"""Two users on one folder, with and without the rights of a group: they share the work, or one line says what may not be.

Linux, root: forks become other users.
"""

import os
import random
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import forked, small
from tests.faults.machine import mounts
from tests.helpers import ROOT

#: Users and a group of no name; both users are in the group.
FIRST, SECOND, GROUP = 64001, 64002, 64001


def become(user: int, umask: int) -> Callable[[], None]:
    """Returns what makes a fork a process of a user, in the group."""

    def change() -> None:
        open_to_all([Path(sys.base_prefix), Path(sys.prefix), ROOT])
        os.umask(umask)
        os.environ.update(HOME='/proc/none')
        os.setgroups([])
        os.setgid(GROUP)
        os.setuid(user)

    return change


def open_to_all(needed: list[Path]) -> None:
    """Lets any user of this process's own mounts reach folders below one that is root's alone, as Python's may be."""
    closed: dict[Path, list[Path]] = {}
    for folder in needed:
        for above in [*reversed(folder.resolve().parents)]:
            if not above.stat().st_mode & 0o001:
                closed.setdefault(above, []).append(folder.resolve())
                break
    mounts.own()
    for above, folders in closed.items():
        kept = [tempfile.mkdtemp(prefix='seedwise-fault-mount-') for _ in folders]
        for folder, place in zip(folders, kept, strict=True):
            mounts.mount(str(folder), place, None, mounts.BIND)
        mounts.mount('none', str(above), 'tmpfs', 0)
        for folder, place in zip(folders, kept, strict=True):
            folder.mkdir(parents=True)
            mounts.mount(place, str(folder), None, mounts.MOVE)
            os.rmdir(place)


def act(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Lets two users work on a run or a study; returns (2, the fault)."""
    shared, study, at_once = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.5
    killed = rng.random() < 0.5
    small.study() if study else small.finished()
    umask = 0o002 if shared else 0o022
    folder.chmod(0o755)
    place = folder / 'place'
    place.mkdir()
    os.chown(place, FIRST, GROUP)
    place.chmod(0o2775 if shared else 0o755)
    workdir = place / 'work'

    def work(user: int, until: Callable[[], bool] = lambda: False) -> forked.Ended:
        options = {'before': become(user, umask), 'until': until}
        return small.compare(folder, workdir, **options) if study else small.train(workdir, wait=300, **options)

    what = f'{"study" if study else "run"}, {"group" if shared else "no"} rights, {"at once" if at_once else "in turn"}'
    if at_once:
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(work, (FIRST, SECOND)))
    else:
        stop = (lambda: any(workdir.rglob('step-3.index'))) if killed else (lambda: False)
        first = work(FIRST, stop)
        ended = [*([] if first.code == -9 else [first]), work(SECOND)]
        what += ', killed' if killed else ''
        if shared and ended[-1].code:
            return 2, f'{what}: the second user cannot go on: {(ended[-1].out + ended[-1].err)[-2500:]}'
    for one in ended:
        if fault := one.fault((0, 1) if study else (0,)):
            return 2, f'{what}: {fault}: {(one.out + one.err)[-2500:]}'
    last = work(FIRST)
    if last.code:
        return 2, f'{what}: the first user cannot go on: {(last.out + last.err)[-2500:]}'
    for user in (FIRST, SECOND):  # who may read may judge
        ended_well = forked.run('trainer.judge', [str(workdir)], before=become(user, umask))
        if fault := ended_well.fault((0, 1, 3)):
            return 2, f'{what}: judge: {fault}: {(ended_well.out + ended_well.err)[-2500:]}'
    fault = small.continued_study(folder, workdir) if study else small.continued(workdir)
    return 2, f'{what}: {fault}' if fault else ''
