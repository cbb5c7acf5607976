"""Workers wait for each other before TensorFlow starts, on the ports that it will use, and name who is missing or lost.

Needs no TensorFlow.
"""

import contextlib
import json
import re
import socket
import sys
import threading
import time

from seedwise.errors import LostWorker, UserError
from trainer.cluster import Cluster, start_seconds

#: Seconds after which a waiting worker reports which workers it is waiting for.
PATIENCE_SECONDS = 10.0


def wait_for_all(cluster: Cluster) -> None:
    """Waits until all workers answer on their ports; this one answers meanwhile.

    TensorFlow, which answers there from then on, would wait an hour for a worker that never starts, and not name it. A
    name may appear late, as those of Kubernetes' pods do, and so one that does not resolve yet is waited for too; so is one
    that leads to the wrong machine.

    Raises:
      LostWorker: some did not start within `start_seconds`, or cannot be reached, or this worker's own name leads elsewhere.
    """
    started = time.monotonic()
    reported = False
    ended = threading.Event()
    with _listen(cluster) as listener:
        reasons = _watch(cluster, ended)
        try:
            while problems := _problems(cluster, reasons):
                _answer(listener, _greeting(cluster), POLL_SECONDS)
                waited = time.monotonic() - started
                if waited > start_seconds():
                    raise LostWorker(
                        f'within {start_seconds()} s (SEEDWISE_START_SECONDS) not all workers started: {problems}'
                    )
                if waited > PATIENCE_SECONDS and not reported:
                    reported = True
                    print(f'waiting for {problems}', file=sys.stderr, flush=True)
        finally:
            ended.set()


#: What is said of a worker that has not been reached yet, and of one that is somewhere else.
LOOKING, ELSEWHERE = 'looking up its name takes long', 'its name leads to the wrong machine'

#: Seconds: between two looks at another worker, and for which one that is reached has time to answer.
POLL_SECONDS, ANSWER_SECONDS = 0.2, 3.0

#: First bytes of what a waiting worker says, and of the frame of HTTP/2 that a server begins with (RFC 9113, 6.5).
_WORKER, _SETTINGS = b'{"worker": ', re.compile(rb'...\x04\x00', re.DOTALL)


def _greeting(cluster: Cluster) -> bytes:
    """What a waiting worker says: who it is, and of which workers."""
    return json.dumps({'worker': cluster.index, 'of': cluster.addresses}).encode() + b'\n'


def _answer(listener: socket.socket, greeting: bytes, seconds: float) -> None:
    """Greets whoever connects within some seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        listener.settimeout(left)
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)


def _watch(cluster: Cluster, ended: threading.Event) -> dict[int, str]:
    """Looks again and again at all workers, each in a thread, since looking up a name may take a minute, until `ended`.

    Returns:
      why each of them cannot be reached, or '', which changes as it is found out.
    """
    reasons = dict.fromkeys(range(len(cluster.addresses)), LOOKING)

    def look(index: int) -> None:
        while not ended.is_set():
            reasons[index] = _resolve(cluster) if index == cluster.index else _reach(cluster, index)
            ended.wait(POLL_SECONDS)

    for index in reasons:
        threading.Thread(target=look, args=(index,), name=f'worker {index}', daemon=True).start()
    return reasons


def _problems(cluster: Cluster, reasons: dict[int, str]) -> str:
    """Returns the workers that cannot be reached, each with the reason, or ''."""
    return '; '.join(f'{_name(cluster, {index})}: {reason}' for index, reason in reasons.items() if reason)


def _resolve(cluster: Cluster) -> str:
    """Returns why this worker's own name is not known, or leads to another one, or ''."""
    host, _, port = cluster.addresses[cluster.index].rpartition(':')
    try:
        socket.getaddrinfo(host.strip('[]'), port)
    except OSError as error:
        return f"its name, this worker's own, does not resolve ({error.strerror})"
    # Not every network lets a machine reach itself by its own name: only what another one says counts.
    reason = _reach(cluster, cluster.index)
    return reason if ELSEWHERE in reason or (cluster.is_chief and reason) else ''


