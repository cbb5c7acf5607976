"""Every optimizer with every option, trained step by step on one strategy.

python -m tests.trainer.optimizer_cases CASES FOLDER STRATEGY..., with CASES 'few', 'default' or 'all', and STRATEGY of
one_device, mirrored and multi_worker (that one alone, with the cluster in the environment). For each strategy it writes
FOLDER/<strategy>.npz (multi_worker: with the worker's index), with two arrays for each case, each of shape
[steps + 1, weights]: what was trained and what would be evaluated before the first step and after each.
"""

import os
import sys
from pathlib import Path

import numpy as np

from configs import default
from data_pipeline import sources
from data_pipeline.examples import InMemory
from trainer import cluster, optimizers
from trainer.config.numbers import settle_numbers

STEPS = 7

#: A value other than Keras's default for each argument.
VALUES = {
    'learning_rate': 0.05,
    'weight_decay': 0.05,
    'clipvalue': 0.02,
    'clipnorm': 0.1,
    'global_clipnorm': 0.2,
    'use_ema': True,
    'ema_momentum': 0.7,
    'ema_overwrite_frequency': 3,
    'momentum': 0.8,
    'nesterov': True,
    'rho': 0.8,
    'centered': True,
    'beta_1': 0.7,
    'beta_2': 0.95,
    'epsilon': 1e-4,
    'amsgrad': True,
    'initial_accumulator_value': 0.3,
    'beta_2_decay': -0.6,
    'epsilon_1': 1e-4,
    'epsilon_2': 0.1,
    'clip_threshold': 0.5,
    'relative_step': False,
    'learning_rate_power': -0.7,
    'l1_regularization_strength': 0.001,
    'l2_regularization_strength': 0.01,
    'l2_shrinkage_regularization_strength': 0.01,
    'beta': 0.1,
    'adam_beta_1': 0.8,
    'adam_beta_2': 0.95,
    'adam_weight_decay': 0.1,
    'adam_lr_ratio': 0.5,
    'muon_a': 3.0,
    'muon_b': -4.0,
    'muon_c': 2.0,
    'ns_steps': 3,
    'rms_rate': 0.4,
    'warmup_steps': 3,
}

AVERAGED = {name: VALUES[name] for name in ('use_ema', 'ema_momentum')}
OVERWRITTEN = AVERAGED | {'ema_overwrite_frequency': VALUES['ema_overwrite_frequency']}


def value(optimizer: str, argument: str):
    """Returns a value of an argument that is not the optimizer's default."""
    return False if (optimizer, argument) == ('Muon', 'nesterov') else VALUES[argument]


#: Those that look at whole gradients, or keep state of their own; the others treat each weight by itself.
FEW = ('SGD clipnorm', 'SGD clipvalue', 'Adam averaged', 'Lamb with all', 'Muon with all', 'ScheduleFreeAdamW with all')


def cases(which: str) -> dict[str, dict]:
    """Returns name -> fields of config.optimizer."""
    found: dict[str, dict] = {}
    for name, own in optimizers.ARGUMENTS.items():
        everything = {argument: value(name, argument) for argument in (*own, 'learning_rate', 'weight_decay')}
        averaged = {} if name == 'ScheduleFreeAdamW' else OVERWRITTEN
        found[f'{name} with all'] = {'name': name, 'global_clipnorm': 0.2} | everything | averaged
    for argument in ('clipvalue', 'clipnorm'):
        found[f'SGD {argument}'] = {'name': 'SGD', argument: VALUES[argument]}
    found['Adam averaged'] = {'name': 'Adam'} | AVERAGED
    if which == 'all':
        for name, own in optimizers.ARGUMENTS.items():
            found[name] = {'name': name}
            for argument in (*own, *optimizers.COMMON):
                if argument not in OVERWRITTEN:
                    found[f'{name} {argument}'] = {'name': name, argument: value(name, argument)}
            if name != 'ScheduleFreeAdamW':
                found[f'{name} averaged'] = {'name': name} | AVERAGED
                found[f'{name} overwritten'] = {'name': name} | OVERWRITTEN
    return {name: found[name] for name in FEW} if which == 'few' else found


def config_of(fields: dict, **more):
    """Returns a float64 run of a small network with these fields of config.optimizer."""
    config = default.get_config()
    config.precision, config.jit = 'float64', 'off'
    config.global_batch_size, config.epochs, config.steps = 10, None, STEPS
    config.steps_per_call = config.eval_every_steps = 1
    config.eval_every_epochs = None
    config.model.hidden, config.model.activation = (6,), 'tanh'
    config.optimizer.update(fields)
    config.update(more)
    settle_numbers(config)
    return config


def dataset() -> sources.Dataset:
    """Returns 30 examples of 4 x 4 pixels, none of which is zero."""
    draw = np.random.default_rng(0)
    images = draw.integers(1, 256, (30, 4, 4, 1), np.uint8)
    examples = InMemory(images, draw.integers(0, 3, 30, np.int32))
    return sources.Dataset('made', 'made', '', (4, 4, 1), 3, examples, None, examples)


def flat(variables) -> np.ndarray:
    """Returns variables as one vector."""
    return np.concatenate([np.asarray(variable.numpy(), np.float64).ravel() for variable in variables])


def trained(config, strategy, resumed_at: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights that are trained and those to evaluate, each [steps + 1, weights].

    `resumed_at`: the step from which another program goes on with what a checkpoint would hold.
    """
    from trainer.loop.blocks import Blocks
    from trainer.steps import Program

    data = dataset()
    blocks = Blocks(config, strategy, data)

    def make():
        return Program(config, strategy, data.image_shape, data.classes, total_steps=STEPS, warmup_steps=0)

    program = make()
    weights, evaluated = [], []

    def look():
        weights.append(flat(program.model.trainable_variables))
        with program.evaluation_weights():
            evaluated.append(flat(program.model.trainable_variables))
        assert np.array_equal(flat(program.model.trainable_variables), weights[-1]), 'not back, bit for bit'

    iterator = blocks.train(0, [1] * STEPS)
    look()
    for step in range(STEPS):
        if step == resumed_at:
            saved, program = program, make()
            for mine, other in zip(program.variables, saved.variables, strict=True):
                mine.assign(other)
        program.train(next(iterator), config.seed, step)
        look()
    return np.array(weights), np.array(evaluated)


def strategies(names):
    """Starts TensorFlow and yields (name of the file, strategy)."""
    import tensorflow as tf

    from trainer import strategy

    if names == ['multi_worker']:
        config = default.get_config()
        config.threads = 1
        found = cluster.find()
        yield f'multi_worker_{found.index}', strategy.start(config, found)
        return
    tf.config.experimental.enable_op_determinism()
    strategy.set_threads(1)
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    made = {
        'one_device': lambda: tf.distribute.OneDeviceStrategy('CPU:0'),
        'mirrored': lambda: tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']),
    }
    for name in names:
        yield name, made[name]()


def main(argv: list[str]) -> int:
    _, which, folder, *names = argv
    for file, strategy in strategies(names):
        arrays = {}
        for name, fields in cases(which).items():
            arrays[f'{name}/trained'], arrays[f'{name}/evaluated'] = trained(config_of(fields), strategy)
        np.savez(Path(folder) / f'{file}.npz', **arrays)
    return 0


if __name__ == '__main__':
    main(sys.argv)
    sys.stdout.flush()
    os._exit(0)  # TensorFlow takes a second to take itself down
