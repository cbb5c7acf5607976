"""The cells of a table as numbers, seeds and names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seedwise.errors import UserError
from trainer.compare.analysis.words import listed
from trainer.judging.results import direction

#: A number with a comma for its decimals, and one of which the comma may as well separate thousands.
COMMA = r'-?\d+,\d+%?'
AMBIGUOUS = r'-?[1-9]\d{0,2},\d{3}%?'


def numeric(values: pd.Series, name: str = '') -> bool:
    """Returns whether most cells of a column are numbers, those of runs that diverged included."""
    cells = values.dropna()
    if cells.empty:
        return False
    numbers = _parsed(cells).notna()
    if numbers.mean() > 0.5:
        return True
    known = bool(numbers.any()) or direction(str(name)) is not None
    return known and bool((numbers | _is_lost(cells)).mean() > 0.5)


def numbers_of(file: Path, frame: pd.DataFrame, column: str, separator: str, *, gaps: bool = False) -> pd.Series:
    """Returns a column as floats; 'nan', 'inf' and 'diverged' are runs that diverged.

    Args:
      file: for messages.
      frame: with a column `row`.
      column: which.
      separator: of the columns of the file: if it is a comma, or none is known, one in a cell may separate thousands.
      gaps: cells may be empty, which are NaN.

    Raises:
      UserError: a cell is empty, or something else, or could be two numbers.
    """
    cells = frame[column]
    numbers = _parsed(cells)
    lost = _is_lost(cells)
    text = _text(cells)
    wrong = numbers.isna() & ~lost & ~(is_empty(cells) & gaps)
    _refuse(file, frame, column, wrong, 'it must be a number, or nan for a run that diverged')
    if text is not None:
        if text.str.contains(',', regex=False).any():
            comma, ambiguous = text.str.fullmatch(COMMA), text.str.fullmatch(AMBIGUOUS)
            if separator in ('', ','):
                _refuse(file, frame, column, ambiguous, 'write {thousands} or {decimal}, whichever it is')
            if text.str.contains('.', regex=False).any():
                _refuse(file, frame, column, comma, 'other cells have a point, so write points for decimals in all')
        percent = text.str.endswith('%')
        if percent.any():
            _refuse(file, frame, column, ~percent & (numbers > 1), 'other cells have %, so write it in all or in none')
    return numbers.where(~lost, np.nan)


def _refuse(file: Path, frame: pd.DataFrame, column: str, wrong: pd.Series, advice: str) -> None:
    """Raises `UserError` for the first wrong cell, if there is one."""
    if not wrong.any():
        return
    row, cell = frame['row'][wrong].iloc[0], frame[column][wrong].iloc[0]
    text = str(cell).strip()[:40]
    what = 'is empty' if pd.isna(cell) or not text else f'holds {text!r}'
    advice = advice.replace('{thousands}', text.replace(',', '')).replace('{decimal}', text.replace(',', '.'))
    raise UserError(f"{file}, row {row}, column '{column}' {what}: {advice}")


def _is_lost(cells: pd.Series) -> pd.Series:
    """Which cells say that a run diverged."""
    words = cells.astype(str).str.strip().str.lower()
    return words.isin(('nan', 'inf', '-inf', '+inf', 'infinity', 'diverged', 'failed')) & cells.notna()


def _text(cells: pd.Series) -> pd.Series | None:
    """Returns cells as text; None if they are numbers already."""
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        return None
    return cells.fillna('').astype(str).str.strip()


def is_empty(cells: pd.Series) -> pd.Series:
    """Returns which cells hold nothing, or spaces alone."""
    return cells.isna() | (cells.astype(str).str.strip() == '')


def _parsed(cells: pd.Series) -> pd.Series:
    """Returns cells as numbers; NaN for what is none, and for 'nan' itself."""
    text = _text(cells)
    if text is None:
        return cells.astype(float)
    percent = text.str.endswith('%')
    if text.str.contains(',', regex=False).any():
        text = text.where(~text.str.fullmatch(COMMA), text.str.replace(',', '.'))
    numbers = pd.to_numeric(text.str.rstrip('%'), errors='coerce').astype(float)
    return numbers.where(~percent, numbers / 100)


def decimal_commas(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Returns a sentence about the columns whose commas are read as those of decimals."""
    texts = {str(column): _text(frame[column]) for column in columns}
    found = [column for column, text in texts.items() if text is not None and text.str.fullmatch(COMMA).any()]
    return [f'A comma is read as that of decimals, 1,5 as 1.5, in {listed(found)}.'] if found else []


def about_percent(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Returns a sentence about numbers with %, if there are any."""
    if not any(isinstance(cell, str) and cell.rstrip().endswith('%') for c in columns for cell in frame[c]):
        return []
    return ['Numbers with % are read as shares, 97.5% as 0.975: state margins as shares too.']


def filled(file: Path, frame: pd.DataFrame, column: str, must: str) -> pd.Series:
    """Returns the cells of a column of names or seeds.

    Raises:
      UserError: one is empty.
    """
    cells = frame[column]
    _refuse(file, frame, column, is_empty(cells), f'it {must}')
    return cells
