"""Time of a whole study, compared with a plain Keras loop over the same runs:

python -m benchmarks.study_time [--seeds=10] [--loop_seeds=1]

The study is `raj_optimizers_losses` from a cold start, report included: 7 optimizers x 3 losses on MNIST, 784-64-10, 5
epochs, batch 128. The loop is what a user writes instead: `compile`, `fit`, `evaluate`, a list of results; it too
starts cold. It runs over `loop_seeds` seeds, once before the study and once after it, since machines change their
speed, and the mean of the two is scaled to `seeds`.
"""

import subprocess
import sys
import tempfile
import time

from absl import app, flags

_SEEDS = flags.DEFINE_integer('seeds', 10, 'Seeds of the study.', lower_bound=1)
_LOOP_SEEDS = flags.DEFINE_integer('loop_seeds', 1, 'Seeds of the loop, before the study and again after it.', 1)
_LOOP = flags.DEFINE_bool('loop', False, 'Internal: run the plain Keras loop.')

STUDY = 'configs/studies/raj_optimizers_losses.py'


def keras_loop(seeds: int) -> list[tuple]:
    """Returns (optimizer, loss, seed, test loss, test accuracy) of each run."""
    import keras

    from configs.studies import keras_2019, raj_optimizers_losses
    from data_pipeline import sources

    dataset = sources.load(sources.locate('mnist'))
    train, test = (
        (split.images.astype('float32') / 255, keras.utils.to_categorical(split.labels))
        for split in (dataset.train, dataset.test)
    )
    results = []
    for seed in range(seeds):
        for name, fields in keras_2019.OPTIMIZERS.items():
            for loss in raj_optimizers_losses.LOSSES.values():
                x, y = train
                x_test, y_test = test
                if loss.startswith('sparse'):
                    y, y_test = y.argmax(-1), y_test.argmax(-1)
                keras.utils.set_random_seed(seed)
                layers = [keras.layers.Flatten(), keras.layers.Dense(64, 'relu'), keras.layers.Dense(10, 'softmax')]
                model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
                arguments = {key: value for key, value in fields.items() if key != 'name'}
                optimizer = getattr(keras.optimizers, name)(**arguments)
                model.compile(optimizer=optimizer, loss=loss, metrics=['accuracy'])
                model.fit(x, y, batch_size=128, epochs=5, verbose=0)
                results.append((name, loss, seed, *model.evaluate(x_test, y_test, verbose=0)))
    return results


def main(_) -> None:
    if _LOOP.value:
        keras_loop(_LOOP_SEEDS.value)
        return
    loop = [sys.executable, '-m', 'benchmarks.study_time', '--loop', f'--loop_seeds={_LOOP_SEEDS.value}']
    seconds = [_seconds(loop)]
    with tempfile.TemporaryDirectory() as folder:
        study = [sys.executable, '-m', 'trainer.compare', f'--study={STUDY}', f'--study.seeds={_SEEDS.value}']
        ours = _seconds([*study, f'--workdir={folder}/study'])
    seconds.append(_seconds(loop))
    runs, seed = 21 * _SEEDS.value, sum(seconds) / len(seconds) / _LOOP_SEEDS.value
    print(
        f'plain Keras loop: {seconds[0]:.1f} and {seconds[1]:.1f} s for {21 * _LOOP_SEEDS.value} runs, '
        f'{seed * _SEEDS.value:.0f} s for {runs}'
    )
    print(
        f'study:            {ours:.1f} s for {runs} runs, report included: {ours / seed / _SEEDS.value:.3f} of the loop'
    )


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - started


if __name__ == '__main__':
    app.run(main)
