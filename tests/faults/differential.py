"""What is accepted gives the numbers of plain Keras: one to four steps of a run, and the same by `train_on_batch`.

The plain program takes its initial weights and batches from the run's config; network, loss, optimizer, rates,
normalisation and evaluation are written here without trainer/. How close both must be is measured: the plain program is
trained again from weights that differ in the last bit, on batches whose examples are in another order.
"""

import ast
import functools
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from configs import default
from seedwise import dotted
from tests.faults import forked
from trainer import losses, models, optimizers
from trainer.config.numbers import settle_numbers

#: Values of an optimizer's arguments, of which each takes those that its rule allows.
OPTIONS = (0.0, 1e-7, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0, 2.0, -0.5, -0.8)

#: How many times as far from the plain program a run may be as that is from itself.
FACTOR = 1000

#: How often the plain program is trained again.
AGAIN = 2

CLASSES, SHAPE = 10, (28, 28, 1)


@st.composite
def optimizer_fields(draw) -> dict[str, Any]:
    """Draws an optimizer with some of its arguments. ScheduleFreeAdamW of Keras is not that of its paper (CHANGELOG.md)."""
    name = draw(st.sampled_from([name for name in optimizers.ARGUMENTS if name != 'ScheduleFreeAdamW']))
    own, fields = optimizers.ARGUMENTS[name], {'name': name}
    for key in draw(st.lists(st.sampled_from(sorted(own)), max_size=4, unique=True)):
        kind, _, holds = own[key]
        values = {bool: (False, True), int: (1, 2, 5)}.get(kind, tuple(value for value in OPTIONS if holds(value)))
        fields[f'options.{key}'] = draw(st.sampled_from(values))
    fields['learning_rate'] = draw(st.sampled_from((None, 1e-4, 0.003, 0.05)))
    fields |= draw(st.sampled_from(({}, {}, {'clipvalue': 1e-3}, {'clipnorm': 0.01}, {'global_clipnorm': 0.1})))
    fields['weight_decay'] = draw(st.sampled_from((None, None, 0.0, 0.01)))
    if draw(st.integers(0, 2)) == 0:
        fields |= {'use_ema': True, 'ema_momentum': draw(st.sampled_from((None, 0.0, 0.5, 0.99, 1.0)))}
        fields['ema_overwrite_frequency'] = draw(st.sampled_from((None, 1, 2, 3)))
    return {f'optimizer.{key}': value for key, value in fields.items() if value is not None}


@st.composite
def runs(draw) -> dict[str, Any]:
    """Draws the fields of a run that is accepted, without dropout."""
    one = st.sampled_from
    fields = {'steps': draw(st.integers(1, 4)), 'seed': draw(one((0, 7, 2**31 - 1)))}
    fields['global_batch_size'] = draw(one((2, 16, 100, 128, 1000)))
    fields['precision'] = draw(one(('float64', 'float64', 'float32')))
    fields['steps_per_call'] = draw(one((1, 2, 100)))
    fields['replicas'] = draw(one((1, 1, 2)))
    fields['jit'] = draw(one(('auto', 'off', 'on'))) if fields['replicas'] == 1 else 'auto'
    fields['data.normalize'] = draw(one(('auto', 'standard')))
    fields['data.validation'] = draw(one((0, 0, 90)))
    fields['model.name'] = draw(one(('mlp', 'mlp', 'cnn')))
    fields['model.hidden'] = draw(one(((), (7,), (9, 5))))
    if fields['model.name'] == 'cnn':
        fields['model.filters'], fields['model.kernel_size'] = draw(one(((2,), (3, 2)))), draw(one((2, 3)))
        fields['jit'] = 'off' if fields['jit'] == 'on' else fields['jit']  # XLA has no gradient of max pooling
    chosen = draw(optimizer_fields())
    # Gradients that are 0 except for rounding (of a bias before batch normalisation) become steps of full length.
    by_sign = chosen['optimizer.name'] == 'Lion' or any('epsilon' in key and not value for key, value in chosen.items())
    if fields['model.hidden'] or fields['model.name'] == 'cnn':
        fields['model.activation'] = draw(one(models.ACTIVATIONS))
        fields['model.batch_norm'] = 'none' if by_sign else draw(one(models.WHERE))
    same = ('ones', 'zeros') if by_sign else ()
    fields['model.kernel_initializer'] = draw(one([name for name in models.INITIALIZERS if name not in same]))
    fields['loss.name'] = draw(one([*losses.LOSSES]))
    fields['loss.label_smoothing'] = draw(one((0.0, 0.0, 0.1, 0.5)))
    fields['loss.class_weights'] = draw(one(((), (), ('balanced',), (0, 1, 2.5, *[1] * 7))))
    fields |= chosen
    fields['schedule.name'] = draw(one(('constant', *optimizers.SCHEDULES)))
    fields |= draw(
        one(
            {
                'constant': ({},),
                'cosine': ({}, {'schedule.final_fraction': 0.3}),
                'exponential': ({}, {'schedule.decay_rate': 2.0}),
                'piecewise': ({}, {'schedule.boundaries': (0.25,), 'schedule.factors': (3.0,)}),
            }[fields['schedule.name']]
        )
    )
    fields |= draw(one(({}, {}, {'schedule.warmup_steps': 2}, {'schedule.warmup_epochs': 1})))
    return fields


