"""Checks a user's own DataFrame before it is judged."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seedwise.errors import UserError
from trainer.judging.curves import time_of


def checked(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Returns the columns of a frame that are judged, in their types: variants as text, metrics as floats.

    Args:
      frame: one run a row, with the columns `variant` and each of `metrics`, perhaps `seed` and `status`.
      metrics: names of columns.

    Raises:
      UserError: a column is there twice, a variant or a seed is missing, a run has several rows, or a metric is not numbers.
    """
    kept = ['variant', *(name for name in ('seed', 'status') if name in frame), *metrics]
    for name in kept:
        if isinstance(frame[name], pd.DataFrame):
            raise UserError(f"the frame has two columns '{name}': one is required")
    found = frame[kept].reset_index(drop=True)
    for name in ('variant', 'seed'):
        if name in found and found[name].isna().any():
            raise UserError(f"row {int(found[name].isna().argmax())} of the frame has no value in '{name}'")
    time = time_of(frame.reset_index(drop=True), [name for name in ('variant', 'seed') if name in frame])
    if time:
        raise UserError(
            f"the frame has several rows a run, which differ in '{time}': keep the row of each run that counts"
        )
    for metric in metrics:
        found[metric] = _floats(found[metric], metric)
    return found


def _floats(column: pd.Series, metric: str) -> np.ndarray:
    try:
        return column.to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError):
        numbers = pd.to_numeric(column, errors='coerce')
        row = int((numbers.isna() & column.notna()).argmax())
        raise UserError(
            f"row {row} of the frame has {column[row]!r} in '{metric}': a number is required, such as 0.97"
        ) from None
