"""From a cold shell to the test accuracy, next to a plain Keras script:

python -m benchmarks.cold_start [--rounds=3] [--models=mlp,cnn]

For each model the script (`import keras`, arrays in memory, one epoch of `fit` with batches of 128, `evaluate`) and commands
of ours take their turns: `configs/mlp_adam.py` with one epoch for the MLP, the same network, optimizer and steps as the
script's; for the CNN `configs/cnn_nadam.py` with one epoch on all 60,000 examples, and `configs/cnn_99_fast.py`, which has
another network. The time is that of the whole process, start and end included. MNIST must be prepared
(`python -m data_pipeline.prepare`); the script reads it from an .npz file.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags

from seedwise import commands
from seedwise.errors import unknown

_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Times that both sides take their turn.', lower_bound=1)
_MODELS = flags.DEFINE_list('models', ['mlp', 'cnn'], 'Which of mlp (784-128-10) and cnn (421,642 parameters).')

SCRIPT = """
import sys
import keras, numpy
with numpy.load(sys.argv[1]) as data:
    x, y, x_test, y_test = (data[key] for key in ('x_train', 'y_train', 'x_test', 'y_test'))
x, x_test = (images.astype('float32') / 255 for images in (x, x_test))
layers = [keras.Input((28, 28, 1))]
for filters in (32, 64) if sys.argv[2] == 'cnn' else ():
    layers += [keras.layers.Conv2D(filters, 3, padding='same', activation='relu'), keras.layers.MaxPooling2D()]
layers += [keras.layers.Flatten(), keras.layers.Dense(128, 'relu'), keras.layers.Dense(10, 'softmax')]
model = keras.Sequential(layers)
model.compile(sys.argv[3], 'sparse_categorical_crossentropy', metrics=['accuracy'])
model.fit(x, y, batch_size=128, epochs=1, verbose=0)
print(model.evaluate(x_test, y_test, verbose=0)[1])
"""

OURS = {
    'mlp': {'mlp_adam, 1 epoch': ['--config=configs/mlp_adam.py', '--config.epochs=1', '--config.data.validation=0']},
    'cnn': {
        'cnn_nadam, 1 epoch': ['--config=configs/cnn_nadam.py', '--config.epochs=1', '--config.data.validation=0'],
        'cnn_99_fast': ['--config=configs/cnn_99_fast.py'],
    },
}
OPTIMIZERS = {'mlp': 'adam', 'cnn': 'nadam'}


def keras_script(data: Path, model: str) -> float:
    """Runs the script, and returns its test accuracy."""
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, data, model, OPTIMIZERS[model]],
        check=True,
        capture_output=True,
        encoding='utf-8',
    )
    return float(done.stdout.splitlines()[-1])


def ours(arguments: list[str], folder: Path) -> float:
    """Runs our command, and returns its test accuracy."""
    command = [sys.executable, '-m', 'trainer.main', *arguments, f'--workdir={folder}']
    subprocess.run(command, check=True, capture_output=True)
    return json.loads((folder / 'result.json').read_text(encoding='utf-8'))['test']['accuracy']


def main(argv: list[str]) -> int:
    """Measures and prints."""
    commands.parse_flags(argv, __doc__)
    for model in _MODELS.value:
        if model not in OURS:
            raise unknown('model', model, OURS)
    from seedwise import tensorflow_import

    tensorflow_import.import_tensorflow()  # without its start-up noise
    from data_pipeline import sources

    dataset = sources.load(sources.locate('mnist'))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = folder / 'mnist.npz'
        arrays = {f'x_{name}': getattr(dataset, name).images for name in ('train', 'test')}
        np.savez(data, **arrays, **{f'y_{name}': getattr(dataset, name).labels for name in ('train', 'test')})
        print(f'{"":24}{"seconds":>9}{"least":>8}{"most":>8}{"ratio":>8}{"accuracy":>10}')
        for model in _MODELS.value:
            sides: dict[str, Callable[[int], float]] = {
                f'Keras script, {model}': lambda _, m=model: keras_script(data, m)
            }
            for name, arguments in OURS[model].items():
                sides[name] = lambda i, n=name, a=arguments: ours(a, folder / f'{n} {i}')
            seconds: dict[str, list[float]] = {name: [] for name in sides}
            accuracies: dict[str, float] = {}
            for i in range(_ROUNDS.value):
                for name, run in sides.items():
                    started = time.perf_counter()
                    accuracies[name] = run(i)
                    seconds[name].append(time.perf_counter() - started)
            script = next(iter(seconds.values()))
            for name, mine in seconds.items():
                ratio = statistics.median(a / b for a, b in zip(mine, script, strict=True))
                middle = statistics.median(mine)
                print(
                    f'{name:24}{middle:9.2f}{min(mine):8.2f}{max(mine):8.2f}{ratio:8.2f}{accuracies[name]:10.4f}',
                    flush=True,
                )


if __name__ == '__main__':
    sys.exit(commands.run(main, 'interrupted'))
