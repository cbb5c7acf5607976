"""Worker processes use what they have compiled again, and change no run by it."""

import collections
import itertools
import subprocess
import sys
from pathlib import Path

from configs import default
from configs.studies import raj_optimizers_losses
from tests.helpers import STUDY, hashes
from trainer import losses
from trainer.compare import grid
from trainer.compare.engines import local, worker

#: Trains the runs of a study, of each seed one variant and then the other, as in rounds, and prints how many were compiled.
IN_TURN = """
import runpy
import sys
from pathlib import Path

from data_pipeline import sources
from trainer import train
from trainer.compare import grid
from trainer.compare.engines import worker

file, workdir, worker.KEPT_BYTES = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
make, made = train.Program, []
train.Program = lambda *args, **options: made.append(1) or make(*args, **options)
config = runpy.run_path(file)['get_config']()
grid.prepare(config)
trainer = None
for seed in grid.seeds_of(config):
    for spec in grid.runs_of(grid.variants_of(config), [seed], workdir):
        trainer = trainer or worker.Trainer(spec.config, sources.locate('digits'))
        spec.workdir.mkdir(parents=True)
        trainer.run(spec.config, spec.workdir, True)
print(len(made))
"""


def compiled(file: Path, workdir: Path, kept: int) -> int:
    command = [sys.executable, '-c', IN_TURN, file, workdir, str(kept)]
    return int(subprocess.run(command, check=True, capture_output=True, encoding='utf-8').stdout)


def test_a_worker_keeps_what_it_has_compiled_within_limits(tmp_path):
    """Two optimizers, three seeds: what is compiled again for each run is the run as it would be on its own."""
    (file := tmp_path / 'study.py').write_text(STUDY)
    assert compiled(file, tmp_path / 'kept', worker.KEPT_BYTES) == 2
    assert compiled(file, tmp_path / 'again', 0) == 6
    assert len(hashes(tmp_path / 'kept')) == 6
    assert hashes(tmp_path / 'kept') == hashes(tmp_path / 'again')


def raj(seeds: int, workdir: Path) -> list[grid.RunSpec]:
    """Seven optimizers with three losses: seven programs."""
    config = raj_optimizers_losses.get_config()
    grid.prepare(config)
    return grid.runs_of(grid.variants_of(config), range(seeds), workdir)


def test_workers_go_seed_by_seed_and_each_program_stays_with_one(tmp_path):
    specs = raj(seeds=10, workdir=tmp_path)
    work, given = local.Work(specs), collections.defaultdict(list)
    order = []
    for worker_name in itertools.cycle('ab'):  # runs take equally long
        spec = work.next_for(worker_name)
        if spec is None:
            break
        order.append(spec.seed)
        given[worker_name].append(worker.program_key(spec.config))
    assert len(order) == len(specs)
    assert 7 <= sum(len({*keys}) for keys in given.values()) <= 7 + 3  # a few twice: neither stands idle in the end
    for done in range(1, len(specs)):
        assert max(order[:done]) - min(order[done:]) <= 3


def test_a_worker_is_given_first_what_it_has_compiled(tmp_path):
    specs = raj(seeds=1, workdir=tmp_path)
    last = worker.program_key(specs[-1].config)
    work = local.Work(specs, compiled={'a': {worker.program_key(spec.config) for spec in specs} - {last}, 'b': {last}})
    given = [work.next_for('b') for _ in range(3)]
    assert {spec.config.optimizer.name for spec in given} == {specs[-1].config.optimizer.name}
    assert len({spec.config.loss.name for spec in given}) == 3  # they are one program
    assert work.next_for('a') is specs[0]
    assert work.next_for('b') is not None  # compiles once more


def test_losses_that_differ_are_programs_of_their_own():
    """Of smoothed labels, the KL divergence is the cross-entropy less a number."""
    config = default.get_config()
    keys = {}
    for smoothing in (0.0, 0.1):
        config.loss.label_smoothing = smoothing
        for config.loss.name in losses.LOSSES:
            keys[config.loss.name, smoothing] = worker.program_key(config)
    cross_entropy = keys['categorical_crossentropy', 0.0]
    assert keys['sparse_categorical_crossentropy', 0.0] == keys['kl_divergence', 0.0] == cross_entropy
    assert len(set(keys.values())) == 2 + 3
