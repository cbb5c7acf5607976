"""Numbers at their ends: data that are few, many, of many classes or not finite, and rates and losses that overflow.

A run ends with a result, as diverged, or with one line. Then it is judged and used, with the same choice.
"""

import json
import math
import random
from pathlib import Path

import numpy as np

from tests.faults import forked

#: Fields of which one or two are set, with values at their ends.
FIELDS = {
    'optimizer.learning_rate': ('1e30', '1e-30', '3e38', '100.0'),
    'optimizer.name': ('SGD', 'Nadam', 'ScheduleFreeAdamW', 'Lion'),
    'loss.name': ('categorical_crossentropy', 'kl_divergence', 'mean_squared_error'),
    'precision': ('float64', 'mixed_bfloat16', 'mixed_float16'),
    'data.normalize': ('standard', 'none', 'auto'),
    'data.validation': ('0', '1', '2', '5'),
    'global_batch_size': ('1', '2', '7', '128'),
    'metrics': (
        "('accuracy','auc')",
        "('macro_f1','calibration_error')",
        "('brier_score','negative_log_likelihood')",
        "('top_5_accuracy',)",
    ),
    'model.batch_norm': ('every', 'none'),
    'early_stopping_patience': ('1',),
    'model.kernel_initializer': ('he_normal', 'zeros'),
}

COUNTS, CLASSES = (1, 1, 2, 3, 10, 200), (1, 2, 3, 10, 10_000)


def act(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Trains one run on such data; returns (1, the fault)."""
    train, test, classes = rng.choice(COUNTS), rng.choice(COUNTS[:4]), rng.choice(CLASSES)
    numbers = np.random.default_rng(rng.getrandbits(32))
    kind = rng.choice(['features', 'images', 'not finite', 'huge', 'constant'])
    arrays = {}
    for split, count in (('train', train), ('test', test)):
        inputs = numbers.normal(size=(count, 5)).astype(np.float32)
        if kind == 'images':
            inputs = numbers.integers(0, 256, (count, 6, 6, 1), np.uint8)
        if kind == 'not finite':
            inputs[rng.randrange(count), rng.randrange(5)] = rng.choice([np.nan, np.inf, -np.inf])
        inputs = (
            {'huge': inputs * np.float32(1e37), 'constant': inputs * 0}.get(kind, inputs)
            if inputs.ndim == 2
            else inputs
        )
        labels = numbers.integers(0, classes, count)
        labels[0] = classes - 1
        arrays |= {f'x_{split}': inputs, f'y_{split}': labels}
    np.savez(folder / 'data.npz', **arrays)
    chosen = {path: rng.choice(FIELDS[path]) for path in rng.sample([*FIELDS], rng.randint(0, 3))}
    given = {'data.name': f'{folder}/data.npz', 'data.validation': '0', 'model.name': 'mlp', 'model.hidden': '(4,)'}
    given |= {'epochs': '2', 'threads': '1'} | chosen
    what = f'{kind}, {train} and {test} examples, {classes} classes, {chosen}'
    workdir = folder / 'run'
    words = [f'--config.{path}={value}' for path, value in given.items()]
    ended = forked.run('trainer.main', ['--config=configs/default.py', *words, f'--workdir={workdir}'])
    if fault := ended.fault((0, 3)):
        return 1, f'{what}: {fault}: {(ended.out + ended.err)[-2500:]}'
    if ended.code == 2:
        return 1, ''
    result = json.loads((workdir / 'result.json').read_text())
    loss = result['test']['loss']
    if (result['status'] == 'diverged') != (ended.code == 3) or (ended.code == 0 and not math.isfinite(loss)):
        return 1, f'{what}: exit code {ended.code} of a run that {result["status"]}, test loss {loss}'
    if ended.code == 0 and result['test']['examples'] != test:
        return 1, f'{what}: {result["test"]["examples"]} of {test} test examples were counted'
    for module, arguments in (
        ('trainer.judge', [str(workdir)]),
        ('trainer.predict', [str(workdir), str(folder / 'in.npy')]),
    ):
        np.save(folder / 'in.npy', arrays['x_test'])
        ended = forked.run(module, arguments)
        refused = 'exit code 2' if module == 'trainer.predict' and ended.code == 2 else ''
        if fault := ended.fault((0,)) or refused:
            return 1, f'{what}: {module}: {fault}: {(ended.out + ended.err)[-2500:]}'
    return 1, ''
