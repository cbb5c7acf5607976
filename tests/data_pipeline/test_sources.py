"""Where examples come from, in which order, and what is reported if they are not available."""

import multiprocessing
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import pipeline, sources
from data_pipeline.from_tfds import download
from seedwise.errors import UserError
from tests.helpers import NO_TEST_DATA, TEST_DATA, run

MANUAL = TEST_DATA / 'mnist'
needs_files = pytest.mark.skipif(not MANUAL.is_dir(), reason=f'{NO_TEST_DATA}mnist/')


def test_digits_are_bundled_and_split_evenly():
    dataset = sources.load(sources.locate('digits'))
    assert (dataset.train.count, dataset.test.count) == (sources.DIGITS_TRAIN, sources.DIGITS_TEST)
    assert dataset.image_shape == (28, 28, 1)
    shares = [np.bincount(split.labels) / split.count for split in (dataset.train, dataset.test)]
    assert np.abs(shares[0] - shares[1]).max() < 0.005
    assert dataset.fingerprint == sources.load(sources.locate('digits')).fingerprint


def test_digits_are_scikit_learns_and_its_split():
    """Their file was made so."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    order = np.concatenate(
        train_test_split(np.arange(len(y)), test_size=sources.DIGITS_TEST, stratify=y, random_state=0)
    )
    with np.load(Path(sources.__file__).with_name('digits.npz')) as file:
        np.testing.assert_array_equal(file['images'].reshape(-1, 64), x[order])
        np.testing.assert_array_equal(file['labels'], y[order])


@needs_files
def test_the_order_of_sources_is_prepared_then_manual_then_download(tmp_path, mnist):
    assert sources.locate('mnist', mnist['TFDS_DATA_DIR'], '/nowhere').source == 'prepared'
    assert sources.locate('mnist', str(tmp_path), str(MANUAL)).source == 'manual'


def test_the_data_folder_is_tfds_own(monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', '/some/where')
    assert sources.locate('digits').data_dir == '/some/where'
    monkeypatch.delenv('TFDS_DATA_DIR')
    assert sources.default_data_dir() == str(Path('~/tensorflow_datasets').expanduser())


def test_mnist_is_all_there(mnist):
    dataset = sources.load(sources.locate('mnist', mnist['TFDS_DATA_DIR']), seed=3, validation=5000)
    counts = dataset.train.count, dataset.validation.count, dataset.test.count
    assert counts == (55_000, 5_000, 10_000)
    assert np.bincount(dataset.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def unreachable(monkeypatch, answer):
    monkeypatch.setattr(download, 'registered_files', lambda name: [('http://127.0.0.1:1/x', 1, '', 'x')])
    if answer == 'silent':
        server = socket.create_server(('127.0.0.1', 0))  # accepts, and never answers
        url = f'http://127.0.0.1:{server.getsockname()[1]}/x'
        monkeypatch.setattr(download, 'registered_files', lambda name: [(url, 1, '', 'x')])
        return server
    return None


@pytest.mark.parametrize('answer', ['refused', 'silent'])
def test_without_network_digits_take_the_place_loudly_and_soon(tmp_path, monkeypatch, answer):
    server = unreachable(monkeypatch, answer)
    started = time.monotonic()
    location = sources.locate('mnist', str(tmp_path), fallback='digits')
    assert time.monotonic() - started < 5
    assert location.name == 'digits'
    assert "TRAINS ON 'DIGITS'" in location.warning
    for way in ('prepared', 'manual_dir', '127.0.0.1'):
        assert way in location.warning
    if server:
        server.close()
    else:
        with pytest.raises(UserError, match='is not available here'):
            sources.locate('mnist', str(tmp_path), fallback='')


def test_a_run_that_fell_back_says_so_everywhere(tmp_path):
    # A proxy that nobody listens on: no network, on any machine.
    environment = {'HTTPS_PROXY': 'http://127.0.0.1:1', 'https_proxy': 'http://127.0.0.1:1'}
    import os

    env = os.environ | environment | {'TFDS_DATA_DIR': str(tmp_path / 'data')}
    result = run(tmp_path / 'run', '--config=configs/cnn_nadam.py', '--config.epochs=1', env=env)
    assert "TRAINS ON 'DIGITS'" in result['stderr']
    assert result['dataset']['name'] == 'digits'
    assert 'digits' in result['stdout']
    run(tmp_path / 'other', '--config=configs/mlp_adam.py', '--config.data.fallback=', env=env, code=2)


def prepare(folder, queue):
    dataset = sources.load(sources.locate('mnist', folder, str(MANUAL)))
    queue.put(dataset.fingerprint)


@pytest.mark.slow
@needs_files
def test_two_processes_preparing_the_same_dataset_do_no_harm(tmp_path, mnist):
    """Slow: both import TensorFlow and TFDS, and one prepares MNIST: a minute."""
    context = multiprocessing.get_context('spawn')
    queue = context.Queue()
    processes = [context.Process(target=prepare, args=(str(tmp_path), queue)) for _ in range(2)]
    for process in processes:
        process.start()
    fingerprints = {queue.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert fingerprints == {sources.load(sources.locate('mnist', mnist['TFDS_DATA_DIR'])).fingerprint}


@needs_files
@pytest.mark.parametrize('harm', ['truncated', 'swapped', 'altered', 'missing'])
def test_wrong_files_are_named(tmp_path, harm):
    folder = tmp_path / 'files'
    shutil.copytree(MANUAL, folder)
    file = folder / 't10k-labels-idx1-ubyte.gz'
    file.chmod(0o644)
    content = file.read_bytes()
    if harm == 'truncated':
        file.write_bytes(content[:-100])
    elif harm == 'swapped':
        file.write_bytes((folder / 'train-labels-idx1-ubyte.gz').read_bytes())
    elif harm == 'altered':
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        file.unlink()
    with pytest.raises(UserError, match='t10k-labels-idx1-ubyte.gz'):
        sources.locate('mnist', str(tmp_path / 'data'), str(folder))


class TestStreaming:
    """A dataset over the memory limit is streamed from its shards, with the same promises."""

    @pytest.fixture
    def streamed(self, mnist):
        location = sources.locate('mnist', mnist['TFDS_DATA_DIR'])
        return sources.load(location, seed=1, validation=5000, memory_limit_mb=0)

    def order(self, examples, start, blocks, part=pipeline.Part()):
        dataset = pipeline.train_blocks(examples, seed=1, batch=1000, start=start, blocks=blocks, part=part)
        return np.concatenate([images for images, _ in dataset.as_numpy_iterator()])

    def test_each_example_comes_once_an_epoch(self, mnist):
        location = sources.locate('mnist', mnist['TFDS_DATA_DIR'])
        streamed = sources.load(location, seed=1, validation=50_000, memory_limit_mb=0)
        seen = self.order(streamed.train, 0, [10])
        whole = np.concatenate([images for images, _ in streamed.train.read()])
        hashes = [sorted(hash(image.tobytes()) for image in images.reshape(-1, 28, 28)) for images in (seen, whole)]
        assert hashes[0] == hashes[1]

    def test_any_step_is_found_and_replicas_split_it(self, streamed):
        whole = self.order(streamed.train, 52, [3, 5])
        assert np.array_equal(self.order(streamed.train, 55, [5]), whole[3:])
        halves = [self.order(streamed.train, 52, [8], pipeline.Part(2, i, 1)) for i in range(2)]
        assert np.array_equal(np.concatenate(halves, axis=1), whole)

    def test_validation_is_disjoint(self, streamed):
        assert (streamed.train.count, streamed.validation.count) == (55_000, 5_000)
        assert not (streamed.train.chosen & streamed.validation.chosen).any()

    def test_a_run_trains_on_it(self, tmp_path, mnist):
        arguments = ('--config=configs/mlp_adam.py', '--config.data.memory_limit_mb=0', '--config.steps=200')
        result = run(tmp_path / 'run', *arguments, env=mnist)
        assert result['test']['examples'] == 10_000
        assert result['test']['accuracy'] > 0.85
