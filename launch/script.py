"""What launchers share: their flags, quoting for bash, and handing a text to an engine's own command."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from seedwise.errors import UserError, unknown


class Parser(argparse.ArgumentParser):
    """Flags of a launcher, then `--`, then a command. Mistakes are reported in one line, without the usage."""

    def __init__(self, doc: str | None, example: str):
        """`doc`: what --help prints. `example`: a whole command line, for errors."""
        super().__init__(add_help=False, allow_abbrev=False)
        self._doc, self._example = (doc or '').strip(), example

    def parse(self, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
        """Returns the flags and the command; --help among the flags prints the help and ends the process.

        Raises:
          UserError: an unknown flag, an invalid value, or no command.
        """
        flags = argv[: argv.index('--')] if '--' in argv else argv
        if {'--help', '-h'} & set(flags):
            print(self._doc)
            raise SystemExit(0)
        if flags is argv:
            raise UserError(f'no -- before the command: {self._example}')
        options, rest = self.parse_known_args(flags)
        if rest:
            known = [option for action in self._actions for option in action.option_strings]
            raise unknown('flag', rest[0].partition('=')[0], known)
        command = argv[len(flags) + 1 :]
        if not command:
            raise UserError(f'no command after --: {self._example}')
        return options, command

    def add_google_cloud_flags(self) -> None:
        """Adds the flags that all of Google Cloud's services take."""
        self.add_argument('--spot', action='store_true')
        self.add_argument('--name', type=named)
        self.add_argument('--project', type=matching('[a-z][-.:a-z0-9]+', 'my-project'))
        self.add_argument('--submit', action='store_true')

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Returns a parser of the numbers from `least` to `most`."""

    def parse(text: str) -> int:
        if not (text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {most}")
        return int(text)

    return parse


def quote(text: str) -> str:
    r"""Returns `text` as one word of a bash script, on one line.

    >>> print(quote('a b'), quote('two\nlines'))
    'a b' $'two\nlines'
    """
    if text.isprintable():
        return shlex.quote(text)
    # $'...': sbatch takes no script with \r\n in it, and a line break within an argument is hard to read.
    named = {'\\': r'\\', "'": r'\'', '\n': r'\n', '\r': r'\r', '\t': r'\t'}
    escaped = (named.get(c) or (c if c.isprintable() else _hexadecimal(c)) for c in text)
    return f"$'{''.join(escaped)}'"


def join(command: Iterable[str]) -> str:
    """Returns a command as a line of a bash script."""
    return ' '.join(map(quote, command))


def submit(command: Sequence[str], text: str) -> str:
    """Hands `text` to an engine's own command, such as `sbatch`, on its standard input; returns what that printed.

    Raises:
      UserError: the command does not exist, or it failed; with its output.
    """
    try:
        done = subprocess.run(command, input=text, capture_output=True, encoding='utf-8', errors='surrogateescape')
    except OSError as error:
        raise UserError(f'cannot start {command[0]}: {error.strerror}; without --submit it is not needed') from error
    if done.returncode:
        output = ' '.join((done.stderr or done.stdout).split())
        raise UserError(f'{join(command)} failed with exit code {done.returncode}: {output}')
    return done.stdout


def _hexadecimal(character: str) -> str:
    return ''.join(rf'\x{byte:02x}' for byte in os.fsencode(character))


def name_of(command: Sequence[str]) -> str:
    """Returns a job's name for a command: its config or study and a hash, the same for the same command.

    >>> name_of(['python', '-m', 'trainer.main', '--config=configs/cnn_nadam.py'])
    'cnn-nadam-d352ad'
    """
    files = [word.partition('=')[2] for word in command if re.match('--(config|study)=', word)]
    stem = Path(files[0].partition(':')[0]).stem if files else 'seedwise'
    stem = re.sub('[^a-z0-9]+', '-', stem.lower()).strip('-')[:30].rstrip('-')
    digest = hashlib.sha256('\0'.join(command).encode(errors='surrogateescape')).hexdigest()
    return f'{stem if stem[:1].isalpha() else "seedwise"}-{digest[:6]}'


def named(text: str) -> str:
    """Parses a job's name that all engines take: at most 40 of a-z, 0-9 and -, from a letter to a letter or digit."""
    if not re.fullmatch('[a-z]([-a-z0-9]{0,38}[a-z0-9])?', text):
        raise argparse.ArgumentTypeError(
            f"'{text}' must be at most 40 of a-z, 0-9 and -, beginning with a letter, and not ending with -"
        )
    return text


def matching(pattern: str, example: str) -> Callable[[str], str]:
    """Returns a parser of texts that match a regular expression as a whole."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"'{text}' is not what it takes, such as {example}")
        return text

    return parse


image = matching(r'[A-Za-z0-9][\w./:@+-]*', 'registry.example/me/seedwise:1')


def check_unicode(command: Iterable[str], what: str) -> None:
    """Raises `UserError` if a word, from bytes of the command line that are not UTF-8, cannot be part of a text."""
    for word in command:
        if any('\ud800' <= character <= '\udfff' for character in word):
            raise UserError(f'{word!r} is not UTF-8, which {what} must be')


def source_distribution() -> str:
    """Returns the name of the file that `python setup.py sdist` leaves in dist/. Raises `UserError` if it is not known."""
    try:
        return f'seedwise-{importlib.metadata.version("seedwise")}.tar.gz'
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError('seedwise is not installed here: pip install -e . in the checkout') from error


def run(text: str) -> int:
    """Runs a bash script, showing what it prints; returns its exit code."""
    return subprocess.run(['bash', '-c', text]).returncode
