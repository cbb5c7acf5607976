"""A built-in network and the same one as a user's file: milliseconds a step, and whether they compute the same sums.

python -m benchmarks.own_file [--models=mlp,mlp512,cnn] [--steps=100] [--rounds=40]

Both are programs of one process, begin with the same weights, and train the same steps of the same examples in turn, so
that a machine which slows down slows both. The interval of the ratio is Student's t over the logarithms of the rounds.
`$TFDS_DATA_DIR` must hold MNIST.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np

#: Name -> (filters, units) of the network.
MODELS = {'mlp': ((), (128,)), 'mlp512': ((), (512, 512)), 'cnn': ((32, 64), (128,))}


def network(image_shape, classes, filters=(), units=(128,)):
    """Returns the network as a user would write it, with the layers of the one that is built in.

    ReLU stands behind the pooling, as in `cnn`: the numbers are the same, and it has a quarter of the elements to pass.
    """
    import keras

    layers = [keras.Input(image_shape)]
    for count in filters:
        layers += [
            keras.layers.Conv2D(count, 3, padding='same'),
            keras.layers.MaxPooling2D(padding='same'),
            keras.layers.ReLU(),
        ]
    layers.append(keras.layers.Flatten())
    for count in units:
        layers += [keras.layers.Dense(count), keras.layers.ReLU()]
    return keras.Sequential([*layers, keras.layers.Dense(classes)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default=','.join(MODELS), help=f'of {", ".join(MODELS)}')
    parser.add_argument('--steps', type=int, default=100, help='training steps of each turn')
    parser.add_argument('--rounds', type=int, default=40, help='turns of each side')
    flags = parser.parse_args()

    from seedwise import tensorflow_import

    tensorflow_import.import_tensorflow()  # as the command does
    from scipy import stats

    from data_pipeline import sources
    from trainer import strategy

    config = _config(flags, 'mlp', own=False)
    devices = strategy.start(config, None)
    limit = config.data.memory_limit_mb
    location = sources.ensure_downloaded(sources.locate(config.data.name, config.data.data_dir), memory_limit_mb=limit)
    dataset = sources.load(location, seed=config.seed, validation=0, memory_limit_mb=limit)
    print("| network | built in, ms a step | as a user's file | ratio, with its 95% interval | same sums |")
    print('| --- | --- | --- | --- | --- |')
    for model in flags.models.split(','):
        seconds, same = _measure(flags, model, devices, dataset)
        ratios = np.log(seconds[1] / seconds[0])
        low, high = stats.t.interval(0.95, len(ratios) - 1, ratios.mean(), stats.sem(ratios))
        built_in, own = (f'{1e3 * np.median(x) / flags.steps:.2f}' for x in seconds)
        interval = f'{math.exp(ratios.mean()):.3f} [{math.exp(low):.3f}, {math.exp(high):.3f}]'
        print(f'| {model} | {built_in} | {own} | {interval} | {"yes" if same else "no"} |', flush=True)


def _config(flags, model: str, *, own: bool):
    from configs import default

    config = default.get_config()
    config.data.validation = 0
    config.optimizer.name, config.loss.name = 'Nadam', 'sparse_categorical_crossentropy'
    config.epochs, config.steps = None, flags.steps
    config.steps_per_call = flags.steps
    filters, units = MODELS[model]
    if own:
        config.model.name = f'{Path(__file__)}:network'
        config.model.options = {'filters': filters, 'units': units}
    else:
        config.model.name = 'cnn' if filters else 'mlp'
        config.model.hidden = units
        if filters:
            config.model.filters = filters
    return config


def _measure(flags, model: str, devices, dataset) -> tuple[np.ndarray, bool]:
    """Returns the seconds of each turn, [2, rounds], built in first, and whether both sides computed the same sums."""
    from trainer.train import Run

    with tempfile.TemporaryDirectory() as folder:
        runs = [Run(_config(flags, model, own=own), devices, dataset, Path(folder, str(own))) for own in (False, True)]
    runs[1].model.set_weights(runs[0].model.get_weights())
    lengths = runs[0].blocks.lengths(0)
    block = next(iter(runs[0].blocks.train(0, lengths)))
    totals = [run.program.train(block, 0, 0).totals for run in runs]  # compiles
    same = totals[0] == totals[1]
    seconds = np.empty((2, flags.rounds))
    for turn in range(flags.rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            started = time.perf_counter()
            totals[side] = runs[side].program.train(block, 0, 0).totals
            seconds[side, turn] = time.perf_counter() - started
        same &= totals[0] == totals[1]
    return seconds, same


if __name__ == '__main__':
    main()
