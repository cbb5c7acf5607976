"""How many workers are started, and which GPUs each is given."""

import json
from types import SimpleNamespace

import pytest

from configs import default
from data_pipeline.sources import Location
from seedwise import machine
from trainer import strategy
from trainer.compare.allocation import capacity
from trainer.compare.allocation.capacity import Machine, Needs
from trainer.compare.engines import local, ray
from trainer.machine import provenance
from trainer.machine.hardware import Gpus

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
    found = capacity.plan(Machine(cores, memory), Needs(threads, worker_bytes))
    assert found.environments == ({},) * workers
    assert capacity.plan(Machine(cores, memory), Needs(threads, worker_bytes), runs=1).size == 1


#: GPUs, what a run needs of them, cores, memory, --workers, runs -> what each worker sees, and what is said.
ON_GPUS = {
    'a GPU each': (4, 1, 64, None, 0, 100, ['0', '1', '2', '3'], ''),
    'no more than runs': (4, 1, 64, None, 0, 2, ['0', '1'], ''),
    'two each': (4, 2, 64, None, 0, 100, ['0,1', '2,3'], ''),
    'one is left over': (3, 2, 64, None, 0, 100, ['0,1'], ''),
    'all for one run': (3, 0, 64, None, 0, 100, ['0,1,2'], ''),
    'too few cores': (
        4,
        1,
        2,
        None,
        0,
        100,
        ['0', '1'],
        '2 workers on 4 GPUs: 2 cores may be used, and each takes 1 (--',
    ),
    'too few cores, and runs': (4, 1, 2, None, 0, 2, ['0', '1'], ''),
    'too little memory': (
        4,
        1,
        64,
        2 * GIB,
        0,
        100,
        ['0', '1'],
        '2 workers instead of 4: 2.0 GiB of memory are available',
    ),
    'not even for one': (
        1,
        1,
        64,
        GIB // 2,
        0,
        9,
        ['0'],
        '0.5 GiB of memory are available, and a run takes about 1.0 GiB',
    ),
    'fewer are asked for': (4, 1, 64, None, 1, 100, ['0'], ''),
    'more than cores are asked for': (4, 1, 1, None, 4, 100, ['0', '1', '2', '3'], ''),
    'more are asked for': (2, 1, 64, None, 3, 100, ['0', '1', '0'], '3 workers on 2 GPUs: up to 2 share each of them'),
    'twice as many': (2, 1, 1, GIB, 4, 100, ['0', '1', '0', '1'], '4 workers on 2 GPUs: 2 share each of them'),
    'more, of two each': (3, 2, 64, None, 3, 100, ['0,1', '2,0', '1,2'], '3 workers on 3 GPUs: 2 share each of them'),
    'more, but few runs': (2, 1, 64, None, 5, 2, ['0', '1'], ''),
}


@pytest.mark.parametrize('case', ON_GPUS)
def test_each_worker_has_gpus_of_its_own(case):
    gpus, each, cores, memory, asked, runs, seen, said = ON_GPUS[case]
    there = Machine(cores, memory, Gpus(tuple(map(str, range(gpus)))))
    found = capacity.plan(there, Needs(1, GIB, each), asked, runs)
    assert [one['CUDA_VISIBLE_DEVICES'] for one in found.environments] == seen
    assert found.note.startswith(said)
    assert bool(found.note) == bool(said)


def test_a_run_of_more_replicas_than_gpus_is_given_all_of_them():
    found = capacity.plan(Machine(8, None, Gpus(('0', '1'))), Needs(1, GIB, 4))  # and says what it lacks
    assert [one['CUDA_VISIBLE_DEVICES'] for one in found.environments] == ['0,1']


@pytest.mark.parametrize(
    ('replicas', 'strategy_name', 'gpus'), [(0, 'auto', 1), (2, 'auto', 2), (0, 'mirrored', 0), (0, 'one_device', 1)]
)
def test_the_gpus_of_a_run(replicas, strategy_name, gpus):
    config = default.get_config()
    config.replicas, config.strategy = replicas, strategy_name
    assert capacity.needs_of(config, Location('digits', 'bundled', '/nowhere', '')).gpus == gpus


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
    monkeypatch.setattr(capacity, 'this_machine', lambda: Machine(8, memory))
    pool = local.Pool(0, Location('digits', 'bundled', '/nowhere', ''))
    config = default.get_config()
    config.threads = 1
    specs = [SimpleNamespace(config=config)] * 100
    assert pool._plan(specs).size == workers
    assert pool._plan(specs).size == workers
    said = capsys.readouterr().err
    assert said.startswith(words)
    assert said.count('\n') == bool(words)  # once, and in one line
    assert local.Pool(0, pool._location)._plan(specs[:1]).size == 1
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
    assert provenance._host()['cores'] == 3
