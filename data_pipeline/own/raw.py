"""What a reader of the user's own data returns."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Raw:
    """Examples as they were read.

    Attributes:
      inputs: [n, height, width, channels] or [n, features]; of the training split, then of the test split.
      labels: [n], whole numbers or text.
      train: how many of them are of the training split; None: the data have no test split.
      notes: what the user should know of how they were read, a sentence each.
      columns: of a table with names, those of the inputs, in their order.
    """

    inputs: Any
    labels: np.ndarray
    train: int | None
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
