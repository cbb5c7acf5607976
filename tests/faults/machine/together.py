"""Several processes at once: on one run, on one study and its shards, and on one data set. Nothing is lost or doubled.

Also where the file system has no locks or they lock nothing, and by two users.
"""

import errno
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import forked, small
from tests.faults.machine import disk, users
from tests.helpers import ROOT, TEST_DATA


def act(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Starts several at once; returns (how many, the fault)."""
    ways = [runs, studies, shards, *([preparations] if (TEST_DATA / 'mnist').is_dir() else [])]
    if disk.LOADED in os.environ:
        ways += [without_locks]
    if os.geteuid() == 0:
        ways += [users.act]
    way = rng.choice(ways)
    if way in (without_locks, users.act):
        tried, fault = way(folder, rng)
        return tried, f'{way.__name__}: {fault}' if fault else ''
    count = rng.choice([2, 3, 10] if way is shards else [2, 2, 3, 4])
    fault = way(folder, count)
    return count, f'{way.__name__}, {count} at once: {fault}' if fault else ''


def _wrong(ended: list[forked.Ended], codes: tuple[int, ...], words: str) -> str:
    """Returns what is wrong with how the processes ended: a mistake they may report is that another one is at work."""
    for one in ended:
        if fault := one.fault(codes):
            return f'{fault}: {(one.out + one.err)[-1500:]}'
        if one.code == 2 and words not in one.err:
            return one.err[-500:]
    return ''


def runs(folder: Path, count: int) -> str:
    small.finished()
    with ThreadPoolExecutor(count) as pool:
        ended = list(pool.map(lambda _: small.train(folder / 'run', wait=300), range(count)))
    if all(one.code for one in ended):
        return 'none of them ended well'
    return _wrong(ended, (0,), 'in use by another process') or small.continued(folder / 'run')


def studies(folder: Path, count: int) -> str:
    small.study()
    with ThreadPoolExecutor(count) as pool:
        ended = list(pool.map(lambda _: small.compare(folder), range(count)))
    return _wrong(ended, (0, 1), 'in use') or small.continued_study(folder, folder / 'work')


def shards(folder: Path, count: int) -> str:
    small.study()
    with ThreadPoolExecutor(count) as pool:
        ended = list(pool.map(lambda i: small.compare(folder, shard=f'{i}/{count}'), range(count)))
    return _wrong(ended, (0, 1), 'in use') or small.continued_study(folder, folder / 'work')


def preparations(folder: Path, count: int) -> str:
    flags = ['--dataset=mnist', f'--manual_dir={TEST_DATA}/mnist', f'--data_dir={folder}/data']
    command = [sys.executable, '-m', 'data_pipeline.prepare', *flags]

    def prepare(_: int) -> subprocess.CompletedProcess:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)

    with ThreadPoolExecutor(count) as pool:
        done = list(pool.map(prepare, range(count)))
    return next((one.stderr[-1500:] for one in done if one.returncode), '') or (
        '' if len({one.stdout for one in done}) == 1 else f'they differ: {[one.stdout for one in done]}'
    )


def without_locks(folder: Path, rng: random.Random) -> tuple[int, str]:
    """A file system that refuses locks, or gives them to everybody: one command works, and several leave what is whole.

    Two that write one run at once may end with one line. Then the same command ends with the same weights.
    """
    error, count, study = (
        rng.choice([0, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP]),
        rng.choice([1, 2, 3]),
        rng.random() < 0.4,
    )

    def unlocked() -> None:
        disk.shim().locks_set(error)
        os.environ.update(LD_PRELOAD=disk.with_shim(os.environ[disk.LOADED]), SEEDWISE_FAULTS_LOCKS=str(error))

    small.study() if study else small.finished()
    with ThreadPoolExecutor(count) as pool:
        if study:
            ended = list(pool.map(lambda _: small.compare(folder, before=unlocked), range(count)))
        else:
            ended = list(pool.map(lambda _: small.train(folder / 'run', wait=300, before=unlocked), range(count)))
    what = f'{count} {"studies" if study else "runs"}, {errno.errorcode.get(error, "no lock")}'
    for one in ended:
        if (fault := one.fault((0, 1) if study else (0,))) or (count == 1 and one.code):
            return count, f'{what}: {fault}: {(one.out + one.err)[-2500:]}'
        if error and not one.code and 'has no locks' not in one.err:
            return count, f'{what}: nothing says that there are no locks: {one.err}'
    fault = small.continued_study(folder, folder / 'work') if study else small.continued(folder / 'run')
    return count, f'{what}: {fault}' if fault else ''
