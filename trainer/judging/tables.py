"""Results from tables: CSV, TSV, JSON, JSON lines and Parquet, with a row a run, a row a number, or a column a variant."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seedwise.errors import UserError, in_a_line, unknown
from trainer.compare.analysis.words import listed
from trainer.judging import curves, mlflow_stores, trackers
from trainer.judging.cells import about_percent, decimal_commas, filled, is_empty, numbers_of, numeric
from trainer.judging.results import Results, direction, finish, in_order, is_cost, plain_seeds

#: Names of columns, whatever their case, the likeliest first.
VARIANT = (
    'variant', 'model', 'optimizer', 'method', 'algorithm', 'config', 'condition', 'group', 'setting', 'arm', 'name'
)  # fmt: skip
SEED = ('seed', 'random_seed', 'rng_seed', 'run', 'run_id', 'repeat', 'replicate', 'rep', 'trial', 'fold')
LONG = (('metric', 'measure', 'variable'), ('value', 'score', 'result'))

#: Columns that are numbers and no results.
NO_METRIC = (*curves.TIMES, 'index', 'id', 'parameters', 'row', 'timestamp')

#: Columns of results that are no metrics.
NO_RESULT = ('variant', 'seed', 'row', 'status')

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
    guess: list[str] = []
    frame, measured, separator = _rows(file, stated, step, guess)
    columns = [c for c in frame.columns if c != 'row']
    variant, seed, is_long = _keys(frame, columns, variant, seed)
    # What a tracker has exported has a row a run by now.
    time = None if guess else curves.time_of(frame, [c for c in (variant, seed) if c])
    guess += [*([curves.said(time, step)] if time else []), *curves.about_folds(seed)]
    if variant is not None:
        long = [_guessed(frame, names) for names in LONG] if is_long else []
        guess += curves.unused(frame, variant, [seed, time, *metrics, *long])
    if is_long:
        frame, columns = _widened(frame, variant, seed, time)
        guess.append('The table has a row for each number: columns metric and value.')
    form = Form(file, separator, seed, time, step)
    if variant is None:
        return _a_column_a_variant(frame, form, metrics, stated, guess)
    for metric in metrics:
        if metric not in columns:
            raise unknown('column for --metric', metric, columns)
        if metric in (variant, seed, *NO_RESULT):
            raise UserError(f"--metric={metric}: column '{metric}' is not a metric; rename it if it is")
    if not metrics:
        candidates = columns if measured is None else measured
        candidates = [c for c in candidates if c not in (variant, seed, *NO_RESULT)]
        metrics = _guessed_metrics(file, frame, candidates, stated)
        guess.append(f'Metrics: {", ".join(map(str, metrics))}.')
    if not metrics:
        raise UserError(f'{file} has no column of numbers next to {variant!r}: name one with --metric')
    return _a_row_a_run(frame, form, variant, metrics, stated, guess)


def _keys(
    frame: pd.DataFrame, columns: Sequence[str], variant: str | None, seed: str | None
) -> tuple[str | None, str | None, bool]:
    """Returns the column of the variant and that of the seed, as named or guessed, and whether a row is one number."""
    for flag, name in (('--variant', variant), ('--seed', seed)):
        if name and name not in columns:
            raise unknown(f'column for {flag}', name, columns)
    if variant and variant == seed:
        raise UserError(f"--variant and --seed are both '{seed}': name two columns, or drop --seed")
    is_long = _is_long([c for c in columns if c not in (variant, seed)])
    seed = seed or _guessed(frame.drop(columns=variant or []), SEED)
    variant = variant or _guessed(frame.drop(columns=seed or []), VARIANT)
    if variant is None and not is_long:
        texts = [name for name in columns if name != seed and not numeric(frame[name])]
        variant = texts[0] if len(texts) == 1 else None
    return variant, seed, is_long


def _rows(
    file: Path, goals: Mapping[str, str], step: str, guess: list[str]
) -> tuple[pd.DataFrame, Sequence[str] | None, str]:
    """Returns the rows with their numbers as `row`, the columns of metrics if they are known, and the file's separator."""
    store = mlflow_stores.find(file)
    frame = mlflow_stores.load(store, goals, step) if store else load(file)
    separator = frame.attrs.get('separator', '')
    columns = list(frame.columns)
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if twice:
        raise UserError(f"{file} has two columns '{twice[0]}': rename one")
    frame['row'] = np.arange(2, len(frame) + 2)  # as a spreadsheet counts, below the headings
    if frame.empty:
        raise UserError(f'{file} has headings and no rows')
    frame, measured = trackers.plain(frame, guess, goals, step)
    if frame.empty:
        raise UserError(f'{file} has no finished run: {" ".join(guess)}')
    lists = [] if separator else [c for c in frame if frame[c].dtype.kind == 'O']  # of JSON and Parquet: they are words
    for column in lists:
        frame[column] = [str(cell) if isinstance(cell, list | dict | np.ndarray) else cell for cell in frame[column]]
    return frame, measured, separator


