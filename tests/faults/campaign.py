"""Tries to break the commands for a given time, and reports what was tried and what was found:

python -m tests.faults.campaign --minutes=180 --seed=1 [--only=runs,kills,...] [--state=FILE]
python -m tests.faults.campaign --seed=1 --only=kills --turn=12

Parts: what a command is given (`runs`, `studies`, `tables`, `hostile`) is drawn by hypothesis; the others act on a command
or on its folder (`kills`, ...). Parts take turns, a share of the time each. With --state the same command goes on where it
was ended or killed. --turn makes one turn again, to reproduce what it found. Exit codes: 0 nothing was found, 1 some fault.
"""

import argparse
import functools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from seedwise.errors import UserError
from tests.faults import differential, figures, files, forked, hostile, inputs, lines, sittings, small
from tests.faults.kills import commands as kills
from tests.faults.kills import engines
from tests.faults.machine import disk, surroundings, together
from tests.faults.networks import scenarios as networks
from tests.faults.networks import wire
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

#: Parts that have several shares of the time: each of theirs is one of very many, and a kill takes half a minute.
SHARES = {'runs': 4, 'studies': 8, 'kills': 16}


@functools.cache  # each learns once what comes of it undisturbed
def scenarios(text: str = '') -> list[kills.Scenario]:
    """Returns what `kills` tries, of which the name has the text."""
    return [one for one in [*kills.scenarios(), *engines.scenarios()] if text in one.name]


def parts(scenario: str = '') -> Mapping[str, Act]:
    """Returns what there is to try. `scenario`: a part of the names of what `kills` and `networks` try, '' for all."""
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
        'growing': disk.growing,
        'files': files.act,
        'together': together.act,
        'surroundings': surroundings.act,
        'figures': figures.act,
        **({} if wire.missing() else {'networks': lambda folder, rng: networks.act(folder, rng, scenario)}),
        'kills': lambda folder, rng: kills.attack(rng.choice(scenarios(scenario)), folder / 'disturbed', rng),
    }


def turn_of(name: str, number: int, seed: int, scenario: str = '') -> tuple[int, str]:
    """Makes one turn of a part, the same for the same seed; returns how much it tried, and the fault."""
    where = f'{name}, seed {seed}, turn {number}'
    with tempfile.TemporaryDirectory(prefix='seedwise-fault-', ignore_cleanup_errors=True) as folder:
        try:
            return parts(scenario)[name](Path(folder), random.Random(where))
        except Exception:
            return 1, traceback.format_exc()  # of the campaign itself, or of a command that it gave up


def campaign(state: sittings.Sittings, minutes: float, examples: int, scenario: str = '') -> None:
    """Lets parts take turns until so many minutes are over, those of earlier sittings included.

    The part that has had the least time is next, so that each has the same share of it, or those of `SHARES`.
    """
    while state.seconds < 60 * minutes:
        left = [name for name, part in state.parts.items() if part['tried'] < examples]
        if not left:
            break
        name = min(left, key=lambda one: state.parts[one]['seconds'] / SHARES.get(one, 1))
        number, began, load = state.parts[name]['turns'], time.monotonic(), sittings.load()
        kills.SENT.clear()
        tried, text = turn_of(name, number, state.seed, scenario)
        seconds = time.monotonic() - began
        if text:
            fault = {'turn': number, 'text': text, 'seconds': seconds, 'load': max(load, sittings.load())}
            state.parts[name]['found'].append(fault)
            print(f'{name}, turn {number} ({sittings.surroundings(fault)}): {text}', flush=True)
        state.note(name, tried, seconds, kills.SENT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=60, help='in all, earlier sittings included')
    parser.add_argument('--examples', type=int, default=10**9, help='of each part, after which it ends')
    parser.add_argument('--seed', type=int, help='0, or that of --state')
    parser.add_argument('--only', default='', help=f'parts, with commas between; of {", ".join(parts())}; all')
    parser.add_argument(
        '--scenario', default='', help='of kills or networks (--only): a part of the names of what is tried'
    )
    parser.add_argument('--state', type=Path, help='file that keeps what was done, to be continued')
    parser.add_argument('--turn', type=int, help='make only this turn, of the part of --only')
    flags = parser.parse_args()
    names = flags.only.split(',') if flags.only else [*parts()]
    try:
        if unknown := set(names) - parts().keys():
            raise UserError(f'unknown part {", ".join(sorted(unknown))}: accepted are {", ".join(parts())}')
        if flags.scenario and {*names} - {'kills', 'networks'}:
            raise UserError('--scenario is of kills and networks: name one of them with --only')
        if 'kills' in names and not scenarios(flags.scenario):
            raise UserError(
                f'--scenario={flags.scenario} is in no name of {", ".join(one.name for one in scenarios())}'
            )
        if 'networks' in names and not [name for name in networks.SCENARIOS if flags.scenario in name]:
            raise UserError(f'--scenario={flags.scenario} is in no name of {", ".join(networks.SCENARIOS)}')
        if flags.turn is not None and len(names) != 1:
            raise UserError('--turn is of one part: name it with --only')
        if flags.turn is not None and flags.state:
            raise UserError('--turn takes no --state: give --seed')
        state = sittings.Sittings(flags.state.resolve() if flags.state else None, flags.seed, names)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if {'disk', 'together', 'surroundings'} & set(names):
        disk.preloaded()
    os.chdir(ROOT)
    # `python` in a command that is launched is the one that has the packages, as in an activated environment.
    os.environ['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', os.defpath)])
    forked.imported()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the summary is printed
    # A shell starts what is in its background with SIGINT ignored, which all that is started from here would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # by nohup: ignored here too, but not by what is started
        signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        if flags.turn is not None:
            tried, text = turn_of(names[0], flags.turn, state.seed, flags.scenario)
            print(f'{names[0]}, turn {flags.turn}: {tried} tried: {text or "nothing was found"}')
            return 1 if text else 0
        state.begin()
        campaign(state, flags.minutes, flags.examples, flags.scenario)
    except KeyboardInterrupt:
        print('interrupted')
    finally:
        kills.forget()
        engines.forget()
        small.forget()
        disk.forget()
    print('', *state.summary(), sep='\n')
    return 1 if state.found else 0


if __name__ == '__main__':
    sys.exit(main())
