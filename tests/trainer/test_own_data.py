"""Runs and studies on a user's own data under the promises. The forms of data: tests/data_pipeline/own/."""

import json
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from configs import default
from data_pipeline import sources
from seedwise.errors import UserError
from tests.helpers import (
    ROOT,
    STUDY,
    command,
    finish,
    kill_run,
    last_checkpoint,
    relative_l2,
    results_of,
    run,
    wait_for,
    weights,
)
from trainer import results
from trainer.train import Run

OFTEN = ('--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=3', '--config.eval_every_steps=3')


@pytest.fixture
def table(tmp_path):
    """A table whose label is in its second column, which is a thousand times as wide as the first."""
    draws = np.random.default_rng(0).normal(size=(400, 2)) * (1, 1000)
    rows = ''.join(f'{x},{y},{"up" if y + 100 * x > 0 else "down"}\n' for x, y in draws)
    (tmp_path / 'points.csv').write_text(f'x,y,way\n{rows}')
    return f'--config.data.name={tmp_path}/points.csv'


@pytest.fixture
def folder(tmp_path):
    """Images of 8x8 whose class is the brighter half."""
    draws = np.random.default_rng(0)
    for name in ('left', 'right'):
        (tmp_path / 'halves' / name).mkdir(parents=True)
        for i in range(60):
            image = draws.integers(0, 120, (8, 8, 3), np.uint8)
            image[:, :4] += np.uint8(100 * (name == 'left'))
            image[:, 4:] += np.uint8(100 * (name == 'right'))
            Image.fromarray(image).save(tmp_path / 'halves' / name / f'{i}.png')
    return f'--config.data.name=folder:{tmp_path}/halves', f'--config.data.data_dir={tmp_path}/data'


MLP = (f'--config={ROOT}/configs/mlp_adam.py', '--config.global_batch_size=16', '--config.threads=1')


def test_a_table_is_normalised_learned_and_evaluated_again(table, tmp_path):
    words = (*MLP, table, '--config.data.options.label=way', '--config.data.validation=50')
    result = run(tmp_path / 'run', *words, '--config.epochs=20')
    assert result['test']['accuracy'] > 0.95
    data = result['dataset']
    assert (data['name'], data['train'], data['validation'], data['test']) == ('points.csv', 270, 50, 80)
    assert data['class_names'] == ['down', 'up']
    assert 900 < data['normalization']['deviation'][1] < 1100
    assert 'held out as one' in result['stderr']
    evaluated = run(tmp_path / 'run', *words, '--config.epochs=0')
    assert f'{result["test"]["accuracy"]:.4f}' in evaluated['stdout']


def test_the_data_must_not_change_under_a_run(table, tmp_path):
    words = (*MLP, table, '--config.data.options.label=way', '--config.epochs=2000', *OFTEN)
    kill_run(tmp_path / 'run', *words)
    moved = tmp_path / 'elsewhere' / 'points.csv'
    moved.parent.mkdir()
    (tmp_path / 'points.csv').rename(moved)
    again = [word.replace(f'{tmp_path}/points.csv', str(moved)) for word in words]
    moved.write_text(moved.read_text().replace('up', 'down', 1))
    said = run(tmp_path / 'run', *again, code=2)['stderr']
    assert f'{moved} has changed since the run in {tmp_path}/run began' in said


def test_a_folder_trains_the_same_in_memory_streamed_and_on_two_replicas(folder, tmp_path):
    words = (*MLP, *folder, '--config.epochs=3', '--config.data.normalize=standard')
    whole = run(tmp_path / 'whole', *words)
    streamed = run(tmp_path / 'streamed', *words, '--config.data.memory_limit_mb=0')
    assert whole['weights_sha256'] == streamed['weights_sha256']
    assert whole['test']['accuracy'] > 0.8
    two = run(tmp_path / 'two', *words, '--config.strategy=mirrored', '--config.replicas=2')
    assert two['test']['loss'] == pytest.approx(whole['test']['loss'], rel=1e-4)


LATE = """
import numpy as np
import tensorflow as tf

def late(data_dir, classes=3):
    rng = np.random.default_rng(0)
    x, y = rng.integers(-300, 300, (60, 5, 5), np.int16), rng.integers(0, classes, 60)
    return {'train': tf.data.Dataset.from_tensor_slices((x, y, rng.uniform(0, 2, 60)))}
"""


def test_a_function_trains_the_same_in_memory_and_streamed_and_must_return_the_same(tmp_path):
    (tmp_path / 'own.py').write_text(LATE)
    config = default.get_config()
    config.data.name, config.epochs, config.global_batch_size = f'{tmp_path}/own.py:late', 3, 16
    config.data.validation = 7

    def trained(limit: int, workdir: str, **options):
        location = sources.locate(config.data.name, str(tmp_path), options=options)
        dataset = sources.load(location, seed=0, validation=7, memory_limit_mb=limit)
        devices = tf.distribute.OneDeviceStrategy('CPU:0')
        (tmp_path / workdir).mkdir(exist_ok=True)
        return Run(config, devices, dataset, tmp_path / workdir).complete(0.0, show=False), dataset

    (whole, held), (streamed, read) = trained(1, 'whole'), trained(0, 'streamed')
    assert type(held.train) is not type(read.train)
    assert whole['weights_sha256'] == streamed['weights_sha256']
    assert whole['dataset'] == streamed['dataset']
    with pytest.raises(UserError, match='what .*own.py:late returns has changed since the run in .*streamed began'):
        trained(0, 'streamed', classes=2)


