"""MLflow's own stores, a folder `mlruns` or a database `mlflow.db`, as the table that its `search_runs` gives."""

import contextlib
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from seedwise.errors import UserError
from trainer.judging.names import at
from trainer.judging.results import direction
from trainer.judging.trackers import RUN_NAME

#: MLflow's states of runs, by their numbers in a folder of runs.
STATES = {1: 'RUNNING', 2: 'SCHEDULED', 3: 'FINISHED', 4: 'FAILED', 5: 'KILLED'}

DATABASES = ('.db', '.sqlite', '.sqlite3')


@dataclass
class Run:
    """A run of MLflow's store: its metrics as (step, value)."""

    name: str
    state: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def find(path: Path) -> Path | None:
    """Returns MLflow's store that a path names: a database, or a folder of experiments, itself or as `mlruns` in it."""
    if path.is_file():
        return path if path.suffix.lower() in DATABASES else None
    for folder in (path, path / 'mlruns'):
        for pattern in ('meta.yaml', '*/meta.yaml', '*/*/meta.yaml'):
            if next((file for file in folder.glob(pattern) if (file.parent / 'metrics').is_dir()), None):
                return folder
    return None


def load(store: Path, goals: Mapping[str, str], step: str) -> pd.DataFrame:
    """Returns the runs of a store of MLflow, with the columns of its `search_runs`.

    Args:
      store: of `find`.
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
