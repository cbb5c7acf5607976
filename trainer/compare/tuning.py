"""Tuning under an equal budget: the same quasi-random points for all, chosen on validation, run again on fresh seeds.

A tuned study has one axis more, `tuning`: `default` is the variant as it is, and each tier of `tune.tiers` its best trial.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import ml_collections

from seedwise import dotted
from seedwise.errors import UserError, unknown
from trainer import metrics
from trainer.check import check
from trainer.compare.grid import RunSpec, Variant, overridden
from trainer.compare.normalize import shortened
from trainer.results import best_of, metrics_of

AXIS, UNTUNED = 'tuning', 'default'

#: What `tune` holds.
FIELDS = ('trials', 'metric', 'tiers')

#: Seed of the first trial, beyond those of the runs: what chose a setting does not judge it.
FIRST_SEED = 1_000_000

#: Scale -> point in [0, 1) and the two bounds -> value.
SCALES = {
    'linear': lambda u, low, high: low + u * (high - low),
    'log': lambda u, low, high: low * (high / low) ** u,
    'log_1m': lambda u, low, high: 1 - (1 - low) * ((1 - high) / (1 - low)) ** u,
}


def check_tune(study: ml_collections.ConfigDict, seeds: Sequence[int]) -> None:
    """Raises `UserError` where the study's `tune` cannot be run."""
    tune = study.tune
    if not isinstance(tune, ml_collections.ConfigDict):
        raise UserError(f"the study's tune is {tune!r}: it must be a mapping with {', '.join(FIELDS)}")
    for key in tune:
        if key not in FIELDS:
            raise unknown('field of tune', key, FIELDS)
    for key in FIELDS:
        if key not in tune:
            raise UserError(f"the study's tune has no '{key}'")
    _check_tiers(tune.tiers)
    if not isinstance(tune.trials, int) or isinstance(tune.trials, bool) or not 1 <= tune.trials <= 10_000:
        raise UserError(f'tune.trials is {tune.trials}: it must be from 1 to 10,000')
    measured = [f'validation_{name}' for name in metrics.measured(study.base.metrics)]
    if tune.metric not in measured:
        raise unknown('tune.metric', tune.metric, measured)
    if not study.base.data.validation:
        raise UserError('tuning chooses on validation: it needs base.data.validation > 0')
    if max(seeds) >= FIRST_SEED:
        raise UserError(f'seeds holds {max(seeds)}: a tuned study keeps those from {FIRST_SEED:,} on for its trials')
    labels = [variant.get('labels', {}) for variant in (study.get('variants') or {}).values()]
    if any(AXIS in axes for axes in (study.get('axes') or {}, *labels)):
        raise UserError(f"a tuned study has an axis '{AXIS}' of its own: rename yours")


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


def untuned(variants: Iterable[Variant]) -> list[Variant]:
    """Returns the variants as those that nothing was tuned of."""
    return [_tier(variant, UNTUNED, variant.config) for variant in variants]


def trials_of(study: ml_collections.ConfigDict, variants: Sequence[Variant], workdir: Path) -> list[RunSpec]:
    """Returns the trials of each tier and variant, in `workdir`/trials/<variant>/<number>."""
    tiers = study.tune.to_dict()['tiers']
    spaces = {
        (tier, variant.name): _in_order(_space(tier, by_value, variant))
        for tier, by_value in tiers.items()
        for variant in variants
    }
    points = _points(study.tune.trials, max(map(len, spaces.values()), default=1))
    specs = []
    for tier, variant in itertools.product(tiers, variants):
        for number, point in enumerate(points):
            drawn = {
                # Six digits: what is printed is what was run.
                path: float(f'{SCALES[scale](u, low, high):.6g}')
                for u, (path, (scale, low, high)) in zip(point, spaces[tier, variant.name].items(), strict=False)
            }
            tuned = _tier(variant, tier, _with(variant, drawn))
            folder = workdir / 'trials' / tuned.name / f'{number:03d}'
            specs.append(RunSpec(tuned, FIRST_SEED + number, folder, drawn))
    return specs


def bounds(study: ml_collections.ConfigDict, spec: RunSpec, path: str) -> tuple[float, float] | None:
    """Returns what a field of a trial was drawn between; None: it was not drawn."""
    space = space_of(study, spec.variant)
    return space[path][1:] if path in space else None


