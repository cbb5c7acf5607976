"""How many worker processes fit on a machine: by its cores, and by its memory."""

import json
import math
from pathlib import Path

from data_pipeline.sources import Location
from seedwise import machine

#: What a worker process takes without its data, in bytes. Measured as resident memory on 2 cores of an AMD EPYC (AVX-512),
#: TensorFlow 2.21: 860 MiB with digits; with MNIST 900 to 1,010 MiB (784-64-10 after 11 compiled programs, and the CNN).
WORKER_BYTES = 900 * 2**20

#: What the images of a dataset take in a worker, as a multiple of their size: 2.2 was measured, of 314 MB of images.
DATA_COPIES = 2.5


def fitting(cores: int, memory: int | None, worker_bytes: int, threads: int) -> int:
    """Returns how many workers are started without --workers, at least 1.

    Args:
      cores: that may be used.
      memory: bytes that are available; None: not known.
      worker_bytes: that a worker takes.
      threads: of a worker.
    """
    by_cores = cores // threads
    return max(1, by_cores if memory is None else min(by_cores, memory // worker_bytes))


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


def local_workers(threads: int, needed: int) -> tuple[int, str]:
    """Returns how many workers fit here, and in a line why they are fewer than the cores; '' if they are not.

    Args:
      threads: of a worker.
      needed: bytes that a worker takes.
    """
    cores, memory = machine.cores(), machine.memory()
    size, by_cores = fitting(cores, memory, needed, threads), fitting(cores, None, needed, threads)
    if size == by_cores or memory is None:
        return size, ''
    return size, (
        f'{size} worker{"s" * (size > 1)} instead of {by_cores}: {memory / 2**30:.1f} GiB of memory are available, and each '
        f'takes about {needed / 2**30:.1f} GiB (--workers={by_cores} starts them all the same)'
    )
