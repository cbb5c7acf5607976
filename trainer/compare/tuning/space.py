"""What a tuned study draws: a search space for each variant and tier, and the configs at points of it.

A tuned study has one axis more, `tuning`: `default` is the variant as it is, and each tier of `tune.tiers` what its trials
choose.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import ml_collections

from seedwise import dotted
from seedwise.errors import UserError, unknown
from trainer.compare.grid import RunSpec, Variant, overridden
from trainer.compare.normalize import shortened
from trainer.config.check import check

AXIS, UNTUNED = 'tuning', 'default'

#: The field that claims and tables about tuning are about.
RATE = 'optimizer.learning_rate'

Space = Mapping[str, tuple[str, float, float]]

#: How near to its ends a space is tried before anything trains: bounds themselves may be excluded, as 1 for a dropout rate.
END = 1e-6

#: Scale -> point in [0, 1] and the two bounds -> value.
SCALES = {
    'linear': lambda u, low, high: low + u * (high - low),
    'log': lambda u, low, high: low * (high / low) ** u,
    'log_1m': lambda u, low, high: 1 - (1 - low) * ((1 - high) / (1 - low)) ** u,
}


def untuned(variants: Iterable[Variant]) -> list[Variant]:
    """Returns the variants as those that nothing was tuned of."""
    return [in_tier(variant, UNTUNED, variant.config) for variant in variants]


def in_tier(variant: Variant, tier: str, config: ml_collections.ConfigDict) -> Variant:
    """Returns what a variant becomes in a tier, with that config."""
    labels = dict(variant.labels) | {AXIS: tier}
    return dataclasses.replace(variant, name=shortened(f'{variant.name}-{tier}'), labels=labels, config=config)


def at(point: Sequence[float], space: Space) -> dict[str, float]:
    """Returns the values at a point of a space, by dotted path; of a point with more coordinates, the first count."""
    return {
        # Six digits: what is printed is what was run.
        path: float(f'{SCALES[scale](u, low, high):.6g}')
        for u, (path, (scale, low, high)) in zip(point, space.items(), strict=False)
    }


def check_ends(variant: Variant, space: Space) -> None:
    """Raises `UserError` where a space reaches to values that the variant cannot be run with."""
    for u in (END, 0.5, 1 - END):
        try:
            check(overridden(variant.config, [dotted.nest(at([u] * len(space), space))]))
        except UserError as error:
            raise UserError(f"tuning variant '{variant.name}': {error}") from error


def bounds(study: ml_collections.ConfigDict, spec: RunSpec, path: str) -> tuple[float, float] | None:
    """Returns what a field of a trial was drawn between; None: it was not drawn."""
    space = space_of(study, spec.variant)
    return space[path][1:] if path in space else None


def space_of(study: ml_collections.ConfigDict, variant: Variant) -> Space:
    """Returns what the trials of a tuned variant draw: dotted path -> (scale, low, high)."""
    tier = variant.labels[AXIS]
    return space_in(tier, study.tune.to_dict()['tiers'][tier], variant)


def space_in(tier: str, by_value: Mapping[str, Any], variant: Variant) -> Space:
    """Returns dotted path -> (scale, low, high), found under a value that the variant has on some axis.

    The learning rate is first: it has the same points in every variant and tier, whatever else is drawn.

    Raises:
      UserError: there is none, or it is not a space.
    """
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
                f'one of {", ".join(SCALES)}; log needs low > 0, log_1m needs high < 1'
            )
        space[path] = tuple(drawn)
    if not space:
        raise UserError(f"tune.tiers.{tier} draws nothing for '{variant.name}': it must name fields with their bounds")
    return dict(sorted(space.items(), key=lambda item: (not item[0].endswith('learning_rate'), item[0])))
