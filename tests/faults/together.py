"""Several processes at once: on one run, on one study and its shards, and on one data set. Nothing is lost or doubled."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import forked, small
from tests.helpers import ROOT, TEST_DATA


def act(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Starts several at once; returns (how many, the fault)."""
    ways = [runs, runs, studies, shards, *([preparations] if (TEST_DATA / 'mnist').is_dir() else [])]
    way, count = rng.choice(ways), rng.choice([2, 2, 3, 4])
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
