"""How training gains from more workers: time of an epoch on 1 and 2 single-core workers, and of a study on 1 and 2 nodes.

python -m benchmarks.scaling [--batches=128,512,2048] [--rounds=2] [--epochs=3] [--nostudy]

Each worker is a process of one thread that is pinned to one core, so that two workers have twice as much of the machine as
one. An epoch's time is the median over all but the first, which compiles, of the training steps (evaluation left out); of
several rounds, the median. Each round measures 1 and 2 workers in turn. A study is trained by one node, or by two with a
shard each; a node is one pinned process, and the time is from the first command to the last one's end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

_BATCHES = flags.DEFINE_list('batches', ['128', '512', '2048'], 'Global batch sizes.')
_ROUNDS = flags.DEFINE_integer('rounds', 2, 'Times that all is measured.', lower_bound=1)
_EPOCHS = flags.DEFINE_integer('epochs', 3, 'Epochs of each run; the first is not counted.', lower_bound=2)
_CONFIG = flags.DEFINE_list('config', [], 'More fields of the run, such as optimizer.name=SGD.')
_STUDY = flags.DEFINE_boolean('study', True, 'Measure the study too.')

#: Pins the process to the core of its worker's number, and becomes the command.
PIN = """
import json, os, sys
index = json.loads(os.environ['TF_CONFIG'])['task']['index']
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, [cores[index]])
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

STUDY = ('--study=configs/studies/raj_optimizers_losses.py', '--workers=1')


def epoch_seconds(workers: int, batch: int, epochs: int) -> list[float]:
    """Returns the seconds of each epoch of the CNN on MNIST but the first."""
    with tempfile.TemporaryDirectory() as folder:
        train = [
            '-m', 'trainer.main', '--config=configs/cnn_nadam.py', f'--config.epochs={epochs}', '--config.threads=1',
            f'--config.global_batch_size={batch}', '--config.data.validation=0', f'--workdir={folder}/run',
            f'--config.strategy={"multi_worker" if workers > 1 else "one_device"}',
            *(f'--config.{field}' for field in _CONFIG.value),
        ]  # fmt: skip
        _check(['-m', 'launch', 'local', f'--workers={workers}', '--', sys.executable, '-c', PIN, *train])
        history = json.loads(Path(folder, 'run', 'result.json').read_text(encoding='utf-8'))['history']
    ends = [row['seconds'] for row in history]
    return [end - start for start, end in zip(ends, ends[1:], strict=False)]


def study_seconds(nodes: int) -> float:
    """Returns the seconds that a study takes, from the start of the first process to the end of the last."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        processes = []
        for node, core in zip(range(nodes), sorted(os.sched_getaffinity(0)), strict=False):
            command = [sys.executable, '-m', 'trainer.compare', *STUDY, f'--shard={node}/{nodes}', '--noreport']
            pinned = ['taskset', '--cpu-list', str(core), *command, f'--workdir={folder}']
            processes.append(
                subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding='utf-8')
            )
        for process in processes:
            _, err = process.communicate()
            assert process.returncode == 0, err
        return time.perf_counter() - started


def _check(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, encoding='utf-8')
    assert done.returncode == 0, done.stderr


def main(argv: list[str]) -> None:
    """Prints the tables."""
    print('| global batch | 1 worker | 2 workers | speed-up |\n| --- | --- | --- | --- |')
    for batch in map(int, _BATCHES.value):
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(_ROUNDS.value):
            for workers, times in seconds.items():
                times += epoch_seconds(workers, batch, _EPOCHS.value)
        one, two = (statistics.median(times) for times in seconds.values())
        print(f'| {batch:,} | {one:.2f} s | {two:.2f} s | {one / two:.2f} |', flush=True)
    if _STUDY.value:
        one, two = (study_seconds(nodes) for nodes in (1, 2))
        print(f'\na study of {7 * 3 * 10} runs: {one:.1f} s on 1 node, {two:.1f} s on 2, {one / two:.2f} times as fast')


if __name__ == '__main__':
    app.run(main)
