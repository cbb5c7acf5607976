"""Workers that wait for each other before TensorFlow starts, and the words for one that is missing or lost."""

import re
import socket
import subprocess
import sys
import threading

import portpicker
import pytest

from seedwise.errors import LostWorker, UserError
from tests.helpers import ROOT
from trainer.cluster import Cluster, meeting


def test_a_port_that_another_process_listens_on():
    with socket.create_server(('', 0)) as server:
        port = server.getsockname()[1]
        found = Cluster((f'localhost:{port}',), 0, 'test')
        with pytest.raises(UserError, match=f'port {port} of worker 0'):
            meeting.check_port_free(found)
    meeting.check_port_free(found)


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
    found = Cluster(tuple(f'localhost:{port}' for port in ports), index, 'test')
    assert re.match(f'{told}.* was lost: all must start again', str(meeting.lost_worker(found, message)))


def test_workers_wait_for_each_other(monkeypatch):
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '1')
    addresses = tuple(f'localhost:{portpicker.pick_unused_port()}' for _ in range(2))
    found = Cluster(addresses, 0, 'test')
    with pytest.raises(LostWorker, match=rf'within 1 s .*worker 1 \({addresses[1]}\): it does not listen yet'):
        meeting.wait_for_all(found)
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '20')
    met = [threading.Event(), threading.Event()]

    def meet(index: int) -> None:
        own = Cluster(addresses, index, 'test')
        meeting.wait_for_all(own)
        met[index].set()
        with meeting._listen(own) as listener:  # as TensorFlow's server does from then on
            while not met[1 - index].is_set():
                meeting._answer(listener, b'\x00\x00\x06\x04\x00', 0.05)

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
    monkeypatch.setattr(meeting, 'ANSWER_SECONDS', 0.3)
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.sendall(said.replace(b'PORT', str(port).encode()))
                connection.recv(1)  # until the other end closes it

        (thread := threading.Thread(target=serve)).start()
        found = Cluster(('localhost:1', f'localhost:{port}'), 0, 'test')
        assert re.match(told or '$', meeting._reach(found, 1))
        thread.join()


def test_a_worker_that_waits_answers_as_often_as_it_is_asked(monkeypatch):
    """A thousand answers that nobody fetched would fill the queue of a port, and a late worker would never be let in."""
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '1')
    addresses = tuple(f'localhost:{portpicker.pick_unused_port()}' for _ in range(2))
    first, second = (Cluster(addresses, index, 'test') for index in range(2))
    told: list[str] = []
    with meeting._listen(first) as listener:
        listener.listen(2)
        monkeypatch.setattr(meeting, '_listen', lambda _: listener)
        asking = threading.Thread(target=lambda: told.extend(meeting._reach(second, 0) for _ in range(20)))
        asking.start()
        with pytest.raises(LostWorker):
            meeting.wait_for_all(first)
        asking.join()
    assert told == [''] * 20


@pytest.mark.parametrize('index', [0, 1])
def test_a_name_that_does_not_resolve_is_reported_and_ends_the_wait(monkeypatch, capsys, index):
    """Names of pods may appear late, and so they are waited for."""
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '1')
    monkeypatch.setattr(meeting, 'PATIENCE_SECONDS', 0.6)
    addresses = (f'nobody.invalid:{portpicker.pick_unused_port()}', f'localhost:{portpicker.pick_unused_port()}')
    whose = "its name, this worker's own, does not" if index == 0 else 'its name does not'
    with pytest.raises(LostWorker, match=rf'worker 0 \({addresses[0]}\): {whose} resolve'):
        meeting.wait_for_all(Cluster(addresses, index, 'test'))
    assert capsys.readouterr().err.startswith(f'waiting for worker 0 ({addresses[0]}): {whose} resolve')


@pytest.mark.parametrize('index', [0, 1])
def test_a_worker_that_dies_while_tensorflow_starts_ends_the_wait_of_the_other_one(monkeypatch, index):
    """TensorFlow would wait for an hour, the chief as well as the others."""
    monkeypatch.setenv('SEEDWISE_START_SECONDS', '2')
    addresses = tuple(f'localhost:{portpicker.pick_unused_port()}' for _ in range(2))
    code = (
        'from configs import default\n'
        'from trainer import cluster, strategy\n'
        f'found = cluster.Cluster({addresses}, {index}, "test")\n'
        'with strategy.lost_worker_explained(found):\n'
        '    strategy.start(default.get_config(), found)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f'LostWorker: worker {1 - index} ({addresses[1 - index]}) was lost' in done.stderr
