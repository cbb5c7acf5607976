"""Numbers at their ends: data that are few, many, of many classes or not finite, and rates and losses that overflow.

A run ends with a result, as diverged, or with one line. Then it is judged and used, with the same choice.
"""

import json
import math
import random
import re
from pathlib import Path

import numpy as np

from tests.faults import forked
from tests.helpers import ROOT
from trainer import metrics

EVERY_METRIC = str(tuple(name for name in metrics.METRICS if name != 'loss'))

#: Models of a user's own, with the number that their first kernel consists of.
SCALES = {'nan': 'nan', 'infinite': 'inf', 'overflows': '1e5', 'large': '1e3', 'underflows': '1e-7'}

#: A user's own file: weights that are not finite, activations and gradients beyond or below 16 bits, and numbers that are
#: not finite where a finite one is expected.
MINE = """
import keras


def made(image_shape, classes, scale):
    image = keras.Input(image_shape)
    x = keras.layers.Flatten()(image)
    x = keras.layers.Dense(4, kernel_initializer=keras.initializers.Constant(float(scale)))(x)
    return keras.Model(image, keras.layers.Dense(classes)(x))


def loss(labels, logits):
    return keras.ops.exp(keras.ops.abs(logits[:, 0]) * 100)


def rate(progress):
    return 1 / (progress - progress)


def not_finite(labels, logits):
    return float('nan')


not_finite.goal = 'max'
""" + ''.join(
    f"""

def {name}(image_shape, classes):
    return made(image_shape, classes, '{scale}')
"""
    for name, scale in SCALES.items()
)

#: Fields of which one or two are set, with values at their ends.
FIELDS = {
    'optimizer.learning_rate': ('1e30', '1e-30', '1e6', '100.0'),
    'optimizer.name': ('SGD', 'Nadam', 'ScheduleFreeAdamW', 'Lion'),
    'loss.name': ('categorical_crossentropy', 'kl_divergence', 'mean_squared_error', 'mine.py:loss'),
    'precision': ('float64', 'mixed_bfloat16', 'mixed_float16', 'mixed_float16'),
    'model.name': tuple(f'mine.py:{name}' for name in SCALES),
    'loss.class_weights': ("('balanced',)",),
    'schedule.name': ('mine.py:rate',),
    'test_every_evaluation': ('true',),
    'data.normalize': ('standard', 'none', 'auto'),
    'data.validation': ('0', '1', '2', '5'),
    'global_batch_size': ('1', '2', '7', '128'),
    'metrics': (
        "('accuracy','auc')",
        "('macro_f1','calibration_error')",
        "('brier_score','negative_log_likelihood')",
        "('top_5_accuracy',)",
        EVERY_METRIC,
        EVERY_METRIC,
        "('mine.py:not_finite','auc')",
    ),
    'model.batch_norm': ('every', 'none'),
    'early_stopping_patience': ('1',),
    'epochs': ('0', '1'),
    'model.kernel_initializer': ('he_normal', 'zeros'),
}

#: In a table that a command prints.
NOT_A_NUMBER = re.compile(r'\b(nan|inf)\b', re.IGNORECASE)

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
            {'huge': inputs * np.float32(1e37), 'constant': np.zeros_like(inputs)}.get(kind, inputs)
            if inputs.ndim == 2
            else inputs
        )
        labels = numbers.integers(0, classes, count)
        labels[0] = classes - 1
        arrays |= {f'x_{split}': inputs, f'y_{split}': labels}
    np.savez(folder / 'data.npz', **arrays)
    (folder / 'mine.py').write_text(MINE, encoding='utf-8')
    chosen = {path: rng.choice(FIELDS[path]) for path in rng.sample([*FIELDS], rng.randint(0, 3))}
    given = {'data.name': f'{folder}/data.npz', 'data.validation': '0', 'model.name': 'mlp'}
    given |= {'epochs': '2', 'threads': '1'} | chosen
    if given.get('metrics') == EVERY_METRIC and given['data.validation'] != '0':
        given['monitor'] = rng.choice(('auc', 'macro_f1', 'calibration_error', 'loss'))
    if given['model.name'] == 'mlp':
        given['model.hidden'] = '(4,)'
    what = f'{kind}, {train} and {test} examples, {classes} classes, {chosen}'
    workdir = folder / 'run'
    words = [f'--config.{path}={value}' for path, value in given.items()]
    default = f'--config={ROOT}/configs/default.py'
    ended = forked.run('trainer.main', [default, *words, f'--workdir={workdir}'], folder=folder)
    if fault := ended.fault((0, 3)):
        return 1, f'{what}: {fault}: {(ended.out + ended.err)[-2500:]}'
    if ended.code == 2:
        return 1, ''
    result = json.loads((workdir / 'result.json').read_text(encoding='utf-8'))
    if fault := _wrong(result, ended.code, test):
        return 1, f'{what}: {fault}'
    np.save(folder / 'in.npy', arrays['x_test'])
    used = [('trainer.judge', [str(workdir)])]
    used += [('trainer.predict', [str(workdir), str(folder / 'in.npy'), '--trust'])] if ended.code == 0 else []
    for module, arguments in used:
        ended = forked.run(module, arguments, folder=folder)
        refused = 'exit code 2' if module == 'trainer.predict' and ended.code == 2 else ''
        silent = 'a number that is not one' if NOT_A_NUMBER.search(ended.out) else ''
        if fault := ended.fault((0,)) or refused or silent:
            return 1, f'{what}: {module}: {fault}: {(ended.out + ended.err)[-2500:]}'
    return 1, ''


def _wrong(result: dict, code: int | None, test: int) -> str:
    """Returns what is wrong with the result of a run on `test` test examples, '' if nothing is."""
    if (result['status'] == 'diverged') != (code == 3):
        return f'exit code {code} of a run that {result["status"]}'
    for row in (result['test'], *result['history']):
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                return f'{name} is {value}'
    if code == 0 and (result['test']['loss'] is None or result['test']['examples'] != test):
        return f'{result["test"]["examples"]} of {test} test examples were counted'
    return ''
