"""`FILE.py:NAME` and `package.module:NAME`: code of the user's own, named in a config. Needs no TensorFlow.

A reference is text, so that it survives JSON, the command line, study axes and worker processes. What FILE holds, and what
the files next to it hold that it imports, is part of a run's hash; where it lies is not. Every run keeps a copy.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from seedwise.errors import UserError, unknown

#: Fields of a config that may hold a reference, each with the arguments that its function is given by position.
FIELDS: Mapping[str, tuple[str, ...]] = {
    'model.name': ('image_shape', 'classes'),
    'optimizer.name': ('learning_rate',),
    'loss.name': ('labels', 'logits'),
    'schedule.name': ('progress',),
    'data.name': ('data_dir',),
    'data.augment.name': ('images', 'seeds'),
}

#: The field that holds several names, of which each may be a reference: functions of (labels, logits).
SEVERAL = 'metrics'


@dataclass(frozen=True)
class Reference:
    """`file`: the Python file; `name`: what is meant in it; `module`: of an installed package, its dotted name."""

    file: Path
    name: str
    module: str = ''


def is_reference(text: str) -> bool:
    """Returns whether a name in a config is one in a user's file, and not a row of our tables."""
    return ':' in text


def of_config(config) -> dict[str, Reference]:
    """Returns the references of a config by field; those of `metrics` by their place in it, such as 'metrics.1'."""
    # Not by seedwise.dotted, which needs ml_collections: `judge` does without.
    texts = {path: functools.reduce(lambda section, key: section[key], path.split('.'), config) for path in FIELDS}
    texts |= {f'{SEVERAL}.{i}': text for i, text in enumerate(config.get(SEVERAL, ()))}
    return {path: parse(text, path) for path, text in texts.items() if _refers(path, text)}


def _refers(path: str, text: Any) -> bool:
    if path == 'data.name':  # other colons: mnist:3.0.1, folder:PATH
        return isinstance(text, str) and '.py:' in text
    return isinstance(text, str) and is_reference(text)


def parse(text: str, where: str) -> Reference:
    """Returns the reference that a text names: 'FILE.py:NAME', relative to the current folder, or 'package.module:NAME'.

    Raises:
      UserError: it has another form, or there is no such file or module.
    """
    path, _, name = text.rpartition(':')
    if name.isidentifier() and all(part.isidentifier() for part in path.split('.')) and not path.endswith('.py'):
        return Reference(_file_of_module(path, where), name, path)
    if not path.endswith('.py') or not name.isidentifier():
        raise UserError(
            f"{where} is '{text}': it must be FILE.py:NAME, such as mine.py:{name or 'resnet'}, or package.module:NAME"
        )
    file = Path(path).expanduser()
    if not file.is_file():
        near = [str(other) for other in file.parent.glob('*.py')] if file.parent.is_dir() else []
        raise unknown(f'file in {where}', path, near) if near else UserError(f'{where}: {path} does not exist')
    return Reference(file, name)


def _file_of_module(module: str, where: str) -> Path:
    """Returns the file of a module, without importing the package that it is in."""
    package, *inner = module.split('.')
    spec = importlib.util.find_spec(package)
    candidates = []
    if spec and not inner:
        candidates = [Path(spec.origin or '')]
    elif spec:
        folders = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
        candidates = [file for path in folders for file in (path.with_name(f'{path.name}.py'), path / '__init__.py')]
    for file in candidates:
        if file.suffix == '.py' and file.is_file():
            return file
    raise UserError(
        f"{where}: there is no module '{module}' in the installed packages; of a file it must be FILE.py:NAME"
    )


def check(reference: Reference, where: str, given: Iterable[str], options: Mapping[str, Any]) -> None:
    """Checks without running the file that it defines the name, and that this takes the options.

    Args:
      reference: what is meant.
      where: the field that names it, for errors.
      given: names of the arguments that are given by position or by us.
      options: the user's own arguments.

    Raises:
      UserError: the file does not parse, or lacks the name or an argument.
    """
    defined = {found: node for node in _parsed(reference.file).body for found in _names(node)}
    if reference.name not in defined:
        raise unknown(f'name in {where}', reference.name, defined)
    takes = _arguments(defined[reference.name])
    if takes is None:
        return
    for option in options:
        if option not in takes or option in given:
            accepted = [argument for argument in takes if argument not in given]
            raise unknown(f'option of {where}', option, accepted)


