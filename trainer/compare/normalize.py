"""A study as its file wrote it, in the one form that everything else reads.

{'batch': {64: ..., 128: ...}}    values of axes are text: '64' and '128', in selectors of claims and tables too
{'optimizer': {'learning_rate': 1}}    a number where the config has a float is a float: 1 and 1.0 are the same run
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import ml_collections
from ml_collections import FieldReference

from seedwise.dotted import types
from seedwise.errors import UserError
from trainer import optimizers
from trainer.config.numbers import of_field, offer_arguments

#: Longest name of a file or folder, in bytes.
LONGEST_NAME = 255

#: Fields of a study that are mappings, and those that may be None, which is as if they were not there.
SECTIONS = ('axes', 'variants', 'paper', 'tune', 'margins')
OPTIONAL = (*SECTIONS, 'claims', 'checks')

#: Fields of a claim that select variants.
SELECTORS = ('a', 'b', 'where')

#: Field of a row of a paper's table or curves that selects variants.
ROW = ('variant',)


def normalize(study: ml_collections.ConfigDict, given: Collection[str] = ()) -> None:
    """Changes a study in place; what has the right form already is left as it is.

    Args:
      study: the study, of which nothing has been checked.
      given: dotted paths that the command line is about to set.

    Raises:
      UserError: two values of an axis have the same name, or a section is not a mapping.
    """
    with study.unlocked():
        for key in OPTIONAL:
            if key in study and study[key] is None:
                del study[key]
        for key in SECTIONS:
            if not isinstance(study.get(key, {}), Mapping | ml_collections.ConfigDict):
                raise UserError(f"the study's {key} is {study[key]!r}: it must be a mapping")
        for key in ('axes', 'variants'):
            if isinstance(study.get(key), ml_collections.ConfigDict):
                study[key] = _named(study[key], 2 if key == 'axes' else 1, key)
        tune = study.get('tune')
        if isinstance(tune, ml_collections.ConfigDict) and isinstance(tune.get('tiers'), ml_collections.ConfigDict):
            tune.tiers = _named(tune.tiers, 2, 'tune.tiers')
        _type_leaves(study, given)
        values = _values(study)
        folders = {str(name): file_name(str(name)) for name in study.get('variants') or ()}
        holders = [study, *([study.paper] if isinstance(study.get('paper'), ml_collections.ConfigDict) else [])]
        for holder in holders:
            for key, selectors in {'claims': SELECTORS, 'checks': SELECTORS, 'table': ROW, 'curves': ROW}.items():
                _select_by_text(holder, key, selectors, values, folders)


def _named(mapping: ml_collections.ConfigDict, depth: int, where: str) -> ml_collections.ConfigDict:
    """Returns a mapping whose keys are text, down to `depth` levels."""
    # Not by iterating over it, which sorts: text and numbers have no order.
    keys = list(mapping._fields)
    named: dict[str, Any] = {}
    for key in keys:
        name = str(key)
        if name in named:
            raise UserError(f"{where} has two values that are written '{name}': rename one")
        value = mapping[key]
        inside = depth > 1 and isinstance(value, ml_collections.ConfigDict)
        named[name] = _named(value, depth - 1, f'{where}.{name}') if inside else value
    if all(isinstance(key, str) for key in keys) and all(named[key] is mapping[key] for key in keys):
        return mapping
    result = ml_collections.ConfigDict(allow_dotted_keys=True)  # '0.1'
    for name, value in named.items():
        result[name] = value
    return result


def _type_leaves(study: ml_collections.ConfigDict, given: Collection[str]) -> None:
    """Gives the fields that the command line is about to set the types that they have in a run: it is parsed by them."""
    base = study.get('base')
    if not isinstance(base, ml_collections.ConfigDict):
        return
    offer_arguments(base, [path.removeprefix('base.') for path in given if path.startswith('base.')])
    known = types(base) | optimizers.FIELDS
    for path in given:
        parts = path.split('.')
        depth = {'axes': 3, 'variants': 3}.get(parts[0], len(parts))
        field = '.'.join(parts[depth:])
        holder: Any = study
        for part in parts[:-1]:
            holder = holder.get(part) if isinstance(holder, ml_collections.ConfigDict) else None
        if known.get(field) is not float or not isinstance(holder, ml_collections.ConfigDict):
            continue
        leaf = dict(holder.items(preserve_field_references=True)).get(parts[-1])
        if not isinstance(leaf, FieldReference):  # which is another field's value
            with holder.ignore_type():
                holder[parts[-1]] = of_field(field, float, leaf)


def _values(study: ml_collections.ConfigDict) -> dict[str, set[str]]:
    """Returns the names of the values of each axis."""
    found: dict[str, set[str]] = {}
    for axis, values in (study.get('axes') or {}).items():
        found[axis] = set(values) if isinstance(values, ml_collections.ConfigDict) else set()
    for variant in (study.get('variants') or {}).values():
        labels = variant.get('labels', {}) if isinstance(variant, ml_collections.ConfigDict) else {}
        for axis, value in labels.items() if isinstance(labels, Mapping | ml_collections.ConfigDict) else ():
            found.setdefault(str(axis), set()).add(str(value))
    return found


def _select_by_text(
    holder, key: str, selectors: Iterable[str], values: Mapping[str, set[str]], folders: Mapping[str, str]
) -> None:
    """Rewrites the selectors of claims, or of rows of a table."""
    rows = holder.get(key)
    if not isinstance(rows, tuple | list) or not all(isinstance(row, Mapping) for row in rows):
        return
    rewritten = [
        dict(row) | {name: _text(row[name], values, folders) for name in selectors if name in row} for row in rows
    ]
    if rewritten != list(rows):
        holder[key] = type(rows)(rewritten)


def _text(selector: Any, values: Mapping[str, set[str]], folders: Mapping[str, str]) -> Any:
    """Returns a selector, or several, with text in the place of values; what is no selector as it is.

    Args:
      selector: as the file has it.
      values: the names of the values of each axis.
      folders: name of a listed variant -> its folder, which is what results know it by.
    """
    if isinstance(selector, tuple | list):
        return type(selector)(_text(one, values, folders) for one in selector)
    if not isinstance(selector, Mapping):
        return selector
    text: dict[Any, Any] = {}
    for axis, value in selector.items():
        known = values.get(str(axis), set())
        several = isinstance(value, tuple | list) and str(value) not in known
        names = [str(one) for one in value] if several else [str(value)]
        if str(axis) == 'variant' and 'variant' not in values:
            names = [folders.get(name, name) for name in names]
        elif str(axis) not in values and axis != 'tuning':
            text[axis] = value
            continue
        text[str(axis)] = tuple(names) if several else names[0]
    return text


def file_name(name: str) -> str:
    """Returns a name as that of a folder: without separators, and no longer than file systems take."""
    name = re.sub(r'[^\w.+-]+', '_', name).strip('.') or '_'
    return shortened(name)


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Returns the name of a file, cut to so many bytes; a hash tells apart what is cut off."""
    content = name.encode(errors='surrogateescape')
    if len(content) <= longest:
        return name
    end = f'-{hashlib.sha256(content).hexdigest()[:8]}'
    return content[: longest - len(end)].decode(errors='ignore') + end
