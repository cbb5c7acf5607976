"""Which worker am I: TF_CONFIG, read without TensorFlow. Its mistakes: test_bad_input.py."""

import json
import re
import socket
import subprocess
import sys
import threading

import portpicker
import pytest

from seedwise.errors import LostWorker, UserError
from tests.helpers import ROOT
from trainer import cluster


def find(index=0, kind='worker', **jobs):
    return cluster.find({'TF_CONFIG': json.dumps({'cluster': jobs, 'task': {'type': kind, 'index': index}})})


@pytest.mark.parametrize('environ', [{}, {'TF_CONFIG': ''}, {'TF_CONFIG': ' \n'}])
def test_no_cluster(environ):
    assert cluster.find(environ) is None


def test_worker_0_is_the_chief():
    first, second = (find(i, worker=['a:1', 'b:2']) for i in (0, 1))
    assert first.addresses == second.addresses == ('a:1', 'b:2')
    assert (first.index, second.index) == (0, 1)
    assert (first.is_chief, second.is_chief) == (True, False)


def test_a_job_named_chief_comes_before_the_workers():
    jobs = {'worker': ['b:2', 'c:3'], 'chief': ['a:1']}
    assert find(0, 'chief', **jobs) == cluster.Cluster(('a:1', 'b:2', 'c:3'), 0, 'TF_CONFIG')
    assert find(1, 'worker', **jobs) == cluster.Cluster(('a:1', 'b:2', 'c:3'), 2, 'TF_CONFIG')


def test_a_chief_alone_and_an_index_as_text_are_fine():
    # Vertex AI's variables for a job of one machine; hand-set variables.
    assert find('0', 'chief', chief=['a:1']) == cluster.Cluster(('a:1',), 0, 'TF_CONFIG')


def test_ipv6_addresses():
    assert find(worker=['[::1]:2222']).addresses == ('[::1]:2222',)


@pytest.mark.parametrize('text', ['null', '3', '"text"', '{"cluster": 3, "task": 3}', '{"cluster": {"worker": 3}}'])
def test_no_cluster_at_all_is_told_with_an_example(text):
    with pytest.raises(UserError, match='expected for example .*host0:2222'):
        cluster.find({'TF_CONFIG': text})


@pytest.mark.parametrize(
    'jobs', [{'worker': 'a:1'}, {'worker': 3}, {'worker': []}, {'worker': [3]}, {'worker': ['a:²']}]
)
def test_addresses_that_are_none(jobs):
    with pytest.raises(UserError, match='TF_CONFIG'):
        find(**jobs)


def test_a_port_that_another_process_listens_on():
    with socket.create_server(('', 0)) as server:
        port = server.getsockname()[1]
        found = find(worker=[f'localhost:{port}'])
        with pytest.raises(UserError, match=f'port {port} of worker 0'):
            cluster.check_port_free(found)
    cluster.check_port_free(found)


#: What srun sets for task 1 of 4, on a cluster of which one node has two: as read from a real one.
SLURM = {
    'SLURM_JOB_ID': '17',
    'SLURM_STEP_ID': '0',
    'SLURM_STEP_NUM_TASKS': '4',
    'SLURM_STEP_NODELIST': 'node[2,9-10]',
    'SLURM_STEP_TASKS_PER_NODE': '1,2,1',
    'SLURM_PROCID': '1',
    'SLURM_NODEID': '1',
    'SLURM_LOCALID': '0',
}


def test_a_slurm_job_step_in_its_own_words():
    found = cluster.find(SLURM)
    assert str(found) == 'Slurm job 17, worker 1 of 4, chief node2:10544'
    assert found.addresses == ('node2:10544', 'node9:10545', 'node9:10546', 'node10:10547')


@pytest.mark.parametrize(
    'environ',
    [
        {'SLURM_JOB_ID': '17', 'SLURM_NTASKS': '2', 'SLURM_PROCID': '0'},  # the batch script itself
        SLURM | {'SLURM_STEP_NUM_TASKS': '1'},  # a study's shard
        {'JOB_COMPLETION_INDEX': '3'},  # a study's shard in an indexed job
    ],
)
def test_what_is_no_cluster(environ):
    assert cluster.find(environ) is None


def test_jobs_and_their_steps_have_ports_of_their_own():
    ports = [
        address.partition(':')[2]
        for job in range(100_000, 100_600)
        for step in range(2)
        for address in cluster.find(SLURM | {'SLURM_JOB_ID': str(job), 'SLURM_STEP_ID': str(step)}).addresses
    ]
    assert len(set(ports)) == len(ports)
    assert all(1024 < int(port) < 32768 for port in ports)


