"""The engine of studies: nothing is lost, nothing is trained twice, and a run is the run it would be on its own."""

import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import psutil
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from data_pipeline import sources
from tests.helpers import STUDY, compare, finish, hashes, results_of, run, wait_for
from trainer.compare import grid
from trainer.compare.allocation import capacity
from trainer.compare.engines import local
from trainer.machine.hardware import Gpus

#: Events of each run: they tell when it is under way.
BOARDS = '--study.base.tensorboard.enabled=true'

#: For tests that do not compare weights with those of `finished`: steps that are compiled in half of the time.
NO_XLA = '--study.base.jit=off'


@pytest.fixture(scope='module')
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('study') / 'small.py'
    path.write_text(STUDY)
    return path


@pytest.fixture(scope='module')
def finished(file) -> Path:
    """The folder of the study, finished undisturbed by one worker."""
    workdir = file.parent / 'finished'
    finish(f'--study={file}', f'--workdir={workdir}', '--workers=1')
    return workdir


def written(workdir: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in workdir.glob('*/*/result.json')}


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if 'trainer.compare.engines.worker' in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


def test_all_runs_are_done_and_reported(finished):
    assert len(results_of(finished)) == 6
    assert (finished / 'report' / 'index.html').exists()
    assert 'SGD' in (finished / 'report' / 'table.csv').read_text()


def test_a_run_with_reused_steps_is_the_run_it_would_be_on_its_own(finished, tmp_path):
    """The third of its worker, of an optimizer whose state begins with the weights; and with them, model.keras."""
    folder = finished / 'ScheduleFreeAdamW' / '2'
    config = [
        '--config.data.name=digits',
        '--config.data.fallback=',
        '--config.model.hidden=(32,)',
        '--config.epochs=4',
    ]
    config += ['--config.model.dropout=every', '--config.optimizer.name=ScheduleFreeAdamW', '--config.seed=2']
    expected = run(tmp_path / 'alone', '--config=configs/default.py', *config, '--config.threads=1')
    result = json.loads((folder / 'result.json').read_text())
    for key in ('config_hash', 'weights_sha256', 'test'):
        assert result[key] == expected[key]

    saved = [
        re.sub(rb'"shared_object_id": \d+', b'', zipfile.ZipFile(path / 'model.keras').read('config.json'))
        for path in (folder, tmp_path / 'alone')
    ]
    assert saved[0] == saved[1]


def test_a_finished_study_trains_nothing(finished, file, tmp_path):
    before = written(finished)
    started = time.monotonic()
    finish(f'--study={file}', f'--workdir={finished}', '--noreport')
    assert written(finished) == before
    assert time.monotonic() - started < 30
    # Fewer seeds are a part of it, more add to it.
    workdir = shutil.copytree(finished, tmp_path / 'more')
    kept = written(workdir)
    said = finish(f'--study={file}', f'--workdir={workdir}', '--study.seeds=4', '--noreport', '--workers=1')
    assert '[8/8]' in said
    assert kept.items() <= written(workdir).items()


def test_another_study_in_the_same_folder_is_refused(finished, file):
    said = finish(f'--study={file}', f'--workdir={finished}', '--study.base.epochs=5', code=2)
    assert 'another config' in said
    assert len(said.splitlines()) == 1


def test_killed_workers_and_mains_at_random_moments_change_nothing(finished, file, tmp_path):
    chance = random.Random()  # another one each time: any moment must do
    arguments = [f'--study={file}', f'--workdir={tmp_path}', '--study.base.checkpoint.every_steps=7', '--noreport']
    process = compare(*arguments, start_new_session=True)
    wait_for(lambda: results_of(tmp_path) or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.5))
    victims = workers_of(process)
    if victims:
        chance.choice(victims).kill()
    time.sleep(chance.uniform(0, 0.5))
    victims = workers_of(process)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(victim.is_running() for victim in victims), 40)  # no orphans
    before = written(tmp_path)
    finish(*arguments)
    assert hashes(tmp_path) == hashes(finished)
    assert before.items() <= written(tmp_path).items()  # what was finished was not trained again


