"""Config files: found, run, and their mistakes reported in one line."""

import importlib.util
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

import ml_collections

from seedwise import references, tensorflow_import
from seedwise.errors import UserError, unknown


def find(path: Path, flag: str, example: str) -> Path:
    """Returns the config file at `path`; if there is none, that of the installed package.

    Args:
      path: as the user typed it.
      flag: that it was typed for.
      example: a file that the flag takes; its neighbours are named if `path` has none.
    """
    package = Path(__file__).parent.parent
    for file in (path, package / path):
        if file.is_file():
            return file
    for folder in (path, path.parent, package / Path(example).parent):
        files = [file for file in folder.glob('*.py') if _is_config(file)]
        if files:
            break
    choices = [file.relative_to(package) if file.is_relative_to(package) else file for file in files]
    raise unknown(f'--{flag} file', str(path), map(str, choices))


def load(file: Path, arguments: list[str]) -> ml_collections.ConfigDict:
    """Returns what the file's `get_config` returns for the arguments.

    Raises:
      UserError: the file has no such function, or raises, or the function does not return a ConfigDict.
    """
    try:
        get_config = getattr(_module(file), 'get_config', None)
        config = get_config(*arguments) if get_config else None
    except SystemExit as error:
        raise UserError(f'{file}{_line(error, file)} calls sys.exit: a config file only returns a config') from error
    except Exception as error:  # the file is the user's: it may raise anything
        raise UserError(f'{file}{_line(error, file)}: {_reason(error)}') from error
    if get_config is None:
        raise UserError(f'{file} has no function get_config()')
    if not isinstance(config, ml_collections.ConfigDict):
        raise UserError(f'{file}: get_config() must return a ConfigDict, not {type(config).__name__}')
    return config


def _module(file: Path) -> ModuleType:
    """Returns the file as a module of its own name, so that what it defines can be pickled; it runs each time.

    Modules next to it can be imported. They come last: none takes the place of a package.
    """
    folder = str(file.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)
    name = f'seedwise_config_{file.stem}'
    if references.imports(file, ('keras', 'tensorflow')):
        tensorflow_import.import_tensorflow()  # as every run does it: quietly, and with Keras's own settings
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f'{file} is not a Python file: its name must end in .py')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _is_config(file: Path) -> bool:
    try:
        return bool(re.search(b'^def get_config', file.read_bytes(), re.MULTILINE))
    except OSError:
        return False


def _line(error: BaseException, file: Path) -> str:
    """Returns the line of `file` that an error came from, if any."""
    names = (str(file), os.path.abspath(file))
    if isinstance(error, SyntaxError):
        return f', line {error.lineno}' if error.lineno and error.filename in names else ''
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names]
    return f', line {lines[-1]}' if lines else ''


def _reason(error: BaseException) -> str:
    """Returns what an error says; a ConfigDict's own in words that say what to write."""
    dotted = re.search('does not accept dots in field names.* the key (.*) contains one', str(error))
    if dotted:
        name = dotted[1]
        number = re.fullmatch(r'[-+]?\d*\.\d*([eE][-+]?\d+)?', name)
        write = f'write it as a number, {name}' if number else f"write '{name.replace('.', '_')}'"
        return f"the name '{name}' has a dot: {write}"
    if isinstance(error, TypeError) and "argument of type 'NoneType' is not iterable" in str(error):
        return "a name must not be None: write 'None'"
    if isinstance(error, AttributeError) and error.args and isinstance(error.args[0], KeyError):
        text = str(error.args[0].args[0])
        name, near = re.search(r'["\'](.*?)["\']', text), re.search('Did you mean "(.*?)"', text)
        hint = f"Did you mean '{near[1]}'?" if near else 'configs/default.py has all fields.'
        return f"unknown field '{name[1] if name else text}'. {hint}"
    return f'{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}'
