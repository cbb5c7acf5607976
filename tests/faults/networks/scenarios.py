"""What happens to two workers and to the network between them, and what must come of it."""

import functools
import random
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.networks.wire import ENDS, NOBODY, Condition, joined
from tests.faults.networks.workers import ADDRESSES, HUNG, LOST, NAMES, SLACK, START, TRUE_HOSTS, Pair

#: A network on which the run takes some seconds, so that something can happen in the middle of it.
USUAL = Condition(delay=0.01)


def act(folder: Path, rng: random.Random, only: str = '') -> tuple[int, str]:
    """Tries one scenario, of those with `only` in their names; returns (1, the fault)."""
    name = rng.choice([name for name in SCENARIOS if only in name])
    with joined(rng) as wire:
        pair = Pair(folder, wire)
        try:
            what, fault = SCENARIOS[name](pair, rng)
            fault = fault or afterwards(pair)
        finally:
            pair.end()
    return 1, f'{name}, {what}: {fault}' if fault else ''


def afterwards(pair: Pair) -> str:
    """Starts the same command again on an undisturbed network: it ends with the weights of a run that was not disturbed."""
    pair.end()
    pair.wire.condition, pair.start_seconds, pair.near_the_end = Condition(), 60, False
    for index in (0, 1):
        pair.know(index, TRUE_HOSTS)
    pair.start()
    pair.wait(HUNG)
    for worker in pair.workers.values():
        if fault := worker.fault((0,)):
            return f'afterwards {fault}'
    return '' if pair.finished() == undisturbed() else 'other weights'


@functools.cache
def undisturbed() -> str:
    """Returns the digest of the weights that the run ends with if nothing happens to it."""
    with tempfile.TemporaryDirectory(prefix='seedwise-fault-') as folder, joined(random.Random(0)) as wire:
        pair = Pair(Path(folder), wire)
        try:
            pair.start()
            pair.wait(HUNG)
            assert not [one for one in pair.workers.values() if one.fault((0,))], [
                one.said for one in pair.workers.values()
            ]
            return pair.finished()
        finally:
            pair.end()


def completes(pair: Pair) -> str:
    """Returns what is wrong with how both workers end, which is well."""
    pair.wait(HUNG)
    faults = [fault for one in pair.workers.values() if (fault := one.fault((0,)))]
    return faults[0] if faults else '' if pair.finished() == undisturbed() else 'other weights'


def is_named(pair: Pair, index: int, lost: int, seconds: float, said: str = 'was lost: all must start again') -> str:
    """Returns what is wrong with how a worker ends: within `seconds`, with a line that names another one and says why."""
    started = time.monotonic()
    pair.wait(seconds + SLACK, index)
    words = rf'^(?=.*{said}).*worker {lost} \({re.escape(ADDRESSES[lost])}\)'
    if fault := pair.workers[index].fault((0, 1) if pair.near_the_end else (1,), words):
        return f'after {time.monotonic() - started:.0f} s {fault}'
    return ''


def in_the_middle(pair: Pair, rng: random.Random) -> bool:
    """Starts the run and waits until it trains, or for some seconds more, when it may be about to end well."""
    pair.wire.condition = USUAL
    pair.start()
    if not pair.trains():
        return False
    pair.near_the_end = rng.random() < 0.4
    pair.wait(rng.uniform(0, 10 if pair.near_the_end else 0.5))
    return True


