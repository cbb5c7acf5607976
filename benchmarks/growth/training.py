"""Training on more and more examples, and of wider and wider models, each run in a process of its own."""

from pathlib import Path

import numpy as np

from benchmarks.compare import processes
from benchmarks.growth.measured import Measured

#: Side of an image, and the number of classes, of MNIST.
SIDE, CLASSES = 28, 10

#: Own data as a function: what `data.name` calls in this file's copy.
FUNCTION = """
import numpy as np

def data(data_dir, path):
    with np.load(path) as arrays:
        return {split: (arrays[f'x_{split}'], arrays[f'y_{split}']) for split in ('train', 'test')}
"""


def write(file: Path, examples: int, test: int = 1000) -> None:
    """Writes random images like MNIST's, 28x28x1, a fifth of whose pixels are not 0, to a .npz file."""
    draws = np.random.default_rng(0)
    arrays = {}
    for split, count in (('train', examples), ('test', test)):
        images = np.zeros((count, SIDE, SIDE, 1), np.uint8)
        images[:, 9:22, 9:22] = draws.integers(0, 256, (count, 13, 13, 1), np.uint8)
        arrays |= {f'x_{split}': images, f'y_{split}': np.arange(count) % CLASSES}
    np.savez(file, **arrays)


def readers(file: Path) -> dict[str, dict]:
    """Returns how a user may have the examples of a .npz file read: name -> fields of a config."""
    function = file.with_suffix('.py')
    function.write_text(FUNCTION, encoding='utf-8')
    return {
        'in memory': {'data.name': str(file)},
        'streamed': {'data.name': str(file), 'data.memory_limit_mb': 1},
        'function': {'data.name': f'{function}:data', 'data.options': {'path': str(file)}},
    }


def measure(file: Path, fields: dict, threads: int, passes: int = 3, batch: int = 128) -> tuple[Measured, float]:
    """Trains 784-128-10, or what `fields` say, and returns (an epoch, seconds until the first epoch's end).

    An epoch is the fastest one except the first, which reads the data and compiles.
    """
    task = {'side': 'ours', 'network': 'mlp', 'data': str(file), 'passes': passes, 'batch': batch}
    found = processes.child(task | {'threads': threads, 'fields': fields})
    if 'reason' in found:
        raise RuntimeError(found['reason'])
    return Measured(min(found['seconds'][1:]), found['peak_mb']), found['seconds'][0]