def check(fields: dict[str, Any], folder: Path) -> str:
    """Trains such a run, and the same in plain Keras; returns what differs, '' if nothing does."""
    given = {'data.name': 'digits', 'threads': 1, 'tensorboard.enabled': False, 'eval_every_epochs': 10**6} | fields
    words = ['--config=configs/default.py', *(f'--config.{path}={value}' for path, value in given.items())]
    ended = forked.run('trainer.main', [*words, f'--workdir={folder / "run"}'])
    if fault := ended.fault((0, 3)) or 'it was refused' * (ended.code == 2):
        return f'{fault}: {ended.err[-1500:]}'
    plain = forked.run('tests.faults.differential', [repr(given), str(folder / 'run')])
    return plain.out if plain.code == 0 else f'the plain program ended with code {plain.code}: {plain.err[-2500:]}'


def main(argv: list[str]) -> int:
    """Trains the plain program of the fields argv[1], and prints how the run in folder argv[2] differs from it."""
    config = config_of(ast.literal_eval(argv[1]))
    trained, ties = zip(*(plain(config, number) for number in range(1 + AGAIN)), strict=True)
    result = json.loads((Path(argv[2]) / 'result.json').read_text(encoding='utf-8'))
    finite = all(np.isfinite(value).all() for value in trained[0].values())
    if not finite or result['status'] == 'diverged':
        if finite or result['status'] != 'diverged':
            print(f'the run {result["status"]}, and the plain numbers are{"" if finite else " not"} finite')
        return 0
    import keras

    row, test = result['history'][-1], result['test']
    ours = {'train_loss': row['train_loss'], 'train_accuracy': row['train_accuracy']}
    ours |= {'test_loss': test['loss'], 'test_accuracy': test['accuracy']}
    model = keras.models.load_model(Path(argv[2]) / 'model.keras', compile=False)
    ours |= {f'{number} {weight.path}': weight.numpy() for number, weight in enumerate(model.weights)}
    epsilon = np.finfo(config.precision).eps
    # Ftrl makes a small weight of a large one by a difference of two roots, which is rounded as the large one is.
    starts = [0.0] * (len(ours) - len(model.weights)) + initial_weights(config)
    rows = zip(ours.items(), starts, *(numbers.values() for numbers in trained), strict=True)
    for (name, its), start, *values in rows:
        distance, spread = (np.abs(values[0] - other).max() for other in (its, np.array(values)))
        allowed = FACTOR * (epsilon * max(np.abs(values[0]).max(), np.abs(start).max()) + spread)
        allowed += max(ties) * name.endswith('accuracy')
        if not distance <= allowed:
            print(f'{name}: it differs by {distance:.2g}, and rounding makes at most {allowed:.2g}')
    return 0


def config_of(fields: dict[str, Any]):
    """Returns the run's config."""
    config = default.get_config()
    config.epochs = None
    for path, value in fields.items():
        section, _, name = path.rpartition('.')
        (dotted.get(config, section) if section else config)[name] = value
    settle_numbers(config)
    return config


def initial_weights(config) -> list[np.ndarray]:
    """Returns the weights that a run of the config starts from."""
    return models.build(config, SHAPE, CLASSES, 1).get_weights()


