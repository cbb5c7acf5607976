"""What a reader of the user's own data returns."""

import dataclasses
from typing import Any

import numpy as np

from data_pipeline import checks
from seedwise.errors import UserError


@dataclasses.dataclass(frozen=True)
class Raw:
    """Examples as they were read.

    Attributes:
      inputs: [n, height, width, channels] or [n, features]; of the training split, then of the test split.
      labels: [n], whole numbers or text.
      train: how many of them are of the training split; None: the data have no test split.
      notes: what the user should know of how they were read, a sentence each.
      columns: of a table with names, those of the inputs, in their order.
      weights: float64 [n], of each example in the training loss; those of a test split are not used. None: there are none.
      extent: the least and the greatest number of the inputs, all of which are finite; None: not known.
      content: SHA-256 of the inputs; '': not known.
    """

    inputs: Any
    labels: np.ndarray
    train: int | None
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    extent: tuple[float, float] | None = None
    content: str = ''

    def __post_init__(self) -> None:
        """Raises `UserError` if there are more than can be ordered."""
        if len(self.labels) > checks.MOST_EXAMPLES:
            raise UserError(
                f'the data have {len(self.labels):,} examples: at most {checks.MOST_EXAMPLES:,} are possible'
            )


class Cast:
    """An array on disk as an array of another type: what is read of it is converted then."""

    def __init__(self, array: np.ndarray, dtype: Any):
        self.array, self.dtype = array, np.dtype(dtype)
        self.shape, self.ndim, self.size, self.itemsize = array.shape, array.ndim, array.size, self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, where: Any) -> np.ndarray:
        return self.array[where].astype(self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array.astype(dtype or self.dtype)


def weights_as_given(array: np.ndarray, count: int, what: Any) -> np.ndarray:
    """Returns sample weights, [n] or [n, 1], as float64 [n]. Their values are checked later.

    Raises:
      UserError: there are not `count` of them, or they are not numbers.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,) or array.dtype.kind not in 'buif':
        raise UserError(
            f'{what} has the shape {array.shape} and the type {array.dtype}: it must be one number for each of the '
            f'{count:,} examples'
        )
    return array.astype(np.float64)
