"""A claim as a user types it: 'A > B by 0.002 on accuracy', 'A < B', or 'A = B within 0.002'."""

import math
import re
from dataclasses import dataclass

from seedwise.errors import UserError

_FORM = re.compile(
    r'\s*(?P<a>.+?)\s*(?P<sign>[<>=])\s*(?P<b>.+?)'
    r'(?:\s+(?:by|within)\s+(?P<margin>[-+.\deE]+))?(?:\s+on\s+(?P<metric>\S+))?\s*'
)


@dataclass(frozen=True)
class TypedClaim:
    """`kind`: 'better', that `a` beats `b` by more than `margin`, or 'equal', that they differ by less.

    `margin`: in the unit of the metric, at least 0. `metric`: '' if none is named.
    """

    a: str
    b: str
    kind: str
    margin: float
    metric: str


def parse(text: str) -> TypedClaim:
    """Returns what a --claim says; that its names exist is not checked.

    Raises:
      UserError: it has another form, its margin is not a number of at least 0, or 'A = B' states no margin.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise UserError(
            f'--claim is \'{text}\': it must be such as "A > B by 0.002 on accuracy" or "A = B within 0.002"'
        )
    a, b = match['a'], match['b']
    try:
        margin = float(match['margin'] or 0)
    except ValueError:
        margin = math.nan
    if not 0 <= margin < math.inf:
        raise UserError(f"--claim is '{text}': '{match['margin']}' must be a number of at least 0")
    if match['sign'] == '=' and not margin:
        raise UserError(f'--claim is \'{text}\': state within what, such as "{a} = {b} within 0.002"')
    if match['sign'] == '<':
        a, b = b, a
    return TypedClaim(a, b, 'equal' if match['sign'] == '=' else 'better', margin, match['metric'] or '')
