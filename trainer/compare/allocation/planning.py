"""--plan: how many runs a study takes, how long, and what difference its seeds would show. Trains two runs at the most."""

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_pipeline import sources
from seedwise.errors import UserError
from trainer.compare import runs, study
from trainer.compare.allocation import capacity
from trainer.compare.allocation.budget import in_words
from trainer.compare.allocation.rounds import Rounds, finished_seeds
from trainer.compare.allocation.seeds import LEAST
from trainer.compare.analysis import anytime
from trainer.compare.analysis.statistics import smallest_effect
from trainer.compare.analysis.words import count
from trainer.compare.grid import RunSpec, metrics_of, runs_of


class _Trial(study.Plan):
    """A study of which two runs of a variant are trained, one after the other: the first one compiles it."""

    def stages(self) -> Iterator[list[RunSpec]]:
        yield runs_of(self.variants[:1], self.seeds[:2], self.workdir)


@dataclass(frozen=True)
class Forecast:
    """What a study takes: `runs` to go and the `seconds` that they take, each at the least and at the most, with as many
    workers as `how` says; and all of it in words, a sentence each."""

    runs: tuple[int, int]
    seconds: tuple[float, float]
    how: str
    sentences: list[str]


def lines(plans: Mapping[str, study.Plan], engine: str, workers: int) -> list[str]:
    """Returns what a study on several data sets takes, or on one (''), in lines. Arguments and errors: as `forecast`."""
    found, total = [], []
    for name, plan in plans.items():
        total.append(forecast(plan, engine, workers))
        found += [*([f'{name}:'] if name else []), *total[-1].sentences]
    if len(total) > 1:
        (least, most), (low, high) = (
            tuple(map(sum, zip(*parts, strict=True)))
            for parts in ([one.runs for one in total], [one.seconds for one in total])
        )
        how = total[0].how
        found.append(f'{count(len(total), "data set")} in all: {_to_go(int(least), int(most), low, high, how)}')
    return found


def forecast(plan: study.Plan, engine: str, workers: int) -> Forecast:
    """Returns what a study takes. Trains its first two runs if none has finished.

    Args:
      plan: the study.
      engine: name of what would train it.
      workers: runs at a time; 0: as many as fit by cores, memory and GPUs.

    Raises:
      UserError: one of these failed.
    """
    specs = runs_of(plan.variants, plan.seeds, plan.workdir)
    found = []
    if not any(spec.result() for spec in specs):
        trial = _Trial(plan.config, plan.workdir, 0, 1)
        if study.train(trial, engine, 1, report=False):
            raise UserError(f'the first run failed, so that it says nothing: see {specs[0].workdir / "error.txt"}')
        found.append('A variant was trained to see how long its runs take: they count as runs of the study.')
    frame, _ = runs.read(specs, correct=False)
    have = finished_seeds(frame, [variant.name for variant in plan.variants], plan.seeds)
    variants, seeds = len(plan.variants), len(plan.seeds)
    at_a_time, how = _at_a_time(plan, engine, workers)
    times = _times(specs)
    all_seeds = fewest = dict.fromkeys(have, seeds)
    if isinstance(plan, Rounds):
        _, _, wanted = plan.look()
        fewest = {name: max(LEAST, wanted.get(name, 0)) for name in have}
        least, most = (sum(max(0, of[name] - n) for name, n in have.items()) for of in (fewest, all_seeds))
        found.append(
            f'{count(variants, "variant")}, {LEAST} to {seeds} seeds of each: {variants * LEAST:,} to {variants * seeds:,} '
            f'runs; {len(frame):,} finished.'
        )
        if not wanted and len(frame):
            least = most = 0
            found.append('Nothing is left to do: all is decided, or the seeds are used up.')
    else:
        least = most = sum(spec.result() is None for spec in specs)
        found.append(
            f'{count(variants, "variant")} and {count(seeds, "seed")}: {len(specs):,} runs; {len(specs) - most:,} finished.'
        )
    in_rounds = isinstance(plan, Rounds)
    low, high = (_seconds(times, have, of) / at_a_time if most else 0.0 for of in (fewest, all_seeds))
    if most:
        found.append(_to_go(least, most, low, high, how))
    found.append(_times_in_words(times, variants))
    metric = next(iter(metrics_of(plan.config)))
    found.append(_difference(frame, metric, seeds, in_rounds))
    return Forecast((least, most), (low, high), how, found)