@pytest.mark.parametrize('name', sorted(set(SLURM) - {'SLURM_STEP_ID'}))
def test_half_of_slurms_variables_is_told(name):
    with pytest.raises(UserError, match=f'SLURM_STEP_ID is set, but {name} not: start with srun'):
        cluster.find({key: value for key, value in SLURM.items() if key != name})


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        ({'SLURM_PROCID': 'one'}, "SLURM_PROCID is 'one': it must be a whole number"),
        ({'SLURM_NODEID': '0'}, 'start with srun --distribution=block'),
        ({'SLURM_STEP_NODELIST': 'node2'}, 'SLURM_STEP_NODELIST has 1 nodes'),
        ({'SLURM_STEP_TASKS_PER_NODE': '1(x3)'}, 'SLURM_STEP_TASKS_PER_NODE 3 tasks on 3'),
        ({'SLURM_STEP_TASKS_PER_NODE': 'many'}, 'expected for example'),
        ({'SLURM_STEP_NODELIST': 'node[2-x]'}, "SLURM_STEP_NODELIST is 'node"),
        ({'SLURM_PROCID': '4'}, 'SLURM_PROCID 4 of 4'),
    ],
)
def test_slurms_variables_that_do_not_fit_each_other(change, told):
    with pytest.raises(UserError, match=told):
        cluster.find(SLURM | change)


HOSTS = {'SEEDWISE_HOSTS': 'run-0.run:2222, run-1.run:2222', 'SEEDWISE_WORKERS': '2', 'JOB_COMPLETION_INDEX': '1'}


def test_the_pods_of_a_job_set():
    assert cluster.find(HOSTS) == cluster.Cluster(('run-0.run:2222', 'run-1.run:2222'), 1, 'SEEDWISE_HOSTS')
    named = cluster.find(HOSTS | {'JOBSET_NAME': 'run'})
    assert str(named) == 'Kubernetes job set run, worker 1 of 2, chief run-0.run:2222'
    assert cluster.find(HOSTS | {'SEEDWISE_INDEX': '0'}).is_chief, "what is ours counts before what is the engine's"
    assert cluster.find({'SEEDWISE_HOSTS': 'a:1', 'SEEDWISE_INDEX': '0'}) is None, 'one worker is no cluster'


@pytest.mark.parametrize(
    ('environ', 'told'),
    [
        ({'SEEDWISE_WORKERS': '2'}, 'SEEDWISE_WORKERS is set, but SEEDWISE_HOSTS'),
        ({'SEEDWISE_INDEX': '0'}, 'SEEDWISE_INDEX is set, but SEEDWISE_HOSTS'),
        ({'SEEDWISE_HOSTS': 'a:1,b:1'}, 'neither JOB_COMPLETION_INDEX nor SEEDWISE_INDEX'),
        (HOSTS | {'SEEDWISE_WORKERS': '3'}, 'SEEDWISE_WORKERS is 3, but SEEDWISE_HOSTS has 2'),
        (HOSTS | {'JOB_COMPLETION_INDEX': '2'}, 'JOB_COMPLETION_INDEX is 2: accepted are 0 to 1'),
        (HOSTS | {'JOB_COMPLETION_INDEX': ''}, 'it must be a whole number'),
        (HOSTS | {'SEEDWISE_HOSTS': 'a,b'}, "SEEDWISE_HOSTS has the address 'a'"),
        (HOSTS | {'SEEDWISE_HOSTS': 'a:1,a:1'}, 'SEEDWISE_HOSTS has an address twice'),
    ],
)
def test_half_of_our_own_variables_is_told(environ, told):
    with pytest.raises(UserError, match=told):
        cluster.find(environ)


@pytest.mark.parametrize(
    ('environ', 'address'),
    [
        ({}, ''),
        ({'TPU_NAME': 'local'}, 'local'),
        ({'COLAB_TPU_ADDR': '10.0.0.2:8470'}, 'grpc://10.0.0.2:8470'),
        ({'KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS': 'grpc://10.0.0.2:8470'}, 'grpc://10.0.0.2:8470'),
    ],
)
def test_the_tpu_that_the_environment_tells_of(environ, address):
    assert cluster.tpu_address(environ) == address


@pytest.mark.parametrize(
    ('index', 'message', 'told'),
    [
        (0, 'tasks are unhealthy:\n/job:worker/replica:0/task:1\nThe tasks', r'worker 1 \(localhost:'),
        (2, 'from remote target /job:worker/replica:0/task:1 while', r'worker 1 \(localhost:'),
        (
            1,
            'my own device /job:worker/replica:0/task:1/device:CPU:0',
            r'worker 0 \(localhost:\d+\), 2 \(',
        ),
    ],
)
def test_a_lost_worker_is_the_one_that_tensorflow_names_or_that_does_not_listen(index, message, told):
    ports = [portpicker.pick_unused_port() for _ in range(3)]
    found = cluster.Cluster(tuple(f'localhost:{port}' for port in ports), index, 'test')
    assert re.match(f'{told}.* was lost: all must start again', str(cluster.lost_worker(found, message)))


