"""Files that are written all at once: a reader sees the old one or the new one."""

import json

import pytest

from seedwise.errors import UserError
from seedwise.storage import files


def test_a_file_is_written_all_at_once(tmp_path, monkeypatch):
    path = tmp_path / 'result.json'
    files.write_json(path, {'old': 1})

    def torn(*_):
        raise OSError('no space left on device')

    monkeypatch.setattr(files.os, 'fsync', torn)
    with pytest.raises(UserError, match='result.json cannot be written: no space left'):
        files.write_json(path, {'new': 2})
    assert json.loads(path.read_text()) == {'old': 1}
    monkeypatch.undo()
    files.write_json(path, {'new': 2})
    assert json.loads(path.read_text()) == {'new': 2}
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_holds_numbers_that_every_json_reader_knows(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        files.write_json(tmp_path / 'result.json', {'loss': float('nan')})
    assert not (tmp_path / 'result.json').exists()
