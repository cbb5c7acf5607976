"""Promises 2 and 3: the same answer on every strategy, and every example counts once."""

import pytest

from tests.helpers import relative_l2, run, run_workers, weights
from trainer.results import read_correct

MIRRORED = ('--config.strategy=mirrored', '--config.replicas=2')


def on_each_strategy(folder, *arguments, **options):
    """Runs on one device, two mirrored replicas and two workers; returns the three results and the three weights."""
    results = [
        run(folder / 'one_device', *arguments, '--config.strategy=one_device', **options),
        run(folder / 'mirrored', *arguments, *MIRRORED, **options),
        run_workers(folder / 'multi_worker', *arguments, **options),
    ]
    assert [r['strategy']['name'] for r in results] == ['one_device', 'mirrored', 'multi_worker']
    assert [r['strategy']['replicas'] for r in results] == [1, 2, 2]
    assert [r['strategy']['workers'] for r in results] == [1, 1, 2]
    return results, [weights(folder / name) for name in ('one_device', 'mirrored', 'multi_worker')]


@pytest.mark.slow
@pytest.mark.parametrize('optimizer', ['SGD', 'Nadam'])
def test_mlp_on_mnist_ends_with_the_same_weights_on_every_strategy(tmp_path, mnist, optimizer):
    """Slow: each takes a minute, and says in float32 what the two tests below say in float64, to 1e-12."""
    arguments = ('--config=configs/mlp_sgd.py', f'--config.optimizer.name={optimizer}', '--config.epochs=2')
    results, (one, mirrored, workers) = on_each_strategy(tmp_path, *arguments, env=mnist)
    assert relative_l2(one, mirrored) < 1e-5
    assert relative_l2(one, workers) < 1e-5
    assert all(r['dataset']['name'] == 'mnist' and r['test']['examples'] == 10_000 for r in results)


@pytest.mark.slow
def test_cnn_with_nadam_in_float64_ends_with_the_same_weights_on_every_strategy(tmp_path, mnist):
    """Slow: float64 convolutions on CPUs that are split among replicas take 40 s a run; the test below has few of them."""
    arguments = ('--config=configs/cnn_nadam.py', '--config.precision=float64', '--config.steps=300')
    arguments += ('--config.data.validation=0', '--config.eval_every_steps=300')
    _, (one, mirrored, workers) = on_each_strategy(tmp_path, *arguments, env=mnist)
    assert relative_l2(one, mirrored) < 1e-12
    assert relative_l2(one, workers) < 1e-12


#: Metrics that need the logits of all examples.
OF_ALL = ('macro_f1', 'auc', 'top_5_accuracy', 'calibration_error', 'brier_score', 'negative_log_likelihood')


#: The digits from a function, streamed, with sample weights.
WEIGHTED = """
import numpy as np
import tensorflow as tf
from data_pipeline import sources

def weighted(data_dir):
    data = sources.load(sources.locate('digits'))
    train, test = ((part.images[part.indices], part.labels[part.indices]) for part in (data.train, data.test))
    weights = np.random.default_rng(0).uniform(0, 2, len(train[0]))
    return {'train': tf.data.Dataset.from_tensor_slices((*train, weights)), 'test': test}
"""


def test_a_cnn_with_all_that_there_is_ends_with_the_same_weights_and_metrics_on_every_strategy(tmp_path):
    """Batch normalisation, clipping, augmentation, weights and metrics are those of the global batch."""
    (tmp_path / 'own.py').write_text(WEIGHTED)
    arguments = ('--config=configs/mlp_dropout.py', '--config.model.dropout=none', '--config.data.memory_limit_mb=0')
    arguments += (f'--config.data.name={tmp_path}/own.py:weighted', f'--config.data.data_dir={tmp_path}/data')
    arguments += ('--config.data.validation=100', '--config.precision=float64', '--config.epochs=2')
    arguments += ('--config.model.name=cnn', '--config.model.filters=(4,)', '--config.model.hidden=(16,)')
    arguments += (
        '--config.optimizer.name=Nadam',
        '--config.optimizer.global_clipnorm=0.1',
        '--config.data.augment.shift=2',
    )
    arguments += ('--config.data.augment.flip', '--config.data.augment.crop=2', '--config.data.augment.cutout=4')
    arguments += ('--config.data.augment.mixup=0.2', '--config.data.normalize=standard')
    arguments += (
        '--config.loss.class_weights=balanced',
        f'--config.metrics={",".join(OF_ALL)}',
        '--config.monitor=auc',
    )
    results, (one, mirrored, workers) = on_each_strategy(tmp_path, *arguments)
    assert relative_l2(one, mirrored) < 1e-12
    assert relative_l2(one, workers) < 1e-12
    # Equal weights get the same examples right: the record of them is in the order of the data on every strategy.
    right = [read_correct(tmp_path / name, 360) for name in ('one_device', 'mirrored', 'multi_worker')]
    assert right[0].mean() == results[0]['test']['accuracy']
    assert (right[0] == right[1]).all()
    assert (right[0] == right[2]).all()
    for name in OF_ALL:
        one, *others = ([r['test'][name], *(row[f'validation_{name}'] for row in r['history'])] for r in results)
        assert len(one) == 3
        for other in others:
            assert other == pytest.approx(one, rel=1e-6), name


def test_evaluation_counts_every_example_once_whatever_the_replicas(tmp_path):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.data.validation=101')
    arguments += ('--config.model.hidden=()', '--config.epochs=1', '--config.global_batch_size=126')
    arguments += ('--config.metrics=negative_log_likelihood',)
    one = run(tmp_path / '1', *arguments)
    one_mirrored = run(tmp_path / '1 mirrored', *arguments, '--config.strategy=mirrored', '--config.threads=1')
    three = run(tmp_path / '3', *arguments, '--config.strategy=mirrored', '--config.replicas=3')
    assert one['dataset']['train'] + one['dataset']['validation'] == 1437
    for other in (one_mirrored, three):
        assert one['test']['examples'] == other['test']['examples'] == 360
        assert one['test']['loss'] == pytest.approx(other['test']['loss'], rel=1e-5)
        assert one['test']['accuracy'] == other['test']['accuracy']
        # From the logits of all examples the same as from sums over replicas and batches.
        assert other['test']['negative_log_likelihood'] == pytest.approx(other['test']['loss'], rel=1e-6)


def test_runs_with_dropout_are_reproducible_on_the_same_strategy(tmp_path):
    arguments = ('--config=configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100')
    arguments += ('--config.model.hidden=(16,)', '--config.epochs=1', *MIRRORED)
    first, second = (run(tmp_path / name, *arguments) for name in 'ab')
    assert first['weights_sha256'] == second['weights_sha256']
