"""The Ray engine: a pool of worker processes on the nodes of a Ray cluster.

Ray places the actors. Each holds a worker process on its node, the same as the local engine's, for as long as there is
work: TensorFlow, the data and the compiled steps are there for run after run, and a run that crashes TensorFlow costs
neither the actor nor the study. The results come through the study's folder, which all nodes share.
"""

import collections
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.sources import Location
from seedwise.errors import Interrupted, UserError
from seedwise.signals import stop_requests
from trainer.compare.allocation import capacity
from trainer.compare.engines import local
from trainer.compare.engines.base import NO_LIMITS, Event, Limits
from trainer.compare.engines.worker import SAVE_SECONDS, program_key
from trainer.compare.grid import RunSpec

#: Times that a run may lose its node and is not to blame.
MOST_LOST = 5

INSTALL = "--engine=ray needs Ray: pip install 'seedwise[ray]', or pip install -e '.[ray]' in a checkout"

#: Ray's name for the memory of a node, in bytes.
MEMORY = 'memory'


class Holder:
    """The actor: holds a worker process. `stop` is called while `run` is under way, so it has two threads."""

    def __init__(self, location: Location):
        self._location = location
        self._worker: local.Worker | None = None

    def ready(self) -> str:
        """Starts the worker process, which takes seconds; returns '' or why it does not start."""
        self._worker = local.Worker(self._location)
        return '' if self._worker.answer() else self._output_at_end()

    def run(self, config, workdir: Path, test: bool, rungs: Sequence[float] = ()) -> tuple[str, str]:
        """Trains a run, as `worker.Trainer.run`; returns (kind, error) of an `Event`."""
        if not workdir.is_dir():
            why = 'the folder of a study must be the same one on all nodes'
            return 'failed', f'node {socket.gethostname()} has no {workdir}: {why}'
        key = program_key(config)
        if self._worker and key not in self._worker.compiled and len(self._worker.compiled) >= local.MOST_PROGRAMS:
            self._worker.send(None)  # it ends, and another takes its place
            self._output_at_end()
        if self._worker is None and (error := self.ready()):
            return 'failed', error
        assert self._worker is not None
        self._worker.compiled.add(key)
        self._worker.send((config, workdir, test, rungs))
        return self._worker.answer() or ('failed', self._output_at_end())

    def stop(self) -> None:
        """Has the run under way saved; `run` then returns."""
        if self._worker:
            self._worker.stop()

    def _output_at_end(self) -> str:
        """Waits until the worker process has ended, lets go of it, and returns the last of its output."""
        assert self._worker is not None
        output, self._worker = self._worker.end(), None
        return output


