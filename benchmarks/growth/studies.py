"""Studies of synthetic runs, and how long the commands take that read them."""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.growth.measured import Measured
from seedwise.config_files import load
from trainer import results
from trainer.compare import grid
from trainer.machine import provenance

#: A study as a user writes it: variants differ in their learning rate.
STUDY = """
from configs import default
import ml_collections

def get_config():
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name = 'digits'
    config.base.model.hidden = (8,)
    config.base.epochs = 1
    rates = {{f'{{i:04}}': 0.001 * 1.001**i for i in range({variants})}}
    config.axes = {{'rate': {{name: {{'optimizer': {{'learning_rate': rate}}}} for name, rate in rates.items()}}}}
    config.seeds = {seeds}
    first, last = ({{'rate': name}} for name in (min(rates), max(rates)))
    config.claims = ({{'id': 'first_is_better', 'kind': 'better', 'a': first, 'b': last}},)
    return config
"""

#: Test examples of 'digits', of which each run is said to get some right.
EXAMPLES = 360

#: What is measured -> the command; `board` is a study that has finished, started again without a report.
COMMANDS = {
    'planning': ('trainer.compare', '--study={study}', '--workdir={workdir}', '--plan'),
    'board': ('trainer.compare', '--study={study}', '--workdir={workdir}', '--workers=1', '--noreport'),
    'report': ('trainer.compare', '--study={study}', '--workdir={workdir}', '--report_only'),
    'judge': ('trainer.judge', '{workdir}/report/runs.csv'),
}

#: Exit codes of a command that has done its work; those of `judge` say whether claims hold.
DONE = (0, 1, 3)


def write(folder: Path, variants: int, seeds: int) -> tuple[Path, Path]:
    """Writes a study of so many variants and seeds, all of whose runs have finished; returns (study file, its workdir).

    The accuracies are normal around 0.9, 0.01 apart from seed to seed, with differences between variants of that size.
    """
    study, workdir = folder / 'study.py', folder / 'runs'
    study.write_text(STUDY.format(variants=variants, seeds=seeds), encoding='utf-8')
    config = load(study, [])
    grid.prepare(config)
    draws = np.random.default_rng(0)
    means = dict(zip((one.name for one in grid.variants_of(config)), draws.normal(0.9, 0.01, variants), strict=True))
    environment = provenance.environment()
    data = {'name': 'digits', 'source': 'bundled', 'fingerprint': '', 'train': 1437, 'validation': 0, 'test': EXAMPLES}
    for spec in grid.runs_of(grid.variants_of(config), grid.seeds_of(config), workdir):
        right = draws.random(EXAMPLES) < np.clip(means[spec.variant.name] + draws.normal(0, 0.01), 0, 1)
        spec.workdir.mkdir(parents=True)
        accuracy = float(right.mean())
        history = {'epoch': 1.0, 'step': 12, 'train_loss': 0.5, 'train_accuracy': accuracy, 'seconds': 0.1}
        result = {
            'status': 'completed',
            'config_hash': spec.hash,
            'seed': spec.seed,
            'dataset': data,
            'strategy': {'name': 'one_device', 'replicas': 1, 'workers': 1, 'global_batch_size': 128},
            'parameters': 6370,
            'steps': 12,
            'metrics': {'accuracy': 'max', 'loss': 'min'},
            'monitor': 'loss',
            'history': [history | {'validation_loss': None, 'validation_accuracy': None}],
            'test': {'loss': 1 - accuracy, 'accuracy': accuracy, 'examples': EXAMPLES},
            'weights_sha256': '',
            'seconds': {'total': 1.0, 'training': 0.5, 'evaluation': 0.1, 'startup': 0.4},
            'examples_per_second': 3000.0,
            **environment,
        }
        (spec.workdir / 'result.json').write_text(json.dumps(result), encoding='utf-8')
        results.write_correct(spec.workdir, right)
    return study, workdir


def measure(part: str, study: Path, workdir: Path) -> Measured:
    """Returns what a command of `COMMANDS` took, from its start to its end."""
    module, *flags = (word.format(study=study, workdir=workdir) for word in COMMANDS[part])
    return command([sys.executable, '-m', module, *flags], workdir.parent / f'{part}.log')


def command(words: list[str], log: Path) -> Measured:
    """Runs a command and returns its seconds and its peak memory. Raises `RuntimeError` where it fails."""
    started = time.perf_counter()
    with open(log, 'wb') as output:
        process = os.posix_spawn(
            words[0],
            words,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)],
        )
        _, status, usage = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) not in DONE:
        raise RuntimeError(f'{" ".join(words)} failed: {log.read_text(encoding="utf-8", errors="replace")[-2000:]}')
    return Measured(time.perf_counter() - started, usage.ru_maxrss / 1024)


def split(runs: int, variants: int) -> dict[str, int]:
    """Returns {'variants', 'seeds'} of a study of about so many runs, with at most `variants` variants."""
    variants = min(variants, max(2, runs // 2))
    return {'variants': variants, 'seeds': max(2, runs // variants)}


def as_dict(measured: Measured) -> dict:
    return dataclasses.asdict(measured)
