"""Data that are not there or are damaged: one line, exit code 2, from the real commands in forks."""

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers import NO_TEST_DATA, TEST_DATA

MANUAL = TEST_DATA / 'mnist'
needs_files = pytest.mark.skipif(not MANUAL.is_dir(), reason=f'{NO_TEST_DATA}mnist/')

# A proxy that nobody listens on: no network, on any machine.
OFFLINE = dict.fromkeys(('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'), 'http://127.0.0.1:1')


def test_no_network_and_no_fallback(error, tmp_path):
    arguments = ('--config=configs/mlp_sgd.py', '--config.data.fallback=', f'--config.data.data_dir={tmp_path}')
    line = error(*arguments, **OFFLINE)
    assert "'mnist' is not available here" in line
    for way in ('prepared in', '--config.data.manual_dir', 'a download'):
        assert way in line
    assert "'mnist' is not available here" in error(f'--data_dir={tmp_path}', module='data_pipeline.prepare', **OFFLINE)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--dataset=mnits'], ("'mnits'", "Did you mean 'mnist'?")),
        (['--dateset=mnist'], ("'--dateset'", "Did you mean '--dataset'?")),
        (['mnist'], ("'mnist' is not a flag",)),
        (['--manual_dir=/nowhere'], ('manual_dir /nowhere is not a folder',)),
    ],
    ids=str,
)
def test_a_wrong_command_to_prepare(error, arguments, words):
    line = error(*arguments, '--data_dir=data', module='data_pipeline.prepare')
    assert [word for word in words if word not in line] == [], line


@needs_files
@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        ('missing', ('lacks', 'train-images-idx3-ubyte.gz of mnist')),
        ('truncated', ('it has 100,000 bytes', 'has 9,912,422')),
        ('swapped', ('it has 1,648,877 bytes', 'has 9,912,422')),
        ('altered', ('another file', 'SHA-256')),
    ],
)
def test_a_wrong_file_in_manual_dir(error, tmp_path, damage, words):
    shutil.copytree(MANUAL, tmp_path / 'manual')
    images = tmp_path / 'manual' / 'train-images-idx3-ubyte.gz'
    if damage == 'missing':
        images.unlink()
    elif damage == 'truncated':
        os.truncate(images, 100_000)
    elif damage == 'swapped':
        shutil.copy(MANUAL / 't10k-images-idx3-ubyte.gz', images)
    else:
        images.write_bytes(images.read_bytes()[:-1] + b'x')
    for line in (
        error('--config=configs/mlp_sgd.py', '--config.data.manual_dir=manual', '--config.data.data_dir=data'),
        error('--manual_dir=manual', '--data_dir=data', module='data_pipeline.prepare'),
    ):
        assert [word for word in (str(tmp_path / 'manual'), *words) if word not in line] == [], line


@needs_files
def test_a_data_dir_that_cannot_be_written(error):
    line = error(f'--manual_dir={MANUAL}', '--data_dir=/dev/null/x', module='data_pipeline.prepare')
    assert '/dev/null/x: /dev/null is a file, not a folder' in line


def prepared(tmp_path: Path, mnist: dict[str, str]) -> Path:
    """Returns the folder of a copy of prepared MNIST below `tmp_path`/data."""
    source = next(Path(mnist['TFDS_DATA_DIR'], 'mnist').glob('*/dataset_info.json')).parent
    hidden = shutil.ignore_patterns('.*')
    return Path(shutil.copytree(source, tmp_path / 'data' / 'mnist' / source.name, ignore=hidden))


def test_damaged_notes_on_a_prepared_dataset(error, tmp_path, mnist):
    folder = prepared(tmp_path, mnist)
    os.truncate(folder / 'dataset_info.json', 300)
    line = error('--config=configs/mlp_sgd.py', f'--config.data.data_dir={tmp_path / "data"}')
    assert f'{folder} is damaged, dataset_info.json cannot be read: delete that folder' in line


@pytest.mark.parametrize('memory', [4096, 0], ids=['in memory', 'streamed'])
def test_a_truncated_prepared_dataset(error, tmp_path, mnist, memory):
    folder = prepared(tmp_path, mnist)
    os.truncate(next(folder.glob('*train.tfrecord*')), 1_000_001)
    arguments = (f'--config.data.memory_limit_mb={memory}', f'--config.data.data_dir={tmp_path / "data"}')
    line = error('--config=configs/mlp_sgd.py', *arguments, tensorflow=True)
    assert f'{folder} is damaged, mnist-train.tfrecord-00000-of-00001 cannot be read: delete that folder' in line
