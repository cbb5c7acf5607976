"""A claim as a user types it: 'A > B by 0.002 on accuracy', 'A < B', or 'A = B within 0.002'."""

import math
import re
from dataclasses import dataclass

from seedwise.errors import UserError

_FORM = (
    r'\s*(?P<a>.+?)%s(?P<sign>[<>=!≤≥]+)%s(?P<b>.+?)(?P<rest>(?:\s+(?:by|within)\s+\S+(?:\s*%%)?|\s+on\s+\S+){0,2})\s*'
)
#: A sign between spaces comes first: 'lr=0.1 > lr=0.01'.
_FORMS = tuple(re.compile(_FORM % (space, space)) for space in (r'\s+', r'\s*'))
_REST = re.compile(r'\s+(by|within|on)\s+(\S+(?:\s*%)?)')


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
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    accepted = 'it must be such as "A > B by 0.002 on accuracy" or "A = B within 0.002"'
    if not match:
        raise UserError(f"--claim is '{text}': {accepted}")
    a, b, sign = match['a'], match['b'], '=' if match['sign'] == '==' else match['sign']
    words = _REST.findall(match['rest'])
    found = {'on' if word == 'on' else 'margin': value for word, value in words}
    if sign not in ('<', '>', '=') or len(found) < len(words):
        raise UserError(f"--claim is '{text}': {accepted}")
    if sign != '=' and any(word == 'within' for word, _ in words):
        raise UserError(f"--claim is '{text}': 'within' goes with =; with > and < it is 'by', the least difference")
    try:
        margin = float(found.get('margin', 0))
    except ValueError:
        margin = math.nan
    if not 0 <= margin < math.inf:
        raise UserError(
            f"--claim is '{text}': '{found['margin']}' must be a number of at least 0, in the unit of the metric"
        )
    if sign == '=' and not margin:
        raise UserError(f'--claim is \'{text}\': state within what, such as "{a} = {b} within 0.002"')
    if sign == '<':
        a, b = b, a
    return TypedClaim(a, b, 'equal' if sign == '=' else 'better', margin, found.get('on', ''))
