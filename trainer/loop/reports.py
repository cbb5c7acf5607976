"""What the compiled calls of a run report: sums over examples, and what the last step of a block saw."""

import dataclasses
from typing import Any, NamedTuple


class Totals(NamedTuple):
    """Sums over examples. Tensors inside of compiled steps, numbers outside."""

    loss: Any
    correct: Any
    examples: Any

    @property
    def mean_loss(self) -> float:
        """Mean loss of an example."""
        return self.loss / self.examples

    @property
    def accuracy(self) -> float:
        """Share of the examples whose class was predicted, from 0 to 1."""
        return self.correct / self.examples

    def plus(self, other: 'Totals') -> 'Totals':
        """Returns the sums over the examples of both."""
        return Totals(*(mine + its for mine, its in zip(self, other, strict=True)))


#: Totals of no examples.
NOTHING = Totals(0.0, 0.0, 0)


class LastStep(NamedTuple):
    """What the last step of a block used and saw."""

    learning_rate: Any
    gradient_norm: Any  # global norm of the gradient, before clipping and without the scale of the loss
    weight_norm: Any  # global norm of the weights at which that gradient was computed


@dataclasses.dataclass(frozen=True)
class BlockReport:
    """What a block of training steps reports. `stop`: some worker asked to stop."""

    totals: Totals
    last: LastStep
    stop: bool
