"""Tables with learning curves, a row an epoch or a step, and what else differs between rows of one variant."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from seedwise.errors import UserError
from trainer.compare.analysis.words import listed
from trainer.judging.cells import numeric
from trainer.judging.names import at
from trainer.judging.results import direction

#: Names of columns of time, whatever their case: rows that differ in it are of one run.
TIMES = (
    'step', 'steps', '_step', 'global_step', 'trainer/global_step', 'timestep', 'timesteps', 'total_timesteps', 'env_steps',
    'epoch', 'epochs', 'iteration', 'iterations', 'iter', 'iters', 'episode', 'episodes',
)  # fmt: skip

#: Names of columns that make another variant of a run, also where their cells are numbers.
SETTINGS = (
    'lr', 'learning_rate', 'batch_size', 'bs', 'weight_decay', 'wd', 'dropout', 'momentum', 'warmup', 'beta1', 'beta2',
    'epsilon', 'width', 'depth', 'layers', 'num_layers', 'hidden', 'hidden_size', 'model', 'architecture', 'arch',
    'backbone', 'optimizer', 'scheduler', 'schedule', 'method', 'algorithm', 'activation', 'augmentation', 'dataset',
    'task', 'env', 'environment',
)  # fmt: skip

#: Names of columns of words that differ from run to run by themselves.
OF_A_RUN = re.compile(
    r'date|time|host|machine|node|gpu|device|hash|commit|^user|^notes?$|^tags?$|^(path|file)|^stat(e|us)$|(^|_)(sha|id)$|'
    r'^(run_?)?name$'
)


#: The column of time where results are made, which no metric is called.
TIME = '(time of a curve)'


def time_of(frame: pd.DataFrame, keys: Sequence[str]) -> str | None:
    """Returns the column of time, if some rows are of one run; None otherwise.

    Args:
      frame: a table.
      keys: the columns of the variant and of the seed, those that there are.
    """
    names = [c for c in frame.columns if str(c).lower() in TIMES and c not in keys]
    runs = frame.groupby(list(keys), dropna=False) if keys else frame.groupby(lambda _: 0)
    names = [c for c in names if runs[c].nunique().gt(1).any()]
    return max(names, key=lambda c: frame[c].nunique(), default=None)


def results_of(
    found: pd.DataFrame, given: pd.DataFrame, metrics: Sequence[str], goals: Mapping[str, str], time: str, step: str
) -> pd.DataFrame:
    """Returns a row a run, with the value of each metric at its last step, its best, or at a given step.

    Args:
      found: `variant`, perhaps `seed`, `row`, `TIME` and the metrics, a row a step.
      given: a column a metric: where its cell is not empty.
      metrics: their names.
      goals: metric -> 'max' or 'min', where its name does not say it.
      time: what the file calls the column of time.
      step: 'last', 'best', or the number of a step.

    Raises:
      UserError: nothing tells the rows of several runs apart, or a metric has no value.
    """
    keys = [c for c in ('variant', 'seed') if c in found]
    twice = found.duplicated([*keys, TIME])
    if 'seed' not in found:
        twice |= found.groupby('variant')[TIME].diff() <= 0
    if twice.any():
        row = found[twice].iloc[0]
        seed = f' and seed {row["seed"]}' if 'seed' in found else ''
        raise UserError(
            f"row {row['row']}: '{row['variant']}' has several runs with a column '{time}'{seed}: name the column that "
            'tells them apart with --seed'
        )
    rows = []
    for _, run in found.groupby(keys, sort=False):
        result = run.iloc[-1].to_dict()
        for metric in metrics:
            logged = run[given[metric][run.index]]
            if logged.empty:
                raise UserError(f"row {result['row']}: '{metric}' of '{result['variant']}' is empty at every '{time}'")
            points = zip(logged[TIME], logged[metric], strict=True)
            result[metric] = at(points, step, goals.get(metric) or direction(metric), Path(result['variant']))
        rows.append(result)
    return pd.DataFrame(rows).drop(columns=TIME)


def said(time: str, step: str) -> str:
    """Returns the sentence that says that there are curves, and which of their values counts."""
    other = {'last': '--step=best or a number takes', 'best': '--step=last or a number takes'}
    return f"Learning curves: column '{time}'; value: {step} ({other.get(step, '--step=last or best takes')} another)."


def unused(frame: pd.DataFrame, variant: str, used: Sequence[str | None]) -> list[str]:
    """Returns a sentence about settings that differ within a variant and are not used, if there are any."""
    names = [c for c in frame.columns if c not in (variant, *used) and _is_setting(str(c), frame[c])]
    names = [str(c) for c in names if frame[c].astype(str).groupby(frame[variant]).nunique().gt(1).any()]
    if not names:
        return []
    differ = 'it differs' if len(names) == 1 else 'they differ'
    return [
        f'Not used, though {differ} within a variant: {listed(names)}. --variant={names[0]} judges by it; a column that '
        f'joins it with {variant} makes it part of the variant.'
    ]


def _is_setting(name: str, cells: pd.Series) -> bool:
    last = re.split(r'[./]', name.lower())[-1].replace(' ', '_').replace('-', '_')
    if last in SETTINGS:
        return True
    if OF_A_RUN.search(last) or numeric(cells, name):
        return False
    words = cells.dropna().astype(str)
    few = 2 * words.nunique() <= len(words) and words.nunique() <= 10
    return few and not words.str.contains(r'^\d|[/\\{\[]').any()  # no dates, paths and lists


def about_folds(seed: str | None) -> list[str]:
    """Returns a warning if folds of cross-validation stand for seeds."""
    if str(seed).lower() not in ('fold', 'folds', 'cv_fold'):
        return []
    return [
        'Folds of cross-validation share training examples: p-values are too small, and intervals too narrow (Nadeau & '
        'Bengio 2003).'
    ]
