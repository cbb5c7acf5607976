"""A config in its one form, which has one hash: 1 and 1.0 are the same run, as are the two places of an argument."""

import functools
from collections.abc import Collection, Mapping
from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from configs import default
from seedwise import dotted
from trainer import optimizers


def settle_numbers(config: ml_collections.ConfigDict) -> None:
    """Gives every number of a run's config the type of its field, and every argument of the optimizer its one place.

    Raises:
      UserError: an argument of the optimizer is in two places, with two values.
    """
    settle_optimizer(config)
    _settle(config, _declared())


def settle_optimizer(config: ml_collections.ConfigDict) -> None:
    """Does what `settle_numbers` does to the section of the optimizer alone."""
    section = config.get('optimizer')
    if not _has_options(section):
        return  # `trainer.config.check` says what is missing
    fields = optimizers.settled(section)
    with section.unlocked(), section.ignore_type():
        for holder, expected in ((section.options, fields.pop('options')), (section, fields)):
            for key in {*holder} - {*expected, 'options'}:
                del holder[key]
            for key, value in expected.items():
                if key not in holder or (holder[key] is not value and holder[key] != value):
                    holder[key] = value
    if not optimizers.is_own(section):
        known = {*section.options} & {*optimizers.TYPES}
        _settle(config, {f'optimizer.options.{name}': optimizers.TYPES[name] for name in known})


def offer_arguments(config: ml_collections.ConfigDict, given: Collection[str]) -> None:
    """Makes the arguments of Keras's optimizers fields next to `optimizer.options`, for those who set them there.

    Args:
      config: of a run; changed in place. `settle_optimizer` undoes it.
      given: dotted paths that are about to be set: such a field takes the place of the option of its name.
    """
    settle_optimizer(config)
    names = {path.removeprefix('optimizer.') for path in given if path.startswith('optimizer.')}
    section = config.get('optimizer')
    if not _has_options(section) or names <= {*section}:
        return
    with section.unlocked():
        for name, kind in optimizers.TYPES.items():
            section[name] = placeholder(kind)
            if name in names and name in section.options:
                del section.options[name]


def _has_options(section: Any) -> bool:
    is_section = isinstance(section, ml_collections.ConfigDict)
    return is_section and isinstance(section.get('options'), ml_collections.ConfigDict)


def _settle(config: ml_collections.ConfigDict, kinds: Mapping[str, type]) -> None:
    for path, kind in kinds.items():
        parent, _, key = path.rpartition('.')
        try:
            holder = dotted.get(config, parent)
            value = holder[key]
        except (KeyError, TypeError):
            continue  # `trainer.config.check` says what is missing
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
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if kind is float and is_whole and abs(value) < 1e308 else value


@functools.cache
def _declared() -> Mapping[str, type]:
    return dotted.types(default.get_config())


@functools.cache
def known_fields() -> Mapping[str, type]:
    """Returns the type of each field that a config may set, by its path; options have none."""
    return {**_declared(), **optimizers.FIELDS}


@functools.cache
def _float_tuples() -> frozenset[str]:
    """Returns the paths of the fields that are tuples of floats."""
    config = default.get_config()
    tuples = {path: dotted.get(config, path) for path, kind in dotted.types(config).items() if kind is tuple}
    found = {path for path, value in tuples.items() if value and all(isinstance(one, float) for one in value)}
    return frozenset({*found, 'loss.class_weights'})
