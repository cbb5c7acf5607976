"""The local engine: a pool of worker processes on this machine, each with its own TensorFlow."""

import collections
import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from types import MappingProxyType
from typing import IO

from data_pipeline.sources import Location
from seedwise.errors import Interrupted, UserError
from seedwise.shadowing import python_module
from seedwise.signals import stop_requests
from trainer.compare.allocation import capacity
from trainer.compare.engines.base import NO_LIMITS, Event, Limits, MayStart, always
from trainer.compare.engines.worker import SAVE_SECONDS, WITHOUT_GPUS, program_key
from trainer.compare.grid import RunSpec
from trainer.machine.hardware import Gpus

POLL_SECONDS = 0.5
TAIL_BYTES = 4000

#: Give up after this many workers in a row have died before becoming ready.
MOST_FAILED_STARTS = 3

#: Compiled programs after which a worker is replaced: TensorFlow keeps all it has compiled, some 10 MB each.
MOST_PROGRAMS = 100

NO_GPUS = (
    'the GPUs of this machine are not used, because TensorFlow cannot use them: '
    "pip install 'seedwise[gpu]' installs what it needs"
)


class Pool:
    """Trains runs in worker processes that live until the pool is closed: they keep data and compiled steps between calls.

    A run that was not under way when the pool is stopped is not touched. Workers end with the process that made the
    pool, also where that is killed: they read the end of their connection.
    """

    def __init__(self, workers: int, location: Location):
        """`workers`: number of processes; 0: as many as fit by cores, memory and GPUs (`capacity.plan`)."""
        self._asked = workers
        self._location = location
        self._said: set[str] = set()
        self._workers: list[Worker] = []
        self._failed_starts = 0  # in a row
        # None: not known yet, as the first worker finds out whether its TensorFlow can use the GPUs that are there.
        self._uses_gpus: bool | None = None

    def run(self, specs: Sequence[RunSpec], on_event: Callable[[Event], None], limits: Limits = NO_LIMITS) -> None:
        """As `engines.Engine` says."""
        if not specs:
            return
        work = Work(specs, limits.may_start, {worker: worker.compiled for worker in self._workers})
        stop: list[int] = []
        with stop_requests(stop.append):
            try:
                if self._work_off(work, specs, on_event, lambda: not stop and time.monotonic() < limits.until):
                    return
            except BaseException:
                self.close()
                raise
            under_way = [worker.spec for worker in self._workers if worker.spec]
            left = work.waiting + len(under_way)
            if not stop:
                work.drop_refused()  # the time is over: who decides hears of each run that it has not reached
            self.close()
        if stop:
            raise Interrupted(f'stopped with {left:,} runs to go')
        for spec in under_way:
            on_event(Event('stopped', spec))

    def _work_off(
        self,
        work: 'Work',
        specs: Sequence[RunSpec],
        on_event: Callable[[Event], None],
        may_go_on: Callable[[], bool],
    ) -> bool:
        """Hands out the work, and returns True when all of it has ended, or False when it may not go on."""
        workers, plan = self._workers, self._plan(specs)
        self._failed_starts = 0
        for worker in workers:
            if worker.ready and not worker.ending:
                _give(worker, work, on_event)
        while may_go_on():
            if not any(worker.spec for worker in workers):
                work.drop_refused()  # the time may be over before a worker has started
            size = 1 if plan.gpus and self._uses_gpus is None else plan.size
            while len(workers) < size and work.waiting > sum(not worker.ready for worker in workers):
                self._start(plan)
            if not work.waiting and not any(worker.spec for worker in workers):
                return True
            for worker in _readable(workers):
                answer = worker.answer()
                if answer is None:
                    self._ended(worker, on_event)
                    continue
                spec, worker.spec = worker.spec, None
                if spec:
                    on_event(Event(answer[0], spec, answer[1]))
                elif plan.gpus and self._uses_gpus is None:
                    self._uses_gpus = answer != WITHOUT_GPUS
                    if not self._uses_gpus:
                        self._say(NO_GPUS)
                        plan = self._plan(specs)
                _give(worker, work, on_event)
        return False

    def _ended(self, worker: 'Worker', on_event: Callable[[Event], None]) -> None:
        """Reports the run of a worker that has ended by itself.

        Raises:
          UserError: several in a row have ended before they were ready.
        """
        self._workers.remove(worker)
        output = worker.end()
        self._failed_starts = 0 if worker.ready else self._failed_starts + 1
        if worker.spec:
            on_event(Event('failed', worker.spec, output))
        elif self._failed_starts == MOST_FAILED_STARTS:
            raise UserError(f'workers do not start: {output}')

    def close(self) -> None:
        """As `engines.Engine` says. A run that is under way is saved."""
        _end(self._workers)
        self._workers.clear()

    def _plan(self, specs: Sequence[RunSpec]) -> capacity.Plan:
        """Returns which workers to start for runs, and reports once what a user may not expect of it."""
        needs, there = capacity.needs_of(specs[0].config, self._location), capacity.this_machine()
        if there.memory is not None:  # what the workers that live have taken of it already is theirs
            there = replace(there, memory=there.memory + needs.memory * len(self._workers))
        if self._uses_gpus is False:
            there = replace(there, gpus=Gpus())
        plan = capacity.plan(there, needs, self._asked, len(specs))
        self._say(plan.note)
        return plan

    def _start(self, plan: capacity.Plan) -> None:
        """Starts a worker in the first place of the plan that none has."""
        taken = [worker.place for worker in self._workers]
        place = next(i for i in range(len(taken) + 1) if i not in taken)
        self._workers.append(Worker(self._location, plan.environments[place], place))

    def _say(self, line: str) -> None:
        said = re.sub(r'[\d.]+', '', line)  # how much memory is available changes with each call
        if line and said not in self._said:
            print(line, file=sys.stderr)
            self._said.add(said)