def test_workers_wait_for_each_other(monkeypatch):
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '1')
    addresses = tuple(f'localhost:{portpicker.pick_unused_port()}' for _ in range(2))
    found = cluster.Cluster(addresses, 0, 'test')
    with pytest.raises(LostWorker, match=rf'within 1 s .*worker 1 \({addresses[1]}\): it does not listen yet'):
        cluster.wait_for_all(found)
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '20')
    met = [threading.Event(), threading.Event()]

    def meet(index: int) -> None:
        own = cluster.Cluster(addresses, index, 'test')
        cluster.wait_for_all(own)
        met[index].set()
        with cluster._listen(own) as listener:  # as TensorFlow's server does from then on
            while not met[1 - index].is_set():
                cluster._answer(listener, b'\x00\x00\x06\x04\x00', 0.05)

    other = threading.Thread(target=meet, args=[1])
    other.start()
    meet(0)
    other.join()


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        (b'', 'it does not answer at 127.0.0.1'),
        (b'{"worker": 0, "of": ["localhost:1", "localhost:PORT"]}\n', 'worker 0 answers at 127.0.0.1: its name leads'),
        (
            b'{"worker": 1, "of": ["other:1", "localhost:PORT"]}\n',
            'who answers .* has another list of workers: other:1, ',
        ),
        (b'SSH-2.0-OpenSSH_9.2\r\n', 'something else than a worker answers at 127.0.0.1'),
        (b'\0\0\x18\x04\0\0\0\0\0', ''),  # TensorFlow's server
        (b'{"worker": 1, "of": ["localhost:1", "localhost:PORT"]}\n', ''),
    ],
)
def test_a_name_that_leads_to_the_wrong_machine_or_to_one_that_stands_still(monkeypatch, said, told):
    monkeypatch.setattr(cluster, 'ANSWER_SECONDS', 0.3)
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.sendall(said.replace(b'PORT', str(port).encode()))
                connection.recv(1)  # until the other end closes it

        (thread := threading.Thread(target=serve)).start()
        found = cluster.Cluster(('localhost:1', f'localhost:{port}'), 0, 'test')
        assert re.match(told or '$', cluster._reach(found, 1))
        thread.join()


def test_a_worker_that_waits_answers_as_often_as_it_is_asked(monkeypatch):
    """A thousand answers that nobody fetched would fill the queue of a port, and a late worker would never be let in."""
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '1')
    addresses = tuple(f'localhost:{portpicker.pick_unused_port()}' for _ in range(2))
    first, second = (cluster.Cluster(addresses, index, 'test') for index in range(2))
    told: list[str] = []
    with cluster._listen(first) as listener:
        listener.listen(2)
        monkeypatch.setattr(cluster, '_listen', lambda _: listener)
        asking = threading.Thread(target=lambda: told.extend(cluster._reach(second, 0) for _ in range(20)))
        asking.start()
        with pytest.raises(LostWorker):
            cluster.wait_for_all(first)
        asking.join()
    assert told == [''] * 20


@pytest.mark.parametrize('index', [0, 1])
def test_a_name_that_does_not_resolve_is_reported_and_ends_the_wait(monkeypatch, capsys, index):
    """Names of pods may appear late, and so they are waited for."""
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '1')
    monkeypatch.setattr(cluster, 'PATIENCE_SECONDS', 0.6)
    addresses = (f'nobody.invalid:{portpicker.pick_unused_port()}', f'localhost:{portpicker.pick_unused_port()}')
    whose = "its name, this worker's own, does not" if index == 0 else 'its name does not'
    with pytest.raises(LostWorker, match=rf'worker 0 \({addresses[0]}\): {whose} resolve'):
        cluster.wait_for_all(cluster.Cluster(addresses, index, 'test'))
    assert capsys.readouterr().err.startswith(f'waiting for worker 0 ({addresses[0]}): {whose} resolve')


def test_a_chief_that_dies_while_tensorflow_starts_ends_the_wait(monkeypatch):
    """TensorFlow would wait for an hour."""
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '2')
    addresses = tuple(f'localhost:{portpicker.pick_unused_port()}' for _ in range(2))
    code = (
        'from configs import default\n'
        'from trainer import cluster, strategy\n'
        f'found = cluster.Cluster({addresses}, 1, "test")\n'
        'with strategy.lost_worker_explained(found):\n'
        '    strategy.start(default.get_config(), found)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f'LostWorker: worker 0 ({addresses[0]}) was lost' in done.stderr
