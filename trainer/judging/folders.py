"""Results from folders: runs of this project, TensorBoard's event files, and CSV files that Keras logged."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seedwise.errors import UserError, in_a_line, unknown
from trainer.judging import mlflow_stores, tables
from trainer.judging.event_files import PATTERN, Reader
from trainer.judging.names import at, examples, named
from trainer.judging.results import Results, direction, finish, in_order
from trainer.results import best_of, metrics_of

#: Tags of a run that are no results.
NO_RESULT = ('learning_rate', 'lr', 'gradient', 'weights', 'examples_per_second', 'epoch')


def kind_of(path: Path) -> str | None:
    """Returns what a folder holds: 'mlflow', 'runs', 'tensorboard' or 'keras' (CSVLogger); None: none of them."""
    if mlflow_stores.find(path):
        return 'mlflow'
    if next(path.rglob('result.json'), None):
        return 'runs'
    if next(path.rglob(PATTERN), None):
        return 'tensorboard'
    if next(path.rglob('*.csv'), None):
        return 'keras'
    if next(path.rglob('*.wandb'), None):
        raise UserError(
            f'{path} holds offline runs of W&B, which W&B alone can read: wandb sync them, and export their table as CSV'
        )
    return None


def read_runs(paths: Sequence[Path], metrics: Sequence[str], goals: Mapping[str, str]) -> Results:
    """Returns the finished runs of this project in folders: a run's, or one with a folder for each variant and seed."""
    files = [(path, file) for path in paths for file in sorted(path.rglob('result.json'))]
    rows: list[dict[str, Any]] = []
    known: dict[str, str] = {}
    for path, file in files:
        try:
            result = json.loads(file.read_text(encoding='utf-8'))
            test, best, own = result['test'], best_of(result), metrics_of(result)
            row: dict[str, Any] = {'seed': int(result['seed']), 'status': result['status'], 'row': str(file.parent)}
            row |= {f'test_{name}': _number(test.get(name)) for name in own}
            row |= {f'validation_{name}': _number(best.get(f'validation_{name}')) for name in own}
            known |= {f'{split}_{name}': goal for split in ('test', 'validation') for name, goal in own.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f'{file} is not a result of seedwise: {type(error).__name__}: {error}') from error
        parts = file.parent.relative_to(path).parts
        name = '/'.join(parts[:-1]) if len(parts) > 1 else parts[0] if parts else path.name
        if len(paths) > 1 and len(parts) <= 1:
            name = path.name
        rows.append(row | {'variant': name})
    frame = pd.DataFrame(rows)
    completed = frame[frame['status'] == 'completed']
    kept = [m for m in known if m in (metrics or known) and completed[m].notna().all()]
    for metric in metrics:
        if metric not in kept:
            raise unknown('metric of these runs', metric, kept)
    kept = list(metrics) or kept
    frame[kept] = frame[kept].astype(float)
    guess = [f'{len(frame)} finished runs of seedwise; variants by folder. Metrics: {", ".join(kept)}.']
    return finish(frame, kept, {metric: known[metric] for metric in kept} | dict(goals), 'runs', guess)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def read_tensorboard(paths: Sequence[Path], metrics: Sequence[str], goals: Mapping[str, str], step: str) -> Results:
    """Returns the scalars of event files: a folder is a run, which its path names.

    Args:
      paths: folders.
      metrics: tags; (): all with a known direction.
      goals: tag -> 'max' or 'min'.
      step: 'last', 'best', or the number of a step.
    """
    folders = [(path, folder) for path in paths for folder in sorted({f.parent for f in path.rglob(PATTERN)})]
    reader = Reader()
    series = {folder: reader.scalars(folder, metrics) for _, folder in folders}
    if metrics and not all(any(metric in one for one in series.values()) for metric in metrics):
        series = {folder: reader.scalars(folder) for _, folder in folders}  # to say which tags there are
    tags = sorted({tag for one in series.values() for tag in one})
    if not tags:
        raise UserError(f'{paths[0]} has event files without scalars')
    for metric in metrics:
        if metric not in tags:
            raise unknown('tag for --metric', metric, tags)
    known = [tag for tag in tags if (direction(tag) or tag in goals) and not any(n in tag.lower() for n in NO_RESULT)]
    chosen = list(metrics) or in_order(known)
    if not chosen:
        raise UserError(
            f'no tag has a known direction: name one with --metric=TAG --goal=TAG=max (tags: {", ".join(tags[:8])})'
        )
    rows, places = [], []
    for path, folder in folders:
        if not all(tag in series[folder] for tag in chosen):
            continue
        parts = folder.relative_to(path).parts or (path.name,)
        parts = parts if len(paths) == 1 else (path.name, *folder.relative_to(path).parts)
        places.append(parts)
        rows.append(_row(folder, {tag: series[folder][tag] for tag in chosen}, goals, step))
    guess = [
        f'{len(rows)} TensorBoard runs, variants and seeds by their paths; value: {step}. Tags: {", ".join(chosen)}.'
    ]
    guess += _name(rows, places)
    ends = {one[tag].last for one in series.values() for tag in chosen[:1] if tag in one}
    if step == 'last' and len(ends) > 1:
        guess.append(f'The runs end at different steps, {min(ends):,} to {max(ends):,}: --step compares them at one.')
    if len(rows) < len(folders):
        guess.append(f'{len(folders) - len(rows)} folders lack one of these tags and are left out.')
    return finish(pd.DataFrame(rows), chosen, goals, 'tensorboard', guess)