def _reach(cluster: Cluster, index: int) -> str:
    """Returns why a worker does not answer at its address, or ''."""
    host, _, port = cluster.addresses[index].rpartition(':')
    host, where, said = host.strip('[]'), '', b''
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        where = _where(host, *(str(one[4][0]) for one in found))
        with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as connection:
            where = _where(host, connection.getpeername()[0].removeprefix('::ffff:'))
            while chunk := connection.recv(1 << 16):
                said += chunk
                if not said.startswith(_WORKER[: len(said)]) or said.endswith(b'\n'):
                    break
    except socket.gaierror as error:
        return f'its name does not resolve ({error.strerror})'
    except TimeoutError:
        return f'it does not answer{where}'
    except OSError as error:
        return f'it does not listen yet ({error.strerror}){where}'
    return _judge(cluster, index, said, where)


def _where(host: str, *numbers: str) -> str:
    """Returns the numbers that a host's name stands for, as the end of a sentence; '' if it is a number itself."""
    return '' if host in numbers else f' at {" or ".join(dict.fromkeys(numbers))}'


def _judge(cluster: Cluster, index: int, said: bytes, where: str) -> str:
    """Returns what is wrong with what was said at a worker's address, or ''."""
    if not said:
        return f'it does not listen yet{where}'
    if _SETTINGS.match(said):  # it has met all the others
        return ''
    try:
        who = json.loads(said)
        other, addresses = int(who['worker']), [str(address) for address in who['of']]
    except (ValueError, TypeError, KeyError):
        return f'something else than a worker answers{where}'
    if addresses != list(cluster.addresses):
        return f'who answers{where} has another list of workers: {", ".join(addresses)}'
    return '' if other == index else f'worker {other} answers{where}: {ELSEWHERE}'


def lost_worker(cluster: Cluster, message: str) -> LostWorker:
    """Returns the error for workers that no longer answer, from what TensorFlow says about it."""
    # It writes /job:worker/replica:0/task:1, or names none: then it is who does not listen, or at last the chief, which
    # watches over the others.
    named = {int(number) for number in re.findall(r'/task:(\d+)', message)} - {cluster.index}
    others = named or _silent(cluster) or {0} - {cluster.index}
    lost = _name(cluster, others) if others else 'another worker'
    return LostWorker(f'{lost} was lost: all must start again, and continue from the last checkpoint')


def _silent(cluster: Cluster) -> set[int]:
    """Returns the other workers that do not answer within some seconds."""
    ended, end = threading.Event(), time.monotonic() + ANSWER_SECONDS + 1
    reasons = _watch(cluster, ended)
    while LOOKING in reasons.values() and time.monotonic() < end:
        time.sleep(0.02)
    ended.set()
    return {index for index, reason in reasons.items() if reason and index != cluster.index}


def _name(cluster: Cluster, workers: set[int]) -> str:
    return f'worker {", ".join(f"{index} ({cluster.addresses[index]})" for index in sorted(workers))}'


def _listen(cluster: Cluster) -> socket.socket:
    address = cluster.addresses[cluster.index]
    port, many = int(address.rpartition(':')[2]), 1024
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(('', port), family=socket.AF_INET6, backlog=many, dualstack_ipv6=True)
        return socket.create_server(('', port), backlog=many)
    except OSError as error:
        message = f'port {port} of worker {cluster.index} ({address}) is in use'
        if cluster.engine.startswith('Slurm'):  # the port was our choice, and the job's next step has others
            raise LostWorker(f'{message}: start again') from error
        raise UserError(f'{message}: choose a free one') from error


def check_port_free(cluster: Cluster) -> None:
    """Raises `UserError` if another process listens on this worker's port, `LostWorker` if a new start would help."""
    _listen(cluster).close()
