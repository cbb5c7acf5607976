"""What the commands share: flags, configs from files, and errors in one line."""

import ast
import contextlib
import importlib.util
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags
from ml_collections.config_flags import tuple_parser

from seedwise import config_files, dotted, signals, streams
from seedwise.errors import FILE_SYSTEM_ERRORS, Interrupted, LostWorker, UserError, unknown
from seedwise.process import exit_now
from seedwise.storage import paths

flags.disclaim_key_flags()  # what `define_config` defines is a flag of its caller's: --help lists it there

#: Exit code of a run that was stopped and has saved (EX_TEMPFAIL of sysexits.h: try again).
STOPPED = 75

#: Files that a process must be allowed to open: with 11, TensorFlow does not start.
LEAST_OPEN = 64

#: What a field of each type takes.
KINDS = {
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    str: 'text',
    tuple: 'a tuple such as "(128, 64)"',
}


class _Tuple(tuple_parser.TupleParser):
    """As ml_collections reads a tuple; words without brackets and quotes, such as a,b.py:c, it leaves as one text."""

    def parse(self, argument: Any) -> tuple:
        try:
            return super().parse(argument)
        except ValueError:
            if re.search(r'[][(){}\'" ]', argument):
                raise
            return (argument,)


config_flags.register_flag_parser_for_type(tuple, _Tuple())


def define_config(name: str, text: str):
    """Defines the flag that names a config file, and its --<name>.field=value overrides."""
    return config_flags.DEFINE_config_file(name, None, text, lock_config=True)


def config_file(name: str) -> str:
    """Returns the file that the flag named."""
    return config_flags.get_config_filename(flags.FLAGS[name])


def overrides(name: str) -> list[str]:
    """Returns the dotted paths of the fields that the command line set."""
    return [*config_flags.get_override_values(flags.FLAGS[name])]