def read_keras(paths: Sequence[Path], metrics: Sequence[str], goals: Mapping[str, str], step: str) -> Results:
    """Returns the results in CSV files of Keras's CSVLogger, one file a run: columns epoch, loss, val_loss, ..."""
    files = [(path, file) for path in paths for file in ([path] if path.is_file() else sorted(path.rglob('*.csv')))]
    rows, places, chosen = [], [], list(metrics)
    for path, file in files:
        try:
            frame = pd.read_csv(file)
        except (OSError, ValueError) as error:  # of pandas: no text, or rows of different lengths
            raise UserError(f"{file} is not a log of Keras's CSVLogger: {in_a_line(error)}") from error
        if 'epoch' not in frame or len(frame.columns) < 2:
            raise UserError(f"{file} is not a log of Keras's CSVLogger: it has no column epoch")
        # Those of validation first: Keras's names without `val_` are of training.
        known = [c for c in frame.columns if c != 'epoch' and (direction(c) or c in goals)]
        chosen = chosen or sorted(known, key=lambda c: not c.startswith('val_'))
        missing = [metric for metric in chosen if metric not in frame]
        if missing:
            raise unknown(f'column of {file}', missing[0], frame.columns)
        try:
            numbers = frame[['epoch', *chosen]].astype(float)
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{file} is not a log of Keras's CSVLogger: {error}") from error
        if numbers.empty:
            raise UserError(f'{file} has no epoch: remove it, or train its run')
        places.append(file.relative_to(path).with_suffix('').parts if path.is_dir() else (file.stem,))
        points = {metric: list(zip(numbers['epoch'], numbers[metric], strict=True)) for metric in chosen}
        rows.append(_row(file, points, goals, step))
    what = f"{len(rows)} logs of Keras's CSVLogger, variants and seeds by file name"
    guess = [f'{what}; value: {step}. Columns: {", ".join(chosen)}.', *_name(rows, places)]
    return finish(pd.DataFrame(rows), chosen, goals, 'keras', guess)


def _row(
    place: Path, curves: Mapping[str, Iterable[tuple[float, float]]], goals: Mapping[str, str], step: str
) -> dict[str, Any]:
    """Returns the row of a run: the result of each curve."""
    values = {
        metric: at(points, step, goals.get(metric) or direction(metric), place) for metric, points in curves.items()
    }
    return {'row': str(place), **values}


def _name(rows: Sequence[dict[str, Any]], places: Sequence[Sequence[str]]) -> list[str]:
    """Adds to each row the variant and the seed that its path names, and returns a sentence about it."""
    found = named(places)
    for row, (variant, seed) in zip(rows, found, strict=True):
        row |= {'variant': variant} | ({} if seed is None else {'seed': seed})
    return examples(['/'.join(parts) for parts in places], found)


def is_keras_log(file: Path) -> bool:
    """Whether a CSV file is one run's log: its first column is `epoch`, and none names a variant or a seed."""
    try:
        with open(file, encoding='utf-8') as lines:
            head, first = lines.readline().strip(), lines.readline().strip()
    except (OSError, UnicodeDecodeError):
        return False
    if {*head.lower().split(',')} & {*tables.VARIANT, *tables.SEED}:
        return False
    return head.startswith('epoch,') and first.startswith('0,') and 'loss' in head
