"""Which worker am I, and where is the TPU? Reads the variables that engines set, and needs no TensorFlow."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence

from seedwise.errors import UserError


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
    """Returns the cluster that the environment describes, or None if it describes none.

    The first of these that is set counts:
      TF_CONFIG, as TensorFlow defines it: set by hand, by `launch local` and by Vertex AI;
      SEEDWISE_HOSTS, the "host:port" of all workers, in their order and separated by commas, with SEEDWISE_INDEX or (set by
        Kubernetes in the pods of an indexed job) JOB_COMPLETION_INDEX, and SEEDWISE_WORKERS, their number;
      Slurm's variables of a job step of several tasks (`srun -N2 python -m trainer.main ...`).

    Raises:
      UserError: one of them is set, and does not describe a cluster that has this worker.
    """
    for read in (_tf_config, _hosts, _slurm):
        found = read(environ)
        if found:
            return found
    return None


def start_seconds(environ: Mapping[str, str] = os.environ) -> int:
    """Returns for how long workers wait for each other at the start, in seconds: SEEDWISE_START_SECONDS, else 300."""
    return _number(environ, 'SEEDWISE_START_SECONDS', '300')


def tpu_address(environ: Mapping[str, str] = os.environ) -> str:
    """Returns the name or address of the TPU that the environment names, or ''."""
    # Cloud TPU VMs and Vertex AI name it; a Kubernetes pod or a Colab notebook next to one has its address.
    if environ.get('TPU_NAME'):
        return environ['TPU_NAME']
    address = environ.get('KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS') or environ.get('COLAB_TPU_ADDR') or ''
    return address if '://' in address or not address else f'grpc://{address}'


def _tf_config(environ: Mapping[str, str]) -> Cluster | None:
    text = environ.get('TF_CONFIG', '')
    if not text.strip():
        return None
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f'TF_CONFIG is not JSON ({error}): expected for example {example}') from error
    try:
        jobs, task = dict(config['cluster']), config['task']
        kind, index = task['type'], int(task['index'])
        chiefs, workers = ([str(address) for address in jobs.get(job, ())] for job in ('chief', 'worker'))
        known = set(jobs) <= {'chief', 'worker'} and len(jobs[kind]) > 0
    except KeyError as error:
        raise UserError(f'TF_CONFIG lacks {error}: expected for example {example}') from error
    except (TypeError, ValueError) as error:
        raise UserError(f'TF_CONFIG is malformed ({error}): expected for example {example}') from error
    if not known:
        raise UserError(f"TF_CONFIG has jobs {', '.join(jobs)} and task type '{kind}': accepted are chief and worker")
    addresses = (*chiefs, *workers)
    _check_addresses('TF_CONFIG', addresses)
    if not 0 <= index < len(jobs[kind]):
        raise UserError(f'TF_CONFIG has task index {index}: accepted are 0 to {len(jobs[kind]) - 1}')
    if kind == 'worker':
        index += len(chiefs)
    return Cluster(addresses, index, 'TF_CONFIG')


def _hosts(environ: Mapping[str, str]) -> Cluster | None:
    """The cluster that SEEDWISE_HOSTS describes."""
    names = [name for name in ('SEEDWISE_HOSTS', 'SEEDWISE_WORKERS', 'SEEDWISE_INDEX') if environ.get(name)]
    if not names:
        return None
    if 'SEEDWISE_HOSTS' not in names:
        raise UserError(f'{names[0]} is set, but SEEDWISE_HOSTS=host0:port,host1:port,... is not: set both or neither')
    addresses = tuple(address.strip() for address in environ['SEEDWISE_HOSTS'].split(','))
    _check_addresses('SEEDWISE_HOSTS', addresses)
    if _number(environ, 'SEEDWISE_WORKERS', str(len(addresses))) != len(addresses):
        raise UserError(f'SEEDWISE_WORKERS is {environ["SEEDWISE_WORKERS"]}, but SEEDWISE_HOSTS has {len(addresses)}')
    variable = 'SEEDWISE_INDEX' if 'SEEDWISE_INDEX' in names else 'JOB_COMPLETION_INDEX'
    if variable not in environ:
        raise UserError(
            'SEEDWISE_HOSTS is set, but neither JOB_COMPLETION_INDEX nor SEEDWISE_INDEX: which one is this?'
        )
    index = _number(environ, variable)
    if index >= len(addresses):
        raise UserError(f'{variable} is {index}: accepted are 0 to {len(addresses) - 1}, as SEEDWISE_HOSTS has them')
    job_set = environ.get('JOBSET_NAME')
    engine = f'Kubernetes job set {job_set}' if job_set else 'SEEDWISE_HOSTS'
    return Cluster(addresses, index, engine) if len(addresses) > 1 else None


#: Ports that workers under Slurm listen on: below those that Linux gives to outgoing connections.
_PORTS = range(10_000, 32_000)


def _slurm(environ: Mapping[str, str]) -> Cluster | None:
    """The cluster of a job step of several tasks.

    The batch script itself, and a shell of `salloc`, have most of Slurm's variables, but belong to no step.
    """
    if 'SLURM_STEP_ID' not in environ or environ.get('SLURM_STEP_NUM_TASKS') == '1':
        return None
    needed = ('JOB_ID', 'STEP_NUM_TASKS', 'STEP_NODELIST', 'STEP_TASKS_PER_NODE', 'PROCID', 'NODEID', 'LOCALID')
    missing = [f'SLURM_{name}' for name in needed if not environ.get(f'SLURM_{name}')]
    if missing:
        raise UserError(f'SLURM_STEP_ID is set, but {", ".join(missing)} not: start with srun, which sets all')
    job, step, tasks, index, node, local = (
        _number(environ, f'SLURM_{name}')
        for name in ('JOB_ID', 'STEP_ID', 'STEP_NUM_TASKS', 'PROCID', 'NODEID', 'LOCALID')
    )
    try:
        nodes = hostnames(environ['SLURM_STEP_NODELIST'])
    except ValueError as error:
        raise UserError(f"SLURM_STEP_NODELIST is '{environ['SLURM_STEP_NODELIST']}': not a list of hosts") from error
    counts = _per_node(environ['SLURM_STEP_TASKS_PER_NODE'])
    places = [(n, i) for n, count in enumerate(counts) for i in range(count)]  # of the tasks, in their order
    if (len(counts), len(places)) != (len(nodes), tasks):
        raise UserError(
            f'SLURM_STEP_NUM_TASKS is {tasks}, but SLURM_STEP_NODELIST has {len(nodes)} nodes and '
            f'SLURM_STEP_TASKS_PER_NODE {len(places)} tasks on {len(counts)}'
        )
    if index >= tasks or places[index] != (node, local):
        raise UserError(
            f'SLURM_PROCID {index} of {tasks} is task {local} of node {node}: tasks must fill one node after the other; '
            'start with srun --distribution=block'
        )
    # A job has 32 ports to itself, a step 8 of them: jobs and steps that run on one host at a time do not meet.
    first = job * 32 + step * 8
    ports = [_PORTS[(first + i) % len(_PORTS)] for i in range(tasks)]
    addresses = tuple(f'{nodes[n]}:{port}' for (n, _), port in zip(places, ports, strict=True))
    return Cluster(addresses, index, f'Slurm job {job}')


def hostnames(text: str) -> list[str]:
    """Returns the names in one of Slurm's lists of hosts, in its order: 'node[2,08-10],gpu1' has five.

    Raises:
      ValueError: it is not such a list.
    """
    names: list[str] = []
    for item in re.findall(r'(?:[^,\[]|\[[^]]*\])+', text):
        parts = re.split(r'\[([^]]*)\]', item)  # texts, and between them what was in brackets
        expanded = [parts[0]]
        for numbers, after in zip(parts[1::2], parts[2::2], strict=True):
            expanded = [f'{name}{number}{after}' for name in expanded for number in _numbers(numbers)]
        names += expanded
    return names


def _numbers(text: str) -> list[str]:
    """'2,08-10' -> ['2', '08', '09', '10']"""
    numbers = []
    for item in text.split(','):
        first, _, last = item.partition('-')
        numbers += [str(n).zfill(len(first)) for n in range(int(first), int(last or first) + 1)]
    return numbers


def _per_node(text: str) -> list[int]:
    """'2(x3),1' -> [2, 2, 2, 1]"""
    counts: list[int] = []
    for item in text.split(','):
        match = re.fullmatch(r'(\d+)(?:\(x(\d+)\))?', item)
        if not match:
            raise UserError(f"SLURM_STEP_TASKS_PER_NODE is '{text}': expected for example 2(x3),1")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _number(environ: Mapping[str, str], name: str, default: str = '') -> int:
    text = environ.get(name) or default
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"{name} is '{text}': it must be a whole number")
    return int(text)


def _check_addresses(variable: str, addresses: Sequence[str]) -> None:
    for address in addresses:
        host, _, port = address.rpartition(':')
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f'{variable} has the address \'{address}\': expected for example ["host:port", ...]')
    if len(set(addresses)) < len(addresses):
        raise UserError(f'{variable} has an address twice: {", ".join(addresses)}')
