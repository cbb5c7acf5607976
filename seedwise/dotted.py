"""Fields of nested configs by dotted path, such as 'optimizer.name'."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ml_collections


def get(config: Mapping[str, Any], path: str) -> Any:
    """Returns the field at `path`; '' is the config itself. Raises `KeyError` if there is no such field."""
    return functools.reduce(lambda section, key: section[key], path.split('.') if path else (), config)


def put(config: Any, path: str, value: Any) -> None:
    """Sets the field at `path`. Raises `TypeError` if a ConfigDict's field is of another type."""
    parent, _, key = path.rpartition('.')
    get(config, parent)[key] = value


def put_option(config: ml_collections.ConfigDict, path: str, value: Any) -> None:
    """Sets the field at `path`, which is in a free section or below one, and makes the sections that it needs there.

    Raises:
      KeyError: the free section does not exist.
      TypeError: what should be a section is an option that has a value.
    """
    *parents, key = path.split('.')
    free = not is_option(path)
    with config.unlocked(), config.ignore_type():
        for parent in parents:
            if parent not in config:
                if not free:
                    raise KeyError(parent)
                config[parent] = ml_collections.ConfigDict()
            config = config[parent]
            free = free or parent.endswith('options')
        config[key] = value


def is_option(path: str) -> bool:
    """Returns whether a path is in a free section, such as 'model.options.width' or 'metric_options.f_beta.beta', whose
    names are those of the code that takes them."""
    return 'options.' in path


def types(config: ml_collections.ConfigDict, prefix: str = '') -> dict[str, type]:
    """Returns the type of each field by its path; without keys that have a dot themselves."""
    found: dict[str, type] = {}
    for key in config:
        if '.' in str(key):
            continue
        if isinstance(config[key], ml_collections.ConfigDict):
            found |= types(config[key], f'{prefix}{key}.')
        else:
            found[f'{prefix}{key}'] = config.get_type(key)
    return found


def flatten(nested: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yields (path, value) of nested dicts or ConfigDicts."""
    for key, value in nested.items():
        if isinstance(value, Mapping | ml_collections.ConfigDict):
            yield from flatten(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the nested dicts that `flatten` made `flat` of."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, key = path.split('.')
        functools.reduce(lambda section, parent: section.setdefault(parent, {}), parents, nested)[key] = value
    return nested


def with_tuples(value: Any) -> Any:
    """Returns what JSON made of a config, with tuples in the place of lists again, at all depths."""
    if isinstance(value, Mapping):
        return {key: with_tuples(inner) for key, inner in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value


def prefer_given(config: ml_collections.ConfigDict, given: Iterable[str], pairs: Sequence[tuple[str, str]]) -> None:
    """Clears the field of each pair that is not among the `given` paths, if the other one is.

    Args:
      config: changed in place.
      given: the paths that the user set.
      pairs: fields that say the same thing in two units, such as epochs and steps.
    """
    known, given = types(config), set(given)
    for pair in pairs:
        for mine, other in (pair, pair[::-1]):
            if mine in given and other not in given and other in known:
                put(config, other, None)
