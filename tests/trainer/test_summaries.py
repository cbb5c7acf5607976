"""What TensorBoard is given."""

import json
import shlex
import shutil

import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from tests.helpers import run, weights

ARGUMENTS = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.data.validation=200')


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('runs') / 'run'
    extra = ('--config.schedule.name=cosine', '--config.tensorboard.profile_steps=5')
    return workdir, run(workdir, *ARGUMENTS, '--config.epochs=4', '--config.steps_per_call=5', *extra)


def events(workdir, split):
    accumulator = EventAccumulator(str(workdir / 'tensorboard' / split), {'tensors': 0})
    accumulator.Reload()
    return accumulator


def scalars(workdir, split, tag):
    import tensorflow as tf

    return [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events(workdir, split).Tensors(tag)]


def test_splits_share_their_tags(finished):
    workdir, _ = finished
    for split in ('train', 'validation', 'test'):
        assert {'loss', 'accuracy'} <= set(events(workdir, split).Tags()['tensors'])


def test_scalars_are_those_of_the_history(finished):
    workdir, result = finished
    for quantity in ('loss', 'accuracy'):
        expected = [(row['step'], pytest.approx(row[f'validation_{quantity}'])) for row in result['history']]
        assert scalars(workdir, 'validation', quantity) == expected
        test = [(result['steps'], pytest.approx(result['test'][quantity]))]
        assert scalars(workdir, 'test', quantity) == test


def test_the_learning_rate_is_the_one_that_the_step_used(finished):
    import math

    workdir, result = finished
    total = result['steps']
    for step, rate in scalars(workdir, 'train', 'learning_rate'):
        # The value at `step` is of the last step before it, number step - 1 from 0.
        assert rate == pytest.approx(0.001 * 0.5 * (1 + math.cos(math.pi * (step - 1) / total)), abs=1e-9)


def test_norms_and_throughput_are_there(finished):
    workdir, _ = finished
    for tag in ('gradient_norm', 'weight_norm', 'examples_per_second'):
        assert all(value > 0 for _, value in scalars(workdir, 'train', tag))


def test_memory_and_processors_in_use_are_there_for_each_evaluation(finished):
    workdir, result = finished
    peaks = scalars(workdir, 'train', 'resources/peak_memory_bytes')
    assert [step for step, _ in peaks] == [row['step'] for row in result['history']]
    values = [value for _, value in peaks]
    assert values == sorted(values)
    assert values[-1] <= result['resources']['peak_memory_bytes'] * 1.001  # a board has float32
    assert all(0 < value <= 1.01 for _, value in scalars(workdir, 'train', 'resources/cpu_utilization'))


def test_the_weight_norm_is_that_of_the_trainable_weights(tmp_path):
    import numpy as np

    # With a learning rate of nearly nothing the weights stay as they are.
    result = run(tmp_path, *ARGUMENTS, '--config.epochs=1', '--config.optimizer.learning_rate=1e-30')
    ((step, norm),) = scalars(tmp_path, 'train', 'weight_norm')
    assert step == result['steps']
    assert norm == pytest.approx(np.linalg.norm(weights(tmp_path)), rel=1e-5)


def test_mistakes_are_shown_from_the_first_evaluation_on_and_those_of_the_test_set_once(finished):
    workdir, result = finished
    evaluations = [row['step'] for row in result['history']]
    for tag in ('mistakes/confusion_matrix', 'mistakes/most_confidently_wrong'):
        shown = {split: events(workdir, split).Tensors(tag) for split in ('validation', 'test')}
        steps = {split: [event.step for event in found] for split, found in shown.items()}
        assert steps['validation'][0] == evaluations[0]
        assert set(steps['validation']) <= set(evaluations)
        assert steps['test'] == [result['steps']]
        for event in shown['validation'] + shown['test']:
            assert event.tensor_proto.string_val[2].startswith(b'\x89PNG')


def test_images_take_no_more_than_their_share_of_the_training_time(tmp_path):
    import numpy as np

    from trainer import summaries
    from trainer.output import images

    one = np.ones(1, int)
    outcomes = images.outcomes(np.zeros((1, 28, 28, 1), np.uint8), one, one > 0, one * 0, one * 0.9, classes=10)
    board = summaries.Summaries(tmp_path / 'tensorboard')
    # Of slow epochs all are shown; of fast ones those that are paid for.
    for step, seconds in enumerate((10, 20, 30)):
        board.outcomes('validation', step, outcomes, seconds)
    for step, seconds in enumerate((1e-6, 2e-6, 3e-6, 10)):
        board.outcomes('test', step, outcomes, seconds)
    board.close()
    for split, steps in (('validation', [0, 1, 2]), ('test', [0, 3])):
        assert [event.step for event in events(tmp_path, split).Tensors('mistakes/confusion_matrix')] == steps


