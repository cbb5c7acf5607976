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
        jobs, task = config['cluster'], config['task']
        addresses = (*jobs.get('chief', ()), *jobs['worker'])
        index = int(task['index']) + (len(jobs.get('chief', ())) if task['type'] == 'worker' else 0)
        kinds_known = set(jobs) <= {'chief', 'worker'} and task['type'] in jobs
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f'TF_CONFIG lacks or garbles {error}: wanted is {example}') from error
    if not kinds_known:
        raise UserError(
            f"TF_CONFIG has jobs {sorted(jobs)} and task type '{task['type']}': accepted are chief and worker"
        )
    for address in addresses:
        host, _, port = str(address).rpartition(':')
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise UserError(f"TF_CONFIG has worker address '{address}': wanted is host:port")
    if not 0 <= index < len(addresses):
        raise UserError(f'TF_CONFIG has task index {task["index"]}: accepted are 0 to {len(jobs[task["type"]]) - 1}')
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
