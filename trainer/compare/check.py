"""Can this study be judged and reported on? Answered before its first run trains, in one line.

What verdicts and the report would trip over at the end is looked for here: claims, tables and curves that name axes, values
or metrics which the study does not have, names that results or folders cannot have, and libraries that do not load.
"""

import ast
import math
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import ml_collections

from seedwise.errors import UserError, unknown
from trainer.compare.grid import Variant
from trainer.compare.tuning import AXIS, UNTUNED, space_of

#: Fields of a study's `paper`, and of the rows of its table and curves; all are needed but those in `OPTIONAL`.
PAPER = ('reference', 'dataset', 'table', 'curves', 'claims')
ROW = ('variant', 'test_accuracy', 'test_loss')
CURVE = ('variant', 'metric', 'epochs', 'values')
OPTIONAL = ('dataset', 'table', 'curves', 'claims', 'test_accuracy', 'test_loss')

#: What evaluations measure, on each split.
SPLITS, METRICS = ('train', 'validation', 'test'), ('accuracy', 'loss')

#: Columns of results (`runs.py`) that are numbers, and can be in the metric of a claim.
NUMBERS = (
    *(f'{split}_{metric}' for split in SPLITS for metric in METRICS),
    *(f'seconds_{part}' for part in ('total', 'training', 'evaluation', 'startup')),
    *('parameters', 'steps'),
)

#: Columns of results, of trials and of tables: an axis of that name would be overwritten by them, or would overwrite them.
COLUMNS = (
    *NUMBERS,
    *('seed', 'seeds', 'status', 'history', 'versions', 'host', 'git_revision', 'dataset', 'config_hash'),
    *('weights_sha256', 'diverged', 'standing', 'learning_rate', 'low', 'high', AXIS),
)

RATE = 'optimizer.learning_rate'


def check_libraries() -> None:
    """Raises `UserError` where what writes the report cannot be loaded."""
    try:
        from trainer.compare.report.page import template

        template()
    except Exception as error:  # a library that is not there or is broken, or settings that it does not take
        reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
        raise UserError(f'the report cannot be written here ({reason}): mend that, or train with --noreport') from error


def check_report(study: ml_collections.ConfigDict, variants: Sequence[Variant]) -> None:
    """Raises `UserError` for the first thing that the study's verdicts or its report could not do.

    Args:
      study: the study, prepared.
      variants: all that will be compared; of those that trials choose, one trial each.
    """
    _check_names(study, variants)
    paper = study.get('paper') or {}
    if not isinstance(paper, Mapping | ml_collections.ConfigDict):
        raise UserError(f"the study's paper is {paper!r}: it must be a mapping with {', '.join(PAPER)}")
    if paper:
        _check_keys('paper', paper, PAPER)
    for key in ('reference', 'dataset'):
        if not isinstance(paper.get(key, ''), str):
            raise UserError(f'paper.{key} is {paper[key]!r}: it must be text')
    for i, row in enumerate(_rows('paper.table', paper.get('table', ()))):
        _check_row(f'row {i + 1} of paper.table', row, variants)
    for i, curve in enumerate(_rows('paper.curves', paper.get('curves', ()))):
        _check_curve(f'curve {i + 1} of paper.curves', curve, variants)
    _check_tiers(study, variants)
    taken: set[str] = set()
    lists = (('paper.claims', paper.get('claims', ())), *((key, study.get(key, ())) for key in ('claims', 'checks')))
    for where, claims in lists:
        for claim in _rows(where, claims):
            name = _check_claim(study, claim, variants)
            if name in taken:
                raise UserError(f"two claims are called '{name}': rename one")
            taken.add(name)


def _check_names(study: ml_collections.ConfigDict, variants: Sequence[Variant]) -> None:
    """Names of axes are no column's, and all names can be in the name of a file."""
    tuned = bool(study.get('tune'))
    free = (AXIS,) if tuned else (AXIS, 'learning_rate', 'low', 'high')
    for variant in variants:
        for axis, value in variant.labels.items():
            taken = axis in COLUMNS and axis not in free
            if taken or axis.startswith(tuple(f'test_{metric}_' for metric in METRICS)):
                raise UserError(f"an axis cannot be called '{axis}', as a column of the results is: rename it")
            if axis == 'variant' and study.get('axes') and value != variant.name:
                raise UserError(
                    "an axis cannot be called 'variant' here: that is what a combination of values is called"
                )
            for name in (axis, value, variant.name):
                _check_encodable(name)


