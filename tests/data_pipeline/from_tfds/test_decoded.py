"""The decoded copy of a dataset: used only where it is whole, and made of the files that are there."""

import numpy as np
import pytest

from data_pipeline.from_tfds import decoded

ARRAYS = {'images': np.arange(24, dtype=np.uint8).reshape(2, 3, 4), 'labels': np.array([1, 2], np.int32)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'shard').write_bytes(b'records')
    decoded.write(tmp_path, ARRAYS)
    return tmp_path


def test_what_was_written_is_read(folder):
    copy = decoded.read(folder, tuple(ARRAYS))
    assert list(copy) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert copy[name].dtype == array.dtype
        assert np.array_equal(copy[name], array)
    assert not list(folder.glob('.decoded.npz.*'))


def test_a_copy_of_other_files_is_not_used(folder):
    (folder / 'shard').write_bytes(b'other records')
    assert decoded.read(folder, tuple(ARRAYS)) is None


@pytest.mark.parametrize('damage', ['torn', 'changed', 'empty', 'missing array'])
def test_a_damaged_copy_is_not_used(folder, damage):
    path = folder / '.decoded.npz'
    content = bytearray(path.read_bytes())
    if damage == 'torn':
        path.write_bytes(content[: len(content) // 2])
    elif damage == 'changed':
        content[content.index(bytes(ARRAYS['images'])) + 3] ^= 1
        path.write_bytes(content)
    elif damage == 'empty':
        path.write_bytes(b'')
    names = (*ARRAYS, 'classes') if damage == 'missing array' else tuple(ARRAYS)
    assert decoded.read(folder, names) is None


def test_none_is_kept_where_it_cannot_be_written_or_would_be_large(tmp_path, monkeypatch):
    decoded.write(tmp_path / 'not there', ARRAYS)
    monkeypatch.setattr(decoded, 'LARGEST_MB', 0)
    decoded.write(tmp_path, ARRAYS)
    assert list(tmp_path.iterdir()) == []
