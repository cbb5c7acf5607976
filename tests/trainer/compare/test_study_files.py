"""A study's file is read as Python reads it, and what cannot be read is one line."""

import pytest

from seedwise.storage import files
from tests.helpers import study_text
from tests.trainer.compare.driver import refuse, run
from tests.trainer.compare.pretended import result_of
from trainer.compare import grid

TEXT = '"""Größe und → mehr."""\n' + study_text(
    'config.base.epochs = 1', "config.axes = {'o': {'a': {}, 'b': {'optimizer': {'name': 'SGD'}}}}", 'config.seeds = 1'
)
LATIN = TEXT.replace(' und → mehr', '')


@pytest.mark.parametrize(
    ('content', 'title'),
    [
        (TEXT.encode(), 'Größe und → mehr'),
        (b'\xef\xbb\xbf' + TEXT.encode(), 'Größe und → mehr'),
        (b'# -*- coding: latin-1 -*-\n' + LATIN.encode('latin-1'), 'Größe'),
        pytest.param(b'# vim: set fileencoding=cp1252 :\n' + LATIN.encode('cp1252'), 'Größe', marks=pytest.mark.slow),
        pytest.param(TEXT.replace('\n', '\r\n').encode(), 'Größe und → mehr', marks=pytest.mark.slow),
        (TEXT.partition('\n')[2].encode(), 'Small'),
    ],
    ids=['utf-8', 'byte order mark', 'latin-1', 'cp1252', 'carriage returns', 'no docstring'],
)
def test_a_file_is_read_as_python_reads_it(tmp_path, content, title):
    """As a study whose runs are all finished, so that what is left to do is the report."""
    (tmp_path / 'small.py').write_bytes(content)
    scope: dict = {}
    exec(compile(content, 'small.py', 'exec'), scope)
    config = scope['get_config']()
    grid.prepare(config)
    for spec in grid.runs_of(grid.variants_of(config), [0], tmp_path / 'w'):
        spec.workdir.mkdir(parents=True)
        files.write_json(spec.workdir / 'result.json', result_of(spec))
    code, out, err = run(f'--study={tmp_path / "small.py"}', f'--workdir={tmp_path / "w"}')
    assert code == 0, err
    assert f'<h1>{title}' in (tmp_path / 'w' / 'report' / 'index.html').read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (LATIN.encode('latin-1'), 'SyntaxError'),  # no encoding is declared
        (b'# coding: nothing\n' + TEXT.encode(), 'SyntaxError'),
        (TEXT.encode('utf-16'), 'SyntaxError'),
        (TEXT.encode() + b'\0', 'SyntaxError'),
        (TEXT.replace("{'o': ", "{'o': {None: {}}, 'p': ").encode(), "a name must not be None: write 'None'"),
        (TEXT.replace("{'a'", "{'0.1'").encode(), "the name '0.1' has a dot: write it as a number, 0.1"),
        (TEXT.replace("{'a'", "{'v1.5'").encode(), "the name 'v1.5' has a dot: write 'v1_5'"),
        (TEXT.replace('config.seeds = 1', 'raise SystemExit').encode(), 'calls sys.exit'),
    ],
    ids=lambda value: '' if isinstance(value, bytes) else value,
)
def test_a_file_that_python_cannot_read_is_one_line(tmp_path, content, words):
    (tmp_path / 'small.py').write_bytes(content)
    line = refuse(f'--study={tmp_path / "small.py"}', f'--workdir={tmp_path / "w"}')
    assert str(tmp_path / 'small.py') in line
    assert words in line
    assert not (tmp_path / 'w').exists()