def plain(config, number: int) -> tuple[dict[str, np.ndarray], float]:
    """Trains in plain Keras, and returns its numbers in the order of `main`, and the share of examples whose class rounding
    decides. `number`: 0, or of a run to compare it with."""
    import keras

    from data_pipeline import pipeline, sources

    keras.config.set_floatx(config.precision)
    keras.config.set_dtype_policy(config.precision)
    initial = initial_weights(config)
    data = sources.load(sources.locate('digits'), seed=config.seed, validation=config.data.validation)
    steps, batch = config.steps, config.global_batch_size
    order = {'seed': config.seed, 'batch': batch, 'start': 0, 'blocks': [steps]}
    images, labels = (array.numpy() for array in next(iter(pipeline.train_blocks_at_once(data.train, **order))))
    train, test = (data.train.images[data.train.indices], data.test.images[data.test.indices])
    mean, deviation = 0.0, 1.0
    if config.data.normalize == 'standard':
        mean, deviation = (train / 255).mean(), (train / 255).std()

    def inputs(x):
        return ((x.astype(config.precision) / 255 - mean) / deviation).astype(config.precision)

    noise = np.random.default_rng(number)
    if number:
        epsilon = np.finfo(config.precision).eps
        initial = [weight * (1 + epsilon * noise.choice([-1, 1], weight.shape)) for weight in initial]
    model, targets = compiled(config, network(config.model))
    model.set_weights(initial)
    weights = None
    if config.loss.class_weights:
        counts = np.bincount(data.train.labels[data.train.indices], minlength=CLASSES)
        balanced = config.loss.class_weights == ('balanced',)
        weights = dict(enumerate(counts.sum() / (CLASSES * counts) if balanced else config.loss.class_weights))
    seen: list = []
    for step, rate in enumerate(rates(config, data.train.count, float(model.optimizer.learning_rate))):
        model.optimizer.learning_rate = rate
        places = noise.permutation(batch) if number else np.arange(batch)
        x, y = inputs(images[step][places]), targets(labels[step][places])
        seen.append(model.train_on_batch(x, y, class_weight=weights))
        model.reset_metrics()
    if config.optimizer.use_ema:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    tested = model.evaluate(inputs(test), targets(data.test.labels[data.test.indices]), 1000, verbose=0)
    values = [*np.mean(seen, 0), *tested, *model.get_weights()]
    logits = np.sort(np.asarray(model.predict(inputs(test), verbose=0), 'float64'), axis=1)
    rounding = FACTOR * np.finfo(config.precision).eps * max(1.0, np.abs(logits).max())
    ties = float(np.mean(logits[:, -1] - logits[:, -2] <= rounding))
    return {str(i): np.asarray(value, 'float64') for i, value in enumerate(values)}, ties


def network(fields):
    """Returns the network of `config.model`."""
    import keras
    from keras import layers

    hidden, index = len(fields.hidden) + len(fields.filters) * (fields.name == 'cnn'), itertools.count()

    def activated(x, linear):
        number = next(index)
        normalized = {'every': True, 'first': number == 0, 'last': number == hidden - 1}.get(fields.batch_norm, False)
        pieces = []
        for _ in range(2 if fields.activation == 'maxout' else 1):
            piece = linear()(x)
            pieces.append(layers.BatchNormalization()(piece) if normalized else piece)
        return layers.Maximum()(pieces) if len(pieces) > 1 else layers.Activation(fields.activation)(pieces[0])

    image = x = keras.Input(SHAPE)
    for filters in fields.filters if fields.name == 'cnn' else ():
        convolution = functools.partial(layers.Conv2D, filters, fields.kernel_size, padding='same')
        x = layers.MaxPooling2D(2, padding='same')(activated(x, convolution))
    x = layers.Flatten()(x)
    for units in fields.hidden:
        x = activated(x, functools.partial(layers.Dense, units))
    return keras.Model(image, layers.Dense(CLASSES)(x))


def compiled(config, model):
    """Returns the model compiled with loss and optimizer, and a function from labels to what the loss takes."""
    import keras
    from keras import ops

    smoothing, targets = config.loss.label_smoothing, (lambda labels: np.eye(CLASSES)[labels])

    def smoothed(labels):
        return np.eye(CLASSES)[labels] * (1 - smoothing) + smoothing / CLASSES

    if config.loss.name == 'mean_squared_error':
        model = keras.Sequential([model, keras.layers.Softmax()])
        loss, targets = keras.losses.MeanSquaredError(), smoothed
    elif config.loss.name == 'kl_divergence':  # Keras's own clips probabilities at 1e-7

        def loss(y, logits):
            entropy = -ops.sum(ops.where(y > 0, y * ops.log(ops.maximum(y, 1e-30)), 0), -1)
            return -ops.sum(y * ops.log_softmax(logits), -1) - entropy

        targets = smoothed
    elif config.loss.name == 'sparse_categorical_crossentropy' and not smoothing:
        loss, targets = keras.losses.SparseCategoricalCrossentropy(from_logits=True), (lambda labels: labels)
    else:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    given = {key: value for key, value in config.optimizer.items() if key not in ('name', 'options')}
    given = {key: value for key, value in given.items() if value is not None} | dict(config.optimizer.options)
    optimizer = getattr(keras.optimizers, config.optimizer.name)(**given)
    model.compile(optimizer, loss, metrics=['accuracy'], run_eagerly=True, jit_compile=False)
    return model, targets


def rates(config, examples: int, base: float) -> list[float]:
    """Returns the learning rate of each step, as the docstring of `optimizers.build_schedule` has it."""
    schedule, total = config.schedule, config.steps
    warm = schedule.warmup_steps or math.ceil((schedule.warmup_epochs or 0) * examples / config.global_batch_size)
    found = []
    for step in range(total):
        progress = max(step - warm, 0) / max(total - warm, 1)
        factor = {
            'constant': 1.0,
            'cosine': schedule.final_fraction + (1 - schedule.final_fraction) * (1 + math.cos(math.pi * progress)) / 2,
            'exponential': schedule.decay_rate**progress,
            'piecewise': [1.0, *schedule.factors][sum(step / total >= boundary for boundary in schedule.boundaries)],
        }[schedule.name]
        found.append(base * ((step + 1) / warm if step < warm else factor))
    return found
