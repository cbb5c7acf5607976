"""What TensorBoard's events cost, as a share of a run's time:

python -m benchmarks.tensorboard_cost [--repetitions=15] [--only=mlp,cnn,study]

A run: whole runs of a config, with events and without, in turns, by steps that are compiled already, with one thread of
TensorFlow's. All that a run's board holds is written: scalars, text, graph, and the confusion matrix and the most
confidently wrong examples of 5,000 validation images. The cost is the CPU time, of all threads, by which the median run
with events exceeds the median one without; the share is of the median time in training steps, by the clock.

A study: what the study's process does when one of its runs finishes, which is to write that run's events and its
variant's mean over seeds again, for 3 variants x 10 seeds, each a copy of one finished run of `raj_optimizers_losses`. The
run itself writes no events.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import app, flags

_ONLY = flags.DEFINE_list('only', ['mlp', 'cnn', 'study'], 'What to measure.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 15, 'Runs on each side.', lower_bound=1)

RUNS = {
    'mlp': ('MLP 784-128-10, 5 epochs', 'mlp_adam', 5),
    'cnn': ('CNN, 421,642 parameters, 1 epoch', 'cnn_adam', 1),
}


class Runs:
    """Runs of a config, with or without events."""

    def __init__(self, config, folder: Path, location):
        from data_pipeline import sources
        from trainer import strategy

        self._config, self._folder = config.copy_and_resolve_references(), folder
        self._config.threads = 1
        self._strategy = strategy.start(self._config, None)
        self._dataset = sources.load(location, seed=config.seed, validation=config.data.validation)
        self._programs: dict[bool, Any] = {}
        self._number = 0

    def seconds(self, events: bool) -> tuple[float, float]:
        """Returns the CPU time of one run, and the time of its training steps by the clock."""
        from trainer.train import Run

        self._number += 1
        self._config.tensorboard.enabled = events
        workdir = self._folder / str(self._number)
        workdir.mkdir()
        started, cpu = time.perf_counter(), time.process_time()
        run = Run(self._config, self._strategy, self._dataset, workdir, program=self._programs.get(events))
        self._programs[events] = run.program
        result = run.complete(started, show=False)
        return time.process_time() - cpu, result['seconds']['training']


def cost_of_a_run(config, folder: Path, location) -> tuple[float, float]:
    """Returns the seconds of training, and those that events add to a run."""
    runs = Runs(config, folder, location)
    for events in (True, False):
        runs.seconds(events)  # compiles
    cpu: dict[bool, list[float]] = {True: [], False: []}
    training = []
    for i in range(_REPETITIONS.value):
        for events in (True, False) if i % 2 else (False, True):
            total, steps = runs.seconds(events)
            cpu[events].append(total)
            training.append(steps)
    return statistics.median(training), statistics.median(cpu[True]) - statistics.median(cpu[False])


def cost_in_a_study(folder: Path, location) -> tuple[float, float]:
    """Returns the seconds of training of a run, and the mean of those that the study's board takes for each."""
    from configs.studies import raj_optimizers_losses
    from seedwise.storage import files
    from trainer.compare import grid
    from trainer.compare.dashboard import Dashboard

    study = raj_optimizers_losses.get_config()
    grid.prepare(study)
    variants, seeds = grid.variants_of(study)[:3], grid.seeds_of(study)
    specs = grid.runs_of(variants, seeds, folder / 'study')
    runs = Runs(specs[0].config, folder, location)
    runs.seconds(False)
    training = min(runs.seconds(False)[1] for _ in range(_REPETITIONS.value))
    result = json.loads((folder / '1' / 'result.json').read_text(encoding='utf-8'))
    dashboard = Dashboard('raj_optimizers_losses', seeds, folder / 'study')
    dashboard.begin(variants)
    seconds = 0.0
    for i, spec in enumerate(specs):
        spec.workdir.mkdir(parents=True)
        test = result['test'] | {'accuracy': result['test']['accuracy'] + 1e-4 * (i % 10)}
        files.write_json(spec.workdir / 'result.json', result | {'config_hash': spec.hash, 'test': test})
        started = time.process_time()
        dashboard.finished(spec)
        seconds += time.process_time() - started
    return training, seconds / len(specs)


def main(_) -> None:
    from seedwise import tensorflow_import

    tensorflow_import.import_tensorflow()
    from data_pipeline import sources
    from seedwise import config_files

    location = sources.locate('mnist')
    print(f'{"":36} {"training":>9} {"events":>9}   share')
    with tempfile.TemporaryDirectory() as scratch:
        for name, file, epochs in (RUNS[key] for key in _ONLY.value if key in RUNS):
            config = config_files.load(Path('configs', f'{file}.py'), [])
            config.epochs, config.data.validation = epochs, 5000
            folder = Path(scratch, file)
            folder.mkdir()
            show(name, *cost_of_a_run(config, folder, location))
        if 'study' in _ONLY.value:
            folder = Path(scratch, 'studies')
            folder.mkdir()
            show('a run of raj_optimizers_losses', *cost_in_a_study(folder, location))


def show(name: str, training: float, added: float) -> None:
    print(f'{name:36} {training:7.3f} s {added * 1000:6.1f} ms  {added / training:6.1%}')


if __name__ == '__main__':
    app.run(main)
