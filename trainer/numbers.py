"""Numbers of a config in the type of their field: 1 and 1.0 are the same run, and have one hash."""

import functools
from typing import Any

import ml_collections

from configs import default
from seedwise import dotted


def settle_numbers(config: ml_collections.ConfigDict) -> None:
    """Gives every number of a run's config the type of its field: 1 and 1.0 are the same run, and have one hash."""
    for path, kind in dotted.types(default.get_config()).items():
        parent, _, key = path.rpartition('.')
        try:
            holder = dotted.get(config, parent)
            value = holder[key]
        except (KeyError, TypeError):
            continue  # `trainer.check` says what is missing
        settled = of_field(path, kind, value)
        if settled is not value:
            with holder.ignore_type():
                holder[key] = settled


def of_field(path: str, kind: type, value: Any) -> Any:
    """Returns a value as its field has it: numbers of the field's type, and NumPy's as Python's; others as they are."""
    if kind is tuple and isinstance(value, str):
        value = (value,)
    if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], str) and ',' in value[0]:
        value = tuple(word.strip() for word in value[0].split(','))  # --config.metrics=macro_f1,auc
    if path in _float_tuples() and isinstance(value, tuple):
        settled = tuple(of_field('', float, one) for one in value)
        return settled if any(a is not b for a, b in zip(settled, value, strict=True)) else value
    if hasattr(value, 'dtype') and getattr(value, 'ndim', None) == 0:
        value = value.item()
    return float(value) if kind is float and isinstance(value, int) and not isinstance(value, bool) else value


@functools.cache
def _float_tuples() -> frozenset[str]:
    """Returns the paths of the fields that are tuples of floats."""
    config = default.get_config()
    tuples = {path: dotted.get(config, path) for path, kind in dotted.types(config).items() if kind is tuple}
    found = {path for path, value in tuples.items() if value and all(isinstance(one, float) for one in value)}
    return frozenset({*found, 'loss.class_weights'})
