"""This project: its own loop, from its tf.data pipeline, with accuracy, gradient norm and TensorBoard events."""

import tempfile
import time
from pathlib import Path

from benchmarks.compare.networks import NETWORKS
from benchmarks.compare.sides.task import Task


def run(task: Task) -> dict:
    """Returns the seconds of each pass, all that a user of it waits for between two evaluations, and the accuracy."""
    from seedwise import tensorflow_import

    tensorflow_import.import_tensorflow()  # as the command does
    from configs import default
    from data_pipeline import sources
    from trainer import train

    ends: list[float] = []

    class Clock(train.Progress):
        def evaluation(self, row: dict) -> None:
            ends.append(time.perf_counter())

    train.Progress = Clock
    config = default.get_config()
    for path, value in {
        'data.name': task.data,
        'epochs': task.passes,
        'global_batch_size': task.batch,
        'threads': task.threads,
        'optimizer.name': 'Nadam',
        'loss.name': 'sparse_categorical_crossentropy',
        **NETWORKS[task.network].fields,
        **task.fields,
    }.items():
        *sections, field = path.split('.')
        section = config
        for name in sections:
            section = section[name]
        with section.unlocked():
            section[field] = tuple(value) if isinstance(value, list) else value  # JSON has no tuples
    with tempfile.TemporaryDirectory() as folder:
        config.data.data_dir = f'{folder}/data'
        data = config.data
        location = sources.locate(data.name, data.data_dir, options=dict(data.options))
        started = time.perf_counter()
        location = sources.ensure_downloaded(location, memory_limit_mb=data.memory_limit_mb)
        result = train.train(config, location, Path(folder, 'run'), show=False)
    ends = [started, *ends]
    return {
        'seconds': [end - start for start, end in zip(ends, ends[1:], strict=False)],
        'accuracy': result['test']['accuracy'],
        'parameters': result['parameters'],
        'weights_sha256': result['weights_sha256'],
    }
