"""`FILE.py:NAME` and `package.module:NAME`: code of the user's own, named in a config. Needs no TensorFlow.

A reference is text, so that it survives JSON, the command line, study axes and worker processes. What FILE holds, and what
the files next to it hold that it imports, is part of a run's hash; where it lies is not. Every run keeps a copy.
"""

import ast
import functools
import hashlib
import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedwise import shadowing
from seedwise.errors import UserError, unknown, writing
from seedwise.storage import paths
from seedwise.storage.files import write_bytes

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

    def __str__(self) -> str:
        """As errors call it: 'mine.py: network'."""
        return f'{self.file}: {self.name}'


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
        raise paths.missing(path, file, 'file', lambda other: other.suffix == '.py', where)
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


def check(
    reference: Reference, where: str, given: Sequence[str], options: Mapping[str, Any], options_at: str = ''
) -> None:
    """Checks without running the file that it defines the name, and that this can be called with the options.

    Args:
      reference: what is meant.
      where: the field that names it, for errors.
      given: names of the arguments that we give, by position; to an optimizer by name.
      options: the user's own arguments.
      options_at: the field that has the options, for errors; '': that of `where`.

    Raises:
      UserError: the file does not parse, or lacks the name or an argument, or another argument is required.
    """
    defined = {found: node for node in _statements(_parsed(reference.file)) for found in _names(node)}
    if '*' in defined and reference.name not in defined:
        return  # from somewhere else, which is not known without running it
    if reference.name not in defined:
        own = [name for name, node in defined.items() if not isinstance(node, ast.Import | ast.ImportFrom)]
        raise unknown(f'name in {where}', reference.name, own or defined)
    takes = _arguments(defined[reference.name])
    if takes is None:
        return
    what = str(reference)
    free = [name for name in takes.names if name not in given]
    if where == 'optimizer.name':
        if free == [*takes.names] and not takes.any:
            raise UserError(f'{what} takes no {given[0]}, which it must take')
    else:
        if takes.positional < len(given):
            raise UserError(f'{what} takes {takes.positional} arguments by position: it must take ({", ".join(given)})')
        free = [name for name in takes.names[len(given) :] if name not in given]
    for option in options:
        if option in given or (option not in free and not takes.any):
            raise unknown(f'option of {options_at or where}', option, free)
    section = f'{where.removesuffix(".name")}.options'
    for name in free:
        # Options of metrics may come later, from the command line.
        if not options_at and name in takes.required and name not in options:
            raise UserError(f'{what} requires the argument {name}: set {section}.{name}')


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


def _statements(body: ast.AST) -> Iterator[ast.stmt]:
    """Yields the statements of a module, those inside of `if`, `try` and `with` too."""
    for part in ('body', 'orelse', 'finalbody', 'handlers'):
        for node in getattr(body, part, ()):
            yield node
            if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _statements(node)


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.ImportFrom | ast.Import):
        return [alias.asname or alias.name for alias in node.names if '.' not in (alias.asname or alias.name)]
    return []


@dataclass(frozen=True)
class _Takes:
    """Arguments of a function. `positional`: how many by position; `required`: without a default; `any`: others too."""

    names: tuple[str, ...]
    positional: float
    required: frozenset[str]
    any: bool


def _arguments(node: ast.stmt) -> _Takes | None:
    """Returns the arguments that a function or a class takes; None: not known without running it."""
    skipped = 0
    if isinstance(node, ast.ClassDef):
        inits = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == '__init__']
        if not inits:
            return None
        node, skipped = inits[0], 1
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return None
    positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)][skipped:]
    by_name = [argument.arg for argument in node.args.kwonlyargs]
    required = positional[: len(positional) - len(node.args.defaults)]
    required += [name for name, default in zip(by_name, node.args.kw_defaults, strict=True) if default is None]
    count = math.inf if node.args.vararg else len(positional)
    return _Takes((*positional, *by_name), count, frozenset(required), node.args.kwarg is not None)


def files(file: Path) -> list[Path]:
    """Returns the file, and the files and packages next to it that it imports, directly or through each other."""
    found, todo = {}, [file]
    while todo:
        one = todo.pop()
        if (name := _relative(one, file)) in found:
            continue
        found[name] = one
        for module in _imported(one):
            top, next_to = module.partition('.')[0], file.parent
            if (next_to / f'{top}.py').is_file():
                todo.append(next_to / f'{top}.py')
            elif _is_own_package(next_to / top):
                todo += [inner for inner in (next_to / top).rglob('*.py') if inner.is_file()]
    return [found[name] for name in sorted(found)]


def _relative(one: Path, file: Path) -> str:
    """Returns the name of one of the files that `file` needs: inside of a package with its folders."""
    return one.relative_to(file.parent).as_posix()


def _is_own_package(folder: Path) -> bool:
    """Returns whether a folder next to a user's file is what an import of its name finds."""
    ours = (folder / '__init__.py').resolve() == shadowing.ROOT / folder.name / '__init__.py'
    if not folder.name or not folder.is_dir() or ours:
        return False
    try:
        spec = importlib.util.find_spec(folder.name)
    except (ImportError, ValueError):
        return False
    return spec is None or folder.resolve() in [
        Path(place).resolve() for place in spec.submodule_search_locations or ()
    ]


def _imported(file: Path) -> Iterator[str]:
    """Yields the dotted names of the modules that a file imports, as far as it can be read."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def imports(file: Path, packages: Iterable[str]) -> bool:
    """Returns whether a file, or one next to it that it imports, imports one of the packages."""
    searched = set(packages)
    return any(module.partition('.')[0] in searched for one in files(file) for module in _imported(one))


def digest(file: Path) -> str:
    """Returns the SHA-256 of what a file and the files that it imports hold; their names count, their folder does not."""
    content = hashlib.sha256()
    for one in files(file):
        content.update(f'{_relative(one, file)} {hashlib.sha256(one.read_bytes()).hexdigest()}\n'.encode())
    return content.hexdigest()


def digests(config) -> dict[str, str]:
    """Returns the SHA-256 of each of the user's files that a config names, by the file's name."""
    return {one.file.name: digest(one.file) for one in of_config(config).values()}


def copy(references: Iterable[Reference], folder: Path) -> dict[str, str]:
    """Keeps a copy of the files of references in `folder`; returns file name -> digest.

    Raises:
      UserError: the folder holds another version: the run was begun with other code.
      CannotWrite: the copy cannot be written.
    """
    digests = {}
    for reference in references:
        digests[reference.file.name] = digest(reference.file)
        for one in files(reference.file):
            kept, content = folder / _relative(one, reference.file), one.read_bytes()
            if not kept.exists():
                with writing(kept.parent):
                    kept.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(kept, content)
            elif kept.read_bytes() != content:
                raise UserError(
                    f'{one} was edited since the run in {folder.parent} began (its version is in {folder}): undo that, or '
                    'choose another --workdir'
                )
    return digests
