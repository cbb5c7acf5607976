"""A disk that is full, cannot be read or written, or goes away: at any of the operations of a run or a study.

A shim (shim.c), which `preloaded` has the process load before the C library, makes the n-th operation on a folder fail in a
fork; file systems of their own fill up (Linux, root). When the fault is lifted, the same command ends with the same weights.
"""

import ctypes
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.faults import small
from tests.trainer.disks import Disk

#: Loaded shim: its path, for the process that is started again.
LOADED = 'SEEDWISE_FAULTS_SHIM'

READ, WRITE, OPEN = 1, 2, 4

#: What fails -> the operations, the error, whether for good.
FAULTS = {
    'full': (WRITE, errno.ENOSPC, True),
    'full for a moment': (WRITE, errno.ENOSPC, False),
    'quota': (WRITE | OPEN, errno.EDQUOT, True),
    'broken for writing': (WRITE, errno.EIO, True),
    'read-only from then on': (WRITE | OPEN, errno.EROFS, True),
    'broken for reading': (READ, errno.EIO, True),
    'one read fails': (READ, errno.EIO, False),
    'slow': (READ | WRITE | OPEN, 0, True),
}

#: Operations on its folder that the small run makes, or pages that it fills; more is harmless.
MOST = 400


def preloaded() -> None:
    """Starts this process again with the shim, if there is a C compiler; returns where that has been done, or cannot be.

    It is loaded before what LD_PRELOAD names already. What this process starts gets LD_PRELOAD as it was.
    """
    if library := os.environ.get(LOADED):
        if others := os.environ['LD_PRELOAD'].removeprefix(library).lstrip(':'):
            os.environ['LD_PRELOAD'] = others
        else:
            del os.environ['LD_PRELOAD']
        return
    if not shutil.which('cc'):
        return
    library = Path(tempfile.mkdtemp(prefix='seedwise-fault-shim-')) / 'shim.so'
    source = Path(__file__).with_name('shim.c')
    subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-o', str(library), str(source), '-ldl'], check=True)
    os.execve(sys.executable, sys.orig_argv, os.environ | {'LD_PRELOAD': with_shim(str(library)), LOADED: str(library)})


def with_shim(library: str) -> str:
    """Returns LD_PRELOAD for a process that is to load the shim."""
    return ':'.join(filter(None, [library, os.environ.get('LD_PRELOAD')]))


def forget() -> None:
    """Deletes the shim."""
    if library := os.environ.pop(LOADED, None):
        shutil.rmtree(Path(library).parent, ignore_errors=True)


def shim() -> ctypes.CDLL:
    return ctypes.CDLL(os.environ[LOADED])


def failing(folder: Path, kind: str, nth: int) -> None:
    """Makes the n-th operation of a kind on a folder fail, in this process; `slow`: each takes n tenths of a ms longer."""
    which, number, lasting = FAULTS[kind]
    shim().fault_set(os.fsencode(folder), which, number, ctypes.c_long(nth if number else 100 * nth), int(lasting))


def act(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Breaks the disk once, and returns (1, the fault)."""
    ways = [gone, *([shimmed] * 4 if LOADED in os.environ else []), *([small_disk] * 2 if os.geteuid() == 0 else [])]
    way = rng.choice(ways)
    what, fault = way(folder, rng)
    return 1, f'{what}: {fault}' if fault else ''


#: Tries in which a disk grows to what a run or a study takes in the end; it takes more on the way.
TRIES = 30


def growing(folder: Path, rng: random.Random) -> tuple[int, str]:
    """A file system that is full, and one step larger for each try: every write in turn is the one that finds no room.

    The same command goes on from what the last try left, and ends with the same weights. A step is several pages of 4 KiB;
    the page where it begins is drawn, so that many turns try each page. Returns (tries, the fault).
    """
    place, study = folder / 'disk', rng.random() < 0.3
    whole = small.study() / 'work' if study else small.finished()
    step = max(4, sum(file.stat().st_size for file in whole.rglob('*') if file.is_file()) // 1024 // TRIES // 4 * 4)
    size, tries = 4 * rng.randint(1, step // 4), 0
    what = f'{"study" if study else "run"} on a disk of {size} KiB, and {step} more each time'
    place.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', f'size={size}k', 'none', str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        return 0, ''
    try:
        while True:
            ended = small.compare(folder, place / 'work') if study else small.train(place / 'run')
            tries += 1
            if (fault := ended.fault((0, 1) if study else (0,))) or tries == MOST:
                return tries, f'{what}, at {size} KiB: {fault or "no end"}: {(ended.out + ended.err)[-2500:]}'
            if not ended.code:
                break
            size += step
            Disk(place).remount(f'size={size}k')
        Disk(place).remount('size=200m')  # a report that is written again takes the room of two
        fault = small.continued_study(folder, place / 'work') if study else small.continued(place / 'run')
        return tries, f'{what}: {fault}' if fault else ''
    finally:
        subprocess.run(['umount', '--lazy', str(place)], check=False)


def shimmed(folder: Path, rng: random.Random) -> tuple[str, str]:
    kind, nth = rng.choice([*FAULTS]), int(MOST ** rng.random())
    workdir = folder / 'run'
    if FAULTS[kind][0] == READ:
        shutil.copytree(small.unfinished(), workdir)
        nth = int(40 ** rng.random())
    ended = small.train(workdir, before=lambda: failing(folder, kind, nth))
    what = f'slow by {nth / 10} ms' if kind == 'slow' else f'{kind} at operation {nth}'
    if ended.code == -signal.SIGSEGV and kind == 'one read fails':
        pass  # TensorFlow 2.21 does that where it opens a checkpoint (py_checkpoint_reader.NewCheckpointReader)
    elif fault := ended.fault((0,)):
        return what, f'{fault}: {(ended.out + ended.err)[-2500:]}'
    return what, small.continued(workdir)


def small_disk(folder: Path, rng: random.Random) -> tuple[str, str]:
    """A file system that has room for a part of it."""
    place = folder / 'disk'
    place.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=200m', 'none', str(place)], capture_output=True).returncode:
        return 'small disk', ''
    try:
        disk, study, room = Disk(place), rng.random() < 0.3, int(4000 ** rng.random())
        disk.leave(room)
        ended = small.compare(folder, place / 'work') if study else small.train(place / 'run')
        what = f'{"study" if study else "run"} with {room} KiB of room'
        if fault := ended.fault((0, 1)):
            return what, f'{fault}: {(ended.out + ended.err)[-2500:]}'
        disk.make_space()
        return what, small.continued_study(folder, place / 'work') if study else small.continued(place / 'run')
    finally:
        subprocess.run(['umount', '--lazy', str(place)], check=False)


def gone(folder: Path, rng: random.Random) -> tuple[str, str]:
    """The folder is deleted, or made read-only by its owner's leave, while a run works in it."""
    workdir, wait = folder / 'run', rng.uniform(0, 2)
    how = rng.choice(['run', 'checkpoints', 'tensorboard'])

    def delete() -> None:
        time.sleep(wait)
        shutil.rmtree(workdir if how == 'run' else workdir / how, ignore_errors=True)

    thread = threading.Thread(target=delete)
    thread.start()
    ended = small.train(workdir)
    thread.join()
    what = f'{how} deleted after {wait:.2f} s'
    if fault := ended.fault((0,)):
        return what, f'{fault}: {(ended.out + ended.err)[-2500:]}'
    return what, small.continued(workdir)
