"""Closed standard streams and closed terminals: a run goes on, and its work is saved."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import ROOT, command, last_checkpoint

RUN = f'{sys.executable} -m trainer.main --config=configs/mlp_adam.py --config.data.name=digits --config.epochs=1'


@pytest.mark.parametrize('closed', ['0<&- 1>&- 2>&-', pytest.param('2>&-', marks=pytest.mark.slow), '2>&1 | head -c 1'])
def test_a_run_without_standard_streams_is_a_run(tmp_path, closed):
    """Slow with one closed: it is a part of the case with all three."""
    done = subprocess.run(
        f'{RUN} --workdir={tmp_path}/run {closed}', shell=True, cwd=ROOT, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / 'run' / 'result.json').read_text())
    assert result['status'] == 'completed'
    assert 'epochs' in (tmp_path / 'run' / 'config.json').read_text()


@pytest.mark.parametrize('nohup', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_closed_terminal_saves_and_ends_unless_it_is_ignored(tmp_path, nohup):
    """Slow with nohup: the whole run is waited for."""
    arguments = ['--config=configs/mlp_dropout.py', '--config.data.name=digits', '--config.data.validation=100']
    arguments += ['--config.jit=off', f'--config.epochs={40 if nohup else 400}', f'--workdir={tmp_path / "run"}']
    handler = signal.SIG_IGN if nohup else signal.SIG_DFL  # whatever the tests were started with
    process = command(*arguments, preexec_fn=lambda: signal.signal(signal.SIGHUP, handler))
    while not (tmp_path / 'run' / 'tensorboard' / 'validation').exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGHUP)
    out, err = process.communicate(timeout=120)
    assert process.returncode == (0 if nohup else 75), err
    assert (tmp_path / 'run' / 'result.json').exists() == nohup
    if not nohup:
        assert last_checkpoint(tmp_path / 'run') > 0
