"""Small studies to check, with one thing that is right or wrong in each, and results of their runs."""

import itertools
from pathlib import Path

import ml_collections
import numpy as np
import pandas as pd

from configs import default
from seedwise.dotted import get
from trainer.compare import grid
from trainer.compare.checks import check
from trainer.compare.study import Plan


def study(**fields) -> ml_collections.ConfigDict:
    """Returns a study of two optimizers x two losses, with validation, and with these fields, by dotted path."""
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name, config.base.data.validation = 'digits', 200
    config.axes = {
        'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')},
        'loss': {'CCE': {}, 'MSE': {'loss': {'name': 'mean_squared_error'}}},
    }
    config.seeds = 2
    for path, value in fields.items():
        parent, _, key = path.rpartition('.')
        (get(config, parent) if parent else config)[key] = value
    return config


TUNE = {
    'trials': 2,
    'metric': 'validation_accuracy',
    'tiers': {'rate': {name: {'optimizer': {'learning_rate': ('log', 1e-4, 1.0)}} for name in ('Adam', 'SGD')}},
}


def checked(config: ml_collections.ConfigDict) -> Plan:
    grid.prepare(config)
    plan = Plan(config, Path('/nowhere'), 0, 1)
    check.check_report(config, plan.everything())
    return plan


def claim(**fields):
    return {'claims': ({'id': 'x', 'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'SGD'}} | fields,)}


def row(**fields):
    return {'paper': {'reference': 'x', 'table': ({'variant': {'optimizer': 'Adam'}} | fields,)}}


def curve(**fields):
    usual = {'variant': {'optimizer': 'Adam'}, 'metric': 'train_loss', 'epochs': (1, 2), 'values': (0.5, 0.25)}
    return {'paper': {'reference': 'x', 'curves': (usual | fields,)}}


def tune(**fields):
    return {'tune': TUNE | fields}


def finished(plan: Plan, trials: bool = False) -> pd.DataFrame:
    """Results of all runs, as `runs.read` returns them, or of trials."""
    rng, rows = np.random.default_rng(0), []
    for variant, seed in itertools.product(plan.everything(), range(2)):
        if trials and variant.labels.get('tuning', 'default') == 'default':
            continue
        splits = ['train', *['test'] * (not trials), *['validation'] * bool(variant.config.data.validation)]
        numbers = {f'{s}_{m}': float(rng.uniform()) for s in splits for m in ('accuracy', 'loss')}
        during = {k: v for k, v in numbers.items() if variant.config.test_every_evaluation or not k.startswith('test')}
        row = dict(variant.labels) | {'variant': variant.name, 'seed': seed, 'status': 'completed'} | numbers
        row |= {'history': [{'epoch': 1.0, 'step': 12, 'seconds': 0.1} | during], 'parameters': 10, 'steps': 12}
        row |= {f'seconds_{part}': 1.0 for part in ('total', 'training', 'evaluation', 'startup')}
        row |= {'learning_rate': 10.0 ** -rng.uniform(1, 3), 'low': 1e-4, 'high': 1.0} if trials else {}
        rows.append(row)
    columns = ['validation_accuracy', 'validation_loss', 'test_accuracy', 'test_loss']
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=[*frame, *(c for c in columns if c not in frame)])