def attribute(reference: Reference, name: str) -> Any:
    """Returns the constant that a file gives to an attribute of what a reference names, by a line such as
    `kappa.goal = 'max'`; None: there is no such line. The file is not run.

    Raises:
      UserError: the file does not parse.
    """
    for node in _parsed(reference.file).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                of_it = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
                if of_it and (target.value.id, target.attr) == (reference.name, name):  # type: ignore[attr-defined]
                    return node.value.value
    return None


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        raise UserError(f'{file}, line {error.lineno}: SyntaxError: {error.msg}') from error
    except (OSError, ValueError) as error:
        raise UserError(f'{file} cannot be read: {error}') from error


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.ImportFrom | ast.Import):
        return [alias.asname or alias.name for alias in node.names if '.' not in (alias.asname or alias.name)]
    return []


def _arguments(node: ast.stmt) -> list[str] | None:
    """Returns the names of the arguments that a function or a class takes; None: any, or not known without running it."""
    if isinstance(node, ast.ClassDef):
        inits = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == '__init__']
        if not inits:
            return None
        node = inits[0]
    if not isinstance(node, ast.FunctionDef) or node.args.kwarg:
        return None
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [argument.arg for argument in arguments if argument.arg != 'self']


def files(file: Path) -> list[Path]:
    """Returns the file, and the files next to it that it imports, directly or through each other."""
    found, todo = {}, [file]
    while todo:
        one = todo.pop()
        if one.name in found:
            continue
        found[one.name] = one
        try:
            tree = ast.parse(one.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            todo += [file.parent / f'{module.partition(".")[0]}.py' for module in modules if _is_next_to(file, module)]
    return [found[name] for name in sorted(found)]


def imports(file: Path, packages: Iterable[str]) -> bool:
    """Returns whether a file, or one next to it that it imports, imports one of the packages."""
    searched = set(packages)
    for one in files(file):
        try:
            tree = ast.parse(one.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if searched & {module.partition('.')[0] for module in modules}:
                return True
    return False


def _is_next_to(file: Path, module: str) -> bool:
    return (file.parent / f'{module.partition(".")[0]}.py').is_file()


def digest(file: Path) -> str:
    """Returns the SHA-256 of what a file and the files that it imports hold; their names count, their folder does not."""
    content = hashlib.sha256()
    for one in files(file):
        content.update(f'{one.name} {hashlib.sha256(one.read_bytes()).hexdigest()}\n'.encode())
    return content.hexdigest()


def digests(config) -> dict[str, str]:
    """Returns the SHA-256 of each of the user's files that a config names, by the file's name."""
    return {one.file.name: digest(one.file) for one in of_config(config).values()}


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
      UserError: it raised, or called sys.exit; its traceback, from the user's first line on, is printed before.
    """
    try:
        return function(*arguments, **options)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [i for i, frame in enumerate(frames) if os.path.abspath(frame.filename) == os.path.abspath(file)]
        line = f', line {frames[own[-1]].lineno}' if own else ''
        if own:
            print(''.join(traceback.format_list(frames[own[0] :])), end='', file=sys.stderr)
        words = ' '.join(str(error).split())
        raise UserError(f'{file}{line}: {type(error).__name__}{f": {words}" if words else ""}') from error


def copy(references: Iterable[Reference], folder: Path) -> dict[str, str]:
    """Keeps a copy of the files of references in `folder`; returns file name -> digest.

    Raises:
      UserError: the folder holds another version: the run was begun with other code.
    """
    digests = {}
    for reference in references:
        digests[reference.file.name] = digest(reference.file)
        for one in files(reference.file):
            kept, content = folder / one.name, one.read_bytes()
            if kept.exists() and kept.read_bytes() != content:
                raise UserError(
                    f'{one} was edited since the run in {folder.parent} began (its version is in {folder}): undo that, or '
                    'choose another --workdir'
                )
            folder.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
    return digests