def space_of(study: ml_collections.ConfigDict, variant: Variant) -> dict[str, tuple[str, float, float]]:
    """Returns what the trials of a tuned variant draw: dotted path -> (scale, low, high)."""
    tier = variant.labels[AXIS]
    return _space(tier, study.tune.to_dict()['tiers'][tier], variant)


def winners(study: ml_collections.ConfigDict, trials: Sequence[RunSpec]) -> tuple[list[Variant], list[str]]:
    """Returns the best trial of each variant and tier as a variant, and the names of those that have none.

    None: a trial is not finished yet, or all have diverged.
    """
    by_variant: dict[str, list[RunSpec]] = {}
    for spec in trials:
        by_variant.setdefault(spec.variant.name, []).append(spec)
    found, without = [], []
    for name, specs in by_variant.items():
        done = [(spec, spec.result()) for spec in specs]
        scores = {i: score(result, study.tune.metric) for i, (_, result) in enumerate(done) if result}
        finite = {i: value for i, value in scores.items() if math.isfinite(value)}
        if len(scores) < len(specs) or not finite:
            without.append(name)
            continue
        best = specs[max(finite, key=lambda i: finite[i])].variant
        found.append(best)
    return found, without


def score(result: Mapping[str, Any], metric: str) -> float:
    """Returns how good a trial was, the higher the better: at the evaluation whose weights it kept."""
    if result['status'] == 'diverged':
        return -math.inf
    value = best_of(result)[metric]
    if value is None:
        return -math.inf
    return value if metrics_of(result)[metric.removeprefix('validation_')] == 'max' else -value


def _tier(variant: Variant, tier: str, config: ml_collections.ConfigDict) -> Variant:
    labels = dict(variant.labels) | {AXIS: tier}
    return dataclasses.replace(variant, name=shortened(f'{variant.name}-{tier}'), labels=labels, config=config)


def _with(variant: Variant, drawn: Mapping[str, float]) -> ml_collections.ConfigDict:
    """Returns a variant's config with drawn values, checked."""
    try:
        config = overridden(variant.config, [dotted.nest(drawn)])
        check(config)
    except UserError as error:
        raise UserError(f"tuning variant '{variant.name}': {error}") from error
    return config


def _space(tier: str, by_value: Mapping[str, Any], variant: Variant) -> dict[str, tuple[str, float, float]]:
    """Returns dotted path -> (scale, low, high), found under a value that the variant has on some axis."""
    nested = next((by_value[value] for value in variant.labels.values() if value in by_value), None)
    if nested is None:
        raise unknown(f"variant of tune.tiers.{tier}: none of its values is that of '{variant.name}'", tier, by_value)
    space = {}
    for path, drawn in dotted.flatten(nested):
        ok = isinstance(drawn, tuple | list) and len(drawn) == 3 and str(drawn[0]) in SCALES
        ok = ok and all(isinstance(bound, Real) and math.isfinite(bound) for bound in drawn[1:])
        low, high = drawn[1:] if ok else (0, 0)
        if not ok or not low < high or (drawn[0] == 'log' and low <= 0) or (drawn[0] == 'log_1m' and high >= 1):
            raise UserError(
                f'tune.tiers.{tier}: {path} is drawn from {drawn!r}: it must be (scale, low, high) with low < high, scale '
                f'one of {", ".join(SCALES)}; log wants low > 0, log_1m wants high < 1'
            )
        space[path] = tuple(drawn)
    if not space:
        raise UserError(f"tune.tiers.{tier} draws nothing for '{variant.name}': it must name fields with their bounds")
    return space


def _in_order(space: Mapping[str, tuple]) -> dict[str, tuple]:
    """The learning rate first: it has the same points in every variant and tier, whatever else is drawn."""
    return dict(sorted(space.items(), key=lambda item: (not item[0].endswith('learning_rate'), item[0])))


def _points(trials: int, dimensions: int) -> list[list[float]]:
    """The first points of a scrambled Halton sequence (Owen 2017): more trials only add to them."""
    from scipy.stats import qmc

    return qmc.Halton(dimensions, scramble=True, rng=0).random(trials).tolist()