@pytest.mark.slow
def test_own_data_on_two_workers(table, folder, tmp_path):
    """Slow: eight runs, for what tests/trainer/test_strategies.py shows on a function."""
    rng = np.random.default_rng(0)
    arrays = {
        'x': rng.integers(0, 255, (90, 6, 6), np.uint8),
        'y': rng.integers(0, 3, 90),
        'sample_weight': rng.random(90),
    }
    np.savez(tmp_path / 'a.npz', **arrays)
    forms = {'table': (table, '--config.data.options.label=way'), 'folder': folder}
    forms['arrays'] = (f'--config.data.name={tmp_path}/a.npz',)
    for name, words in forms.items():
        words = (*MLP, *words, '--config.precision=float64', '--config.epochs=2', '--config.data.validation=11')
        run(tmp_path / name / 'one', *words, '--config.strategy=one_device')
        run(tmp_path / name / 'two', *words, '--config.data.memory_limit_mb=0', launch=2)
        assert relative_l2(weights(tmp_path / name / 'one'), weights(tmp_path / name / 'two')) < 1e-12


@pytest.mark.slow
def test_killed_and_continued(folder, tmp_path):
    """Slow: three processes more, for what tests/trainer/test_resume.py shows on other data."""
    words = (*MLP, *folder, '--config.epochs=30', '--config.data.memory_limit_mb=0', *OFTEN)
    whole = run(tmp_path / 'whole', *words)
    process = command(*words, f'--workdir={tmp_path}/killed', start_new_session=True)
    wait_for(lambda: last_checkpoint(tmp_path / 'killed') > 10)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run(tmp_path / 'killed', *words)['weights_sha256'] == whole['weights_sha256']


def test_a_study_of_own_data(folder, tmp_path):
    """Each seed holds out other examples, and so is normalised by other moments, with the compiled steps of the last."""
    name, data_dir = (word.removeprefix('--config.') for word in folder)
    (tmp_path / 'study.py').write_text(STUDY)
    said = finish(
        f'--study={tmp_path}/study.py', '--study.seeds=2', '--workers=1', '--noreport',
        f'--study.base.{name}', f'--study.base.{data_dir}', '--study.base.data.normalize=standard',
        '--study.base.data.validation=20', '--study.base.epochs=3', '--study.base.global_batch_size=16',
        f'--workdir={tmp_path}/study',
    )  # fmt: skip
    assert said.count('halves has no test split') == 1
    of_run = results_of(tmp_path / 'study')
    means = {run: result['dataset']['normalization']['mean'] for run, result in of_run.items()}
    assert len(of_run) == 4
    assert means['SGD/0'] == means['ScheduleFreeAdamW/0'] != means['SGD/1']
    [config] = (tmp_path / 'study').glob('SGD/1/config.json')
    assert json.loads(config.read_text())['data']['name'].startswith('folder:')


def test_what_is_for_images_is_refused_for_a_table(table, tmp_path):
    words = (table, '--config.data.options.label=way', '--config.epochs=1')
    said = run(tmp_path / 'a', *MLP, '--config.model.name=cnn', *words, code=2)['stderr']
    assert "error: model.name 'cnn' is for images, and the examples of 'points.csv' have 2 features: use 'mlp'" in said
    said = run(tmp_path / 'b', *MLP, *words, '--config.data.augment.shift=2.0', code=2)['stderr']
    assert "data.augment.shift is for images, and the examples of 'points.csv' have 2 features: set it to 0" in said
    said = finish(
        MLP[0], *words, '--config.data.augment.shift=1.0',
        '--vary=optimizer.name=SGD,Adam', f'--workdir={tmp_path}/c', code=2,
    )  # fmt: skip
    assert said.count('data.augment.shift is for images') == 1
    assert not list((tmp_path / 'c').glob('*/*/error.txt'))  # before a run was tried


def test_what_data_hold_counts_and_not_their_place(table, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'run').mkdir()
    moved = tmp_path / 'elsewhere' / 'points.csv'

    def config(path):
        made = default.get_config()
        made.data.name = str(path)
        with made.data.options.unlocked():
            made.data.options.label = 'way'
        return made

    here = config(tmp_path / 'points.csv')
    before = results.config_hash(here)
    results.begin(tmp_path / 'run', here)
    shutil.copy(tmp_path / 'points.csv', moved)
    assert results.config_hash(config(moved)) == before
    results.check_workdir(tmp_path / 'run', config(moved))
    results.begin(tmp_path / 'run', config(moved))
    moved.write_text(moved.read_text().replace('up', 'down', 1))
    (tmp_path / 'run' / 'checkpoints').mkdir()
    assert results.config_hash(config(moved)) != before
    with pytest.raises(UserError, match='has changed since the run'):
        results.begin(tmp_path / 'run', config(moved))
