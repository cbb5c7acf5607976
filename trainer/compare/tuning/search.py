"""A search: the trials of one variant, tier and replicate, and which of them is the best.

All of it follows from the study and the results that there are, so that the same command goes on after any interruption.

Successive halving (Jamieson & Talwalkar 2016), by the rule of ASHA (Li et al. 2020) with no trial promoted before its rung
is complete: all trials are trained for a share of the training, the best 1 / eta go on to the next rung, from where they
paused. The schedule of the learning rate is that of the whole training. The trials of a replicate have one seed: the same
validation split, order of examples and, where shapes allow, initial weights. What is alone on its way up is the best, and
is trained no further.
"""

import dataclasses
import itertools
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections

from seedwise import dotted
from trainer.compare.grid import RunSpec, Variant, overridden
from trainer.compare.tuning import samplers
from trainer.compare.tuning.check import FIRST_SEED
from trainer.compare.tuning.space import Space, at, check_ends, in_tier, space_in
from trainer.results import best_of, metrics_of


def shares_of(tune: ml_collections.ConfigDict) -> tuple[float, ...]:
    """Returns the shares of the training at which trials are judged, the last of which is 1; (): at the end alone."""
    halving = tune.get('halving')
    if halving is None:
        return ()
    return tuple(float(halving.eta) ** -k for k in reversed(range(halving.rungs)))


def in_stages(tune: ml_collections.ConfigDict) -> bool:
    """Returns whether which trials there are, or how far they go, depends on results of others."""
    return bool(shares_of(tune)) or tune.get('sampler', samplers.HALTON) != samplers.HALTON


