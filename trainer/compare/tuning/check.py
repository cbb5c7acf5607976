"""Can the `tune` of a study be run? Answered before anything trains, in one line."""

import math
from collections.abc import Sequence
from typing import Any

import ml_collections

from seedwise.errors import UserError, unknown
from trainer import metrics
from trainer.compare.tuning.samplers import HALTON, OPTUNA, SAMPLERS, load
from trainer.compare.tuning.space import AXIS, UNTUNED

#: What `tune` holds, and what it may hold besides.
FIELDS = ('trials', 'metric', 'tiers')
OPTIONAL = ('replicates', 'sampler', 'batch', 'halving')
HALVING = ('eta', 'rungs')

#: Seed of the first trial, beyond those of the runs: what chose a setting does not judge it.
FIRST_SEED = 1_000_000

MOST = 10_000


def check_tune(study: ml_collections.ConfigDict, seeds: Sequence[int]) -> None:
    """Raises `UserError` where the study's `tune` cannot be run."""
    tune = study.tune
    if not isinstance(tune, ml_collections.ConfigDict):
        raise UserError(f"the study's tune is {tune!r}: it must be a mapping with {', '.join(FIELDS)}")
    for key in tune:
        if key not in FIELDS + OPTIONAL:
            raise unknown('field of tune', key, FIELDS + OPTIONAL)
    for key in FIELDS:
        if key not in tune:
            raise UserError(f"the study's tune has no '{key}'")
    _check_tiers(tune.tiers)
    _check_number('tune.trials', tune.trials, 1, MOST)
    measured = [f'validation_{name}' for name in metrics.measured(study.base.metrics)]
    if tune.metric not in measured:
        raise unknown('tune.metric', tune.metric, measured)
    if not study.base.data.validation:
        raise UserError('tuning chooses on validation: it needs base.data.validation > 0')
    if max(seeds) >= FIRST_SEED:
        raise UserError(f'seeds holds {max(seeds)}: a tuned study keeps those from {FIRST_SEED:,} on for its trials')
    _check_replicates(tune, len(seeds))
    _check_halving(tune)
    _check_sampler(tune)
    labels = [variant.get('labels', {}) for variant in (study.get('variants') or {}).values()]
    if any(AXIS in axes for axes in (study.get('axes') or {}, *labels)):
        raise UserError(f"a tuned study has an axis '{AXIS}' of its own: rename yours")


def _check_replicates(tune: ml_collections.ConfigDict, seeds: int) -> None:
    if 'replicates' not in tune:
        return
    _check_number('tune.replicates', tune.replicates, 1, MOST)
    if seeds % tune.replicates:
        nearest = max(1, round(seeds / tune.replicates)) * tune.replicates
        raise UserError(
            f'the study has {seeds} seeds for {tune.replicates} replicates: each replicate needs as many, such as '
            f'--study.seeds={nearest}'
        )


def _check_halving(tune: ml_collections.ConfigDict) -> None:
    halving = tune.get('halving')
    if 'halving' not in tune or halving is None:
        return
    if not isinstance(halving, ml_collections.ConfigDict) or not len(halving):
        raise UserError(f'tune.halving is {halving!r}: it must be a mapping with {" and ".join(HALVING)}')
    for key in halving:
        if key not in HALVING:
            raise unknown('field of tune.halving', key, HALVING)
    for key in HALVING:
        if key not in halving:
            raise UserError(f"tune.halving has no '{key}'")
    _check_number('tune.halving.eta', halving.eta, 2, 100)
    _check_number('tune.halving.rungs', halving.rungs, 2, 10)


def check_rungs(tune: Any, config: ml_collections.ConfigDict, train: int | None) -> None:
    """Raises `UserError` where a trial is so short that two rungs of successive halving fall on one step.

    Args:
      tune: of the study; None: nothing is tuned.
      config: of a trial.
      train: number of training examples before the validation split is taken from them; None: not known.
    """
    halving = tune.get('halving') if tune else None
    if halving is None:
        return
    steps = config.steps
    if steps is None and train is not None:
        steps = math.ceil(config.epochs * (train - config.data.validation) / config.global_batch_size)
    if steps is None:
        return
    ends = [math.ceil(steps / halving.eta**k) for k in range(halving.rungs)]
    if len({*ends}) < halving.rungs:
        fit = next(rungs for rungs in range(halving.rungs, 0, -1) if len({*ends[:rungs]}) == rungs)
        advice = f'at most {fit} rungs are possible' if fit > 1 else 'leave halving out'
        raise UserError(
            f'tune.halving has {halving.rungs} rungs, each {halving.eta} times as long as the one before, and a trial has '
            f'{steps:,} {"step" if steps == 1 else "steps"}, so that two of them fall on one step: {advice}'
        )


def _check_sampler(tune: ml_collections.ConfigDict) -> None:
    name = tune.get('sampler', HALTON)
    if name not in SAMPLERS:
        raise unknown('tune.sampler', name, SAMPLERS)
    if 'batch' in tune:
        if name == HALTON:
            raise UserError(f'tune.batch is for {" and ".join(OPTUNA)}: {HALTON} draws all trials at once')
        _check_number('tune.batch', tune.batch, 1, MOST)
    if name == HALTON:
        return
    load(name)
    for tier, by_value in tune.tiers.items() if name == 'cmaes' else ():
        for value, space in by_value.items():
            if _size(space) == 1:
                raise UserError(
                    f"tune.sampler 'cmaes' needs two fields or more, and tune.tiers.{tier}.{value} has one: use tpe"
                )


def _size(space: Any) -> int:
    return sum(map(_size, space.values())) if isinstance(space, ml_collections.ConfigDict) else 1


def _check_number(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f'{name} is {value}: it must be from {least} to {most:,}')


def _check_tiers(tiers: Any) -> None:
    if not isinstance(tiers, ml_collections.ConfigDict) or not len(tiers):
        raise UserError(
            "tune.tiers must be a mapping of tier -> value of an axis -> fields, such as 'rate' -> 'SGD' -> ..."
        )
    for tier, by_value in tiers.items():
        if tier == UNTUNED or '/' in tier:
            raise UserError(
                f"a tier of tune.tiers cannot be called '{tier}': it is a folder's name, and '{UNTUNED}' is taken"
            )
        spaces = [*by_value.values()] if isinstance(by_value, ml_collections.ConfigDict) else [None]
        if not all(isinstance(space, ml_collections.ConfigDict) for space in spaces):
            raise UserError(f'tune.tiers.{tier} must be a mapping of value of an axis -> fields -> (scale, low, high)')
