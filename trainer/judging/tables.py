"""Results from tables: CSV, TSV, JSON, JSON lines and Parquet, with a row a run, a row a number, or a column a variant."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seedwise.errors import UserError, in_a_line, unknown
from trainer.compare.analysis.words import listed
from trainer.judging import mlflow_stores, trackers
from trainer.judging.cells import about_percent, decimal_commas, filled, numbers_of, numeric
from trainer.judging.results import Results, direction, finish, in_order, is_cost

#: Names of columns, whatever their case, the likeliest first.
VARIANT = (
    'variant', 'model', 'optimizer', 'method', 'algorithm', 'config', 'condition', 'group', 'setting', 'arm', 'name'
)  # fmt: skip
SEED = ('seed', 'random_seed', 'rng_seed', 'run', 'run_id', 'repeat', 'replicate', 'rep', 'trial', 'fold', 'iteration')
LONG = (('metric', 'measure', 'variable'), ('value', 'score', 'result'))

#: Columns that are numbers and no results.
NO_METRIC = ('step', 'steps', 'epoch', 'epochs', 'index', 'id', 'parameters', 'row', 'timestamp')

ENDINGS = ('.csv', '.tsv', '.txt', '.json', '.jsonl', '.ndjson', '.parquet')


def read(
    file: Path,
    variant: str | None = None,
    seed: str | None = None,
    metrics: Sequence[str] = (),
    goals: Mapping[str, str] | None = None,
    step: str = 'last',
) -> Results:
    """Returns the results in a table.

    Args:
      file: one of `ENDINGS`, or a store of MLflow.
      variant, seed: names of columns; None: guessed.
      metrics: names of columns, the most important first; (): guessed, which is every other column of numbers.
      goals: metric -> 'max' or 'min', where its name does not say it.
      step: of curves: 'last', 'best', or the number of a step.

    Raises:
      UserError: the file is not such a table, or a cell is not a number, with its row and column.
    """
    stated: Mapping[str, str] = goals or {}
    store = mlflow_stores.find(file)
    frame = mlflow_stores.load(store, stated, step) if store else load(file)
    separator = frame.attrs.get('separator', ',')
    guess: list[str] = []
    columns = list(frame.columns)
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if twice:
        raise UserError(f"{file} has two columns '{twice[0]}': rename one")
    frame['row'] = np.arange(2, len(frame) + 2)  # as a spreadsheet counts, below the headings
    if frame.empty:
        raise UserError(f'{file} has headings and no rows')
    frame, measured = trackers.plain(frame, guess, stated, step)
    if frame.empty:
        raise UserError(f'{file} has no finished run: {" ".join(guess)}')
    columns = [c for c in frame.columns if c != 'row']
    for flag, name in (('--variant', variant), ('--seed', seed)):
        if name and name not in columns:
            raise unknown(f'column for {flag}', name, columns)
    seed = seed or _guessed(frame, SEED)
    if _is_long(columns):
        frame, columns = _widened(frame, variant or _guessed(frame, VARIANT), seed)
        guess.append('The table has a row for each number: columns metric and value.')
    variant = variant or _guessed(frame, VARIANT)
    if variant is None:
        texts = [name for name in columns if name != seed and not numeric(frame[name])]
        if len(texts) == 1:
            variant = texts[0]
    if variant is None:
        return _a_column_a_variant(frame, file, separator, seed, metrics, stated, guess)
    for metric in metrics:
        if metric not in columns:
            raise unknown('column for --metric', metric, columns)
    if not metrics:
        candidates = columns if measured is None else measured
        metrics = _guessed_metrics(
            file, frame, [c for c in candidates if c not in (variant, seed, 'row', 'status')], stated
        )
        guess.append(f'Metrics: {", ".join(map(str, metrics))}.')
    if not metrics:
        raise UserError(f'{file} has no column of numbers next to {variant!r}: name one with --metric')
    numbers = {metric: numbers_of(file, frame, metric, separator) for metric in metrics}
    guess += [*decimal_commas(frame, metrics), *about_percent(frame, metrics)]
    found = frame.assign(
        **numbers, variant=filled(file, frame, variant, 'must name the variant').astype(str).str.strip()
    )
    if seed:
        found['seed'] = filled(file, frame, seed, 'must hold the seed of the run')
    guess.insert(0, f"Variant: column '{variant}'; seed: {f'column {seed!r}' if seed else 'none'}.")
    kept = ['variant', *(['seed'] if seed else []), 'row', *(['status'] if 'status' in columns else []), *metrics]
    return finish(found[list(dict.fromkeys(kept))], list(metrics), stated, 'table', guess)


def load(file: Path) -> pd.DataFrame:
    """Returns the cells of a table, and of a text its separator in `attrs`; any encoding and a byte order mark are understood.

    Raises:
      UserError: the file cannot be read, is empty or binary.
    """
    ending = file.suffix.lower()
    try:
        if ending == '.parquet':
            try:
                return pd.read_parquet(file)
            except ImportError as error:
                raise UserError(f'{file}: Parquet needs pyarrow: pip install pyarrow') from error
        text = _decoded(file)
        if not text.strip():
            raise UserError(f'{file} is empty')
        if ending in ('.jsonl', '.ndjson'):
            return pd.DataFrame([json.loads(line) for line in text.splitlines() if line.strip()])
        if ending == '.json':
            content = json.loads(text)
            return pd.DataFrame(content if isinstance(content, list) else [content])
        first = text.splitlines()[0]
        separator = max((',', ';', '\t', '|'), key=first.count)
        if not first.count(separator):
            raise UserError(f'{file} has one column: a table needs a variant and a number, with commas between')
        cells = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            skipinitialspace=True,
            header=None,
            dtype=object,
            keep_default_na=False,
            na_values=[''],
        )
        frame = cells.iloc[1:].reset_index(drop=True)
        frame.columns = [str(name).strip() for name in cells.iloc[0]]
        frame.attrs['separator'] = separator
        return frame
    except UserError:
        raise
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}') from error
    except Exception as error:  # pandas and pyarrow raise many kinds for what is not a table
        raise UserError(f'{file} is not a table: {in_a_line(error, 200)}') from error


def _decoded(file: Path) -> str:
    content = file.read_bytes()
    if content.startswith((b'\xff\xfe', b'\xfe\xff')):
        return content.decode('utf-16')
    if b'\0' in content[:4096]:
        raise UserError(f'{file} is a binary file: accepted are {", ".join(ENDINGS)}')
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError:
        return content.decode('latin-1')


def _is_long(columns: Sequence[str]) -> bool:
    lower = [str(c).lower() for c in columns]
    return any(c in lower for c in LONG[0]) and any(c in lower for c in LONG[1])


def _guessed(frame: pd.DataFrame, names: Sequence[str]) -> str | None:
    lower = {str(c).lower(): c for c in reversed(list(frame.columns))}
    return next((lower[name] for name in names if name in lower and frame[lower[name]].notna().any()), None)


def _guessed_metrics(
    file: Path, frame: pd.DataFrame, candidates: Sequence[str], stated: Mapping[str, str]
) -> list[str]:
    """Returns the columns of numbers that can be results; if it is known which is better of some of them, those alone.

    Raises:
      UserError: that is known of times alone.
    """
    numbers = [c for c in candidates if c.lower() not in NO_METRIC and numeric(frame[c], c)]
    known = in_order(c for c in numbers if direction(str(c)) or c in stated)
    rest = [c for c in numbers if c not in known]
    if known and rest and not stated and all(map(is_cost, known)):
        raise UserError(
            f'{file}: it is known which is better of {listed(known)}, and not of {listed(rest)}: name what counts, '
            f'--metric={rest[0]} --goal={rest[0]}=max or =min, or --metric={known[0]}'
        )
    return known or numbers


def _widened(frame: pd.DataFrame, variant: str | None, seed: str | None) -> tuple[pd.DataFrame, list[str]]:
    """Returns a long table with a row a run, which has the number of the first of its rows, and its columns."""
    metric, value = (_guessed(frame, names) for names in LONG)
    keys = [c for c in (variant, seed) if c]
    if not variant:
        raise UserError('the table has metric and value, and no column of variants: name it with --variant')
    if frame.duplicated([*keys, metric]).any():
        row = frame[frame.duplicated([*keys, metric])].iloc[0]
        raise UserError(f"row {row['row']}: '{row[metric]}' of '{row[variant]}' is there twice for one seed")
    wide = frame.pivot(index=keys, columns=metric, values=value)
    wide.columns = [str(c) for c in wide.columns]
    names = [*keys, *wide.columns]
    wide['row'] = frame.groupby(keys, dropna=False)['row'].min()
    return wide.reset_index(), names


def _a_column_a_variant(
    frame: pd.DataFrame,
    file: Path,
    separator: str,
    seed: str | None,
    metrics: Sequence[str],
    goals: Mapping[str, str],
    guess: list[str],
) -> Results:
    """A wide table: a row a seed, a column a variant, and one metric, whose name the file does not hold."""
    names = [c for c in frame.columns if c not in (seed, 'row') and str(c).lower() not in NO_METRIC]
    if len(names) < 2:
        raise UserError(
            f'{file} has no column of variants: name it with --variant (columns: {", ".join(map(str, names))})'
        )
    metric = metrics[0] if metrics else next(iter(goals), '')
    if not metric:
        raise UserError(
            f'{file} has a column for each of {", ".join(map(str, names[:4]))}: say what they measure '
            '(--metric=accuracy), or which column names the variants (--variant=COLUMN)'
        )
    known = [str(name) for name in names if name == metric or direction(str(name))]
    if known:
        is_metric = 'is a metric' if len(known) == 1 else 'are metrics'
        raise UserError(
            f'{file}: {listed(known)} {is_metric}, and no column names the variants: name one with --variant=COLUMN, or '
            'rename the columns if each is a variant'
        )
    parts = [
        pd.DataFrame(
            {'variant': str(name), metric: numbers_of(file, frame, name, separator), 'row': frame['row']}
            | {'seed': filled(file, frame, seed, 'must hold the seed of the run') if seed else frame.index}
        )
        for name in names
    ]
    guess += [*decimal_commas(frame, names), *about_percent(frame, names)]
    guess.insert(0, f'A column a variant: {", ".join(map(str, names[:6]))}; a row a seed.')
    return finish(pd.concat(parts, ignore_index=True), [metric], goals, 'table', guess)
