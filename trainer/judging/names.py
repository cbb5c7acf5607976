"""What a name says of a run, and which value of a curve is its result."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from seedwise.errors import UserError

#: What names a seed at the end of a name: 'adam/3', 'adam_seed3', 'adam-s3'.
SEED = re.compile(r'^(?:(?P<variant>.*?)[-_ .]*)?(?:seed|rep|run|s)?[-_=]?(?P<seed>\d+)$', re.IGNORECASE)


def named(parts: Sequence[str]) -> tuple[str, int | None]:
    """Returns the variant and the seed that a path names: ('adam', '3') or ('adam_seed3',) -> ('adam', 3)."""
    parts = [part for part in parts if part not in ('train', 'validation', 'test', 'tensorboard', 'logs', 'events')]
    if not parts:
        return 'run', None
    match = SEED.match(parts[-1])
    if not match:
        return '/'.join(parts), None
    rest = [*parts[:-1], *([match['variant']] if match['variant'] else [])]
    return '/'.join(rest) or parts[-1], int(match['seed'])


def at(points: Iterable[tuple[float, float]], step: str, goal: str | None, where: Path) -> float:
    """Returns the value of a curve at its last step, at its best, or at a given step.

    Args:
      points: (step, value), of which there is one at least.
      step: 'last', 'best', or a number.
      goal: 'max' or 'min', which of them is best.
      where: whose curve it is.

    Raises:
      UserError: there is no value at that step.
    """
    if step == 'last':
        return max(points, key=lambda point: point[0])[1]
    if step == 'best':
        values = (value for _, value in points if not math.isnan(value))
        return (min if goal == 'min' else max)(values, default=math.nan)
    last = -math.inf
    for place, value in points:
        if place == float(step):
            return value
        last = max(last, place)
    raise UserError(f'{where} has no value at step {step}: its last is {last:g}')
