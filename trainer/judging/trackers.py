"""What W&B and MLflow export, as tables with a row a run. MLflow's own stores: mlflow_stores.py.

W&B      the table of runs as CSV (columns Name, State, ...); the frame of its documentation (columns summary, config and
         name, each cell a dict); a chart as CSV (columns Step, 'adam-0 - val/accuracy', ...)
MLflow   `mlflow.search_runs().to_csv(...)` and `mlflow experiments csv` (columns run_id, status, params.*, metrics.*)
"""

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seedwise.errors import UserError
from trainer.compare.analysis.words import count, listed
from trainer.judging.names import at, examples, named
from trainer.judging.results import direction

#: Columns of W&B's table of runs that say nothing of the result.
WANDB = ('Name', 'State', 'Notes', 'User', 'Tags', 'Created', 'Runtime', 'Sweep')

#: A column of a chart of W&B: the run, the metric, and which end of the values of a step it is.
CHART = re.compile(r'(?P<run>.+) - (?P<metric>.+?)(?P<end>__MIN|__MAX)?')

#: The column of a run's name in MLflow.
RUN_NAME = 'tags.mlflow.runName'


def plain(
    frame: pd.DataFrame, guess: list[str], goals: Mapping[str, str], step: str
) -> tuple[pd.DataFrame, Sequence[str] | None]:
    """Returns a table with a row a run and without what a tracker adds, and its columns of metrics; None: not known.

    Args:
      frame: any table, with a column `row`.
      guess: takes a sentence for what was done.
      goals: metric -> 'max' or 'min', where its name does not say it.
      step: of a chart: 'last', 'best', or the number of a step.
    """
    columns = [str(c) for c in frame.columns if c != 'row']
    if {'Name', 'State'} <= {*columns}:
        guess.append('An export of W&B.')
        kept = _finished(frame, frame['State'], guess)
        return _by_name(kept, 'Name', guess).drop(columns=[c for c in WANDB if c in kept]), None
    if {'summary', 'config', 'name'} <= {*columns} and str(frame['summary'].iloc[0]).startswith('{'):
        guess.append('A frame of W&B: columns summary, config and name.')
        return _of_dicts(frame, guess)
    if len(columns) > 1 and all(CHART.fullmatch(c) for c in columns[1:]):
        guess.append(f"A chart of W&B: variants and seeds by the runs' names; value: {step}.")
        return _of_chart(frame, columns, goals, step, guess)
    if any(c.startswith('metrics.') for c in columns):
        guess.append('Runs of MLflow: columns params.* and metrics.*.')
        kept = _finished(frame, frame['status'], guess) if 'status' in frame else frame
        kept = _with_results(kept, [c for c in columns if c.startswith('metrics.')], guess)
        metrics = [c.removeprefix('metrics.') for c in columns if c.startswith('metrics.')]
        # A parameter keeps its prefix where a metric has its name: `learning_rate` is logged as both.
        names = {c: c.removeprefix('params.') for c in columns if c.startswith('params.')}
        names = {c: c if name in metrics else name for c, name in names.items()}
        params = [*names.values()]
        renamed = _by_name(kept, RUN_NAME, guess).rename(columns=names | {f'metrics.{name}': name for name in metrics})
        named_by = [c for c in ('name', 'seed') if c in renamed and c not in params]
        return renamed[list(dict.fromkeys([*named_by, *params, *metrics, 'row']))], metrics
    return frame, None


def _finished(frame: pd.DataFrame, states: pd.Series, guess: list[str]) -> pd.DataFrame:
    """Returns the runs that ended by themselves: of the others the last value is not a result."""
    states = states.astype(str).str.lower()
    others = states[states != 'finished'].value_counts()
    if len(others):
        words = listed([f'{n} {state}' for state, n in others.items()])
        guess.append(f'Left out, since they did not finish: {words}.')
    return frame[states == 'finished']


def _with_results(frame: pd.DataFrame, metrics: Sequence[str], guess: list[str]) -> pd.DataFrame:
    """Returns the runs that have logged something."""
    nothing = frame[list(metrics)].isna().all(axis=1)
    if nothing.any():
        guess.append(f'Left out, since they have no metric: {count(int(nothing.sum()), "run")}.')
    return frame[~nothing]


def _by_name(frame: pd.DataFrame, column: str, guess: list[str]) -> pd.DataFrame:
    """Adds `name`, the name of a run without its number, and as `seed` that number, if there is no column of seeds."""
    if column not in frame or frame.empty:
        return frame
    names = [str(name) for name in frame[column]]
    pairs = named([[name] for name in names])
    frame = frame.assign(name=[variant for variant, _ in pairs])
    seeds = [number for _, number in pairs]
    if not any(str(c).lower().removeprefix('params.') == 'seed' for c in frame) and None not in seeds:
        frame['seed'] = seeds
        guess.append("Seeds are the numbers at the end of the runs' names.")
    guess += examples(names, pairs)
    return frame


def _of_dicts(frame: pd.DataFrame, guess: list[str]) -> tuple[pd.DataFrame, Sequence[str]]:
    rows: list[dict[str, Any]] = []
    metrics: dict[str, None] = {}
    for record in frame.to_dict('records'):
        try:
            summary, config = (_dict(record[key]) for key in ('summary', 'config'))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise UserError(
                f'row {record["row"]}: summary or config is not a dict of Python: {str(error) or type(error).__name__}'
            ) from error
        numbers = {
            key: value if value == value else 'nan'  # logged as nan, and not an empty cell
            for key, value in summary.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and not key.startswith('_')
        }
        metrics |= dict.fromkeys(numbers)
        plain_config = {key: value for key, value in config.items() if not isinstance(value, dict | list)}
        rows.append({'name': record['name'], **plain_config, **numbers, 'row': record['row']})
    made = _with_results(pd.DataFrame(rows), [*metrics], guess) if metrics else pd.DataFrame(rows)
    return _by_name(made, 'name', guess), [*metrics]


def _dict(cell: Any) -> dict[str, Any]:
    if isinstance(cell, dict):
        return cell
    # A dict as Python prints it, in which nan and inf are bare words.
    words = re.sub(r'(?<=[:\[,] )(-?)(nan|inf)(?=[,}\]])', r"'\1\2'", str(cell))
    found = ast.literal_eval(words)
    return {key: float(value) if value in ('nan', 'inf', '-inf') else value for key, value in dict(found).items()}


def _of_chart(
    frame: pd.DataFrame, columns: Sequence[str], goals: Mapping[str, str], step: str, guess: list[str]
) -> tuple[pd.DataFrame, Sequence[str]]:
    steps = pd.to_numeric(frame[columns[0]], errors='coerce')
    rows: dict[str, dict[str, Any]] = {}
    metrics: dict[str, None] = {}
    for column in columns[1:]:
        match = CHART.fullmatch(column)
        assert match
        if match['end']:
            continue
        name, metric = match['run'], match['metric']
        cells = frame[column]
        points = [
            (float(s), float(cell)) for s, cell in zip(steps, cells, strict=True) if pd.notna(s) and _is_number(cell)
        ]
        if points:
            metrics[metric] = None
            row = rows.setdefault(name, {'Name': name, 'row': column})
            row[metric] = at(points, step, goals.get(metric) or direction(metric), Path(name))
    made = _by_name(pd.DataFrame([*rows.values()]), 'Name', guess)
    return made.drop(columns='Name', errors='ignore'), [*metrics]


def _is_number(cell: Any) -> bool:
    try:
        return pd.notna(cell) and bool(str(cell).strip()) and float(cell) is not None
    except ValueError:
        return False