def run(
    main: Callable[[list[str]], int],
    interrupted: str = 'interrupted; the same command continues from the last checkpoint',
) -> int:
    """Calls `main` with the command line; a user's mistake becomes one line and exit code 2.

    Args:
      main: the command; returns its exit code.
      interrupted: what is printed when Ctrl-C has ended it.
    """
    signals.unblock()  # a signal that has waited ends the command here
    signals.started()
    signals.end_imports(interrupted)
    streams.open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # what a terminal cannot show is no reason to stop
    sys.stdout, sys.stderr = (streams.Lasting(stream) for stream in (sys.stdout, sys.stderr))  # type: ignore[assignment]
    try:
        _check_open_files()
        code = main(sys.argv)
        if sys.stdout:
            sys.stdout.flush()  # here, where a full disk below it can still be reported
        return code
    except UserError as error:
        print(streams.error_line(error), file=sys.stderr)
        return 2
    except LostWorker as error:
        print(f'error: {error}', file=sys.stderr)
        exit_now(1)  # TensorFlow would wait for the lost worker
    except OSError as error:
        # `seedwise.errors.writing` has better words for it; this is for a place that does not use it.
        named, no_folder = error.filename, 'temporary directory' in str(error.strerror)
        if named is None and error.errno not in FILE_SYSTEM_ERRORS and not no_folder:
            raise
        file = 'TMPDIR' if no_folder else 'the output' if named is None else named
        file = file if isinstance(file, int) else os.fsdecode(file)
        print(f'error: {file}: {error.strerror}', file=sys.stderr)
        _discard_output()
        return 2
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and 'failed to map segment' not in str(error):
            raise
        print(f'error: there is not enough memory{_limit_of_memory()}', file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f'{error}; all is saved: the same command continues', file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130


def _resource() -> ModuleType | None:
    """Returns the module `resource`, which Windows does not have."""
    return importlib.import_module('resource') if importlib.util.find_spec('resource') else None


def _limit_of_memory() -> str:
    """Returns words on how much memory this process may take, if that is limited."""
    resource = _resource()
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    return f': this process may take {limit >> 20:,} MiB (ulimit -v {limit >> 10})' if limit >= 0 else ''


def _check_open_files() -> None:
    """Raises `UserError` where so few files may be open that TensorFlow does not start."""
    resource = _resource()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else LEAST_OPEN
    if 0 <= limit < LEAST_OPEN:
        raise UserError(f'this process may open {limit} files, and {LEAST_OPEN} are required: ulimit -n {LEAST_OPEN}')


def _discard_output() -> None:
    """Lets the rest of standard output go nowhere if it cannot be written: Python would try once more at its end."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse_flags(
    argv: list[str], usage: str | None, kinds: Mapping[str, type] | None = None, *, positional: bool = False
) -> list[str]:
    """Parses the command line into absl's flags, and returns what is not a flag; --help prints them and ends.

    Args:
      argv: the command line.
      usage: printed by --help.
      kinds: type of each flag that sets a field of a config file, for errors.
      positional: whether there may be arguments that are not flags.

    Raises:
      UserError: a flag that does not exist, or a value of the wrong type.
    """
    if {'--help', '-h', '--helpfull', '--helpshort'} & set(argv):
        print(f'{usage}\n{flags.FLAGS.main_module_help()}')
        raise SystemExit(0)
    kinds = {} if kinds is None else kinds
    _check_once(argv)
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        ours = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
        config, dot, _ = error.flagname.partition('.')
        if dot and config in ours and not kinds:
            raise UserError(f'--{error.flagname} sets a field of a config file: --{config}=FILE is required') from error
        raise unknown('flag', f'--{error.flagname}', (f'--{f}' for f in ours), (f'--{f}' for f in kinds)) from error
    except flags.IllegalFlagValueError as error:
        typed = str(error).removeprefix('flag ').removesuffix(f': {error.__context__}')
        flag, _, value = typed.lstrip('-').partition('=')
        raise UserError(f'{typed}: {_expected(kinds[flag], value)}' if flag in kinds else str(error)) from error
    except (flags.Error, ValueError) as error:
        raise UserError(str(error)) from error
    if len(rest) > 1 and not positional:
        raise UserError(f"'{rest[1]}' is not a flag: write --flag=value")
    return rest[1:]


def _check_once(argv: Sequence[str]) -> None:
    """Raises `UserError` if a flag has two values: absl would silently take the last. Fields may be set again."""
    given: dict[str, str] = {}
    words = iter(argv[1:])
    for word in words:
        if not word.startswith('-'):
            continue
        name, equals, value = word.lstrip('-').partition('=')
        name = name.replace('-', '_')
        if '.' in name or name not in flags.FLAGS or flags.FLAGS[name].boolean:
            continue
        value = value if equals else next(words, '')
        if given.setdefault(name, value) != value:
            raise UserError(f"--{name} is given twice, as '{given[name]}' and '{value}': give one")


def parse(
    argv: list[str],
    usage: str | None,
    name: str,
    example: str,
    pairs: Sequence[tuple[str, str]] = (),
    normalize: Callable[[ml_collections.ConfigDict, list[str]], None] | None = None,
) -> ml_collections.ConfigDict:
    """Parses the command line and returns the config that it makes.

    Args:
      argv: the command line.
      usage: printed by --help.
      name: the flag that names the config file, defined by `define_config`.
      example: a value for it, for the error when it is missing.
      pairs: fields that say the same thing in two units: the one on the command line replaces the other.
      normalize: changes what the file made, before the rest of the command line does; called with the config and the
        dotted paths of the fields that the command line sets.

    Raises:
      UserError: a flag, a file or a field that does not exist, a file that makes no config, or a value of the wrong type.
    """
    kinds: dict[str, type] = {}
    flags.FLAGS[name].parser = _ConfigFile(name, example, argv, kinds, normalize)  # type: ignore[attr-defined]
    parse_flags(argv, usage, kinds)
    config = getattr(flags.FLAGS, name)
    if config is None:
        raise UserError(f'--{name} is required: --{name}={example}')
    dotted.prefer_given(config, overrides(name), pairs)
    return config


class _ConfigFile(flags.ArgumentParser):
    """Reads --<name>=FILE, in place of ml_collections' own reader, whose errors are tracebacks.

    It also looks at the fields that the rest of the command line sets, before ml_collections does, for the same reason.
    """

    def __init__(
        self,
        name: str,
        example: str,
        argv: list[str],
        kinds: dict[str, type],
        normalize: Callable[[ml_collections.ConfigDict, list[str]], None] | None,
    ):
        self._name = name
        self._normalize = normalize
        self._example = example
        self._argv = argv
        self._kinds = kinds  # filled when the file is read

    def parse(self, argument: str) -> ml_collections.ConfigDict:
        """Returns the config that FILE makes; FILE:TEXT hands a text to its `get_config`."""
        path, colon, text = argument.partition(':')
        if not path:
            raise UserError(f'--{self._name} is required: --{self._name}={self._example}')
        place = paths.local(argument if '://' in argument else path, f'--{self._name}')
        file = config_files.find(place, self._name, self._example)
        config = config_files.load(file, [text] if colon else [])
        matches = (re.match(rf'--?(?:no)?{self._name}\.([^=]*)', argument) for argument in self._argv)
        given = [match[1] for match in matches if match]
        if self._normalize:
            self._normalize(config, given)
        _add_options(config, self._name, self._argv)
        known = dotted.types(config)
        self._kinds |= {f'{self._name}.{field}': kind for field, kind in known.items()}
        for field in given:
            if field not in known:
                raise unknown_field(f'field of --{self._name}', field, known)
        return config.lock()


def _add_options(config: ml_collections.ConfigDict, name: str, argv: Sequence[str]) -> None:
    """Adds the fields of free sections, called `options`, that the command line sets and the file does not."""
    for word, following in itertools.pairwise([*argv, '']):
        match = re.match(rf'--?{name}\.([\w.]*options)\.([\w.]+)(=?)(.*)', word, re.DOTALL)
        if not match:
            continue
        try:
            section = dotted.get(config, match[1])
        except (KeyError, TypeError):
            continue  # refused later, as a field that does not exist
        if isinstance(section, ml_collections.ConfigDict) and match[2] not in dotted.types(section):
            word_alone = not match[3] and (not following or following.startswith('--'))
            value = True if word_alone else option_value(match[4] if match[3] else following)
            with contextlib.suppress(TypeError):  # below what is no section: refused later as well
                dotted.put_option(section, match[2], value)


def option_value(text: str) -> bool | int | float | str | tuple:
    """Returns what Python makes of the text of an option: a number, a tuple, True or true; or else the text itself."""
    try:
        value = ast.literal_eval({'true': 'True', 'false': 'False'}.get(text, text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    value = tuple(value) if isinstance(value, list) else value
    return value if isinstance(value, bool | int | float | str | tuple) else text


def unknown_field(what: str, path: str, known: Mapping[str, type]) -> UserError:
    """Returns the error for a field that is not among `known`, with those of its section."""
    inside = [field for field in known if field.startswith(f'{path}.')]
    if inside:
        example = max(inside, key=lambda field: field == f'{path}.name')
        return UserError(f"'{path}' is a section: set one of its fields, such as {example}")
    siblings = [field for field in known if field.rpartition('.')[0] == path.rpartition('.')[0]]
    return unknown(what, path, siblings or known, known)


def _expected(kind: type, value: str) -> str:
    """Returns what a field of some type takes, with the whole number nearest to `value`."""
    if kind is int:
        with contextlib.suppress(ValueError, OverflowError):
            share = 0 < float(value) < 1  # 0 would turn off what was meant to be a share
            return f'it must be {KINDS[int]}' + (', not a share' if share else f', such as {round(float(value))}')
    return f'it must be {KINDS.get(kind, kind.__name__)}'
