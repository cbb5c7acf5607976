"""Numbers and lists in words, for sentences on screens and pages."""

from collections.abc import Sequence


def count(n: int, noun: str) -> str:
    """Returns '1 seed', '2 seeds'."""
    return f'{n:,} {noun}' if n == 1 else f'{n:,} {noun}s'


def listed(words: Sequence[str], most: int = 6) -> str:
    """Returns 'a, b and c', and after `most` of them how many more there are."""
    shown = [*words[:most], *([f'{len(words) - most} more'] if len(words) > most else [])]
    return ' and '.join(filter(None, [', '.join(shown[:-1]), *shown[-1:]]))


def p_value(p: float) -> str:
    """Returns 'p = 0.03', or 'p < 0.0001'."""
    return f'p = {p:.2g}' if p >= 1e-4 else 'p < 0.0001'


def signed(value: float) -> str:
    """Returns a difference with its sign; what rounding leaves of two equal numbers is +0."""
    return f'{round(value, 9) + 0.0:+.3g}'


def says_little(value: str) -> bool:
    """Returns whether a value of an axis says nothing without the name of the axis."""
    return value[:1].isdigit() or value in ('none', 'every', 'first', 'last')
