"""Small studies with synthetic runs, which several tests share."""

import json
from types import SimpleNamespace

import ml_collections
import numpy as np
import pandas as pd

from configs import default
from seedwise.config_files import load
from tests.helpers import study_text
from trainer.compare import grid
from trainer.compare.allocation import seeds

NOISE = np.random.default_rng(0).normal(0, 0.01, (40, 4))


def table(**values) -> pd.DataFrame:
    """Runs of variants: test accuracies by seed; NaN: the run diverged."""
    rows = [
        {'variant': name, 'optimizer': name, 'seed': seed, 'test_accuracy': value, 'test_loss': 1 - value}
        | {'status': 'completed' if np.isfinite(value) else 'diverged', 'history': [], 'seconds_total': 2.0}
        for name, own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(rows)


def study(*claims, margins=None) -> ml_collections.ConfigDict:
    found = ml_collections.ConfigDict({'axes': {'optimizer': {name: {} for name in 'ABCD'}}, 'margins': margins or {}})
    found.claims = claims
    return found


def claim(kind: str, **fields) -> dict:
    return {'id': kind, 'kind': kind, 'a': {'optimizer': 'A'}, 'b': {'optimizer': 'B'}} | fields


SMALL = study_text(
    'config.base.model.hidden = (8,)',
    'config.base.epochs = 1',
    "config.base.jit = 'off'",
    'config.base.tensorboard.enabled = False',
    "rates = {'fast': 0.01, 'slow': 0.0001, 'other': 0.003}",
    "config.axes = {'rate': {name: {'optimizer': {'learning_rate': rate}} for name, rate in rates.items()}}",
    'config.seeds = 2',
    "config.claims = ({'id': 'faster_is_better', 'kind': 'better', 'a': {'rate': 'fast'}, 'b': {'rate': 'slow'}},)",
)


def small(tmp_path, most: int | None) -> ml_collections.ConfigDict:
    (tmp_path / 'small.py').write_text(SMALL)
    config = load(tmp_path / 'small.py', [])
    grid.prepare(config)
    if most:
        seeds.with_most_seeds(config, most)
    return config


ACCURACY = {'fast': 0.9, 'slow': 0.89, 'other': 0.5}


def pretend(spec, accuracy: float, seconds: float = 1.0) -> None:
    """Writes the result of a run."""
    spec.workdir.mkdir(parents=True)
    result = {'status': 'completed', 'config_hash': spec.hash, 'seed': spec.seed, 'history': [], 'weights_sha256': ''}
    result |= {'dataset': {'name': 'digits', 'fingerprint': ''}, 'seconds': {'total': seconds}}
    result |= {'test': {'accuracy': accuracy, 'loss': 1.0, 'examples': 0}}
    (spec.workdir / 'result.json').write_text(json.dumps(result))


def played(plan, now: list[float]) -> list[int]:
    """Trains runs that take 5 s each, one after the other, as far as they may start; returns the runs of each stage."""
    stages = []
    for specs in plan.stages():
        stages.append(len(specs))
        for spec in specs:
            if plan.budget.may_start(spec):
                now[0] += 5
                name = spec.variant.name
                pretend(spec, ACCURACY[name] + NOISE[spec.seed, list(ACCURACY).index(name)], 5.0)
                plan.budget.finished(spec)
    return stages


def spec(variant: str, seconds: float | None = None) -> SimpleNamespace:
    """A run, finished in so many seconds."""
    result = None if seconds is None else {'seconds': {'total': seconds}}
    config = default.get_config().copy_and_resolve_references()
    with config.unlocked():
        config.seed, config.variant, config.schedule.name, config.threads = 0, variant, 'cosine', 1
    return SimpleNamespace(variant=SimpleNamespace(name=variant), seed=0, result=lambda: result, config=config)


def result_of(spec: grid.RunSpec) -> dict:
    """Returns a finished run's result.json, with made-up numbers."""
    numbers = {'train_loss': 0.5, 'train_accuracy': 0.8, 'validation_loss': None, 'validation_accuracy': None}
    return {
        'status': 'completed',
        'config_hash': spec.hash,
        'seed': spec.seed,
        'dataset': {'name': 'digits', 'fingerprint': 'abc'},
        'history': [{'epoch': 1.0, 'step': 12, 'seconds': 0.5} | numbers],
        'test': {'loss': 0.5, 'accuracy': 0.8, 'examples': 360},
        'seconds': {'total': 1.0, 'training': 0.5, 'evaluation': 0.1, 'startup': 0.4},
        'steps': 12,
        'parameters': 10,
        'weights_sha256': 'def',
    }