def _give(worker: 'Worker', work: 'Work', on_event: Callable[[Event], None]) -> None:
    """Gives a worker its next run, if there is one; one that has compiled too much ends instead."""
    if not work.has_group(worker) and len(worker.compiled) >= MOST_PROGRAMS:
        worker.ending = True
        worker.send(None)  # another takes its place
        return
    spec = worker.spec = work.next_for(worker)
    if spec:
        worker.compiled.add(program_key(spec.config))
        on_event(Event('started', spec))
        worker.send((spec.config, spec.workdir, spec.drawn is None, spec.rungs))


class Work:
    """What is still to be run, seed by seed, so that a study that is stopped has about as many seeds of every variant.

    The runs of a seed that can use the same compiled steps are a group. A worker goes on with its group, and then takes the
    first one whose steps it has compiled, or nobody has. If there is none, to compile once more costs less than to stand
    idle: it takes the first group that is left, and in the end the second half of the longest that another works on.
    """

    def __init__(
        self,
        specs: Sequence[RunSpec],
        may_start: MayStart = always,
        compiled: Mapping[object, Collection[str]] = MappingProxyType({}),
    ):
        """`compiled`: the `program_key` of each program that a worker has compiled before."""
        self._may_start = may_start
        groups: dict[tuple[int, str], collections.deque[RunSpec]] = {}
        for spec in sorted(specs, key=lambda spec: spec.seed):
            groups.setdefault((spec.seed, program_key(spec.config)), collections.deque()).append(spec)
        self._untouched = groups
        self._taken: dict[object, collections.deque[RunSpec]] = {}
        self._compiled = collections.defaultdict(set, {worker: {*keys} for worker, keys in compiled.items()})

    @property
    def waiting(self) -> int:
        """Number of runs that no worker has yet."""
        return sum(map(len, [*self._untouched.values(), *self._taken.values()]))

    def has_group(self, worker: object) -> bool:
        """Returns whether the worker goes on with what it has compiled."""
        return bool(self._taken.get(worker))

    def next_for(self, worker: object) -> RunSpec | None:
        """Returns the next run for a worker; None: there is none. Runs that may not be started now are dropped."""
        while (spec := self._next_for(worker)) and not self._may_start(spec):
            pass
        return spec

    def drop_refused(self) -> None:
        """Drops the runs that may not be started now, up to the first one that may."""
        for group in [*self._taken.values(), *self._untouched.values()]:
            while group and not self._may_start(group[0]):
                group.popleft()
            if group:
                break
        self._untouched = {key: group for key, group in self._untouched.items() if group}

    def _next_for(self, worker: object) -> RunSpec | None:
        group = self._taken.get(worker)
        if not group:
            if self._untouched:
                group = self._untouched.pop(self._first_for(worker))
            else:
                longest = max(self._taken.values(), key=len, default=collections.deque())
                group = collections.deque(longest.pop() for _ in range(math.ceil(len(longest) / 2)))
                group.reverse()
            self._taken[worker] = group
            if group:
                self._compiled[worker].add(program_key(group[0].config))
        return group.popleft() if group else None

    def _first_for(self, worker: object) -> tuple[int, str]:
        """Returns which untouched group a worker takes."""
        mine = self._compiled[worker]
        others = {key for keys in self._compiled.values() for key in keys} - mine
        return next((group for group in self._untouched if group[1] not in others), next(iter(self._untouched)))


