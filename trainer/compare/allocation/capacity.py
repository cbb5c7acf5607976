"""How many worker processes fit on a machine (by its cores, its memory and its GPUs), and which GPUs each is given."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.sources import Location
from seedwise import machine
from trainer.compare.analysis.words import count
from trainer.machine.hardware import Gpus, visible_gpus

#: What a worker process takes without its data, in bytes. Measured as resident memory on 2 cores of an AMD EPYC (AVX-512),
#: TensorFlow 2.21: 860 MiB with digits; with MNIST 900 to 1,010 MiB (784-64-10 after 11 compiled programs, and the CNN).
WORKER_BYTES = 900 * 2**20

#: What the images of a dataset take in a worker, as a multiple of their size: 2.2 was measured, of 314 MB of images.
DATA_COPIES = 2.5


@dataclass(frozen=True)
class Machine:
    """What there is: cores that may be used, bytes of memory that are available (None: not known), and GPUs."""

    cores: int
    memory: int | None = None
    gpus: Gpus = Gpus()


def this_machine() -> Machine:
    """Returns what this process may use of its machine."""
    return Machine(machine.cores(), machine.memory(), visible_gpus())


@dataclass(frozen=True)
class Needs:
    """What a worker takes: CPU threads, bytes of memory and, where there are GPUs, so many of them (0: all)."""

    threads: int
    memory: int
    gpus: int = 1


@dataclass(frozen=True)
class Plan:
    """The workers to start. `environments`: variables that each is given; `gpus`: how many GPUs they use together;
    `note`: what a user may not expect of it, in a line; '' if there is nothing."""

    environments: tuple[dict[str, str], ...]
    gpus: int = 0
    note: str = ''

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self.environments)


def needs_of(config, location: Location) -> Needs:
    """Returns what a worker takes that trains a config; on GPUs, a run has one of them unless it asks for more."""
    gpus = config.replicas or int(config.strategy != 'mirrored')
    return Needs(config.threads, worker_bytes(location, config.data.memory_limit_mb), gpus)


def plan(there: Machine, needs: Needs, asked: int = 0, runs: int | None = None) -> Plan:
    """Returns which workers are started: as many as fit, at least 1, and no more than there are runs.

    A user who asks for more workers than there are GPUs gets them, and they share the GPUs in turn: `n_jobs` of joblib and
    Optuna does the same, and a small network leaves most of a GPU idle.

    Args:
      there: the machine.
      needs: of a worker.
      asked: workers that the user asked for (--workers); 0: as many as fit.
      runs: to be trained; None: not known.
    """
    names = there.gpus.names
    # A run that asks for more than there are says so itself, where TensorFlow can use them.
    each = min(needs.gpus or len(names), len(names))
    by_cores = there.cores // needs.threads
    by_gpus = len(names) // each if each else by_cores
    without_memory = max(1, min(by_cores, by_gpus))
    fit = without_memory if there.memory is None else max(1, min(without_memory, there.memory // needs.memory))
    most = 10**6 if runs is None else runs
    size = min(asked or fit, most)
    # In a circle: as long as there are enough of them, no two workers have the same one.
    shares = [[names[(i * each + j) % len(names)] for j in range(each)] for i in range(size)] if names else []
    environments = tuple({there.gpus.variable: ','.join(share)} for share in shares) or ({},) * size
    used = len({name for share in shares for name in share})
    note = _shared(size, len(names), each) if asked else _left(there, needs, fit, without_memory, by_gpus, most)
    return Plan(environments, used, note)


def _shared(size: int, gpus: int, each: int) -> str:
    """Returns how many workers a GPU has, where that is more than one."""
    if size * each <= gpus:
        return ''
    up_to = 'up to ' if size * each % gpus else ''
    return f'{size} workers on {count(gpus, "GPU")}: {up_to}{math.ceil(size * each / gpus)} share each of them'


def _left(there: Machine, needs: Needs, fit: int, without_memory: int, by_gpus: int, most: int) -> str:
    """Returns why not all cores or GPUs are used, where there are runs for them."""
    all_same = '(--workers={} starts them all the same)'
    if there.memory is not None and (fit < without_memory or there.memory < needs.memory):
        available, takes = f'{there.memory / 2**30:.1f} GiB of memory are available', f'{needs.memory / 2**30:.1f} GiB'
        if fit == without_memory:
            return f'{available}, and a run takes about {takes}'
        if fit < most:
            instead = f'{count(fit, "worker")} instead of {without_memory}'
            return f'{instead}: {available}, and each takes about {takes} {all_same.format(without_memory)}'
    elif there.gpus.names and fit < min(by_gpus, most):
        cores = f'{count(there.cores, "core")} may be used, and each takes {needs.threads}'
        workers = f'{count(fit, "worker")} on {len(there.gpus.names)} GPUs'
        return f'{workers}: {cores} {all_same.format(by_gpus)}'
    return ''


def worker_bytes(location: Location, memory_limit_mb: int) -> int:
    """Returns the bytes that a worker takes with a dataset in memory, as far as that is known before it is read."""
    images = image_bytes(location)
    return WORKER_BYTES + (round(DATA_COPIES * images) if images <= memory_limit_mb * 2**20 else 0)


def image_bytes(location: Location) -> int:
    """Returns the size of a dataset's images as uint8, from what TFDS noted when it prepared them; 0: not known."""
    if location.source == 'own':
        return location.image_bytes
    name, _, version = location.name.partition(':')
    sizes = [0]
    for folder in Path(location.data_dir, name).glob(version or '*'):
        try:
            features = json.loads((folder / 'features.json').read_text(encoding='utf-8'))['featuresDict']['features']
            splits = json.loads((folder / 'dataset_info.json').read_text(encoding='utf-8'))['splits']
            shapes = [one['image']['shape']['dimensions'] for one in features.values() if 'image' in one]
            examples = sum(int(length) for split in splits for length in split['shardLengths'])
            sizes.append(examples * sum(math.prod(map(int, shape)) for shape in shapes))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not prepared yet, or damaged: who reads it says so
    return max(sizes)
