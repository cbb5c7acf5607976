"""Which worker am I: TF_CONFIG, read without TensorFlow. Its mistakes: test_bad_input.py."""

import json
import socket

import pytest

from configs.errors import UserError
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
    with pytest.raises(UserError, match='wanted is .*host0:2222'):
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