def _check_tiers(study: ml_collections.ConfigDict, variants: Sequence[Variant]) -> None:
    """Each space of a tier is some variant's: another would be left out, and nobody would know."""
    values = dict.fromkeys(value for v in variants for axis, value in v.labels.items() if axis != AXIS)
    for tier, spaces in study.get('tune', {}).get('tiers', {}).items():
        for value in spaces:
            if value not in values:
                raise unknown(f'value of an axis in tune.tiers.{tier}', value, values)


def _check_encodable(name: str) -> None:
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise UserError(
            f"'{name}' cannot be in the name of a file here, where those are {sys.getfilesystemencoding()}: rename it, "
            'or set PYTHONUTF8=1'
        ) from error


def _rows(where: str, rows: Any) -> Iterable[Mapping[str, Any]]:
    """Returns the rows of a list of claims, or of a table."""
    if not isinstance(rows, tuple | list) or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(f'{where} must be a tuple of mappings')
    return rows


def _check_keys(where: str, row: Mapping[str, Any], accepted: Sequence[str]) -> None:
    for key in row:
        if key not in accepted:
            raise unknown(f'field of {where}', key, accepted)
    for key in accepted:
        if key not in row and key not in OPTIONAL:
            raise UserError(f"{where} has no '{key}'")


def _check_row(where: str, row: Mapping[str, Any], variants: Sequence[Variant]) -> None:
    _check_keys(where, row, ROW)
    select(where, row['variant'], variants)
    for metric in ROW[1:]:
        if metric in row and not _is_number(row[metric]):
            raise UserError(f'{metric} of {where} is {row[metric]!r}: it must be a number')


def _check_curve(where: str, curve: Mapping[str, Any], variants: Sequence[Variant]) -> None:
    _check_keys(where, curve, CURVE)
    select(where, curve['variant'], variants)
    metrics = [f'{split}_{metric}' for split in SPLITS for metric in METRICS]
    if curve['metric'] not in metrics:
        raise unknown(f'metric of {where}', curve['metric'], metrics)
    for key in CURVE[2:]:
        if not isinstance(curve[key], tuple | list) or not all(map(_is_number, curve[key])):
            raise UserError(f'{key} of {where} must be a tuple of numbers')
    if len(curve['epochs']) != len(curve['values']):
        raise UserError(
            f'{where} has {len(curve["epochs"])} epochs and {len(curve["values"])} values: as many are needed'
        )


def _check_claim(study: ml_collections.ConfigDict, claim: Mapping[str, Any], variants: Sequence[Variant]) -> str:
    """Checks a claim, and returns its id."""
    from trainer.compare.analysis.claims import parse

    parsed = parse(claim)
    name = f"claim '{parsed.id}'"
    if parsed.kind == 'less_sensitive':
        variants = [v for v in variants if v.labels.get(AXIS, UNTUNED) != UNTUNED]
        if not variants:
            raise UserError(f"{name} of kind 'less_sensitive' judges trials, and the study has no 'tune'")
    within = select(f'where of {name}', parsed.where, variants)
    rivals = () if parsed.b is None else (parsed.b,) if isinstance(parsed.b, Mapping) else tuple(parsed.b)
    chosen = [
        select(f'{key} of {name}', selector, within) for key, selector in (('a', parsed.a), *(('b', b) for b in rivals))
    ]
    for axis in parsed.matched:
        _check_axis(f'matched of {name}', axis, within)
    if parsed.kind == 'best' and parsed.b is None:
        if not parsed.a:
            raise UserError(
                f"{name} of kind 'best' has an empty 'a': it must say what is the best, such as {{axis: value}}"
            )
        if len({tuple(v.labels.get(axis, v.name) for axis in parsed.a) for v in within}) == len(
            {tuple(v.labels.get(axis, v.name) for axis in parsed.a) for v in chosen[0]}
        ):
            raise UserError(f"{name} of kind 'best' has no rival: its 'a' selects every variant")
    every = list({v.name: v for selected in chosen for v in selected}.values())
    if parsed.kind == 'less_sensitive':
        during = 'trials'
        for variant in every:
            scale, low, _ = space_of(study, variant).get(RATE, ('', 0, 0))
            if low <= 0:
                what = f'draws one from {low} on, which is not above 0' if scale else 'does not draw one'
                raise UserError(f"{name} of kind 'less_sensitive' is about learning rates, and {variant.name} {what}")
    else:
        during = 'training' * (parsed.target is not None)
    _check_metric(f'metric of {name}', parsed.metric, every, during)
    if parsed.reduce == 'best' and parsed.kind != 'less_sensitive':
        _check_metric(f'select_by of {name}', parsed.select_by, every)
    return parsed.id


