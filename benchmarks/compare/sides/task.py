"""What one side is given to do."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Task:
    """Training of one network by one side.

    Attributes:
      network: key of `networks.NETWORKS`.
      data: path of a .npz file with x_train, y_train, x_test, y_test: images uint8, labels int; the number of training
        examples is a multiple of `batch`.
      passes: passes over the training examples, each of which is timed.
      batch: examples of one step.
      threads: that the side may use.
      fields: fields of this project's config that differ, for the sides that have one.
      steps: of a pass, for a side that takes fewer than the others; 0: all.
    """

    network: str
    data: str
    passes: int
    batch: int
    threads: int
    fields: dict
    steps: int = 0

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns training images and labels, test images and labels."""
        with np.load(self.data) as file:
            x, y, *test = (file[name] for name in ('x_train', 'y_train', 'x_test', 'y_test'))
            count = self.steps * self.batch or len(x)
            return x[:count], y[:count], *test


def orders(examples: int, passes: int, batch: int):
    """Yields the indices of each pass's batches, [steps, batch], each pass in an order of its own."""
    draws = np.random.default_rng(0)
    for _ in range(passes):
        yield draws.permutation(examples).reshape(-1, batch)
