"""Signals at their ends: how a command starts. What a run makes of them: tests/trainer/test_resume.py."""

import functools
import os
import signal
import subprocess
import sys

import pytest

from seedwise import signals
from tests.helpers import ROOT

WAITING = """
import time
from seedwise import commands
commands.run(lambda argv: [print('ready', flush=True), time.sleep(60)])
"""


@pytest.mark.parametrize(
    'command', [['-c', WAITING], ['-m', 'launch', 'local', '--', 'sh', '-c', 'echo ready; exec sleep 60']]
)
def test_a_command_hears_signals_that_its_parent_has_blocked(command):
    """A script that has trained in its own process blocks them, and what it starts afterwards inherits that."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'PYTHONUNBUFFERED': '1'},
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signals.STOP),  # noqa: PLW1509
    )
    assert process.stdout.readline() == 'ready\n'  # type: ignore[union-attr]
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode


def test_ctrl_c_while_a_module_is_imported_is_not_swallowed(tmp_path):
    (tmp_path / 'swallows.py').write_text(
        'import os, signal\n\n\nclass Ends:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGINT)\n\n\n'
        'ends = Ends()\ndel ends\n'
    )
    script = (
        "from seedwise import signals, tensorflow_import\nsignals.end_imports('interrupted')\n"
        'import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n'
        "    print('raised', flush=True)\n"
        "with tensorflow_import.stderr_held_back():\n    import swallows\nprint('ran on')\n"
    )
    command = [sys.executable, '-c', script]
    logs = tmp_path / 'logs'
    logs.mkdir()
    environment = os.environ | {'PYTHONPATH': f'{ROOT}:{tmp_path}', 'TMPDIR': str(logs)}
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=heard)  # noqa: PLW1509
    assert (done.returncode, done.stdout, done.stderr) == (130, 'raised\n', 'interrupted\n')
    assert not [*logs.iterdir()]


def test_ctrl_c_while_a_command_is_imported_shows_no_traceback():
    """Python says what it has imported: the command is then at its own imports."""
    process = subprocess.Popen(
        [sys.executable, '-X', 'importtime', '-m', 'trainer.main'],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stderr
    assert any(line.split('|')[-1].strip() == 'absl' for line in process.stderr)
    process.send_signal(signal.SIGINT)
    assert 'Traceback' not in process.stderr.read()
    assert process.wait() == -signal.SIGINT
