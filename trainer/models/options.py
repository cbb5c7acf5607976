"""What an option of a built-in model may be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """`default`: its value if it is not given; `rule`: what it must be, in words; `holds`: whether a value is that."""

    default: Any
    rule: str
    holds: Callable[[Any], bool]


def whole(default: int, low: int, high: int) -> Option:
    """Returns an option that is a whole number from `low` to `high`."""
    return Option(
        default, f'a whole number from {low:,} to {high:,}', lambda value: is_whole(value) and low <= value <= high
    )


def fraction(default: float) -> Option:
    """Returns an option that is at least 0 and below 1."""
    return Option(default, 'at least 0 and below 1', lambda value: is_number(value) and 0 <= value < 1)


def is_whole(value: Any) -> bool:
    """Returns whether a value is a whole number; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Returns whether a value is a number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
