"""Tries to break the commands for a given time, and reports what was tried and what was found:

python -m tests.faults.campaign --minutes=30 --seed=1 [--only=runs,kills,...] [--examples=N]

Parts: what a command is given (`runs`, `studies`, `tables`, `hostile`) is drawn by hypothesis; the others act on a command
or on its folder (`kills`, ...). Parts take turns, a share of the time each. Exit codes: 0 nothing was found, 1 some fault.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from tests.faults import (
    differential,
    disk,
    figures,
    files,
    forked,
    hostile,
    inputs,
    kills,
    lines,
    small,
    surroundings,
    together,
)
from tests.helpers import ROOT

#: What is tried once: an own folder and a source of chance -> (how many faults were made, what is wrong with what came of
#: them; '' if nothing is).
Act = Callable[[Path, random.Random], tuple[int, str]]


def drawn(strategy: st.SearchStrategy, check: Callable[..., str]) -> Act:
    """Returns what draws one value, and checks what a command makes of it."""

    def act(folder: Path, rng: random.Random) -> tuple[int, str]:
        faults: list[str] = []

        @hypothesis.seed(rng.getrandbits(64))
        @hypothesis.settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(strategy)
        def each(value):
            own = Path(tempfile.mkdtemp(dir=folder))
            if fault := check(value, own):
                faults.append(f'{value!r}\n{fault}')
            shutil.rmtree(own, ignore_errors=True)

        each()
        return BATCH, '\n'.join(faults)

    return act


BATCH = 5


def parts() -> Mapping[str, Act]:
    """Returns what there is to try."""
    known = kills.scenarios()
    tables = st.tuples(inputs.tables(), st.sampled_from(inputs.JUDGE_FLAGS))
    return {
        'runs': drawn(inputs.run_arguments(), inputs.check_run),
        'studies': drawn(inputs.study_files(), inputs.check_study),
        'tables': drawn(tables, lambda pair, folder: inputs.check_table(*pair, folder)),
        'differential': drawn(differential.runs(), differential.check),
        'lines': drawn(lines.lines(), lines.check_line),
        'readers': lines.read,
        'hostile': drawn(hostile.tables(), hostile.check),
        'disk': disk.act,
        'files': files.act,
        'together': together.act,
        'surroundings': surroundings.act,
        'figures': figures.act,
        'kills': lambda folder, rng: kills.attack(rng.choice(known), folder / 'disturbed', rng),
    }


def campaign(
    names: list[str], minutes: float, seed: int, examples: int, tried: Counter, found: dict[str, list[str]]
) -> None:
    """Lets parts take turns until the time is over; notes how much each tried, and what it found.

    The part that has had the least time is next, so that each has the same share of it.
    """
    known = parts()
    started, spent, turns = time.monotonic(), dict.fromkeys(names, 0.0), Counter()
    while time.monotonic() - started < 60 * minutes:
        left = [name for name in names if tried[name] < examples]
        if not left:
            break
        name = min(left, key=lambda one: spent[one])
        began, where = time.monotonic(), f'{name}, seed {seed}, turn {turns[name]}'
        with tempfile.TemporaryDirectory(prefix='seedwise-fault-', ignore_cleanup_errors=True) as folder:
            made, fault = known[name](Path(folder), random.Random(where))
        turns[name] += 1
        tried[name] += made
        spent[name] += time.monotonic() - began
        if fault:
            found[name].append(f'{where}: {fault}')
            print(found[name][-1], flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=60)
    parser.add_argument('--examples', type=int, default=10**9, help='of each part, after which it ends')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', default='', help=f'parts, with commas between; of {", ".join(parts())}; all')
    flags = parser.parse_args()
    names = flags.only.split(',') if flags.only else [*parts()]
    if unknown := set(names) - parts().keys():
        parser.error(f'unknown part {", ".join(sorted(unknown))}: accepted are {", ".join(parts())}')
    if {'disk', 'surroundings'} & set(names):
        disk.preloaded()
    os.chdir(ROOT)
    forked.imported()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the summary is printed
    started, tried, found = time.monotonic(), Counter(), {name: [] for name in names}
    try:
        campaign(names, flags.minutes, flags.seed, flags.examples, tried, found)
    except KeyboardInterrupt:
        print('interrupted')
    finally:
        kills.forget()
        small.forget()
    minutes = (time.monotonic() - started) / 60
    print(
        f'\nseed {flags.seed}, {minutes:.0f} minutes\n\n| part | tried | survived | found |\n| --- | --- | --- | --- |'
    )
    for name in names:
        print(f'| {name} | {tried[name]:,} | {tried[name] - len(found[name]):,} | {len(found[name])} |')
    print(f'\nfound: {sum(map(len, found.values()))}')
    return 1 if any(found.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