@pytest.mark.slow
def test_the_first_study_killed_nine_times_is_the_study_undisturbed(tmp_path, mnist):
    """Slow: all 210 runs of a study, twice. A worker, the main process, and both are killed three times each."""
    study = '--study=configs/studies/raj_optimizers_losses.py'
    finish(study, f'--workdir={tmp_path / "whole"}', env=mnist, seconds=1200)
    workdir, chance = tmp_path / 'killed', random.Random()  # another one each time: any moment must do
    first_seen: dict[str, int] = {}
    what = ['worker', 'main', 'both'] * 3
    chance.shuffle(what)
    process = None
    for victim in what:
        if process is None:
            process = compare(study, f'--workdir={workdir}', env=mnist)
        done = len(written(workdir))
        wait_for(lambda done=done: len(written(workdir)) > done + 4)  # it has got going
        time.sleep(chance.uniform(0, 5))
        workers = workers_of(process)
        if victim != 'main':
            chance.choice(workers).kill()
        if victim != 'worker':
            process.kill()
            process.communicate()
            process = None
            wait_for(lambda workers=workers: not any(worker.is_running() for worker in workers), 40)
        assert first_seen.items() <= written(workdir).items()
        first_seen = written(workdir)
        assert len(first_seen) < 210, 'over before it was killed'
    if process:
        process.communicate(timeout=600)
    finish(study, f'--workdir={workdir}', env=mnist, seconds=600)
    assert first_seen.items() <= written(workdir).items()  # what was finished was not trained again
    assert len(written(workdir)) == 210
    assert hashes(workdir) == hashes(tmp_path / 'whole')
    for name in ('table.csv', 'table.md', 'table.tex', 'claims.json'):
        assert (workdir / 'report' / name).read_text() == (tmp_path / 'whole' / 'report' / name).read_text()


def test_a_worker_that_dies_costs_its_run_one_retry(finished, file, tmp_path):
    process = compare(
        f'--study={file}', f'--workdir={tmp_path}', '--workers=1', '--study.base.steps_per_call=1', BOARDS, '--noreport',
        '--study.seeds=1', NO_XLA,
    )  # fmt: skip
    wait_for(lambda: list(tmp_path.glob('*/*/tensorboard/train')) or process.poll() is not None)
    for worker in workers_of(process):
        worker.kill()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert 'killed by SIGKILL), will be tried again' in err
    assert len(results_of(tmp_path)) == 2
    assert not list(tmp_path.glob('*/*/error.txt'))


def test_shards_share_a_folder_and_do_each_run_once(finished, file, tmp_path):
    """Which runs a shard has: test_shards.py. Here, what one of three has finished is there."""
    arguments = [f'--study={file}', f'--workdir={tmp_path}', '--workers=1', '--noreport']
    for name in ('SGD/1', 'ScheduleFreeAdamW/1'):
        shutil.copytree(finished / name, tmp_path / name)
    before = written(tmp_path)
    other = compare(*arguments)  # two that want all: each run is done by one of them
    finish(*arguments)
    _, err = other.communicate(timeout=200)
    assert other.returncode == 0, err
    assert hashes(tmp_path) == hashes(finished)
    assert before.items() <= written(tmp_path).items()


