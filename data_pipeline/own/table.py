"""A table: PATH.csv, a row an example, with numbers and a label."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.own.raw import Raw
from seedwise.errors import UserError, in_a_line, unknown

#: Names of a column that is taken as the label where none is named.
LABELS = ('label', 'class', 'target', 'y')

#: Columns that are pixels, in their order: pixel0, pixel_1, 1x1 ...
PIXEL = re.compile(r'(pixel|px|p)[ _]?\d+|\d+x\d+', re.IGNORECASE)


def read(
    path: Path,
    make: Any = None,
    *,
    label: str | int = '',
    test: str = '',
    shape: Sequence[int] = (),
    weight: str | int = '',
) -> Raw:
    """Reads a table as float32 [n, features], or as images where its columns are pixels.

    Args:
      path: the .csv file, with commas, semicolons or tabs between its columns, and their names in the first line; a table
        without names is read if `label` is a number.
      make: not used.
      label: the column of the label, by name or by place from 0; '': the one that is called as in `LABELS`.
      test: a .csv file of the same columns, which is the test split.
      shape: (height, width, channels) of images; (): squares of one channel where all columns are called as `PIXEL` says
        and hold whole numbers from 0 to 255, else a table of features.
      weight: the column of the sample weights in the training loss, by name or by place; '': there are none.

    Raises:
      UserError: a cell is missing or not a number; it is named by row and column.
    """
    del make
    table, target = _table(path, label)
    weights = _weights(path, table, weight, target) if weight != '' else None
    count = None
    if test:
        more, _ = _table(Path(test).expanduser(), target if isinstance(label, str) else label)
        if weights is not None and {*more.columns, weights.name} == {*table.columns}:
            more = more.reindex(columns=table.columns, fill_value=1.0)  # a weight has no effect there
        if list(more.columns) != list(table.columns):
            different = set(map(str, table.columns)) ^ set(map(str, more.columns))
            raise UserError(
                f'{test} has other columns than {path}: {", ".join(sorted(different)[:3]) or "their order"}'
            )
        count = len(table)
        import pandas as pd

        table = pd.concat([table, more], ignore_index=True)
    labels = table[target].to_numpy()
    columns = [column for column in table.columns if column != target and (weights is None or column != weights.name)]
    if not columns:
        raise UserError(f'{path} has no columns but the label and the sample weights: it must have features')
    sample_weights = None if weights is None else table[weights.name].to_numpy(np.float64)
    features = table[columns].to_numpy(np.float32)
    names = tuple(map(str, columns)) if isinstance(label, str) else ()
    if shape:
        if len(shape) != 3 or math.prod(shape) != len(columns):
            raise UserError(
                f'data.options.shape is {tuple(shape)}: it must be (height, width, channels) with {len(columns):,} pixels'
            )
    else:
        side = math.isqrt(len(columns))
        pixels = side**2 == len(columns) > 1 and all(PIXEL.fullmatch(str(column)) for column in columns)
        shape = (side, side, 1) if pixels else ()
    if shape and features.min() >= 0 and features.max() <= 255 and (features == np.round(features)).all():
        features = features.astype(np.uint8)
    if shape:
        note = f'the {len(columns):,} columns are read as images of {"x".join(map(str, shape))}'
        return Raw(features.reshape(len(features), *shape), labels, count, (note,), names, sample_weights)
    return Raw(features, labels, count, columns=names, weights=sample_weights)


def _table(path: Path, label: str | int):
    """Returns the table, checked, and the name of its label's column."""
    named = isinstance(label, str)
    table = frame(path, named)
    if not len(table) or len(table.columns) < 2:
        raise UserError(
            f'{path} has {len(table):,} rows and {len(table.columns)} column: it must have features and a label'
        )
    if named and not label and all(re.fullmatch(r'-?[\d.]+', str(column)) for column in table.columns):
        raise UserError(
            f'{path} has no names in its first line: say which column is the label, such as data.options.label=0'
        )
    target = _target(path, [*table.columns], label)
    check_cells(path, table, named, target)
    return table, target


def frame(path: Path, named: bool) -> Any:
    """Returns a .csv file, with commas, semicolons or tabs, as a data frame.

    Args:
      path: the file.
      named: whether its first line names the columns; if not, they are called by their numbers from 0.

    Raises:
      UserError: it cannot be read.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f'{path} does not exist')
    try:
        with open(path, encoding='utf-8-sig') as file:
            first = file.readline()
        separator = max(',;\t', key=first.count)
        return pd.read_csv(
            path, sep=separator, header=0 if named else None, encoding='utf-8-sig', skipinitialspace=True
        )
    except (ValueError, UnicodeError, OSError, pd.errors.ParserError) as error:
        raise UserError(f'{path} cannot be read: {in_a_line(error)}') from error


def check_cells(path: Path, table: Any, named: bool, target: str | int | None = None) -> None:
    """Raises `UserError`, which names row and column, if a cell is empty, or is not a finite number outside of `target`.

    Args:
      path: the file, for errors.
      table: what `frame` returned of it.
      named: as for `frame`.
      target: the column of the label, which may hold text; None: there is none.
    """
    import pandas as pd

    for column in table.columns:
        missing = table[column].isna()
        if missing.any():
            raise UserError(f'{path}, row {_row(missing, named)}, column {column}: the cell is empty')
        if column == target:
            continue
        if not pd.api.types.is_numeric_dtype(table[column]):
            numbers = pd.to_numeric(table[column], errors='coerce')
            at = _row(numbers.isna(), named)
            value = table[column][numbers.isna()].iloc[0]
            raise UserError(
                f"{path}, row {at}, column {column}: '{value}' is not a number; make numbers of it, or drop the column"
            )
        infinite = np.isinf(table[column].to_numpy(np.float64))
        if infinite.any():
            raise UserError(f'{path}, row {_row(pd.Series(infinite), named)}, column {column}: the number is infinite')


def _weights(path: Path, table, weight: str | int, target: str | int):
    """Returns the column of the sample weights. Raises `UserError`, which names the row, if one is negative."""
    weights = table[_column(path, [*table.columns], weight, 'weight')]
    if weights.name == target:
        raise UserError(f'data.options.weight is {weight!r}, which is the column of the label')
    if (weights < 0).any():
        at = _row(weights < 0, isinstance(target, str))
        raise UserError(f'{path}, row {at}, column {weights.name}: the sample weight is negative')
    return weights


def _column(path: Path, columns: list, given: str | int, option: str) -> str | int:
    """Returns the column that an option names, by name or by place."""
    if isinstance(given, int):
        if not -len(columns) <= given < len(columns):
            raise UserError(f'data.options.{option} is {given}: {path} has {len(columns)} columns, the first is 0')
        return columns[given]
    if given not in columns:
        raise unknown(f'column (data.options.{option}) of {path}', given, map(str, columns))
    return given


def _target(path: Path, columns: list, label: str | int) -> str | int:
    if label != '':
        return _column(path, columns, label, 'label')
    found = [column for column in columns if str(column).strip().lower() in LABELS]
    if len(found) != 1:
        raise UserError(
            f'{path} has {"no" if not found else "several"} columns called {", ".join(LABELS)}: name the '
            f"label's in data.options.label; they are {', '.join(map(str, columns[:8]))}{', ...' * (len(columns) > 8)}"
        )
    return found[0]


def _row(where, named: bool) -> int:
    """Returns the first row of the file, from 1, where something holds; `named`: the first line holds names."""
    return int(np.flatnonzero(where.to_numpy())[0]) + (2 if named else 1)
