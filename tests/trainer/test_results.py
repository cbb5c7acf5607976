"""A run's folder: promise 6, nothing is lost and a torn file is never read as a result."""

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import ml_collections
import pytest

from configs import default
from seedwise import dotted
from seedwise.errors import UserError
from seedwise.storage import files
from tests.faults.files import changed
from tests.helpers import ROOT
from trainer import optimizers, results
from trainer.config.numbers import settle_numbers
from trainer.output import events


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
    fields = dotted.types(default.get_config())
    unhashed = {path for path in fields if not results.is_hashed(path)}
    assert {path.split('.')[0] for path in unhashed} == {'checkpoint', 'tensorboard', 'data', 'tpu'}
    whole = results.config_hash(default.get_config())
    for path, kind in fields.items():
        before = dotted.get(default.get_config(), path)
        changed = config(**{path.replace('.', '__'): kind(1) if before is None else another(before)})
        assert (results.config_hash(changed) == whole) == (path in unhashed), path


def test_the_hash_of_the_default_config_is_that_of_version_0_1_0():
    """Whoever adds a field adds it to `results.ADDED`: otherwise each finished run would be another config's."""
    assert (
        results.config_hash(default.get_config()) == '2eebe997b52df3a75f1a3a9ac32f887501f4e32c68f24a67228109f29f538e60'
    )


def test_a_field_that_is_new_and_unused_changes_no_hash_and_no_folder(tmp_path, monkeypatch):
    before = default.get_config()
    files.write_utf8(tmp_path / 'config.json', results.to_json(before))
    after = default.get_config().unlock()
    after.model.width, after.brand_new = None, 7
    monkeypatch.setattr(results, 'ADDED', {'model.width': None, 'brand_new': 7})
    assert results.config_hash(after) == results.config_hash(before)
    results.check_workdir(tmp_path, after)
    after.brand_new = 8
    assert results.config_hash(after) != results.config_hash(before)
    with pytest.raises(UserError, match='brand_new was 7, is 8'):
        results.check_workdir(tmp_path, after)


@pytest.mark.parametrize(
    'given',
    [
        {'momentum': 0.9, 'nesterov': True},
        {'options.momentum': 0.9, 'options.nesterov': True},
        {'options.momentum': 0.9, 'nesterov': True},
        {'momentum': 0.9, 'options': {'momentum': 0.9, 'nesterov': True, 'epsilon': None}},
    ],
    ids=str,
)
def test_an_argument_of_the_optimizer_is_the_same_run_as_a_field_and_as_an_option(tmp_path, given):
    made = config(optimizer__name='SGD', **{f'optimizer.{path}': value for path, value in given.items()})
    hashes = [results.config_hash(made)]
    settle_numbers(made)
    assert made.optimizer.options.to_dict() == {'momentum': 0.9, 'nesterov': True}
    hashes.append(results.config_hash(made))
    # That of the versions which had a field for each argument.
    assert hashes == ['d1fd024ac82c85841de10b70ab96820536949aabfeede10ffb8b93a2179296b8'] * 2
    old = json.loads(results.to_json(default.get_config()))
    old['optimizer'] = dict.fromkeys(optimizers.TYPES) | old['optimizer']
    old['optimizer'] |= {'name': 'SGD', 'momentum': 0.9, 'nesterov': True}
    files.write_json(tmp_path / 'config.json', old)
    results.check_workdir(tmp_path, made)
    made.optimizer.options.momentum = 0.8
    with pytest.raises(UserError, match='optimizer.momentum was 0.9, is 0.8'):
        results.check_workdir(tmp_path, made)


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


def test_a_link_in_a_stranger_s_folder_leads_no_write_elsewhere(tmp_path):
    own, folder = tmp_path / 'own', tmp_path / 'folder'
    folder.mkdir()
    own.write_text('mine')
    for name in ('.result.json.partial', 'result.json', '.partial'):
        (folder / name).symlink_to(own)
    (folder / f'{events.PREFIX}odd').touch()
    results.write_json(folder / 'result.json', {'new': 2})
    events.replace(folder, [(0, None, [events.scalar('x', 1)])])
    assert own.read_text() == 'mine'
    assert json.loads((folder / 'result.json').read_text()) == {'new': 2}


def test_a_folder_called_sources_that_is_not_a_run_s_stays(tmp_path):
    own = tmp_path / 'sources' / 'letters.txt'
    own.parent.mkdir()
    own.write_text('mine')
    results.begin(tmp_path, config())
    assert own.read_text() == 'mine'


