"""Which worker am I? Reads the variables that engines set; needs no TensorFlow."""

import dataclasses
import json
import os
import socket
from collections.abc import Mapping

from configs.errors import UserError


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run, and this process's place among them."""

    addresses: tuple[str, ...]
    index: int
    engine: str  # who set the variables

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the files: worker 0."""
        return self.index == 0

    def __str__(self) -> str:
        return f'{self.engine}, worker {self.index} of {len(self.addresses)}, chief {self.addresses[0]}'


def find(environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster that the environment describes, or None where it describes none.

    Raises:
      UserError: TF_CONFIG is set and is not a cluster of workers with this one in it.
    """
    text = environ.get('TF_CONFIG', '')
    if not text.strip():
        return None
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f'TF_CONFIG is not JSON ({error}): wanted is {example}') from error
    try:
        jobs, task = dict(config['cluster']), config['task']
        kind, index = task['type'], int(task['index'])
        chiefs, workers = ([str(address) for address in jobs.get(job, ())] for job in ('chief', 'worker'))
        known = set(jobs) <= {'chief', 'worker'} and len(jobs[kind]) > 0
    except KeyError as error:
        raise UserError(f'TF_CONFIG lacks {error}: wanted is {example}') from error
    except (TypeError, ValueError) as error:
        raise UserError(f'TF_CONFIG is garbled ({error}): wanted is {example}') from error
    if not known:
        raise UserError(f"TF_CONFIG has jobs {', '.join(jobs)} and task type '{kind}': accepted are chief and worker")
    addresses = (*chiefs, *workers)
    for address in addresses:
        host, _, port = address.rpartition(':')
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f'TF_CONFIG has the address \'{address}\': wanted is ["host:port", ...]')
    if len(set(addresses)) < len(addresses):
        raise UserError(f'TF_CONFIG has an address twice: {", ".join(addresses)}')
    if not 0 <= index < len(jobs[kind]):
        raise UserError(f'TF_CONFIG has task index {index}: accepted are 0 to {len(jobs[kind]) - 1}')
    if kind == 'worker':
        index += len(chiefs)
    return Cluster(addresses, index, 'TF_CONFIG')


def check_port_free(cluster: Cluster) -> None:
    """Raises `UserError` where another process listens on this worker's port."""
    port = int(cluster.addresses[cluster.index].rpartition(':')[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('', port))
        except OSError as error:
            raise UserError(
                f'port {port} of worker {cluster.index} ({cluster.addresses[cluster.index]}) is in use: choose a free one'
            ) from error
