"""How many workers are started without --workers."""

import json

import pytest

from configs import default
from data_pipeline.sources import Location
from seedwise import machine
from trainer import results, strategy
from trainer.compare import capacity
from trainer.compare.engines import local, ray

GIB = 2**30


@pytest.mark.parametrize(
    ('cores', 'memory', 'worker_bytes', 'threads', 'workers'),
    [
        (1, 100 * GIB, GIB, 1, 1),
        (64, 100 * GIB, GIB, 1, 64),
        (64, 10 * GIB, GIB, 1, 10),
        (64, 10 * GIB - 1, GIB, 1, 9),
        (64, None, GIB, 1, 64),
        (64, 100 * GIB, GIB, 4, 16),
        (64, 10 * GIB, GIB, 4, 10),
        (3, 100 * GIB, GIB, 2, 1),
        (1, 100 * GIB, GIB, 2, 1),  # none would do nothing
        (4, 0, GIB, 1, 1),
    ],
)
def test_as_many_as_fit(cores, memory, worker_bytes, threads, workers):
    assert capacity.fitting(cores, memory, worker_bytes, threads) == workers


def location(folder, name='mine', shape=('32', '32', '3'), examples=('50000', '10000'), **others) -> Location:
    """A dataset as TFDS prepares it."""
    version = folder / name / '1.0.0'
    version.mkdir(parents=True)
    features = {'image': {'image': {'shape': {'dimensions': shape}}}, 'label': {'classLabel': {'numClasses': '10'}}}
    files = {
        'features.json': {'featuresDict': {'features': features}},
        'dataset_info.json': {'splits': [{'shardLengths': [one]} for one in examples]},
    }
    for file, content in (files | others).items():
        (version / file).write_text(json.dumps(content), encoding='utf-8')
    return Location(name, 'prepared', str(folder), '')


def test_a_worker_needs_room_for_its_data_as_far_as_that_is_known(tmp_path):
    images = 60_000 * 32 * 32 * 3
    assert capacity.image_bytes(location(tmp_path / 'a')) == images
    assert capacity.worker_bytes(location(tmp_path / 'b'), 4096) == capacity.WORKER_BYTES + 2.5 * images
    assert capacity.worker_bytes(location(tmp_path / 'c'), 100) == capacity.WORKER_BYTES  # it is streamed
    assert capacity.image_bytes(location(tmp_path / 'd', shape=('-1', '28', '1'), examples=('0',))) == 0
    assert capacity.image_bytes(location(tmp_path / 'e', **{'features.json': [], 'dataset_info.json': {}})) == 0
    assert capacity.image_bytes(Location('digits', 'bundled', str(tmp_path / 'none'), '')) == 0


@pytest.mark.parametrize(
    ('memory', 'workers', 'words'),
    [
        (100 * GIB, 8, ''),
        (None, 8, ''),
        (3 * GIB, 3, '3 workers instead of 8: 3.0 GiB of memory are available, and each takes about 0.9 GiB'),
        (GIB, 1, '1 worker instead of 8: '),
    ],
)
def test_fewer_workers_than_cores_are_explained(monkeypatch, capsys, memory, workers, words):
    monkeypatch.setattr(machine, 'cores', lambda: 8)
    monkeypatch.setattr(machine, 'memory', lambda: memory)
    pool = local.Pool(0, Location('digits', 'bundled', '/nowhere', ''))
    config = default.get_config()
    config.threads = 1
    assert pool._fitting(config, 100) == workers
    assert pool._fitting(config, 100) == workers
    said = capsys.readouterr().err
    assert said.startswith(words)
    assert said.count('\n') == bool(words)  # once, and in one line
    assert local.Pool(0, pool._location)._fitting(config, 1) == workers
    assert capsys.readouterr().err == ''  # there is but one run


def test_the_nodes_of_a_ray_cluster_have_room_by_memory_too():
    needs = {'CPU': 1, 'memory': GIB, 'GPU': 0}
    assert ray._room({'CPU': 4.0, 'memory': 2.5 * GIB}, needs) == 2
    assert ray._room({'CPU': 4.0, 'memory': 25 * GIB}, needs) == 4
    assert ray._room({'CPU': 4.0}, needs) == 4
    assert ray._room({'CPU': 4.0, 'memory': 2.5 * GIB}, needs | {'memory': 0}) == 4
    assert ray._room({'CPU': 4.0, 'memory': 25 * GIB}, needs | {'GPU': 1}) == 0


@pytest.mark.parametrize(
    ('threads', 'quota', 'set_to'),
    [
        (0, None, None),  # TensorFlow's own choice, which knows of affinity
        (0, 1.5, 2),
        (0, 0.5, 1),
        (0, 99.0, None),
        (3, 1.0, 3),  # as the config says: another number would be another result
    ],
)
def test_the_threads_of_a_run_are_those_that_its_quota_allows(monkeypatch, threads, quota, set_to):
    given = []
    monkeypatch.setattr(machine, '_cores_of_affinity', lambda: 4)
    monkeypatch.setattr(machine, 'cpu_quota', lambda: quota)
    threading = strategy.tf.config.threading
    monkeypatch.setattr(threading, 'set_intra_op_parallelism_threads', given.append)
    monkeypatch.setattr(threading, 'set_inter_op_parallelism_threads', given.append)
    strategy.set_threads(threads)
    assert given == ([] if set_to is None else [set_to, set_to])


def test_a_result_says_how_many_cores_its_run_could_use(monkeypatch):
    monkeypatch.setattr(machine, 'cores', lambda: 3)
    assert results._host()['cores'] == 3