@pytest.mark.parametrize('number', [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_a_signal_saves_and_the_same_command_continues(file, tmp_path, number):
    """Slow for the other one: it takes the same way."""
    # Too long to end by itself, however late the signal comes on a busy machine.
    arguments = [
        f'--study={file}',
        f'--workdir={tmp_path}',
        '--workers=1',
        '--study.base.epochs=20_000',
        '--study.seeds=1',
        BOARDS,
        NO_XLA,
        '--noreport',
    ]

    def boards() -> set[Path]:
        return set(tmp_path.glob('*/0/tensorboard/train/*'))

    def stopped_at() -> int:
        """Starts the study, signals it once a run has trained an epoch, and returns the step at which that was saved."""
        before = boards()
        process = compare(*arguments)
        wait_for(lambda: boards() > before or process.poll() is not None)
        workers = workers_of(process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 75, err
        assert 'the same command continues' in err
        assert 'Traceback' not in err
        assert not any(worker.is_running() for worker in workers)
        [saved] = tmp_path.glob('*/0/checkpoints')
        return max(int(path.stem.rpartition('-')[2]) for path in saved.glob('step-*.index'))

    first, before = stopped_at(), boards()
    assert first > 0
    if number == signal.SIGTERM:
        assert stopped_at() > first
        [board] = boards() - before
        assert all(event.step > first for event in EventFileLoader(str(board)).Load() if event.HasField('summary'))


def test_a_run_that_fails_is_tried_twice_and_named_and_the_others_go_on(file, tmp_path):
    (tmp_path / 'SGD' / '1').mkdir(parents=True)
    (tmp_path / 'SGD' / '1' / 'model.keras').mkdir()  # where the run will want to write a file
    arguments = [f'--study={file}', f'--workdir={tmp_path}', '--noreport', '--workers=1', '--study.seeds=2', NO_XLA]
    said = finish(*arguments, code=1)
    assert '1 run failed: SGD, seed 1' in said
    assert said.count('will be tried again') == 1
    assert 'model.keras cannot be written' in (tmp_path / 'SGD' / '1' / 'error.txt').read_text()
    assert len(results_of(tmp_path)) == 3
    (tmp_path / 'SGD' / '1' / 'model.keras').rmdir()
    finish(*arguments)
    assert len(results_of(tmp_path)) == 4
    assert not (tmp_path / 'SGD' / '1' / 'error.txt').exists()


def test_a_mistake_in_a_users_code_is_not_tried_again(file, tmp_path):
    (tmp_path / 'mine.py').write_text('def net(image_shape, classes):\n    raise KeyError(classes)\n')
    flags = (f'--study.base.model.name={tmp_path / "mine.py"}:net', '--noreport', '--workers=1', '--study.seeds=1')
    said = finish(f'--study={file}', f'--workdir={tmp_path / "w"}', *flags, code=1)
    assert '2 runs failed' in said
    assert 'will be tried again' not in said
    assert 'mine.py' in (tmp_path / 'w' / 'SGD' / '0' / 'error.txt').read_text()


def gpus_of(worker: local.Worker) -> str | None:
    """Returns what a worker process really has as CUDA_VISIBLE_DEVICES."""
    process = psutil.Process(worker._process.pid)
    wait_for(process.environ)  # right after its start it has none yet
    return process.environ().get('CUDA_VISIBLE_DEVICES')


def test_worker_processes_have_gpus_of_their_own(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', 'GPU-a,GPU-b,GPU-c')
    pool = local.Pool(0, sources.locate('digits'))
    plan = capacity.plan(capacity.Machine(8, None, Gpus(('GPU-a', 'GPU-b', 'GPU-c'))), capacity.Needs(1, 2**30))
    try:
        for _ in range(3):
            pool._start(plan)
        assert list(map(gpus_of, pool._workers)) == ['GPU-a', 'GPU-b', 'GPU-c']
        lost = pool._workers.pop(1)
        lost.stop()
        lost.end()
        pool._start(plan)
        assert gpus_of(pool._workers[-1]) == 'GPU-b'
    finally:
        pool.close()


def test_a_worker_is_replaced_after_so_many_programs(finished, file, tmp_path, monkeypatch, capsys):
    """On a machine with a GPU that TensorFlow cannot use, as it cannot here: the first worker finds out."""
    monkeypatch.setattr(local, 'MOST_PROGRAMS', 1)
    monkeypatch.setattr(capacity, 'this_machine', lambda: capacity.Machine(1, None, Gpus(('0',))))
    make, workers, seen = local.Worker, [], []

    def start(*arguments):
        workers.append(make(*arguments))
        seen.append(gpus_of(workers[-1]))
        return workers[-1]

    monkeypatch.setattr(local, 'Worker', start)
    config = runpy.run_path(str(file))['get_config']()
    grid.prepare(config)
    specs = grid.runs_of(grid.variants_of(config), [0], tmp_path)
    events = []
    local.Pool(0, sources.locate('digits')).run(specs, events.append)
    assert seen == ['0', None]
    assert capsys.readouterr().err.splitlines() == [local.NO_GPUS]
    assert [event.kind for event in events] == ['started', 'finished'] * 2
    assert len(workers) == 2  # one for each of the two optimizers
    assert hashes(tmp_path).items() <= hashes(finished).items()


def test_a_diverged_run_is_a_result(file, tmp_path):
    rate = ['--study.base.optimizer.learning_rate=1e6', '--study.base.model.activation=linear', '--study.seeds=1']
    said = finish(f'--study={file}', f'--workdir={tmp_path}', *rate, '--workers=1', '--noreport', NO_XLA)
    assert 'diverged' in said
    assert {result['status'] for result in results_of(tmp_path).values()} >= {'diverged'}


TUNED = """
import ml_collections
from configs import default


def get_config():
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name, config.base.data.validation = 'digits', 200
    config.base.model.hidden, config.base.epochs, config.base.jit = (), 3, 'off'
    config.axes = {'optimizer': {'SGD': {'optimizer': {'name': 'SGD'}}}}
    config.seeds = 2
    config.tune = {'trials': 4, 'metric': 'validation_accuracy'}
    config.tune.tiers = {'rate': {'SGD': {'optimizer': {'learning_rate': ('log', 1e-4, 1.0)}}}}
    return config
"""


def test_tuning_chooses_on_validation_and_runs_the_best_anew(tmp_path):
    (tmp_path / 'tuned.py').write_text(TUNED)
    finish(f'--study={tmp_path / "tuned.py"}', f'--workdir={tmp_path / "w"}', '--workers=1')
    trials = [json.loads(path.read_text()) for path in (tmp_path / 'w').glob('trials/SGD-rate/*/result.json')]
    assert len(trials) == 4
    assert all(trial['test']['examples'] == 0 for trial in trials)  # the test set is not what chooses

    def score(folder):
        history = json.loads((folder / 'result.json').read_text())['history']
        return min(history, key=lambda row: row['validation_loss'])['validation_accuracy']

    best = max((tmp_path / 'w').glob('trials/SGD-rate/*'), key=score)
    rates = [
        json.loads((folder / 'config.json').read_text())['optimizer']['learning_rate']
        for folder in (best, tmp_path / 'w' / 'SGD-rate' / '0', tmp_path / 'w' / 'SGD-rate' / '1')
    ]
    assert len(set(rates)) == 1
    assert set(results_of(tmp_path / 'w')) == {'SGD-default/0', 'SGD-default/1', 'SGD-rate/0', 'SGD-rate/1'}
    assert len((tmp_path / 'w' / 'report' / 'table.csv').read_text().splitlines()) == 3


def test_a_missing_dataset_ends_the_study_at_once(file, tmp_path):
    environment = os.environ | {'https_proxy': 'http://127.0.0.1:9', 'http_proxy': 'http://127.0.0.1:9'}
    arguments = ['--study.base.data.name=mnist', f'--study.base.data.data_dir={tmp_path / "none"}']
    said = finish(f'--study={file}', f'--workdir={tmp_path / "w"}', *arguments, code=2, env=environment)
    assert "'mnist' is not available here" in said
    assert '--study.base.data.manual_dir' in said
    assert len(said.splitlines()) == 1
    quick = [
        '--config=configs/mlp_adam.py',
        '--vary=optimizer.name=Adam,SGD',
        f'--config.data.data_dir={tmp_path / "none"}',
    ]
    said = finish(*quick, f'--save={tmp_path / "s.py"}', f'--workdir={tmp_path / "w"}', code=2, env=environment)
    assert '--config.data.manual_dir' in said.splitlines()[-1]
    assert '--study' not in said.splitlines()[-1]
    assert not (tmp_path / 'w').exists()
