"""Which worker am I: TF_CONFIG, read without TensorFlow. Its mistakes: test_bad_input.py."""

import json

import pytest

from seedwise.errors import UserError
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