def test_what_was_written_after_the_last_checkpoint_is_not_there_twice(tmp_path):
    from trainer import summaries

    for first, last in ((0, 5), (2, 6)):  # killed after step 5, continued from the checkpoint of step 2
        board = summaries.Summaries(tmp_path / 'tensorboard', first)
        for step in range(first + 1, last + 1):
            board.scalars('train', step, {'loss': step})
        board.close()
    assert [step for step, _ in scalars(tmp_path, 'train', 'loss')] == [1, 2, 3, 4, 5, 6]


def test_the_graph_has_the_layers(finished):
    workdir, _ = finished
    nodes = {node.name: node for node in events(workdir, '').Graph().node}
    assert {'image', 'dense_1', 'logits'} <= set(nodes)
    assert list(nodes['flatten'].input) == ['image']


def test_config_text_and_hyperparameters(finished):
    import tensorflow as tf

    workdir, _ = finished
    text = tf.make_ndarray(events(workdir, '').Tensors('config')[0].tensor_proto).item().decode()
    assert '"name": "Adam"' in text
    assert '**digits**' in text
    environment = tf.make_ndarray(events(workdir, '').Tensors('environment')[0].tensor_proto).item().decode()
    assert '"tensorflow"' in environment
    assert '_hparams_/session_start_info' in events(workdir, '').summary_metadata


def test_a_profile_is_written_when_asked_for(finished):
    workdir, _ = finished
    assert list((workdir / 'tensorboard' / 'train' / 'plugins' / 'profile').glob('*/*.xplane.pb'))


def test_no_events_when_turned_off_and_the_same_result(finished, tmp_path):
    options = ('--config.epochs=4', '--config.steps_per_call=5', '--config.schedule.name=cosine')
    result = run(tmp_path / 'run', *ARGUMENTS, *options, '--config.tensorboard.enabled=false')
    assert not (tmp_path / 'run' / 'tensorboard').exists()
    for key in ('config_hash', 'weights_sha256', 'test'):
        assert result[key] == finished[1][key]


def test_the_command_that_shows_the_run_can_be_typed(finished):
    workdir, result = finished
    command = shlex.split(result['stdout'].splitlines()[-1])
    assert command[0] == 'TensorBoard'
    assert shutil.which(command[1]), 'as a name in PATH, or as a file from here'
    assert command[2:] == [f'--logdir={workdir}']


def test_the_result_has_every_promised_field(finished):
    workdir, result = finished
    stored = json.loads((workdir / 'result.json').read_text())
    assert {
        *('status', 'config_hash', 'seed', 'dataset', 'strategy', 'parameters', 'steps', 'history', 'test'),
        *('weights_sha256', 'seconds', 'examples_per_second', 'versions', 'git_revision', 'host', 'resources'),
    } <= set(stored)
    assert set(stored['dataset']) == {
        *('name', 'source', 'fingerprint', 'train', 'validation', 'test', 'class_names', 'input')
    }
    assert stored['dataset']['input'] == {'shape': [28, 28, 1], 'dtype': 'uint8', 'unscaled': False}
    assert stored['dataset']['class_names'] == list('0123456789')
    assert set(stored['strategy']) == {'name', 'replicas', 'workers', 'global_batch_size'}
    assert set(stored['seconds']) == {'total', 'training', 'evaluation', 'startup'}
    resources = stored['resources']
    assert set(resources) == {'peak_memory_bytes', 'cpu_seconds', 'cpu_utilization'}
    assert 100 * 2**20 < resources['peak_memory_bytes'] < 8 * 2**30
    assert 0 < resources['cpu_utilization'] <= 1.01
    row = {'epoch', 'step', 'train_loss', 'train_accuracy', 'validation_loss', 'validation_accuracy'}
    assert row <= set(stored['history'][0])
    assert json.loads((workdir / 'config.json').read_text())['optimizer']['name'] == 'Adam'


def test_the_model_kept_is_the_best_by_validation_and_plain_keras_reads_it(finished):
    import keras
    import numpy as np

    from data_pipeline import sources

    workdir, result = finished
    model = keras.models.load_model(workdir / 'model.keras', compile=False)
    test = sources.load(sources.locate('digits')).test
    indices = test.indices
    predictions = model.predict(test.images[indices] / 255.0, verbose=0).argmax(-1)
    assert np.mean(predictions == test.labels[indices]) == pytest.approx(result['test']['accuracy'])
