"""A run's folder: promise 6, nothing is lost and a torn file is never read as a result."""

import json
import multiprocessing

import ml_collections
import pytest

from configs import commands, default
from configs.errors import UserError
from trainer import results


def config(**changes):
    """Returns the default config with changes; a dotted field is written with two underscores."""
    made = default.get_config()
    for path, value in changes.items():
        made.update_from_flattened_dict({path.replace('__', '.'): value})
    return made


def another(value):
    """Returns another value of the same type."""
    if isinstance(value, bool):
        return not value
    return value + {str: 'x', tuple: (1,)}.get(type(value), 1)


def test_the_hash_is_that_of_what_decides_the_result():
    fields = commands.fields(default.get_config())
    unhashed = {path for path in fields if path.startswith(results.NOT_HASHED)}
    assert {path.split('.')[0] for path in unhashed} == {'checkpoint', 'tensorboard', 'data', 'tpu'}
    whole = results.config_hash(default.get_config())
    for path, kind in fields.items():
        before = commands.get(default.get_config(), path)
        changed = config(**{path.replace('.', '__'): kind(1) if before is None else another(before)})
        assert (results.config_hash(changed) == whole) == (path in unhashed), path


def test_the_hash_is_the_same_in_another_order():
    fields = json.loads(results.to_json(default.get_config()))
    reordered = ml_collections.ConfigDict(dict(reversed(fields.items())))
    assert results.config_hash(reordered) == results.config_hash(ml_collections.ConfigDict(fields))


def test_the_default_workdir_names_config_and_hash():
    made = config()
    assert str(results.default_workdir('some/where/mlp.py', made)) == f'runs/mlp-{results.config_hash(made)[:8]}'


def hold(workdir, held, release):
    with results.locked(workdir):
        held.set()
        release.wait(60)


@pytest.mark.parametrize('end', ['ends', 'is killed'])
def test_a_workdir_is_held_until_its_process(tmp_path, end):
    context = multiprocessing.get_context('spawn')
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / 'run', held, release))
    process.start()
    assert held.wait(60)
    with pytest.raises(UserError, match='in use by another process'), results.locked(tmp_path / 'run'):
        pass
    release.set() if end == 'ends' else process.kill()
    process.join()
    with results.locked(tmp_path / 'run'):
        pass


def test_a_file_is_written_all_at_once(tmp_path, monkeypatch):
    path = tmp_path / 'result.json'
    results.write_json(path, {'old': 1})

    def torn(*_):
        raise OSError('no space left on device')

    monkeypatch.setattr(results.os, 'fsync', torn)
    with pytest.raises(UserError, match='result.json cannot be written: no space left'):
        results.write_json(path, {'new': 2})
    assert json.loads(path.read_text()) == {'old': 1}
    monkeypatch.undo()
    results.write_json(path, {'new': 2})
    assert json.loads(path.read_text()) == {'new': 2}
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_holds_numbers_that_every_json_reader_knows(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        results.write_json(tmp_path / 'result.json', {'loss': float('nan')})
    assert not (tmp_path / 'result.json').exists()


def test_a_result_is_that_of_its_config(tmp_path):
    assert results.read_result(tmp_path / 'nowhere') is None
    result = {'status': 'completed', 'config_hash': results.config_hash(config())}
    results.write_json(tmp_path / 'result.json', result)
    assert results.read_result(tmp_path) == result
    assert results.read_result(tmp_path, config()) == result
    assert results.read_result(tmp_path, config(seed=1)) is None


@pytest.mark.parametrize('torn', [b'', b'\n', b'{"status": "compl', b'[]', b'null', b'\xff\xfe', b'"completed"'])
def test_a_torn_result_is_none(tmp_path, torn):
    (tmp_path / 'result.json').write_bytes(torn)
    with pytest.raises(UserError, match='damaged: delete it, and the same command trains the run again'):
        results.read_result(tmp_path)


def test_a_workdir_is_for_one_config(tmp_path):
    results.check_workdir(tmp_path / 'new', config())
    results.write_json(tmp_path / 'config.json', results.to_json(config()))
    results.check_workdir(tmp_path, config())
    results.check_workdir(tmp_path, config(checkpoint__keep=9, data__data_dir='/elsewhere'))
    results.check_workdir(tmp_path, config(epochs=0), ignored=('epochs',))
    with pytest.raises(UserError, match=r'another config \(model.hidden was \[128\], is \[64\]; seed was 0, is 1\)'):
        results.check_workdir(tmp_path, config(seed=1, model__hidden=(64,)))


def test_a_workdir_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='it is a file'), results.locked(tmp_path / 'file'):
        pass
    with pytest.raises(UserError, match='cannot be written'), results.locked(tmp_path / 'file' / 'run'):
        pass
    assert results.read_result(tmp_path / 'file' / 'run') is None
