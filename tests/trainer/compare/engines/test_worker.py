"""Worker processes use what they have compiled again, and change no run by it."""

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


def test_a_worker_is_given_first_what_it_has_compiled(tmp_path):
    config = raj_optimizers_losses.get_config()
    grid.prepare(config)
    specs = grid.runs_of(grid.variants_of(config), [0], tmp_path)
    work, last = local.Work(specs), worker.program_key(specs[-1].config)
    given = [work.next_for('a', {last}) for _ in range(3)]
    assert {spec.config.optimizer.name for spec in given} == {specs[-1].config.optimizer.name}
    assert len({spec.config.loss.name for spec in given}) == 3  # they are one program
    assert work.next_for('b', {last}) is specs[0]


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
