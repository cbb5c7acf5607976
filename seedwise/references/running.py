"""A user's own code, run: what goes wrong in it is shown as theirs, from their first line on."""

import contextlib
import importlib
import importlib.util
import linecache
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from seedwise.errors import CodeError, Interrupted, LostWorker, UserError, in_a_line
from seedwise.references import Reference, digest, files, of_config
from seedwise.shadowing import ROOT

#: Seconds after which a call is reported as still running, so that nobody takes our silence for a fault of ours.
PATIENCE = 10.0

#: A longer message of an error is cut.
_LONGEST = 600

#: Errors of TensorFlow that the loss of another worker can cause.
_OF_PEERS = ('UnavailableError', 'AbortedError', 'DeadlineExceededError', 'CancelledError')

#: Our own code: its frames are left out of a user's traceback.
_OURS = tuple(ROOT / folder for folder in ('seedwise', 'trainer', 'data_pipeline'))


def load(reference: Reference) -> Any:
    """Imports the file, and returns what its name stands for.

    Raises:
      UserError: the file raises, or lacks the name. The user's own traceback is printed before.
    """
    if reference.module:
        module = call(importlib.import_module, reference.file, reference.module)
    else:
        module = call(_module, reference.file, reference.file)
    if not hasattr(module, reference.name):
        raise UserError(f'{reference.file} has no {reference.name}')
    return getattr(module, reference.name)


def _module(file: Path) -> ModuleType:
    name = f'seedwise_source_{digest(file)[:12]}_{file.stem}'
    if name in sys.modules:
        return sys.modules[name]
    folder = str(file.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # last: none of its modules takes the place of a package
    spec = importlib.util.spec_from_file_location(name, os.path.abspath(file))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def call(function: Callable, file: Path, /, *arguments: Any, **options: Any) -> Any:
    """Calls a function from a user's file, with arguments by position and options by any name.

    Raises:
      UserError: it raised, called sys.exit, or changed the current folder; its traceback, from the user's first line on, is
        printed before.
    """
    name = '' if function in (_module, importlib.import_module) else f': {getattr(function, "__name__", "")}'
    folder = os.getcwd()
    try:
        with _said_if_slow(f'{file}{name}'):
            returned = function(*arguments, **options)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise explain(error, [file]) or UserError(f'{file}: {described(error)}') from error
    if os.getcwd() != folder:
        os.chdir(folder)
        raise UserError(f'{file}{name} changes the current folder, by which other files are found: leave os.chdir out')
    return returned


@contextlib.contextmanager
def explained(config) -> Iterator[None]:
    """Makes a `UserError` of what the files that a config names raise, wherever they are called from: a layer that is
    traced, the update of an optimizer, a model that is stored."""
    try:
        yield
    except (UserError, Interrupted, LostWorker):
        raise
    except Exception as error:
        own = [reference.file for reference in of_config(config).values()]
        if own and isinstance(error.__context__, UserError):  # raised within a scope whose exit then failed
            raise error.__context__ from error
        if (theirs := explain(error, own)) is None:
            raise
        raise theirs from error


def explain(error: BaseException, own: Iterable[Path]) -> UserError | None:
    """Prints the user's part of an error's traceback, and returns the error in one line; None: no frame of it is theirs.

    Args:
      error: what was raised.
      own: the user's files; those next to them that they import count too.
    """
    shown = {os.path.abspath(one): one for file in own for one in files(file)}
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [i for i, frame in enumerate(frames) if os.path.abspath(frame.filename) in shown]
    if not theirs:
        frames = traceback.StackSummary.from_list(_frames_of_graph(error))
        theirs = [i for i, frame in enumerate(frames) if frame.filename in shown]
    if not theirs:
        return None
    last = frames[theirs[-1]]
    kept = [frame for frame in frames[theirs[0] :] if not _is_ours(frame)]
    text = ''.join(traceback.format_list(kept))
    print(text, end='', file=sys.stderr)
    return CodeError(f'{shown[os.path.abspath(last.filename)]}, line {last.lineno}: {described(error)}', text)


def _frames_of_graph(error: BaseException) -> list[traceback.FrameSummary]:
    """Returns the frames that TensorFlow has in its words: those that made an operation which failed in a compiled step, or
    of Python code that an operation called; from our own last one on."""
    if type(error).__name__ in _OF_PEERS or 'Collective ops is aborted' in str(error):
        return []
    found = re.findall(r'^\s*File "(.+?)", line (\d+), in (\S+)', str(error), re.MULTILINE)
    places = [(f'/{file.lstrip("/")}', int(line), name) for file, line, name in found]  # XLA leaves the first slash out
    frames = [
        traceback.FrameSummary(file, line, name, line=linecache.getline(file, line)) for file, line, name in places
    ]
    ours = [i for i, frame in enumerate(frames) if _is_ours(frame)]
    return frames[ours[-1] + 1 if ours else 0 :]


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return any(Path(frame.filename).is_relative_to(folder) for folder in _OURS)


def described(error: BaseException) -> str:
    """Returns the kind of an error and its `words`."""
    said = words(error)
    return f'{type(error).__name__}{f": {said}" if said else ""}'


def words(error: BaseException) -> str:
    """Returns the message of an error in one line, without what Keras and TensorFlow put around it."""
    text = re.sub(r'\x1b\[[\d;]*m|\{\{.*?\}\}|\[Op:.*', '', str(error))
    by_keras = re.match(r'Exception encountered when calling .*?\n\n(.*?)\n\nArguments received by', text, re.DOTALL)
    text = by_keras[1] if by_keras else text
    if 'Traceback (most recent call last)' in text:  # of Python code that an operation called
        text = text.split('Traceback (most recent call last)')[0]
    elif _frames_of_graph(error):
        text = re.sub(r'.*\bin \S+\s*\n', '', text, count=1, flags=re.DOTALL)  # to the last frame
        text = text.split('[[')[0]
    if 'Random ops require a seed' in text:
        text = (
            'random numbers must be a function of a seed that it is given: tf.random.stateless_uniform(shape, seed); in a '
            'layer, keras.random with a SeedGenerator that it keeps as an attribute'
        )
    line = in_a_line(text)
    return f'{line[:_LONGEST]}...' if len(line) > _LONGEST else line


@contextlib.contextmanager
def _said_if_slow(what: str) -> Iterator[None]:
    timer = threading.Timer(PATIENCE, print, [f'{what} has been running for {PATIENCE:.0f} s'], {'file': sys.stderr})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
