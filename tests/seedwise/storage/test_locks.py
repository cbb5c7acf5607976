"""A lock that two ask for, and a file system that has none."""

import fcntl

import filelock
import pytest

from seedwise.storage import locks


def test_only_one_holds_a_lock(tmp_path):
    file = tmp_path / '.lock'
    with locks.held(file, timeout=0), pytest.raises(filelock.Timeout), locks.held(file, timeout=0):
        pass
    with locks.held(file, timeout=0):  # it was given back
        pass


@pytest.mark.parametrize('number', locks.WITHOUT_LOCKS)
def test_work_goes_on_where_there_are_no_locks(number, tmp_path, monkeypatch, capsys):
    def refused(*_):
        raise OSError(number, 'no')

    monkeypatch.setattr(fcntl, 'flock', refused)
    monkeypatch.setattr(locks, '_said', False)
    for _ in range(2):
        with locks.held(tmp_path / '.lock', timeout=0), locks.held(tmp_path / '.lock', timeout=0):
            pass
    assert capsys.readouterr().err.count(f'the file system of {tmp_path} has no locks') == 1


def test_another_error_is_one(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises((NotADirectoryError, FileExistsError)), locks.held(tmp_path / 'file' / '.lock'):
        pass
