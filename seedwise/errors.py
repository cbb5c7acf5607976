"""Errors that are the user's to mend: told in one line, exit code 2, no traceback."""

import difflib
from collections.abc import Iterable

#: A longer list of names is cut to the nearest.
LONGEST = 400


class UserError(Exception):
    """Something the user asked for cannot be done. The message is one line and says what can."""


class LostWorker(Exception):
    """Another worker of this run has died, or does not answer. The message is one line and names it."""


class Interrupted(Exception):
    """The command was asked to stop, and all is saved: the same command continues."""


def unknown(what: str, value: object, accepted: Iterable[str], others: Iterable[str] = ()) -> UserError:
    """Returns the error for a name that is in no table: what is accepted, and the nearest of it.

    Args:
      what: what the name is of.
      value: the name.
      accepted: the table.
      others: more that is accepted, too much to list: named only where it is the nearest.
    """
    names = sorted(accepted)
    close = _nearest(value, [*names, *others], 1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ''
    shown = ', '.join(name or "''" for name in names)
    if len(shown) > LONGEST:
        shown = f'{", ".join(_nearest(value, names, 8, cutoff=0))}, ... ({len(names)} in all)'
    return UserError(f"unknown {what} '{value}': accepted are {shown}.{hint}")


def _nearest(value: object, names: Iterable[str], count: int, cutoff: float) -> list[str]:
    """Returns the names most like `value`, whatever their case, the most like it first."""
    lower = {name.lower(): name for name in names}
    return [lower[name] for name in difflib.get_close_matches(str(value).lower(), lower, count, cutoff)]
