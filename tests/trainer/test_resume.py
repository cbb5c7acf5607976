"""Promises 1 and 6: a run is a function of its config, also when it was killed, and nothing is lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import ROOT, command, kill_run, last_checkpoint, run

DIGITS = ('--config.data.name=digits', '--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=7')
CNN = ('--config=configs/cnn_nadam.py', *DIGITS, '--config.data.validation=100', '--config.epochs=20')
MLP = (
    '--config=configs/mlp_dropout.py',
    '--config.model.hidden=(64, 64)',
    *DIGITS,
    '--config.data.validation=100',
    '--config.epochs=20',
    '--config.eval_every_epochs=4',
)
MLP += ('--config.metrics=macro_f1,auc', '--config.monitor=macro_f1')
AUGMENT = ('--config.data.augment.flip', '--config.data.augment.crop=2', '--config.data.augment.mixup=1.0')
SHORT = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.epochs=1')
SHORT += ('--config.checkpoint.every_seconds=0', '--config.checkpoint.every_steps=3', '--config.checkpoint.keep=3')
SHORT += ('--config.steps_per_call=3',)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The MLP with augmentation, undisturbed."""
    return run(tmp_path_factory.mktemp('whole') / 'run', *MLP, *AUGMENT)


@pytest.fixture(scope='module')
def short(tmp_path_factory):
    """A finished run, and its folder, which is not to be changed."""
    folder = tmp_path_factory.mktemp('short') / 'run'
    return run(folder, *SHORT), folder


def kill_after_progress(workdir, arguments, launch, chance) -> None:
    """Starts the run, waits until it has got further than before, and at a random moment after that kills all of it."""
    before = last_checkpoint(workdir)
    process = command(*arguments, f'--workdir={workdir}', launch=launch, start_new_session=True)
    deadline = time.monotonic() + 120
    while last_checkpoint(workdir) <= before and process.poll() is None:
        assert time.monotonic() < deadline, 'no checkpoint within two minutes'
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.5))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def check_same(killed: dict, whole: dict) -> None:
    assert killed['weights_sha256'] == whole['weights_sha256']
    assert killed['test'] == whole['test']
    without_times = [
        [{k: v for k, v in row.items() if k != 'seconds'} for row in r['history']] for r in (killed, whole)
    ]
    assert without_times[0] == without_times[1]


def test_killed_at_a_random_moment_ends_with_the_same_weights(tmp_path, whole):
    kill_run(tmp_path / 'killed', *MLP, *AUGMENT, delay=random.uniform(0, 0.5))  # another one each time
    check_same(run(tmp_path / 'killed', *MLP, *AUGMENT), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('arguments', 'launch'),
    [(CNN, 0), (MLP, 0), (MLP, 2)],
    ids=['cnn', 'mlp with dropout and batch normalisation', 'two workers'],
)
def test_killed_five_times_ends_with_the_same_weights(tmp_path, arguments, launch):
    """Slow: each start imports TensorFlow."""
    whole = run(tmp_path / 'whole', *arguments, launch=launch)
    chance = random.Random()  # another one each time: any moment must do
    for _ in range(5):
        kill_after_progress(tmp_path / 'killed', arguments, launch, chance)
    check_same(run(tmp_path / 'killed', *arguments, launch=launch), whole)


def test_the_same_config_twice_gives_the_same_weights_and_another_seed_others(tmp_path, short):
    again, other = run(tmp_path / 'again', *SHORT), run(tmp_path / 'other', *SHORT, '--config.seed=1')
    assert short[0]['weights_sha256'] == again['weights_sha256'] != other['weights_sha256']


@pytest.mark.parametrize('launch', [0, pytest.param(2, marks=pytest.mark.slow)], ids=['one process', 'two workers'])
def test_sigterm_saves_and_the_same_command_continues(tmp_path, request, launch):
    """Slow with two workers: four processes that import TensorFlow and compile, two at a time."""
    arguments = [*(a for a in MLP if 'every_steps' not in a), *AUGMENT]
    process = command(*arguments, f'--workdir={tmp_path / "run"}', launch=launch)
    while not (tmp_path / 'run' / 'tensorboard' / 'validation').exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert 'the same command continues' in err
    assert not (tmp_path / 'run' / 'result.json').exists()
    stopped_at = last_checkpoint(tmp_path / 'run')
    assert stopped_at > 0
    result = run(tmp_path / 'run', *arguments, launch=launch)
    assert f'continuing at step {stopped_at:,}' in result['stderr']
    if not launch:  # of two workers, the test above says it
        check_same(result, request.getfixturevalue('whole'))


def test_a_finished_run_is_reported_not_trained_again(short):
    first, folder = short
    written = (folder / 'result.json').stat().st_mtime_ns
    started = time.monotonic()
    again = run(folder, *SHORT, fork=False)
    assert time.monotonic() - started < 3, 'TensorFlow must not be needed to report'
    assert (folder / 'result.json').stat().st_mtime_ns == written
    assert again['stdout'] == first['stdout']


def test_only_the_last_checkpoints_are_kept(short):
    """Of four: after 3, 6, 9 and all 12 steps."""
    steps = [int(path.stem.rpartition('-')[2]) for path in (short[1] / 'checkpoints').glob('*.index')]
    assert sorted(steps) == [6, 9, 12]


def test_a_torn_result_is_not_read_as_one(tmp_path, short):
    result, folder = short
    path = shutil.copytree(folder, tmp_path / 'run') / 'result.json'
    partial = path.with_name('.result.json.partial')
    partial.write_text(path.read_text()[:100])
    path.unlink()
    assert run(tmp_path / 'run', *SHORT)['weights_sha256'] == result['weights_sha256']
    assert json.loads(path.read_text())['status'] == 'completed'


def test_signals_in_the_middle_of_a_matrix_product_do_no_harm():
    """A thousand of them: each may come while oneDNN's code, in this very thread, has the stack pointer elsewhere."""
    code = (
        'import os, signal, subprocess, sys, time\n'
        'from seedwise import tensorflow_import\n'
        'tf = tensorflow_import.import_tensorflow()\n'
        'from seedwise.signals import stop_requests\n'
        'from trainer import strategy\n'
        'strategy.set_threads(1)\n'
        'product = tf.function(lambda a, b: tf.reduce_sum(tf.matmul(a, b, transpose_a=True)), jit_compile=True)\n'
        'a, b, caught = tf.ones((128, 784)), tf.ones((128, 32)), []\n'  # the gradient of a layer's weights
        'product(a, b)\n'
        'with stop_requests(caught.append):\n'
        '    send = "import os, sys, time\\nfor _ in range(1000): os.kill(int(sys.argv[1]), 15); time.sleep(0.001)"\n'
        '    sender = subprocess.Popen([sys.executable, "-c", send, str(os.getpid())])\n'
        '    while sender.poll() is None:\n'
        '        for _ in range(100):\n'
        '            product(a, b)\n'
        'print(len(caught) > 100)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, 'True\n'), done.stderr
