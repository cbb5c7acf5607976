"""A study on several data sets: one study on each, and what holds over them.

    config.axes = {
        'data': {name: {'data': {'name': name}} for name in ('mnist', 'fashion_mnist')},
        'optimizer': {...},
    }

An axis that sets `data.name` or `data.options` names data sets. The runs on each are a study of their own in
<workdir>/<data set>, with its report, claims and board. Nothing there mixes data sets; what holds over them is worked out
from the finished studies (trainer/compare/analysis/over_datasets.py).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections

from seedwise import dotted
from seedwise.errors import UserError
from trainer.compare.grid import overridden
from trainer.compare.normalize import SELECTORS

#: Fields of a run that say which data it is trained on.
FIELDS = ('data.name', 'data.options')


def axis_of(study: ml_collections.ConfigDict) -> str | None:
    """Returns the axis whose values are data sets; None: the study has one data set.

    Raises:
      UserError: several axes name data sets, or there is no other axis.
    """
    axes = study.get('axes') or {}
    found = [axis for axis in axes if any(_names_data(overrides) for overrides in _values(axes[axis]).values())]
    if not found:
        return None
    if len(found) > 1:
        raise UserError(f"the axes '{found[0]}' and '{found[1]}' both name data sets: make one axis of them")
    if len(axes) == 1:
        raise UserError(
            f"the study has no axis but '{found[0]}', which names data sets: what is to be compared on each?"
        )
    return found[0]


def split(study: ml_collections.ConfigDict) -> dict[str, ml_collections.ConfigDict]:
    """Returns data set -> the study on it, in the order of the names; {'': study} of a study with one data set.

    Claims and checks are judged on each data set that their `where` admits, all of them if it names none.

    Raises:
      UserError: a claim compares data sets, or the base does not take what the axis sets.
    """
    axis = axis_of(study)
    if axis is None:
        return {'': study}
    parts = {}
    for value, overrides in _values(study.axes[axis]).items():
        part = study.copy_and_resolve_references()
        with part.unlocked():
            part.base = overridden(study.base, [overrides])
            del part.axes[axis]
            holders = [part, *([part.paper] if isinstance(part.get('paper'), ml_collections.ConfigDict) else [])]
            for holder in holders:
                for key in ('claims', 'checks'):
                    if holder.get(key):
                        holder[key] = tuple(_of_one(holder[key], axis, value))
        parts[value] = part
    return parts


def _values(axis: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(axis, Mapping | ml_collections.ConfigDict):
        return {}  # not an axis: refused with the variants
    # A ConfigDict's own order: alphabetical, as that of variants.
    return {str(value): axis[value] for value in axis}


def _names_data(overrides: Any) -> bool:
    if not isinstance(overrides, Mapping | ml_collections.ConfigDict):
        return False
    return any(path in FIELDS or path.startswith('data.options.') for path, _ in dotted.flatten(overrides))


def _of_one(claims: Iterable[Mapping[str, Any]], axis: str, value: str) -> list[dict[str, Any]]:
    """Returns the claims about one data set, without the axis of data sets."""
    kept = []
    for number, claim in enumerate(claims, start=1):
        fields = dict(claim)
        for side in SELECTORS:
            selector = fields.get(side)
            if not isinstance(selector, Mapping | ml_collections.ConfigDict) or axis not in selector:
                continue
            if side != 'where':
                raise UserError(
                    f"claim {number} compares data sets: it has the axis '{axis}' in '{side}', and only 'where' may name it"
                )
            fields[side] = {key: selector[key] for key in selector if key != axis}
            admitted = selector[axis]
            if value not in (admitted if isinstance(admitted, tuple | list) else [admitted]):
                break
        else:
            kept.append(fields)
    return kept
