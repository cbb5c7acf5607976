"""What a name says of a run, and which value of a curve is its result."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from seedwise.errors import UserError
from trainer.compare.analysis.words import listed

#: What surely names a seed at the end of a name: 'adam/3', 'adam_seed3', 'adam-run-3', 'rep3'.
MARKED = re.compile(
    r'^(?:|(?P<variant>.*?)[-_ .]*seed[-_= ]?|(?:(?P<other>.*?)[-_ .]+)?(?:run|rep)[-_= ]?)(?P<seed>\d+)$',
    re.IGNORECASE,
)

#: What may name one: 'adam_3', 'adam-s3'. In 'resnet18' and 'lr_1e-3' nothing does.
PERHAPS = re.compile(r'^(?P<variant>.*?)(?<!\de)[-_ ]+s?(?P<seed>\d+)$', re.IGNORECASE)


def named(paths: Sequence[Sequence[str]]) -> list[tuple[str, int | None]]:
    """Returns the variant and the seed that each run's path names: ('adam', '3') or ('adam_seed3',) -> ('adam', 3).

    Whether the number of 'adam_3' is a seed or belongs to the name, as in 'resnet-18', is told by the other runs: it is a
    seed if most of the runs have a number that most of the variants have, and each has it once.
    """
    ignored = ('train', 'validation', 'test', 'tensorboard', 'logs', 'events')
    all_parts = [[part for part in parts if part not in ignored] for parts in paths]
    sure = [_split(parts, MARKED) for parts in all_parts]
    whole: list[tuple[str, int | None]] = [('/'.join(parts) or 'run', None) for parts in all_parts]
    maybe = [_split(parts, PERHAPS) or name for parts, name in zip(all_parts, whole, strict=True)]
    if not _are_seeds([pair for pair, known in zip(maybe, sure, strict=True) if not known]):
        maybe = whole
    return [known or pair for known, pair in zip(sure, maybe, strict=True)]


def _are_seeds(pairs: Sequence[tuple[str, int | None]]) -> bool:
    numbers = [pair for pair in pairs if pair[1] is not None]
    often = Counter(seed for _, seed in {*numbers})
    variants = len({variant for variant, _ in pairs})
    shared = sum(often[seed] > variants / 2 for _, seed in numbers)
    return len({*numbers}) == len(numbers) and shared > len(numbers) / 2


def _split(parts: Sequence[str], pattern: re.Pattern[str]) -> tuple[str, int | None] | None:
    match = pattern.match(parts[-1]) if parts else None
    if not match:
        return None
    groups = match.groupdict()
    rest = [*parts[:-1], groups['variant'] or groups.get('other') or '']
    return '/'.join(filter(None, rest)) or parts[-1], int(match['seed'])


def examples(names: Sequence[str], found: Sequence[tuple[str, int | None]]) -> list[str]:
    """Returns a sentence that says how the first names of three variants were split; none if no name was."""
    first = {variant: (name, seed) for name, (variant, seed) in reversed([*zip(names, found, strict=True)])}
    split = [f"'{name}' is '{variant}', seed {seed}" for variant, (name, seed) in first.items() if seed is not None]
    return [f'Names: {listed(split[::-1], 3)}.'] if split else []


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
