"""What is text on a disk or in a pipe is UTF-8, whatever the locale: the encoding is stated wherever text is opened.

Ruff's rule for it (PLW1514) sees a `Path` only where its type is declared.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.helpers import ROOT

PACKAGES = ('benchmarks', 'configs', 'data_pipeline', 'launch', 'trainer')

#: Calls that open text unless their mode says bytes -> the position of the mode, if they have one.
OPENERS = {'open': 1, 'fdopen': 1, 'read_text': None, 'write_text': None, 'NamedTemporaryFile': 0, 'TemporaryFile': 0}

#: Those whose mode is bytes where none is given.
BYTES = ('NamedTemporaryFile', 'TemporaryFile')

#: Functions of other modules that are called `open`.
OTHERS = ('os', 'Image', 'zipfile', 'gzip', 'tarfile')


def without_encoding(code: str) -> Iterator[int]:
    """Yields the lines of calls that leave the encoding of text to the locale."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')
        given = {word.arg: word.value for word in node.keywords}
        if 'encoding' in given:
            continue
        if {'text', 'universal_newlines'} & set(given):  # subprocess
            yield node.lineno
        if name not in OPENERS or getattr(getattr(node.func, 'value', None), 'id', '') in OTHERS:
            continue
        place = OPENERS[name]
        if place is not None:
            place -= name == 'open' and isinstance(node.func, ast.Attribute)  # Path.open(mode)
            mode = given.get('mode') or (node.args[place] if len(node.args) > place else None)
            if 'b' in (mode.value if isinstance(mode, ast.Constant) else 'b' * (name in BYTES)):
                continue
        yield node.lineno


@pytest.mark.parametrize('package', PACKAGES)
def test_the_encoding_is_stated_at_every_open(package):
    files = [*(ROOT / package).rglob('*.py')]
    assert files
    found = [
        f'{file.relative_to(ROOT)}:{line}'
        for file in files
        for line in without_encoding(file.read_text(encoding='utf-8'))
    ]
    assert found == []


@pytest.mark.parametrize(
    ('code', 'lines'),
    [
        ("open(x)\nopen(x, 'rb')\nopen(x, 'w', encoding='utf-8')\nopen(x, mode='a')", [1, 4]),
        ('path.read_text()\npath.write_text(x, encoding="utf-8")\npath.write_text(x)', [1, 3]),
        ("path.open()\npath.open('wb')\nos.open(x, 0)\nImage.open(x)", [1]),
        ('run(x, text=True)\nrun(x)\nrun(x, text=True, encoding="utf-8")', [1]),
        ("TemporaryFile()\nTemporaryFile('w')", [2]),
    ],
)
def test_this_test_sees_them(code, lines):
    assert [*without_encoding(code)] == lines