@dataclass(frozen=True)
class Form:
    """How a table is to be read: its separator, its columns of seeds and of time, and which step of curves counts."""

    file: Path
    separator: str
    seed: str | None
    time: str | None
    step: str

    def numbers(self, frame: pd.DataFrame, column: str) -> pd.Series:
        """Returns a column as floats: of curves with gaps, since not all is measured at each step."""
        return numbers_of(self.file, frame, column, self.separator, gaps=bool(self.time))

    def columns(self, frame: pd.DataFrame) -> dict[str, pd.Series]:
        """Returns the columns `row`, and `seed` and `curves.TIME` if there are some."""
        kept = {'row': frame['row']}
        if self.seed:
            kept['seed'] = plain_seeds(filled(self.file, frame, self.seed, 'must hold the seed of the run'))
        if self.time:
            kept[curves.TIME] = numbers_of(self.file, frame, self.time, self.separator)
        return kept

    def finish(
        self,
        found: pd.DataFrame,
        given: pd.DataFrame,
        metrics: Sequence[str],
        goals: Mapping[str, str],
        guess: Sequence[str],
    ) -> Results:
        """Returns results; of curves one value a run. `given`: which cells of the metrics are not empty."""
        if self.time:
            found = curves.results_of(found, given, metrics, goals, self.time, self.step)
        return finish(found, metrics, goals, 'table', guess)


def _a_row_a_run(
    frame: pd.DataFrame, form: Form, variant: str, metrics: Sequence[str], goals: Mapping[str, str], guess: list[str]
) -> Results:
    metrics = list(dict.fromkeys(metrics))
    names = filled(form.file, frame, variant, 'must name the variant').astype(str).str.strip()
    status = {'status': frame['status']} if 'status' in frame else {}
    numbers = {metric: form.numbers(frame, metric) for metric in metrics}
    found = pd.DataFrame({'variant': names, **form.columns(frame), **status, **numbers})
    guess += [*decimal_commas(frame, metrics), *about_percent(frame, metrics)]
    guess.insert(0, f"Variant: column '{variant}'; seed: {f'column {form.seed!r}' if form.seed else 'none'}.")
    return form.finish(found, ~frame[metrics].apply(is_empty), metrics, goals, guess)


def load(file: Path) -> pd.DataFrame:
    """Returns the cells of a table, and of a text its separator in `attrs`; any encoding is understood.

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


def _widened(
    frame: pd.DataFrame, variant: str | None, seed: str | None, time: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Returns a long table with a row a run, which has the number of the first of its rows, and its columns."""
    metric, value = (_guessed(frame, names) for names in LONG)
    keys = [c for c in (variant, seed, time) if c]
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
    frame: pd.DataFrame, form: Form, metrics: Sequence[str], goals: Mapping[str, str], guess: list[str]
) -> Results:
    """A wide table: a row a seed, a column a variant, and one metric, whose name the file does not hold."""
    names = [c for c in frame.columns if c not in (form.seed, 'row') and str(c).lower() not in NO_METRIC]
    if len(names) < 2:
        raise UserError(
            f'{form.file} has no column of variants: name it with --variant (columns: {", ".join(map(str, names))})'
        )
    metric = metrics[0] if metrics else next(iter(goals), '')
    known = [str(name) for name in names if name == metric or direction(str(name))]
    if known:
        is_metric = 'is a metric' if len(known) == 1 else 'are metrics'
        raise UserError(
            f'{form.file}: {listed(known)} {is_metric}, and no column names the variants: name one with '
            '--variant=COLUMN, or rename the columns if each is a variant'
        )
    if not metric:
        raise UserError(
            f'{form.file} has a column for each of {", ".join(map(str, names[:4]))}: say what they measure '
            '(--metric=accuracy), or which column names the variants (--variant=COLUMN)'
        )
    columns = form.columns(frame)
    if not form.seed and not form.time:
        columns['seed'] = frame.index.to_series()
    parts = [pd.DataFrame({'variant': str(name), metric: form.numbers(frame, name), **columns}) for name in names]
    given = [pd.DataFrame({metric: ~is_empty(frame[name])}) for name in names]
    guess += [*decimal_commas(frame, names), *about_percent(frame, names)]
    row = 'step' if form.time else 'seed'
    guess.insert(0, f'A column a variant: {", ".join(map(str, names[:6]))}; a row a {row}.')
    return form.finish(pd.concat(parts, ignore_index=True), pd.concat(given, ignore_index=True), [metric], goals, guess)
