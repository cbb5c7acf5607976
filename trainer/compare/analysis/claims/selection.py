"""Which runs a claim is about, and their metric by seed.

Variants are addressed by a selector, which gives values of axes: {'optimizer': 'Nadam'} is every variant with Nadam,
whatever its loss; {'optimizer': ('SGD', 'Adam')} is every variant with one of the two; {} is every variant.

The runs are a frame with one finished run a row: `variant`, one column an axis (names of values, str), `seed`, `status`
('completed' or 'diverged'), the metrics, and `history` (list of dicts) where a time to a target is asked for.
"""

import ast
import math
import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from seedwise.errors import UserError, unknown
from trainer.compare.analysis.metrics import goal_of
from trainer.compare.analysis.statistics import to_target
from trainer.compare.analysis.words import says_little

Selector = Mapping[str, Any]

#: Columns of runs that stand for several variants (`pooling.filled`): the variant that a run was trained as, and the one
#: of those that compute the same thing that gets the seeds.
TRAINED_AS, SEEDS_FROM = '_trained_as', '_seeds_from'

#: What an expression of columns is made of.
OPERATORS: Mapping[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
FUNCTIONS: Mapping[str, Any] = {
    function.__name__: function for function in (np.exp, np.expm1, np.log, np.log10, np.log1p, np.sqrt)
} | {'abs': np.abs}


def select(runs: pd.DataFrame, selector: Selector) -> pd.DataFrame:
    """Returns the runs that `selector` addresses. Raises `UserError` for an axis that does not exist."""
    require_axes(runs, selector)
    chosen = pd.Series(True, index=runs.index)
    for axis, value in selector.items():
        chosen &= runs[axis].isin(value if isinstance(value, (tuple, list)) else [value])
    return runs[chosen]


def apart(runs: pd.DataFrame, a: Selector, b: Selector) -> pd.DataFrame:
    """Returns the runs without the seeds on which one and the same run stands for both `a` and `b`.

    Such a seed says nothing of the two: it would count as one on which they are equal.
    """
    if TRAINED_AS not in runs:
        return runs
    left, right = ({*zip(own[TRAINED_AS], own['seed'], strict=True)} for own in (select(runs, a), select(runs, b)))
    shared = {seed for _, seed in left & right}
    return runs[~runs['seed'].isin(shared)] if shared else runs


def alike(runs: pd.DataFrame, a: Selector, b: Selector) -> bool:
    """Returns whether any further seed would be one on which the same run stands for both."""
    if SEEDS_FROM not in runs:
        return False
    return bool({*select(runs, a)[SEEDS_FROM]} & {*select(runs, b)[SEEDS_FROM]})


def require_axes(runs: pd.DataFrame, axes: Iterable[str]) -> None:
    """Raises `UserError` for an axis that does not exist."""
    for axis in axes:
        if axis not in runs.columns:
            raise unknown('axis', axis, map(str, runs.columns))


def label(selector: Selector) -> str:
    """Returns a selector in words: 'Nadam + CCE', 'layers 5'."""
    words = []
    for axis, value in selector.items():
        values = ' or '.join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
        words.append(f'{axis.replace("_", " ")} {values}' if _says_little(values) else values)
    return ' + '.join(words) or 'all variants'


def _says_little(value: str) -> bool:
    """Whether a value says nothing without its axis in a sentence: there are more of them than in names of folders."""
    return says_little(value) or bool(re.match(r'[-+.]?\d|\(|(True|False|None)$', value))


def column(runs: pd.DataFrame, metric: str, where: str = 'metric') -> pd.Series:
    """Returns a column, or an expression of columns, of each run.

    An expression is data: a study that somebody else made may hold any. It has columns, numbers, `OPERATORS` and
    `FUNCTIONS`, and nothing else is evaluated. (`DataFrame.eval` reaches every module by `@` and by attributes.)

    Args:
      runs: the frame.
      metric: the name of a column, or an expression.
      where: what it is of, for errors.

    Raises:
      UserError: there is no such column, or it is no such expression.
    """
    if metric in runs.columns:
        return runs[metric].astype(float)
    try:
        tree = ast.parse(metric.strip(), mode='eval').body
        with np.errstate(all='ignore'):
            value = _value(tree, runs, f"{where} is '{metric}'")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise unknown(where, metric, map(str, runs.columns)) from error
    return value.astype(float) if isinstance(value, pd.Series) else pd.Series(float(value), runs.index)


def _value(node: ast.expr, runs: pd.DataFrame, where: str) -> Any:
    match node:
        case ast.Name(name) if name in runs.columns:
            return runs[name].astype(float)
        case ast.Name(name):
            raise unknown('metric', name, map(str, runs.columns))
        case ast.Constant(int() | float() as number) if abs(number) < 1e300:
            return np.float64(number)
        case ast.BinOp(left, kind, right) if type(kind) in OPERATORS:
            return OPERATORS[type(kind)](_value(left, runs, where), _value(right, runs, where))
        case ast.UnaryOp(kind, operand) if type(kind) in OPERATORS:
            return OPERATORS[type(kind)](_value(operand, runs, where))
        case ast.Call(ast.Name(name), [argument], []) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, runs, where))
    accepted = f'columns, numbers, + - * / **, parentheses, and {", ".join(FUNCTIONS)} of one of these'
    raise UserError(f'{where}: accepted are {accepted}')


def time_to_target(runs: pd.DataFrame, metric: str, target: float, unit: str, goal: str | None = None) -> pd.Series:
    """Returns when each run's history first reached a target; inf: never. `unit`: 'epoch', 'step' or 'seconds'."""
    if 'history' not in runs.columns:
        raise UserError(f"a time to {metric} {target:g} needs the runs' history")
    direction = goal_of(metric, goal)
    reached = [to_target(history, target, metric, direction) for history in runs['history']]
    return pd.Series([math.inf if r is None else getattr(r, unit) for r in reached], runs.index, dtype=float)


def horizon(runs: pd.DataFrame, unit: str) -> float:
    """Returns how long the longest run was: what a time that was never reached counts as."""
    ends = [entry.get(unit) for history in runs['history'] for entry in history[-1:]]
    return max((float(end) for end in ends if end is not None), default=math.inf)


def by_variant(runs: pd.DataFrame, values: pd.Series, goal: str) -> pd.DataFrame:
    """Returns `values` as seeds x variants, with the seeds that every variant has finished.

    A diverged run is infinitely bad: to leave it out would favour the variant that diverges.

    Raises:
      UserError: a completed run has no value.
    """
    return pivot(runs, values.where(runs['status'] == 'completed', -math.inf if goal == 'max' else math.inf))


def pivot(runs: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """Returns `values` as seeds x variants, with the seeds that every variant has.

    Raises:
      UserError: a run has no value.
    """
    if values.isna().any():
        run = runs[values.isna()].iloc[0]
        raise UserError(f"run '{run['variant']}', seed {run['seed']}, has no value of a metric that is asked for")
    names = runs['variant'].unique()
    if len(names) == 1 and runs['seed'].is_unique:  # as below, in a fourth of the time
        seeds = pd.Index(runs['seed'], name='seed')
        return pd.DataFrame(values.to_numpy(), seeds, pd.Index(names, name='variant')).sort_index()
    frame = pd.DataFrame({'variant': runs['variant'], 'seed': runs['seed'], 'value': values})
    return frame.pivot(index='seed', columns='variant', values='value').dropna()