def slow_network(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """Delay, jitter that reorders, loss and a low rate, one or several at a time."""
    pair.wire.condition = Condition(
        delay=rng.choice([0, 0.002, 0.02, 0.1]),
        jitter=rng.choice([0, 0.005, 0.05]),
        loss=rng.choice([0, 0.01, 0.03]),
        rate=rng.choice([0, 0, 300e3, 1e6]),
    )
    pair.start()
    return str(pair.wire.condition), completes(pair)


def short_cut(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """The network is gone for less time than it takes to give a worker up."""
    pair.wire.condition = USUAL
    pair.start()
    what = []
    for _ in range(rng.randint(1, 3)):
        if not pair.trains():
            break
        cut, seconds = rng.choice([(0, 1), (0,), (1,)]), rng.uniform(0.2, 3)
        pair.wire.condition = Condition(delay=USUAL.delay, cut=cut)
        what.append(f'{pair.wire.condition} for {seconds:.1f} s')
        time.sleep(seconds)
        pair.wire.condition = USUAL
    return '; '.join(what), completes(pair)


def long_cut(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """The network is gone in the middle of the run for ever, or for longer than it takes to give a worker up."""
    cut, seconds = rng.choice([(0, 1), (0, 1), (0,), (1,)]), rng.choice([float('inf'), 40])
    if not in_the_middle(pair, rng):
        return 'nothing: it had ended', completes(pair)
    pair.wire.condition = Condition(delay=USUAL.delay, cut=cut)
    what = f'{pair.wire.condition} for {seconds} s'
    if seconds < HUNG:
        pair.wait(seconds)
        pair.wire.condition = USUAL
    return what, is_named(pair, 0, 1, LOST) or is_named(pair, 1, 0, LOST)


def cut_at_the_start(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """The network is gone from some moment of the start on, while TensorFlow is imported, workers meet, or devices start."""
    pair.start_seconds = START
    wait, cut = rng.uniform(0, 6), rng.choice([(0, 1), (0,), (1,)])
    pair.wire.condition = USUAL
    pair.start()
    pair.wait(wait)
    pair.wire.condition = Condition(delay=USUAL.delay, cut=cut)
    what, seconds = f'{pair.wire.condition} after {wait:.1f} s', START + LOST
    return what, is_named(pair, 0, 1, seconds, '') or is_named(pair, 1, 0, seconds, '')


def late_network(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """The network comes up while the workers wait for each other."""
    wait = rng.uniform(3, 30)
    pair.wire.condition = Condition(cut=(0, 1))
    pair.start()
    pair.wait(wait)
    pair.wire.condition = Condition()
    return f'there after {wait:.1f} s', completes(pair)


def killed(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """A worker is killed in the middle of the run."""
    index = rng.choice([0, 1])
    if not in_the_middle(pair, rng):
        return 'nothing: it had ended', completes(pair)
    pair.workers[index].kill()
    return f'worker {index}', is_named(pair, 1 - index, index, LOST)


def restarted(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """A worker, the coordinator or the other one, is killed and started again at once, while the other still runs.

    That one ends, and whoever restarts workers starts it again too: both then go on.
    """
    index = rng.choice([0, 0, 1])
    pair.wire.condition = USUAL
    pair.start()
    if not pair.trains():
        return 'nothing: it had ended', completes(pair)
    pair.workers[index].kill()
    pause = rng.choice([0, 0, 3])
    time.sleep(pause)
    pair.start(index)
    what = f'worker {index} after {pause} s'
    if fault := is_named(pair, 1 - index, index, LOST):
        return what, f'the other one: {fault}'
    again = [1 - index]
    pair.wait(3, index)
    if not pair.workers[index].poll():  # it met the one that was about to end
        if fault := pair.workers[index].fault((1,), f'worker {1 - index} '):
            return what, f'the one that was started again: {fault}'
        again = [0, 1]
    pair.start(*again)
    pair.wait(START + LOST, index)
    if pair.workers[index].code == 1:  # it met the one that was about to end, and found out later
        if fault := pair.workers[index].fault((1,), f'worker {1 - index} '):
            return what, f'the one that was started again: {fault}'
        return what, is_named(pair, 1 - index, index, START + LOST, '')
    return what, completes(pair)


def stopped(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """A worker stands still (SIGSTOP) for longer than it takes to give it up."""
    index = rng.choice([0, 1])
    if not in_the_middle(pair, rng):
        return 'nothing: it had ended', completes(pair)
    pair.workers[index].signal(signal.SIGSTOP)
    fault = is_named(pair, 1 - index, index, LOST)
    pair.workers[index].signal(signal.SIGCONT)
    return f'worker {index}', fault or is_named(pair, index, 1 - index, LOST)


def slow_worker(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """A worker has a small share of its core's time: it is stopped and goes on, again and again, or once for seconds."""
    index, off, on = rng.choice([0, 1]), *rng.choice([(0.2, 0.02), (0.5, 0.1), (3.0, 2.0)])
    pair.wire.condition = Condition()
    pair.start()
    pair.trains()
    slow = pair.workers[index]
    end = time.monotonic() + 20
    while slow.poll() and time.monotonic() < end:
        slow.signal(signal.SIGSTOP)
        time.sleep(off)
        slow.signal(signal.SIGCONT)
        time.sleep(on)
    return f'worker {index} stopped for {off} s of {off + on} s', completes(pair)


def wrong_names(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """A worker's names mean nothing, an address that nobody has, or another machine than they should."""
    index, whose = rng.choice([0, 1]), rng.choice([0, 1])
    lie = rng.choice(['unknown', 'unanswered', NOBODY, ENDS[0], ENDS[1], '127.0.0.1'])
    if lie == TRUE_HOSTS[NAMES[whose]] or (lie == '127.0.0.1' and whose == index):
        lie = NOBODY
    pair.start_seconds, pair.nameserver = START, NOBODY if lie == 'unanswered' else ''
    known = {name: address for name, address in TRUE_HOSTS.items() if name != NAMES[whose]}
    pair.know(index, known | ({} if lie.startswith('un') else {NAMES[whose]: lie}))
    pair.start()
    what, seconds = f'to worker {index}, {NAMES[whose]} is {lie}', START
    if index == whose == 1 and lie == NOBODY:  # only the chief is asked for by its own name on its own machine
        return what, completes(pair)
    fault = is_named(pair, index, whose, seconds, 'SEEDWISE_START_SECONDS')
    pair.nameserver = ''
    return what, fault or is_named(pair, 1 - index, index, START + LOST, '')


def late_names(pair: Pair, rng: random.Random) -> tuple[str, str]:
    """A name is there only after a while, as in Kubernetes, or is put right."""
    index, lie = rng.choice([0, 1]), rng.choice(['', NOBODY, ENDS[0], ENDS[1]])
    known = {name: lie for name in NAMES if name != NAMES[index] and lie}
    pair.know(index, TRUE_HOSTS | known if lie else {NAMES[index]: ENDS[index]})
    pair.start()
    pair.wait(rng.uniform(3, 30))
    pair.know(index, TRUE_HOSTS)
    return f'to worker {index}, {NAMES[1 - index]} is {lie or "unknown"} at first', completes(pair)


SCENARIOS: dict[str, Callable[[Pair, random.Random], tuple[str, str]]] = {
    'a slow network': slow_network,
    'a network that is gone for a moment': short_cut,
    'a network that is gone': long_cut,
    'a network that is gone at the start': cut_at_the_start,
    'a network that comes late': late_network,
    'a worker that is killed': killed,
    'a worker that is started again': restarted,
    'a worker that stands still': stopped,
    'a slow worker': slow_worker,
    'wrong names': wrong_names,
    'late names': late_names,
}
