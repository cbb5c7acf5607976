"""What an evaluation keeps besides sums: logits, for metrics that are not sums, and which examples were right and wrong."""

import functools
import math
import operator

import numpy as np

from seedwise.errors import UserError
from trainer import metrics
from trainer.loop.collectives import Collectives
from trainer.output.images import Outcomes, outcomes
from trainer.output.progress import warn


class Seen:
    """What is kept of the blocks of a split on this worker: `on_block` is called with each.

    Args:
      classes: number of classes.
      pictures: whether to keep what is shown of the mistakes.
      right: whether to keep which examples are right.
      logits: whether to keep labels and logits.
    """

    def __init__(self, classes: int, *, pictures: bool, right: bool, logits: bool):
        self._classes, self._pictures, self._right, self._logits = classes, pictures, right, logits
        self.anything = pictures or right or logits
        self._outcomes: list[Outcomes] = []
        self.right: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.logits: list[np.ndarray] = []

    def on_block(self, images, labels, mask, predicted, confidence, logits=None) -> None:
        """Takes a block, as `steps.OnBlock` says."""
        if self._pictures:
            self._outcomes.append(outcomes(images, labels, mask, predicted, confidence, classes=self._classes))
        if self._right:
            self.right.append((labels == predicted).astype(np.int8))
        if self._logits:
            self.labels.append(labels)
            self.logits.append(logits)

    @property
    def outcomes(self) -> Outcomes:
        """The outcomes of all blocks."""
        return functools.reduce(operator.add, self._outcomes)


class Metrics:
    """The metrics of a run that are not sums over examples; false if it has none."""

    def __init__(self, config, classes: int, collectives: Collectives):
        """Loads a user's own. Raises `UserError` where one cannot be called."""
        self._functions = metrics.build(config.metrics, classes, config.metric_options)
        self._classes, self._collectives = classes, collectives
        self._said: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._functions)

    def of(self, split: str, examples: int, seen: Seen) -> dict[str, float | None]:
        """Returns the metrics of a split by name; None, with a warning: it is not defined there.

        The first worker computes them and tells the others: all must agree on which weights are the best.

        Args:
          split: its name.
          examples: how many it has.
          seen: of this worker. Every worker must call this.
        """
        if not self._functions:
            return {}
        labels, logits = (
            whole.reshape(-1, *whole.shape[2:])[:examples]
            for whole in (self._collectives.of_all_workers(np.concatenate(x)) for x in (seen.labels, seen.logits))
        )
        values = np.zeros(len(self._functions))
        if self._collectives.first:
            values[:] = [self._value(name, split, labels, logits) for name in self._functions]
        values = self._collectives.of_first_worker(values)
        return {
            name: value if math.isfinite(value) else None
            for name, value in zip(self._functions, values.tolist(), strict=True)
        }

    def _value(self, name: str, split: str, labels: np.ndarray, logits: np.ndarray) -> float:
        """Returns a metric, nan where it cannot be computed: that ends no run."""
        known = metrics.METRICS.get(name)
        if known and known.by_class and (without := metrics.absent(labels, self._classes)):
            named = f'{", ".join(map(str, without[:5]))}{", ..." * (len(without) > 5)}'
            self._say(
                f'{name}: the {split} split has no example of class {named}, which the mean over classes leaves out'
            )
        try:
            value = self._functions[name](labels, logits)
        except UserError as error:
            self._say(f'{error}; {name} is left out')
            return math.nan
        if not math.isfinite(value):
            self._say(f'{name} of the {split} split is {value}: it is left out')
        return value

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            warn(text)
