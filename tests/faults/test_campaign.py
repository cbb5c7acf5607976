"""A short campaign; `python -m tests.faults.campaign --minutes=180 --seed=1` is a long one."""

import subprocess
import sys

import pytest

from tests.helpers import ROOT


def campaign(*arguments: str) -> str:
    words = [sys.executable, '-m', 'tests.faults.campaign', *arguments]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_input_gives_a_traceback_or_hangs():
    assert 'found: 0' in campaign('--examples=10', '--seed=0', '--only=tables,studies,runs')


@pytest.mark.slow
def test_nothing_is_lost_by_signals():
    assert 'found: 0' in campaign('--minutes=5', '--seed=0', '--only=kills')
