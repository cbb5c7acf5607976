"""Errors that are the user's to mend: told in one line, exit code 2, no traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user asked for cannot be done. The message is one line and says what can."""


def unknown(what: str, value: object, accepted: Iterable[str]) -> UserError:
    """Returns the error for a name that is in no table: what is accepted, and the nearest of it."""
    names = sorted(accepted)
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(str(value).lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean '{lower[close[0]]}'?" if close else ''
    return UserError(f"unknown {what} '{value}': accepted are {', '.join(names)}.{hint}")