class RayEngine:
    """Trains runs on the Ray cluster that RAY_ADDRESS names, or else that this machine is part of.

    A run whose node is lost is begun again on another one, from its last checkpoint.
    """

    def __init__(self, workers: int, location: Location):
        """`workers`: number of actors; 0: as many as the cluster has CPUs (or GPUs) and memory for.

        Raises:
          UserError: Ray is not installed.
        """
        try:
            import ray
        except ImportError as error:
            raise UserError(INSTALL) from error
        self._ray = ray
        self._size = workers
        self._location = location
        self._reported = False
        self._lost: collections.Counter[RunSpec] = collections.Counter()

    def run(self, specs: Sequence[RunSpec], on_event: Callable[[Event], None], limits: Limits = NO_LIMITS) -> None:
        """As `engines.Engine` says.

        Raises:
          UserError: there is no cluster, it has too few CPUs, or the worker processes do not start on its nodes.
        """
        if not specs:
            return
        self._connect()
        size, options = self._plan(specs)
        work, actors = local.Work(specs, limits.may_start), Actors(self._ray, size, options, self._location)
        stop: list[int] = []
        with stop_requests(stop.append):
            try:
                actors.start(size)
                # Actors without a run, when none is available, only wait for a place.
                while not stop and (work.waiting or actors.under_way) and time.monotonic() <= limits.until:
                    if not actors.under_way:
                        work.drop_refused()  # the time may be over before a worker has started
                    for actor, spec, answer in actors.answers():
                        if spec:
                            on_event(Event(answer[0], spec, answer[1]) if answer else self._node_lost(spec))
                        if actor:
                            actors.give(actor, work.next_for(actor), on_event)
            finally:
                actors.end()
        if stop:
            left = work.waiting + len(actors.under_way)
            raise Interrupted(f'stopped with {left:,} runs to go')
        work.drop_refused()
        for spec in actors.under_way:  # the time is over
            on_event(Event('stopped', spec))

    def close(self) -> None:
        """Does nothing: the actors end with the last run of each call."""

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        try:
            self._ray.init(address='auto', log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            why = str(error).strip().splitlines()[0]
            raise UserError(f'no Ray cluster ({why}): start one with `ray start --head`, or set RAY_ADDRESS') from error

    def _plan(self, specs: Sequence[RunSpec]) -> tuple[int, dict[str, Any]]:
        """Returns how many actors to start for runs, and what Ray reserves for each. Reports once if memory limits them."""
        needs = self._needs(specs[0].config)
        nodes = [node['Resources'] for node in self._ray.nodes() if node['Alive']]
        by_cores, room = (sum(_room(node, needed) for node in nodes) for needed in (needs | {MEMORY: 0}, needs))
        if not (self._size or by_cores):  # where --workers says how many, the cluster may be one that grows
            what = ', '.join(f'{kind} {number}' for kind, number in needs.items() if kind != MEMORY)
            raise UserError(f'the Ray cluster has no node with what one run takes: {what}')
        size = min(self._size or max(1, room), len(specs))
        if not self._size and size < min(by_cores, len(specs)) and not self._reported:
            print(
                f'{size} worker{"s" * (size > 1)} instead of {by_cores}: each takes about {needs[MEMORY] / 2**30:.1f} GiB '
                f'of the memory of the Ray cluster (--workers={by_cores} starts them all the same)',
                file=sys.stderr,
            )
            self._reported = True
        # A user who gives --workers knows what they take.
        reserved = needs[MEMORY] if room and not self._size and any(MEMORY in node for node in nodes) else None
        return size, {'num_cpus': needs['CPU'], 'num_gpus': needs.get('GPU', 0), 'memory': reserved}

    def _needs(self, config) -> dict[str, int]:
        """Returns what one run takes: on a cluster with GPUs, one for each replica."""
        needs = capacity.needs_of(config, self._location)
        most = max(int(node['Resources'].get('GPU', 0)) for node in self._ray.nodes() if node['Alive'])
        return {'CPU': needs.threads, MEMORY: needs.memory} | ({'GPU': needs.gpus or most} if most else {})

    def _node_lost(self, spec: RunSpec) -> Event:
        """Returns `busy`, since a node that cannot be reached may still train the run: the lock of its folder shows that."""
        self._lost[spec] += 1
        if self._lost[spec] > MOST_LOST:
            return Event('failed', spec, f'its node was lost {self._lost[spec]} times')
        return Event('busy', spec, 'its node was lost')


class Actors:
    """The actors of one call of `RayEngine.run`, and what they do."""

    def __init__(self, ray: Any, size: int, options: Mapping[str, Any], location: Location):
        """`size`: how many there are at the most; `options`: what Ray reserves for each."""
        self._ray, self._location = ray, location
        self._holder = ray.remote(max_concurrency=2, **options)(Holder)
        self._most_failed_starts = local.MOST_FAILED_STARTS * size
        self._failed_starts = 0  # in a row
        self._calls: dict[Any, tuple[Any, RunSpec | None]] = {}  # under way -> (actor, its run; None: it starts)

    @property
    def under_way(self) -> list[RunSpec]:
        """The runs that are trained."""
        return [spec for _, spec in self._calls.values() if spec]

    def start(self, count: int = 1) -> None:
        """Starts so many more."""
        for _ in range(count):
            actor = self._holder.remote(self._location)
            self._calls[actor.ready.remote()] = actor, None

    def answers(self) -> Iterator[tuple[Any, RunSpec | None, tuple[str, str] | None]]:
        """Yields what has ended within some time: the actor (None: it is gone, and another one starts), its run (None: it
        has started), and the answer of `Holder.run` (None: its node was lost).

        Raises:
          UserError: several in a row have not started.
        """
        for call in self._ray.wait(list(self._calls), timeout=local.POLL_SECONDS)[0]:
            actor, spec = self._calls.pop(call)
            try:
                answer = self._ray.get(call)
            except self._ray.exceptions.RayActorError as error:  # its node, or all that Ray has there
                answer = None if spec else str(error)
            if bool(answer) == bool(spec):  # who starts has nothing to say
                self._failed_starts = 0
                yield actor, spec, answer
                continue
            self._failed_starts += not spec
            if self._failed_starts == self._most_failed_starts:
                raise UserError(f'workers do not start: {answer}')
            self.start()
            yield None, spec, None

    def give(self, actor: Any, spec: RunSpec | None, on_event: Callable[[Event], None]) -> None:
        """Has an actor train a run; None: there is none left for it, and it ends."""
        if not spec:
            self._ray.kill(actor)
            return
        spec.workdir.mkdir(parents=True, exist_ok=True)
        call = actor.run.remote(spec.config, Path(os.path.abspath(spec.workdir)), spec.drawn is None, spec.rungs)
        self._calls[call] = actor, spec
        on_event(Event('started', spec))

    def end(self) -> None:
        """Ends all, those with a run after they have saved it."""
        saving = {call: actor for call, (actor, spec) in self._calls.items() if spec}
        for actor in saving.values():
            actor.stop.remote()
        if saving:
            self._ray.wait(list(saving), num_returns=len(saving), timeout=SAVE_SECONDS)
        for actor, _ in self._calls.values():
            self._ray.kill(actor)


def _room(node: Mapping[str, float], needs: Mapping[str, int]) -> int:
    """Returns how many runs a node has room for; one that does not say how much memory it has is taken to have enough."""
    return min(
        int(node.get(kind, 0)) // needed
        for kind, needed in needs.items()
        if needed and (kind in node or kind != MEMORY)
    )