class Search:
    """One search. What it says may change whenever one of its trials has finished."""

    def __init__(
        self,
        tune: ml_collections.ConfigDict,
        variant: Variant,
        tier: str,
        replicate: int,
        space: Space,
        sampler: samplers.Sampler,
        folder: Path,
    ):
        """`variant`: untuned, what the trials start from; `folder`: of its trials."""
        self.name = in_tier(variant, tier, variant.config).name
        self.replicate = replicate
        self._tune, self._variant, self._tier, self._space = tune, variant, tier, space
        self._sampler, self._folder, self._shares = sampler, folder, shares_of(tune)
        self._drawn: list[Mapping[str, float]] = []
        self._specs: dict[tuple[int, int], RunSpec] = {}
        self._scores: dict[tuple[int, int], float] = {}
        self._draw([])

    def trials(self) -> list[RunSpec]:
        """Returns the trials that are known, each as far as it is to go by what is known."""
        furthest, _, _ = self._look()
        return [self._spec(number, rung) for number, rung in furthest.items()]

    def waiting(self) -> list[RunSpec]:
        """Returns the trials that have not reached the rung that they are to reach."""
        furthest, _, _ = self._look()
        return [self._spec(number, rung) for number, rung in furthest.items() if self._score(number, rung) is None]

    def forget_losers(self) -> None:
        """Deletes the checkpoints of trials that go on no more."""
        furthest, _, ended = self._look()
        for number, rung in furthest.items():
            spec = self._spec(number, rung)
            if ended or rung < max(furthest.values()):
                shutil.rmtree(spec.workdir / 'checkpoints', ignore_errors=True)

    def chosen(self) -> RunSpec | None:
        """Returns the best trial; None: not all have finished, or all have diverged."""
        _, best, _ = self._look()
        return None if best is None else self._spec(best, 0)

    def _look(self) -> tuple[dict[int, int], int | None, bool]:
        """Returns trial -> index of the furthest rung it is to reach, the best trial, and whether no more are to be run."""
        drawn = -1
        while drawn < (drawn := len(self._drawn)):
            first = (self._score(number, 0) for number in range(drawn))
            self._draw([*itertools.takewhile(lambda score: score is not None, first)])
        furthest = dict.fromkeys(range(len(self._drawn)), 0)
        going = [*furthest]
        for rung in range(max(1, len(self._shares))):
            scores = {number: found for number in going if (found := self._score(number, rung)) is not None}
            if len(scores) < len(going):
                return furthest, None, False
            finite = [number for number in going if math.isfinite(scores[number])]
            ranked = sorted(finite, key=lambda number: -scores[number])  # of equals, the first
            if rung + 1 >= len(self._shares) or not ranked:
                return furthest, ranked[0] if ranked else None, True
            going = ranked[: max(1, len(going) // self._tune.halving.eta)]
            if len(going) == 1:
                return furthest, going[0], True
            furthest |= dict.fromkeys(going, rung + 1)
        raise AssertionError('a search without a rung')

    def _draw(self, scores: Sequence[Any]) -> None:
        """Adds the trials that are known by the scores of the first ones."""
        points = self._sampler.points(scores)
        for number in range(len(self._drawn), len(points)):
            drawn = at(points[number], self._space)
            config = overridden(self._variant.config, [dotted.nest(drawn)])
            tuned = in_tier(self._variant, self._tier, config)
            replicated = 'replicates' in self._tune
            seed = FIRST_SEED + (self.replicate if replicated or self._shares else number)
            folder = self._folder / (f'{self.replicate}-{number:03d}' if replicated else f'{number:03d}')
            self._specs[number, 0] = RunSpec(tuned, seed, folder, drawn, self._shares[:1])
            self._drawn.append(drawn)

    def _spec(self, number: int, rung: int) -> RunSpec:
        if (number, rung) not in self._specs:
            self._specs[number, rung] = dataclasses.replace(self._specs[number, 0], rungs=self._shares[: rung + 1])
        return self._specs[number, rung]

    def _score(self, number: int, rung: int) -> float | None:
        """Returns how good a trial was at a rung; None: it has not reached it."""
        if (number, rung) not in self._scores:
            spec = self._spec(number, rung)
            result = spec.result()
            if result is None:
                return None
            self._scores[number, rung] = score(result, self._tune.metric, spec.until)
        return self._scores[number, rung]


def searches_of(study: ml_collections.ConfigDict, variants: Sequence[Variant], workdir: Path) -> list[Search]:
    """Returns the searches of each tier, variant and replicate; trials in `workdir`/trials/<variant>/<number>."""
    tune, tiers = study.tune, study.tune.to_dict()['tiers']
    spaces = {
        (tier, variant.name): space_in(tier, by_value, variant)
        for tier, by_value in tiers.items()
        for variant in variants
    }
    for tier, variant in itertools.product(tiers, variants):
        check_ends(variant, spaces[tier, variant.name])
    name = tune.get('sampler', samplers.HALTON)
    longest = max(map(len, spaces.values()), default=1)
    replicates = range(tune.get('replicates', 1))
    points = [samplers.halton(tune.trials, longest, replicate) for replicate in replicates]
    found = []
    for tier, variant, replicate in itertools.product(tiers, variants, replicates):
        space = spaces[tier, variant.name]
        tuned = in_tier(variant, tier, variant.config).name
        sampler: samplers.Sampler = samplers.Fixed(points[replicate])
        if name != samplers.HALTON:
            seed = f'{tuned} {replicate}'
            sampler = samplers.Learning(name, len(space), tune.trials, tune.get('batch', 1), seed)
        found.append(Search(tune, variant, tier, replicate, space, sampler, workdir / 'trials' / tuned))
    return found


def winners(searches: Iterable[Search], seeds: Sequence[int]) -> tuple[list[Variant], list[str]]:
    """Returns what each tuned variant's searches have chosen, and the names of those of which one has chosen nothing yet.

    Of R replicates, replicate r chooses for the seeds number r, r + R, r + 2 R ... of the study's.
    """
    by_name: dict[str, list[Search]] = {}
    for search in searches:
        by_name.setdefault(search.name, []).append(search)
    found, without = [], []
    for name, own in by_name.items():
        chosen = [search.chosen() for search in own]
        if any(spec is None for spec in chosen):
            without.append(name)
            continue
        variants = [spec.variant for spec in chosen if spec]
        several = {seed: variants[i % len(own)].config for i, seed in enumerate(seeds)} if len(own) > 1 else {}
        found.append(dataclasses.replace(variants[0], by_seed=several))
    return found, without


def score(result: Mapping[str, Any], metric: str, share: float = 1.0) -> float:
    """Returns how good a trial was, the higher the better: at the evaluation whose weights it kept, of those up to `share`
    of the training."""
    history = up_to(result['history'], share)
    reached = bool(history) and history[-1].get('rung', 0.0) >= share
    if result['status'] == 'diverged' and (share == 1.0 or not reached):
        return -math.inf
    value = best_of({**result, 'history': history})[metric]
    if value is None:
        return -math.inf
    return value if metrics_of(result)[metric.removeprefix('validation_')] == 'max' else -value


def up_to(history: Sequence[dict[str, Any]], share: float) -> Sequence[dict[str, Any]]:
    """Returns the evaluations up to a share of the training at which there is a rung; all, if there is none."""
    last = next((i for i, row in enumerate(history) if row.get('rung', 0.0) >= share), len(history))
    return history[: last + 1]
