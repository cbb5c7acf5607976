"""Tries to break the commands for a given time, and reports what was tried and what was found:

python -m tests.faults.campaign --minutes=30 --seed=1 [--only=runs,studies,tables,kills]
"""

import argparse
import itertools
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from tests.faults import forked, inputs, kills
from tests.helpers import ROOT

#: What is tried -> (what is drawn, what is done with it and a folder).
PARTS = {
    'runs': (inputs.run_arguments(), inputs.check_run),
    'studies': (inputs.study_files(), inputs.check_study),
    'tables': (
        st.tuples(inputs.tables(), st.sampled_from(inputs.JUDGE_FLAGS)),
        lambda drawn, folder: inputs.check_table(*drawn, folder),
    ),
}
BATCH = 10
KILLS = 'kills'


def attack(part: str, seed: int, until: float, tried: Counter, found: list[str]) -> None:
    """Tries a batch of inputs of one part."""
    drawn, check = PARTS[part]

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(drawn)
    def each(value):
        if time.monotonic() > until:
            return
        folder = Path(tempfile.mkdtemp(prefix='seedwise-fault-'))
        try:
            fault = check(value, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        tried[part] += 1
        if fault:
            found.append(f'{part}, seed {seed}: {value!r}\n{fault}')
            print(found[-1], flush=True)

    each()


def kill(known: list[kills.Scenario], rng: random.Random, tried: Counter, found: list[str]) -> None:
    """Disturbs one command, which the first time is run undisturbed."""
    with tempfile.TemporaryDirectory(prefix='seedwise-fault-') as name:
        folder = Path(name)
        if not known:
            for scenario in kills.scenarios():
                scenario.learn(folder / scenario.name.replace(' ', '_'))
                known.append(scenario)
        signals, fault = kills.attack(rng.choice(known), folder / 'disturbed', rng)
    tried[KILLS] += signals
    if fault:
        found.append(f'kills: {fault}')
        print(found[-1], flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=60)
    parser.add_argument('--examples', type=int, default=10**9, help='of each part, after which it ends; not of kills')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', default=','.join([*PARTS, KILLS]), help='parts, with commas between')
    flags = parser.parse_args()
    os.chdir(ROOT)
    forked.imported()
    tried: Counter = Counter()
    found: list[str] = []
    until = time.monotonic() + 60 * flags.minutes
    known: list[kills.Scenario] = []
    names = flags.only.split(',')
    parts = itertools.cycle(names)
    for i in itertools.count():
        if time.monotonic() > until:
            break
        part = next(parts)
        if i >= len(names) and all(tried[name] >= flags.examples for name in names if name != KILLS):
            break
        if part == KILLS:
            kill(known, random.Random(1000 * flags.seed + i), tried, found)
        else:
            attack(part, 1000 * flags.seed + i, until, tried, found)
    print(f'tried: {dict(tried)}; found: {len(found)}')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
