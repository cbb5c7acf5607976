"""Reads results from whatever the user names, by what it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from seedwise.errors import UserError
from seedwise.storage.paths import missing
from trainer.judging import folders, mlflow_stores, tables
from trainer.judging.results import Results, finish


def read(
    paths: Sequence[Path],
    *,
    variant: str | None = None,
    seed: str | None = None,
    metrics: Sequence[str] = (),
    goals: Mapping[str, str] | None = None,
    step: str = 'last',
) -> Results:
    """Returns the results in files or folders; of several, each is a variant or holds some.

    Args:
      paths: tables (`tables.ENDINGS`), stores of MLflow, run folders of this project, TensorBoard folders, or Keras's CSV
        logs.
      variant, seed, metrics: names of columns, or of tags; guessed where they are not given.
      goals: metric -> 'max' or 'min', where its name does not say it.
      step: of curves: 'last', 'best', or the number of a step.

    Raises:
      UserError: a path does not exist or holds no results, or a cell is not a number.
    """
    goals = goals or {}
    if step not in ('last', 'best') and not step.isdigit():
        raise UserError(f"--step is '{step}': accepted are last, best, or the number of a step")
    for path in paths:
        if not path.exists():
            raise missing(
                str(path), path, 'file' if path.suffix else 'folder', _is_table if path.suffix else Path.is_dir
            )
    kinds = {path: _kind(path) for path in paths}
    if len(set(kinds.values())) > 1:
        words = ', '.join(f'{path} is {kind}' for path, kind in kinds.items())
        raise UserError(f'results of several kinds do not compare: {words}')
    kind = next(iter(kinds.values()))
    if kind == 'runs':
        return folders.read_runs(paths, metrics, goals)
    if kind == 'tensorboard':
        return folders.read_tensorboard(paths, metrics, goals, step)
    if kind == 'keras':
        return folders.read_keras(paths, metrics, goals, step)
    found = [tables.read(path, variant, seed, metrics, goals, step) for path in paths]
    if len(found) == 1:
        return found[0]
    shared = [metric for metric in found[0].goals if all(metric in one.goals for one in found)]
    if not shared:
        raise UserError('the tables have no metric in common')
    runs = pd.concat(
        [one.runs.assign(row=str(path)) for one, path in zip(found, paths, strict=True)], ignore_index=True
    )
    columns = ['variant', *(['seed'] if all(one.paired for one in found) else []), 'status', 'row', *shared]
    directions = {metric: found[0].goals[metric] for metric in shared}
    return finish(runs[columns], shared, directions, 'tables', [line for one in found for line in one.guess])


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in (*tables.ENDINGS, *mlflow_stores.DATABASES)


def _kind(path: Path) -> str:
    if path.is_dir():
        kind = folders.kind_of(path)
        if kind is None:
            raise UserError(
                f'{path} holds no results: neither result.json of a run, nor TensorBoard events, nor CSV logs of Keras'
            )
        return kind
    if mlflow_stores.find(path):
        return 'mlflow'
    if not _is_table(path):
        raise UserError(f'{path} is not a table: accepted are {", ".join(tables.ENDINGS)}, and folders of runs')
    return 'keras' if path.suffix.lower() == '.csv' and folders.is_keras_log(path) else 'table'
