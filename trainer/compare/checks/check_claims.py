"""Can a claim be judged? Every axis, value and metric that it names is held against the variants of its study."""

import ast
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ml_collections

from seedwise.errors import UserError, in_a_line, unknown
from trainer import metrics
from trainer.compare.analysis.claims import parse
from trainer.compare.analysis.metrics import DIRECTIONS
from trainer.compare.grid import Variant
from trainer.compare.tuning.space import AXIS, RATE, UNTUNED, space_of


def measured(variants: Sequence[Variant]) -> list[str]:
    """Returns the columns of results (`runs.py`) that evaluations measure."""
    names = metrics.measured(variants[0].config.metrics)
    train = [f'train_{name}' for name in names if name in metrics.ALWAYS]
    return [*train, *(f'{split}_{name}' for split in ('validation', 'test') for name in names)]


def numbers(variants: Sequence[Variant]) -> tuple[str, ...]:
    """Returns the columns of results that are numbers, and can be in the metric of a claim."""
    seconds = (f'seconds_{part}' for part in ('total', 'training', 'evaluation', 'startup'))
    return (*measured(variants), *seconds, 'peak_memory_bytes', 'parameters', 'steps')


def check_claim(study: ml_collections.ConfigDict, claim: Mapping[str, Any], variants: Sequence[Variant]) -> str:
    """Checks a claim, and returns its id."""
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
    if parsed.kind == 'mostly':
        of_a, of_b = ({tuple(_value(v, axis) for axis in parsed.matched) for v in selected} for selected in chosen)
        if not of_a & of_b:
            axes = ' and '.join(parsed.matched)
            raise UserError(f"{name} of kind 'mostly' has nothing to compare: a and b are there at no same {axes}")
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
    if parsed.target is None:
        check_reachable(f'margin of {name}', parsed.metric, parsed.margin)
    parsed.better  # noqa: B018  raises if the direction of the metric is neither stated nor known
    if parsed.reduce == 'best' and parsed.kind != 'less_sensitive':
        _check_metric(f'select_by of {name}', parsed.select_by, every)
        if parsed.select_by not in DIRECTIONS:  # an expression, or a metric of the user's own
            columns = [c for c in measured(variants) if c in DIRECTIONS]
            raise unknown(f'select_by of {name}', parsed.select_by, columns)
    return parsed.id


def select(where: str, selector: Any, variants: Sequence[Variant]) -> list[Variant]:
    """Returns the variants that a selector addresses, which are some.

    Raises:
      UserError: it names an axis, a value or a combination of values that does not exist.
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


def check_reachable(where: str, metric: str, margin: float) -> None:
    """Raises `UserError` for a margin that no difference of a metric reaches: accuracies lie between 0 and 1."""
    if metric in ('train_accuracy', 'validation_accuracy', 'test_accuracy') and margin >= 1:
        raise UserError(
            f'{where} is {margin:g}: {metric} lies between 0 and 1, so that no two variants differ by more; a margin of one '
            'percentage point is 0.01'
        )


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
    known = numbers(variants)
    opened_splits = {
        'train': True,
        'validation': all(v.config.data.validation for v in variants),
        'test': opened,
    }
    columns = [c for c in known if opened_splits.get(c.partition('_')[0], during != 'training')]
    names = _names(metric) or [metric]
    for name in names:
        split = name.partition('_')[0]
        if name in columns:
            continue
        if name not in known and name in DIRECTIONS:
            raise UserError(
                f"{where} is {metric}: add '{name.partition('_')[2]}' to base.metrics, so that it is measured"
            )
        if name not in known:
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
    """Returns the names in an expression, except those of functions; none if it is not an expression."""
    try:
        nodes = [*ast.walk(ast.parse(expression, mode='eval'))]
    except (SyntaxError, ValueError):
        return []
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return sorted({node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in functions})


def _evaluate(where: str, metric: str, columns: Collection[str]) -> None:
    """Evaluates an expression as `selection.column` does, on synthetic numbers."""
    import pandas as pd

    from trainer.compare.analysis.claims.selection import column

    try:
        values = column(pd.DataFrame({name: [0.5, 0.25] for name in columns}), metric, where)
        ok = len(values) == 2
    except UserError:
        raise
    except Exception as error:  # a user's expression can raise anything
        raise UserError(f"{where} is '{metric}': {type(error).__name__}: {in_a_line(error)}") from error
    if not ok:
        raise UserError(f"{where} is '{metric}': it must be a number for each run")