def select(where: str, selector: Any, variants: Sequence[Variant]) -> list[Variant]:
    """Returns the variants that a selector addresses, which are some.

    Raises:
      UserError: it names an axis or a value that there is not, or a combination that there is not.
    """
    if not isinstance(selector, Mapping):
        raise UserError(f'{where} is {selector!r}: it must be a mapping of axis -> value')
    for axis, value in selector.items():
        values = _check_axis(where, axis, variants)
        for one in value if isinstance(value, tuple | list) else (value,):
            if one not in values:
                raise unknown(f'{axis} in {where}', one, values)
    found = [
        v
        for v in variants
        if all(
            _value(v, axis) in (value if isinstance(value, tuple | list) else (value,))
            for axis, value in selector.items()
        )
    ]
    if not found:
        words = ' and '.join(f'{axis} {value!r}' for axis, value in selector.items())
        raise UserError(f'{where} selects no variant: none has {words}' if words else f'{where} selects no variant')
    return found


def _check_axis(where: str, axis: Any, variants: Sequence[Variant]) -> list[str]:
    """Returns the values of an axis."""
    axes = [*dict.fromkeys(a for v in variants for a in v.labels), 'variant']
    if axis not in axes:
        raise unknown(f'axis in {where}', axis, axes)
    return [*dict.fromkeys(value for v in variants if (value := _value(v, axis)) is not None)]


def _value(variant: Variant, axis: str) -> str | None:
    return variant.name if axis == 'variant' else variant.labels.get(axis)


def _check_metric(where: str, metric: str, variants: Sequence[Variant], during: str = '') -> None:
    """Checks an expression of columns.

    Args:
      where: whose it is, for errors.
      metric: a column, or an expression of columns; for 'training' one column.
      variants: what it is asked of.
      during: '': of finished runs; 'training': of each evaluation while runs train; 'trials': of trials.
    """
    opened = {'': True, 'training': all(v.config.test_every_evaluation for v in variants), 'trials': False}[during]
    measured = {
        'train': True,
        'validation': all(v.config.data.validation for v in variants),
        'test': opened,
    }
    columns = [c for c in NUMBERS if measured.get(c.partition('_')[0], during != 'training')]
    names = _names(metric) or [metric]
    for name in names:
        split = name.partition('_')[0]
        if name in columns:
            continue
        if name not in NUMBERS:
            raise unknown(where, name, columns)
        if split == 'validation':
            raise UserError(f'{where} is {metric}: that needs data.validation > 0')
        if during == 'trials':
            raise UserError(f'{where} is {metric}: trials do not open the test set; accepted are {", ".join(columns)}')
        needs = ' (or test_* with test_every_evaluation)' * (split == 'test')
        raise UserError(
            f'{where} is {metric}, which is not measured during training: accepted are {", ".join(columns)}{needs}'
        )
    if during == 'training' and metric not in columns:
        raise UserError(f"{where} is '{metric}': with a target it must be one of {', '.join(columns)}")
    _evaluate(where, metric, columns)


def _names(expression: str) -> list[str]:
    """Returns the names in an expression, but for those of functions; none where it is no expression."""
    try:
        nodes = [*ast.walk(ast.parse(expression, mode='eval'))]
    except (SyntaxError, ValueError):
        return []
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return sorted({node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in functions})


def _evaluate(where: str, metric: str, columns: Collection[str]) -> None:
    """Evaluates an expression as `selection.column` does, on numbers that are made up."""
    import pandas as pd

    from trainer.compare.analysis.selection import column

    try:
        values = column(pd.DataFrame({name: [0.5, 0.25] for name in columns}), metric)
        ok = len(values) == 2
    except UserError:
        raise
    except Exception as error:  # an expression of somebody's own can raise anything
        raise UserError(f"{where} is '{metric}': {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not ok:
        raise UserError(f"{where} is '{metric}': it must be a number for each run")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
