"""Notices a folder or file of the user's that hides one of our packages.

`python -m` puts the current folder first on the module path. Python itself stops at a `trainer.py` there, in one line; a
`configs/` would be imported in place of ours, and fail later with an error about something else.
"""

import importlib.util
import os
import sys
from pathlib import Path

#: The folder that holds our own packages.
ROOT = Path(__file__).resolve().parents[1]

PACKAGES = ('configs', 'data_pipeline', 'launch', 'trainer')


def check() -> None:
    """Ends the command with one line and exit code 2 if a package that is not ours would be imported as ours.

    Raises:
      ImportError: instead, if the package is imported by other code than `python -m`.
    """
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        places = [*(spec.submodule_search_locations or [spec.origin or ''])] if spec else []
        if places and not any(Path(place).resolve().parent == ROOT for place in places):
            line = f"{places[0]} hides seedwise's package '{name}': use the command `seedwise`, or rename it"
            if sys.argv[:1] == ['-m']:  # Python is still looking for the module to run
                print(f'error: {line}', file=sys.stderr)
                raise SystemExit(2)
            raise ImportError(line)


def python_module(name: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Returns the command line and the environment that run one of our modules, whatever the current folder holds."""
    places = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    return [sys.executable, '-P', '-m', name, *arguments], os.environ | {'PYTHONPATH': os.pathsep.join(places)}