def start(fd: int, environment: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen:
    """Starts a worker process, out of reach of a terminal's Ctrl-C, which is the pool's to handle.

    Args:
      fd: the worker's end of its connection.
      environment: variables that it is given beside those of this process.
      output: where it writes what it prints.
    """
    command, inherited = python_module('trainer.compare.engines.worker', str(fd))
    return subprocess.Popen(
        command,
        env=inherited | {**environment},
        pass_fds=[fd],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


class Worker:
    """A worker process.

    `spec`: its run, if any; `ready`: it has started and asked for one; `ending`: it was told to end; `compiled`: the
    `program_key` of each program that it had to compile; `place`: its number in the plan.
    """

    def __init__(self, location: Location, environment: Mapping[str, str] | None = None, place: int = 0):
        """`environment`: variables that it is given beside those of this process."""
        self.spec: RunSpec | None = None
        self.ready = self.ending = False
        self.compiled: set[str] = set()
        self.place = place
        self.connection, theirs = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        with theirs:
            self._process = start(theirs.fileno(), environment or {}, self._errors)
        self.send(location)

    def send(self, message: object) -> None:
        """Sends it a location, the arguments of a run, or None, at which it ends."""
        with contextlib.suppress(BrokenPipeError):  # it has died: that is read soon enough
            self.connection.send(message)

    def answer(self) -> tuple[str, str] | None:
        """Returns what the worker says; None: it has ended."""
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.ready = True
        return said

    def stop(self) -> None:
        """Asks it to save and end; one that is still starting has nothing to save."""
        if self.ready:
            self._process.terminate()
        else:
            self._process.kill()

    def end(self, seconds: float = SAVE_SECONDS) -> str:
        """Waits until it has ended, kills it after so many seconds, and returns how it ended and the last of its output."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.connection.close()
        code = self._process.returncode
        how = f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
        with self._errors as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            output = file.read().decode(errors='replace')
        return f'{output}\nthe worker process ended: {how}'.strip()


def _readable(workers: Sequence[Worker]) -> list[Worker]:
    """Returns the workers that have something to say, or have died."""
    by_connection = {worker.connection: worker for worker in workers}
    return [by_connection[connection] for connection in wait(by_connection, POLL_SECONDS)]  # type: ignore[index]


def _end(workers: Sequence[Worker]) -> None:
    """Ends all workers, those with a run after they have saved it."""
    deadline = time.monotonic() + SAVE_SECONDS
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.end(deadline - time.monotonic())