def _to_go(least: int, most: int, low: float, high: float, how: str) -> str:
    if least == most:
        return f'{most:,} runs to go: about {in_words(high)} {how}.'
    return f'{least:,} to {most:,} runs to go: {in_words(low)} to {in_words(high)} {how}.'


@dataclass(frozen=True)
class _Times:
    """Seconds that runs of a variant take: the `first` in a process, which compiles it, and each of the `others`."""

    first: float
    others: float


def _times(specs: Iterable[RunSpec]) -> dict[str, _Times]:
    """Returns the times of each variant of which a run has finished."""
    seconds: dict[str, list[float]] = {}
    for spec in specs:
        if (result := spec.result()) is not None:
            seconds.setdefault(spec.variant.name, []).append(float(result['seconds']['total']))
    return {name: _Times(max(found), statistics.median_low(found)) for name, found in seconds.items()}


def _seconds(times: Mapping[str, _Times], have: Mapping[str, int], seeds: Mapping[str, int]) -> float:
    """Returns how long it takes until each variant has so many seeds; one not yet seen is taken for the slowest."""
    slowest = max(times.values(), key=lambda one: one.others, default=_Times(0.0, 0.0))
    left = {name: seeds[name] - n for name, n in have.items() if seeds[name] > n}
    found = [(times.get(name, slowest), n) for name, n in left.items()]
    return sum(of.first + (n - 1) * of.others for of, n in found)


def _at_a_time(plan: study.Plan, engine: str, workers: int) -> tuple[int, str]:
    """Returns how many runs are trained at a time, and how that is said."""
    if not workers and engine == 'local':
        base = plan.variants[0].config
        needs = capacity.needs_of(base, sources.locate_for(base.data))
        workers = capacity.plan(capacity.this_machine(), needs).size
    if not workers:
        return 1, 'of run time, to be divided by the number of workers'
    return workers, f'with {count(workers, "worker")}, and some seconds to start them'


def _times_in_words(times: Mapping[str, _Times], variants: int) -> str:
    known = sorted(((name, of.others) for name, of in times.items()), key=lambda item: item[1])
    (fast, low), (slow, high) = known[0], known[-1]
    first = max(of.first for of in times.values())
    spread = f'{in_words(low)} ({fast}) to {in_words(high)} ({slow})' if len(known) > 1 else f'{in_words(low)} ({fast})'
    unknown = f'; of {count(variants - len(known), "variant")} no run has finished' if len(known) < variants else ''
    compiles = f', and the first of a variant up to {in_words(first)}' if first > high else ''
    return f'A run takes {spread}{compiles}{unknown}.'


def _difference(frame: pd.DataFrame, metric: str, seeds: int, in_rounds: bool) -> str:
    """Returns what difference of two variants the seeds would show, from the spread of the differences so far."""
    what = metric.replace('_', ' ')
    done = frame[frame['status'] == 'completed']
    table = done.pivot(index='seed', columns='variant', values=metric).astype(float)
    x = table.to_numpy()
    spreads = []
    for i in range(x.shape[1]):
        differences = x[:, i + 1 :] - x[:, [i]]
        enough = (~np.isnan(differences)).sum(0) > 1
        spreads += np.nanstd(differences[:, enough], 0, ddof=1).tolist()
    if not spreads:
        return f'What difference in {what} that would show is not known: the spread takes two seeds of two variants.'
    sd = float(np.median(spreads))
    effect = anytime.smallest_effect(seeds) if in_rounds else smallest_effect(seeds)
    if effect is None:
        return f'{count(seeds, "seed")} cannot show a difference, however large.'
    how = 'typically' if in_rounds else 'in 8 of 10 studies'
    return (
        f'With {count(seeds, "seed")}, a difference of {effect * sd:.2g} in {what} between two variants is seen {how}: the '
        f'differences have a standard deviation of {sd:.2g} over {count(len(table), "seed")} so far.'
    )
