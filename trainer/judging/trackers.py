"""What W&B and MLflow export, and MLflow's own stores, as tables with a row a run.

W&B      the table of runs as CSV (columns Name, State, ...); the frame of its documentation (columns summary, config and
         name, each cell a dict); a chart as CSV (columns Step, 'adam-0 - val/accuracy', ...)
MLflow   `mlflow.search_runs().to_csv(...)` and `mlflow experiments csv` (columns run_id, status, params.*, metrics.*);
         a folder `mlruns`, or a database `mlflow.db`
"""

import ast
import contextlib
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from seedwise.errors import UserError
from trainer.compare.analysis.words import count, listed
from trainer.judging.names import at, named
from trainer.judging.results import direction

#: Columns of W&B's table of runs that say nothing of the result.
WANDB = ('Name', 'State', 'Notes', 'User', 'Tags', 'Created', 'Runtime', 'Sweep')

#: A column of a chart of W&B: the run, the metric, and which end of the values of a step it is.
CHART = re.compile(r'(?P<run>.+) - (?P<metric>.+?)(?P<end>__MIN|__MAX)?')

#: MLflow's states of runs, by their numbers in a folder of runs.
STATES = {1: 'RUNNING', 2: 'SCHEDULED', 3: 'FINISHED', 4: 'FAILED', 5: 'KILLED'}

RUN_NAME = 'tags.mlflow.runName'

DATABASES = ('.db', '.sqlite', '.sqlite3')


@dataclass
class Run:
    """A run of MLflow's store: its metrics as (step, value)."""

    name: str
    state: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


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
        return _of_chart(frame, columns, goals, step)
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
    pairs = [named([str(name)]) for name in frame[column]]
    frame = frame.assign(name=[variant for variant, _ in pairs])
    seeds = [number for _, number in pairs]
    if not any(str(c).lower().removeprefix('params.') == 'seed' for c in frame) and None not in seeds:
        frame['seed'] = seeds
        guess.append("Seeds are the numbers at the end of the runs' names.")
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
    frame: pd.DataFrame, columns: Sequence[str], goals: Mapping[str, str], step: str
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
    made = _by_name(pd.DataFrame([*rows.values()]), 'Name', [])
    return made.drop(columns='Name', errors='ignore'), [*metrics]


def _is_number(cell: Any) -> bool:
    try:
        return pd.notna(cell) and bool(str(cell).strip()) and float(cell) is not None
    except ValueError:
        return False


# MLflow's stores -------------------------------------------------------------------------------------------------------


def store_of(path: Path) -> Path | None:
    """Returns MLflow's store that a path names: a database, or a folder of experiments, itself or as `mlruns` in it."""
    if path.is_file():
        return path if path.suffix.lower() in DATABASES else None
    for folder in (path, path / 'mlruns'):
        for pattern in ('meta.yaml', '*/meta.yaml', '*/*/meta.yaml'):
            if next((file for file in folder.glob(pattern) if (file.parent / 'metrics').is_dir()), None):
                return folder
    return None


def load_store(store: Path, goals: Mapping[str, str], step: str) -> pd.DataFrame:
    """Returns the runs of a store of MLflow, with the columns of its `search_runs`.

    Args:
      store: of `store_of`.
      goals: metric -> 'max' or 'min', where its name does not say it.
      step: which value of a metric: 'last', 'best', or the number of a step.

    Raises:
      UserError: it cannot be read, or has no runs.
    """
    try:
        runs = [*(_of_database(store) if store.is_file() else _of_folder(store))]
    except (OSError, ValueError, IndexError, TypeError, sqlite3.Error) as error:
        raise UserError(f'{store} is not a store of MLflow: {error}') from error
    if not any(run.metrics for run in runs):
        raise UserError(f'{store} has no run of MLflow with a metric')
    rows = []
    for run in runs:
        values = {
            f'metrics.{metric}': at(points, step, goals.get(metric) or direction(metric), Path(run.name))
            for metric, points in run.metrics.items()
        }
        # What a run has logged as nan is a word: an empty cell is what it has not logged.
        cells = {key: 'nan' if math.isnan(value) else value for key, value in values.items()}
        params = {f'params.{key}': value for key, value in run.params.items()}
        rows.append({'status': run.state, RUN_NAME: run.name, **params, **cells})
    return pd.DataFrame(rows)


def _of_folder(store: Path) -> Iterator[Run]:
    for file in sorted(store.rglob('meta.yaml')):
        folder = file.parent
        if not (folder / 'metrics').is_dir():
            continue  # of an experiment, or of a registered model
        meta = dict(re.findall(r"^(\w+): '?(.*?)'?$", file.read_text(encoding='utf-8'), re.MULTILINE))
        if meta.get('lifecycle_stage', 'active') != 'active':
            continue
        state: str = meta.get('status', '')
        run = Run(str(meta.get('run_name') or folder.name), STATES.get(int(state), state) if state.isdigit() else state)
        for one in _files(folder / 'params'):
            run.params[one.relative_to(folder / 'params').as_posix()] = one.read_text(encoding='utf-8').strip()
        for one in _files(folder / 'metrics'):
            lines = [line.split() for line in one.read_text(encoding='utf-8').splitlines() if line.strip()]
            points = [(float(words[2]) if len(words) > 2 else i, float(words[1])) for i, words in enumerate(lines)]
            if points:  # a run that was killed may have opened a file alone
                run.metrics[one.relative_to(folder / 'metrics').as_posix()] = points
        yield run


def _files(folder: Path) -> Iterable[Path]:
    return sorted(file for file in folder.rglob('*') if file.is_file())


def _of_database(store: Path) -> Iterable[Run]:
    with contextlib.closing(sqlite3.connect(f'{store.absolute().as_uri()}?mode=ro', uri=True)) as database:
        query = "SELECT run_uuid, name, status FROM runs WHERE lifecycle_stage = 'active'"
        runs = {key: Run(name or key, state) for key, name, state in database.execute(query)}
        for key, param, value in database.execute('SELECT run_uuid, key, value FROM params'):
            if key in runs:
                runs[key].params[param] = value
        query = 'SELECT run_uuid, key, step, value, is_nan FROM metrics ORDER BY step, timestamp'
        for key, metric, step, value, is_nan in database.execute(query):
            if key in runs:
                points = runs[key].metrics.setdefault(metric, [])
                points.append((float(step), float('nan') if is_nan else float(value)))
    return runs.values()
