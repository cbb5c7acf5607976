"""Claims as data: what a paper, or the study itself, says of its variants, in a form that runs can be held against."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from seedwise.errors import UserError, unknown
from trainer.compare.analysis.claims.selection import Selector
from trainer.compare.analysis.metrics import GOALS, goal_of
from trainer.compare.analysis.statistics import ALPHA

#: Kind of claim -> the fields that it cannot do without, beside `id`, `kind` and `a`.
NEEDS: dict[str, tuple[str, ...]] = {
    'at_least': ('value',),
    'best': (),
    'better': ('b',),
    'equal': ('b', 'margin'),
    'fails': ('value',),
    'faster': ('b', 'target'),
    'less_sensitive': ('b', 'margin'),
    'mostly': ('b', 'matched'),
}

#: Field -> its accepted values.
ACCEPTED = {
    'reduce': ('mean', 'best'),
    'quantifier': ('all', 'any'),
    'unit': ('epoch', 'step', 'seconds'),
}


@dataclass(frozen=True)
class Claim:
    """What is claimed, and how it is tested.

    The kinds::

      better    a beats b by more than `margin`.
      best      a beats every rival by more than `margin`. Rivals: `b`, a tuple of selectors; without it every other
                combination of values on the axes that `a` names.
      mostly    a beats b in more than half of the settings that the axes in `matched` make.
      faster    a takes fewer epochs (or other `unit`) than b until `metric` reaches `target`.
      equal     a and b differ by less than `margin`.
      at_least  the mean of a is `value` or better (of a loss: `value` or less).
      fails     runs of a fail more often than not: diverged, or `metric` worse than `value`. `quantifier` 'all': in
                every variant that `a` selects; 'any': in at least one.
      less_sensitive  a larger share of learning rates lies within `margin` of a's best than of b's (tuning trials).

    `paired`: a seed means the same in every variant; otherwise Welch's t test is used. How each kind is tested is
    written at its judge in `verdicts.py`. `alpha` is the two-sided level: the chance that the
    claim is decided wrongly, either way.

    `metric` is a column, or an expression of columns ('test_loss - train_loss'); `goal` says which is better of it, 'max'
    or 'min' (needed except for single metrics and times, which `metrics.DIRECTIONS` knows). With a `target` the
    time to it is compared, in better and mostly too. `where` restricts all runs. A selector of several variants stands
    for their mean, by seed (`reduce` 'mean'), or on each seed for the one whose mean of `select_by` over the other
    seeds is the best ('best'). `quote` and `section` are the paper's; `reading` says how open words were read.
    """

    id: str
    kind: str
    a: Selector
    b: Any = None
    quote: str = ''
    section: str = ''
    reading: str = ''
    metric: str = 'test_accuracy'
    goal: str | None = None
    where: Selector = field(default_factory=dict)
    matched: Sequence[str] = ()
    reduce: str = 'mean'
    select_by: str = 'validation_loss'
    margin: float = 0.0
    value: float | None = None
    target: float | None = None
    unit: str = 'epoch'
    quantifier: str = 'all'
    alpha: float = ALPHA
    paired: bool = True

    @property
    def better(self) -> str:
        """Which is better of what is compared: 'max' or 'min'. Of a time to a target, the shorter.

        Raises:
          UserError: it is neither stated nor known.
        """
        if self.target is not None:
            return 'min'
        try:
            return goal_of(self.metric, self.goal)
        except UserError as error:
            raise UserError(f"claim '{self.id}': {error}") from None

    @property
    def what(self) -> str:
        """The metric in words."""
        words = self.metric.replace('_', ' ')
        if self.target is None:
            return words
        return f'{self.unit if self.unit == "seconds" else self.unit + "s"} to {words} {self.target:g}'


def parse(claim: Mapping[str, Any]) -> Claim:
    """Returns the claim of a study file.

    Raises:
      UserError: a field or a kind is unknown, one is missing, or a value is not accepted.
    """
    names = [f.name for f in fields(Claim)]
    for key in claim:
        if key not in names:
            raise unknown('field of a claim', key, names)
    for key in ('id', 'kind', 'a'):
        if key not in claim:
            raise UserError(f"claim '{claim.get('id', '?')}' has no '{key}'")
    parsed = Claim(**claim)
    name = f"claim '{parsed.id}'"
    for key, (is_right, words) in TYPES.items():
        value = getattr(parsed, key)
        if not is_right(value):
            raise UserError(f'{key} of {name} is {value!r}: it must be {words}')
    if parsed.kind not in NEEDS:
        raise unknown(f'kind of {name}', parsed.kind, NEEDS)
    for key in NEEDS[parsed.kind]:
        if getattr(parsed, key) in (None, ()) or (key == 'margin' and not parsed.margin):
            raise UserError(f"{name} of kind '{parsed.kind}' needs '{key}'")
    if parsed.kind != 'best' and parsed.b is not None and not _is_selector(parsed.b):
        raise UserError(f"b of {name} is {parsed.b!r}: kind '{parsed.kind}' takes one mapping of axis -> value")
    for key, accepted in ACCEPTED.items():
        if getattr(parsed, key) not in accepted:
            raise unknown(f'{key} of {name}', getattr(parsed, key), accepted)
    return parsed


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_selector(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple | list) and all(map(is_right, value))


#: Field -> (whether a value is one for it, what it takes).
TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(('id', 'kind', 'quote', 'section', 'reading', 'metric', 'select_by'), (_is_text, 'text')),
    **dict.fromkeys(('a', 'where'), (_is_selector, 'a mapping of axis -> value')),
    'b': (
        lambda value: value is None or _is_selector(value) or (_are(value, _is_selector) and len(value) > 0),
        'a mapping of axis -> value, or a tuple of them',
    ),
    'goal': (lambda value: value is None or value in GOALS, "'max' or 'min'"),
    'matched': (lambda value: _are(value, _is_text), 'a tuple of axes'),
    **dict.fromkeys(('value', 'target'), (lambda value: value is None or is_number(value), 'a number')),
    'margin': (lambda value: is_number(value) and value >= 0, 'a number of at least 0'),
    'alpha': (lambda value: is_number(value) and 0 < value < 1, 'a number above 0 and below 1'),
    'paired': (lambda value: isinstance(value, bool), 'True or False'),
}