def test_a_result_holds_numbers_that_every_json_reader_knows(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        results.write_json(tmp_path / 'result.json', {'loss': float('nan')})
    assert not (tmp_path / 'result.json').exists()


def result_of(fields) -> dict:
    """Returns what a finished run writes, as far as its summary is made of it."""
    return {
        'status': 'completed',
        'config_hash': results.config_hash(fields),
        'parameters': 650,
        'steps': 12,
        'dataset': {'name': 'digits', 'train': 1437, 'validation': 0, 'test': 360},
        'strategy': {'name': 'one_device', 'replicas': 1, 'workers': 1, 'global_batch_size': 128},
        'seconds': {'total': 3.5},
        'history': [{'step': 12, 'train_loss': 0.5, 'validation_loss': None}],
        'test': {'loss': 0.4, 'accuracy': 0.9, 'examples': 360},
    }


def test_a_result_is_that_of_its_config(tmp_path):
    assert results.read_result(tmp_path / 'nowhere') is None
    result = result_of(config())
    files.write_json(tmp_path / 'result.json', result)
    assert results.read_result(tmp_path) == result
    assert results.read_result(tmp_path, config()) == result
    assert results.read_result(tmp_path, config(seed=1)) is None


@pytest.mark.parametrize(
    ('changed', 'words'),
    [
        ({'seconds': {}}, "seconds: 'total' is a required property"),
        ({'history': [{'step': 'twelve'}]}, "history.0.step: 'twelve' is not of type"),
        ({'test': None}, "test: None is not of type 'object'"),
        ({'status': 'diverged'}, "'diverged_steps' is a required property"),
        ({'dataset': 'digits'}, "dataset: 'digits' is not of type 'object'"),
    ],
)
def test_a_result_with_a_field_of_another_kind_is_one_line(tmp_path, changed, words):
    files.write_json(tmp_path / 'result.json', result_of(config()) | changed)
    with pytest.raises(UserError, match=f'result.json is damaged: {words}.*; delete it, and the same command trains'):
        results.read_result(tmp_path, config())


@pytest.mark.parametrize('changed', [{}, {'history': []}, {'history': None}, {'history': [{'rung': 'x'}]}])
def test_a_pause_without_its_rung_is_one_line(tmp_path, changed):
    files.write_json(tmp_path / results.PAUSED, changed)
    with pytest.raises(UserError, match='is damaged: its history does not end with a rung; delete'):
        results.read_paused(tmp_path, 0.5)


@pytest.mark.parametrize('torn', [b'', b'\n', b'{"status": "compl', b'[]', b'null', b'\xff\xfe', b'"completed"'])
def test_a_torn_result_is_none(tmp_path, torn):
    (tmp_path / 'result.json').write_bytes(torn)
    with pytest.raises(UserError, match='damaged: delete it, and the same command trains the run again'):
        results.read_result(tmp_path)


def test_a_workdir_is_for_one_config(tmp_path):
    results.check_workdir(tmp_path / 'new', config())
    files.write_utf8(tmp_path / 'config.json', results.to_json(config()))
    results.check_workdir(tmp_path, config())
    results.check_workdir(tmp_path, config(checkpoint__keep=9, data__data_dir='/elsewhere'))
    results.check_workdir(tmp_path, config(epochs=0), ignored=('epochs',))
    with pytest.raises(UserError, match=r'another config \(model.hidden was \[128\], is \[64\]; seed was 0, is 1\)'):
        results.check_workdir(tmp_path, config(seed=1, model__hidden=(64,)))


@pytest.mark.parametrize(
    ('field', 'value', 'words'),
    [
        ('metrics', [{'x': 1}, 'accuracy'], 'holds another config'),
        ('metrics', None, 'holds another config'),
        ('optimizer', 'Adam', 'holds another config'),
        ('optimizer', {'options': 1.5}, 'is not the config of a run'),
    ],
)
def test_a_config_with_a_field_of_another_kind_is_one_line(tmp_path, field, value, words):
    results.begin(tmp_path, config())
    fields = json.loads((tmp_path / 'config.json').read_text(encoding='utf-8'))
    (tmp_path / 'config.json').write_text(json.dumps(fields | {field: value}), encoding='utf-8')
    with pytest.raises(UserError, match=words) as error:
        results.check_workdir(tmp_path, config())
    assert '\n' not in str(error.value)


def test_a_config_that_was_changed_anywhere_is_another_one_or_damaged(tmp_path):
    results.begin(tmp_path, config())
    file = tmp_path / 'config.json'
    fields = json.loads(file.read_text(encoding='utf-8'))
    for seed in range(400):
        file.write_text(json.dumps(changed(fields, random.Random(seed))), encoding='utf-8')
        with contextlib.suppress(UserError):  # or it differs in nothing that decides the result
            results.check_workdir(tmp_path, config())


def test_a_workdir_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='it is a file'), results.locked(tmp_path / 'file'):
        pass
    with pytest.raises(UserError, match='cannot be written'), results.locked(tmp_path / 'file' / 'run'):
        pass
    assert results.read_result(tmp_path / 'file' / 'run') is None


def test_the_revision_is_our_own_or_none(tmp_path):
    """A package that is installed inside of somebody's repository is not part of it."""
    ours = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=ROOT, capture_output=True, text=True)
    expected = ours.stdout.strip() if ours.returncode == 0 else 'None'
    code = 'from trainer.machine import provenance; print(provenance.environment()["git_revision"])'

    def revision(root: Path, **environ: str) -> str:
        environment = os.environ | {'PYTHONPATH': str(root)} | environ
        done = subprocess.run([sys.executable, '-P', '-c', code], env=environment, capture_output=True, text=True)
        return done.stdout.strip().rstrip('+')

    theirs = tmp_path / 'theirs'
    packages = theirs / 'venv' / 'site-packages'
    for name in ('seedwise', 'configs', 'data_pipeline', 'launch', 'trainer'):
        shutil.copytree(ROOT / name, packages / name, ignore=shutil.ignore_patterns('__pycache__'))
    git = ['git', '-c', 'user.name=x', '-c', 'user.email=x@example.com']
    subprocess.run([*git, 'init', '-q'], cwd=theirs, check=True)
    subprocess.run([*git, 'commit', '-q', '--allow-empty', '-m', 'theirs'], cwd=theirs, check=True)
    assert revision(packages) == 'None'
    assert revision(ROOT) == expected
    assert revision(ROOT, GIT_DIR=str(theirs / '.git')) == expected
