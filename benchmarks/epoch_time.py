"""Steady-state time of one training epoch, compared with plain Keras `fit`:

python -m benchmarks.epoch_time [--rounds=3] [--epochs=5] [--models=mlp,cnn] [--sides=keras_fit,ours]

`--sides=ours,own_file` compares a built-in model with the same one given as a user's file. Each round runs both in
turn, each in a process of its own, so that a machine that slows down slows both. The time of an epoch is the median
over all but the first, which compiles. Both train on MNIST, batch 128, float32, Nadam, and both do all that a user of
theirs gets: `fit` from arrays in memory with its accuracy metric; ours from its tf.data pipeline, with accuracy,
gradient norm and TensorBoard events. Evaluation is left out on both sides.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Pairs of runs.', lower_bound=1)
_EPOCHS = flags.DEFINE_integer('epochs', 5, 'Epochs of each run; the first is not counted.', lower_bound=2)
_MODELS = flags.DEFINE_list('models', ['mlp', 'cnn'], 'Which of mlp (784-128-10) and cnn (421,642 parameters).')
_SIDES = flags.DEFINE_list('sides', ['keras_fit', 'ours'], 'The two that are compared: keras_fit, ours, own_file.')
_SIDE = flags.DEFINE_string('side', '', 'Internal: run one side and print its epoch times.')


def keras_fit(model: str, epochs: int) -> list[float]:
    """Returns the seconds of each epoch of `fit`."""
    import keras

    from data_pipeline import sources

    train = sources.load(sources.locate('mnist')).train
    images, labels = train.images.astype('float32') / 255, train.labels
    convolutions = []
    for filters in (32, 64) if model == 'cnn' else ():
        convolutions += [
            keras.layers.Conv2D(filters, 3, padding='same', activation='relu'),
            keras.layers.MaxPooling2D(),
        ]
    dense = [keras.layers.Flatten(), keras.layers.Dense(128, 'relu'), keras.layers.Dense(10, 'softmax')]
    network = keras.Sequential([keras.Input((28, 28, 1)), *convolutions, *dense])
    network.compile(optimizer='nadam', loss='sparse_categorical_crossentropy', metrics=['accuracy'])
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        network.fit(images, labels, batch_size=128, verbose=0)
        seconds.append(time.perf_counter() - started)
    return seconds


def own_file(model: str, epochs: int) -> list[float]:
    """Returns the seconds of each epoch of this project's loop, with the network of `own_network.py`."""
    return ours(f'{Path(__file__).with_name("own_network.py")}:network', epochs, {'convolutions': model == 'cnn'})


def ours(model: str, epochs: int, options: dict | None = None) -> list[float]:
    """Returns the seconds of each epoch of this project's loop."""
    from configs import default
    from data_pipeline import sources
    from trainer.train import train

    config = default.get_config()
    config.model.name, config.optimizer.name, config.epochs = model, 'Nadam', epochs
    with config.unlocked():
        config.model.options = options or {}
    config.loss.name = 'sparse_categorical_crossentropy'
    with tempfile.TemporaryDirectory() as folder:
        history = train(config, sources.locate('mnist'), Path(folder), show=False)['history']
    ends = [0.0, *(row['seconds'] for row in history)]
    return [end - start for start, end in zip(ends[:-1], ends[1:], strict=True)]


SIDES = {'keras_fit': keras_fit, 'ours': ours, 'own_file': own_file}


def main(_) -> None:
    if _SIDE.value:
        if _SIDE.value != 'keras_fit':
            from seedwise import tensorflow_import

            tensorflow_import.import_tensorflow()  # as the command does
        print(json.dumps(SIDES[_SIDE.value](_MODELS.value[0], _EPOCHS.value)))
        return
    first, second = _SIDES.value
    print(f'{"model":6}{first:>12}{second:>10}{"ratio":>8}   seconds an epoch, median of {_ROUNDS.value} rounds')
    for model in _MODELS.value:
        pairs = []
        for _ in range(_ROUNDS.value):
            pair = []
            for side in (first, second):
                flags_ = [f'--side={side}', f'--models={model}', f'--epochs={_EPOCHS.value}']
                command = [sys.executable, '-m', 'benchmarks.epoch_time', *flags_]
                output = subprocess.run(command, check=True, capture_output=True, encoding='utf-8').stdout
                pair.append(statistics.median(json.loads(output.splitlines()[-1])[1:]))
            pairs.append(pair)
        theirs, mine = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(mine / theirs for theirs, mine in pairs)
        print(f'{model:6}{theirs:12.3f}{mine:10.3f}{ratio:8.2f}')


if __name__ == '__main__':
    app.run(main)
