"""What the commands share: flags, configs from files, and errors told in one line."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags

from configs.default import OPTIONAL_PAIRS, PAIRS
from configs.errors import UserError, unknown

#: Exit code of a run that was stopped and has saved (EX_TEMPFAIL of sysexits.h: try again).
STOPPED = 75


def define_config(name: str, text: str):
    """Defines the flag that names a config file, and its --<name>.field=value overrides."""
    return config_flags.DEFINE_config_file(name, None, text, lock_config=True)


def config_file(name: str) -> str:
    """Returns the file that the flag named."""
    return config_flags.get_config_filename(flags.FLAGS[name])


def run(main: Callable[[list[str]], int]) -> int:
    """Calls `main` with the command line; a user's mistake becomes one line and exit code 2."""
    try:
        return main(sys.argv)
    except UserError as error:
        message = ' '.join(str(error).split())
        print(f'error: {message}', file=sys.stderr)
        return 2
    except Exception as error:
        # By name: the class is known only where TensorFlow is imported.
        if type(error).__name__ != 'Interrupted':
            raise
        print(f'{error}; all is saved: the same command continues', file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print('interrupted; the same command continues from the last checkpoint', file=sys.stderr)
        return 130


def parse_flags(argv: list[str], usage: str | None) -> None:
    """Parses the command line into absl's flags; --help prints them and ends.

    Raises:
      UserError: a flag that does not exist, or a value of the wrong type.
    """
    if {'--help', '-h', '--helpfull', '--helpshort'} & set(argv):
        print(f'{usage}\n{flags.FLAGS.main_module_help()}')
        raise SystemExit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(str(error)) from error
    if len(rest) > 1:
        raise UserError(f"'{rest[1]}' is no flag: write --flag=value")


def parse(argv: list[str], usage: str | None, name: str, example: str) -> ml_collections.ConfigDict:
    """Parses the command line and returns the config that it makes.

    Args:
      argv: the command line.
      usage: printed by --help.
      name: the flag that names the config file, defined by `define_config`.
      example: a value for it, for the error when it is missing.

    Raises:
      UserError: a flag, a file or a field that does not exist, or a value of the wrong type.
    """
    argv = [_find_file(argument, name) for argument in argv]
    try:
        parse_flags(argv, usage)
        config = getattr(flags.FLAGS, name)
    except (AttributeError, KeyError) as error:
        raise _unknown_field(argv, name, error) from error
    except UserError as error:
        raise UserError(f'{error}{_type_of(argv, name, error)}') from error
    except OSError as error:
        raise UserError(str(error)) from error
    if config is None:
        raise UserError(f'--{name} is wanted: --{name}={example}')
    prefer_given(config, set(flags.FLAGS[name].override_values))  # type: ignore[attr-defined]
    return config


def get(config: ml_collections.ConfigDict, path: str):
    """Returns the field at a dotted path, such as 'optimizer.name'."""
    value = config
    for key in path.split('.'):
        value = value[key]
    return value


def prefer_given(config: ml_collections.ConfigDict, given: set[str]) -> None:
    """Clears the field of each pair that the command line did not give, where it gave the other."""
    for pair in PAIRS + OPTIONAL_PAIRS:
        for mine, other in (pair, pair[::-1]):
            if mine in given and other not in given:
                parent, _, key = other.rpartition('.')
                holder = get(config, parent) if parent else config
                holder[key] = None


def _find_file(argument: str, name: str) -> str:
    """Replaces --<name>=FILE by a path that exists; configs/ of the installed package serves where ./configs does not."""
    match = re.fullmatch(rf'--?{name}=([^:]*)(:.*)?', argument)
    if not match:
        return argument
    path, rest = Path(match[1]).expanduser(), match[2] or ''
    if path.is_file():
        return argument
    package = Path(__file__).parent.parent
    if (package / path).is_file():
        return f'--{name}={package / path}{rest}'
    folder = path.parent if path.parent.is_dir() else package / 'configs'
    choices = [str(path.parent / file.name) for file in sorted(folder.glob('*.py')) if _is_config(file)]
    raise unknown(f'--{name} file', str(path), choices)


def _is_config(file: Path) -> bool:
    return 'def get_config' in file.read_text()


def _fields(config: ml_collections.ConfigDict, prefix: str = '') -> dict[str, type]:
    fields: dict[str, type] = {}
    for key in config:
        if isinstance(config[key], ml_collections.ConfigDict):
            fields |= _fields(config[key], f'{prefix}{key}.')
        else:
            fields[f'{prefix}{key}'] = config.get_type(key)
    return fields


def _load(argv: list[str], name: str) -> ml_collections.ConfigDict:
    """Returns the config without overrides, for the names and types of its fields."""
    import runpy

    for argument in argv:
        if argument.lstrip('-').startswith(f'{name}='):
            return runpy.run_path(argument.partition('=')[2].partition(':')[0])['get_config']()
    raise UserError(f'--{name}=FILE is wanted before its fields')


def _unknown_field(argv: list[str], name: str, error: Exception) -> UserError:
    fields = _fields(_load(argv, name))
    for argument in argv:
        match = re.fullmatch(rf'--?(?:no)?{name}\.([^=]+)(=.*)?', argument, re.DOTALL)
        if match and match[1] not in fields:
            section = match[1].rpartition('.')[0]
            siblings = [field for field in fields if field.rpartition('.')[0] == section]
            return unknown(f'field of --{name}', match[1], siblings or fields)
    return UserError(f'{type(error).__name__}: {error}')


def _type_of(argv: list[str], name: str, error: Exception) -> str:
    """Returns what a field accepts, for an error about its value."""
    match = re.search(rf'--{name}\.([\w.]+)=', str(error))
    if not match:
        return ''
    kind = _fields(_load(argv, name)).get(match[1])
    words = {int: 'a whole number', float: 'a number', bool: 'true or false', tuple: 'a tuple such as "(128, 64)"'}
    return f'; {name}.{match[1]} takes {words.get(kind, "text")}' if kind else ''
