"""Arguments reach the command unchanged through every launcher, whatever is in them.

A launcher joins with one line in LAUNCHERS: a function that takes a command, lets the launcher write what it would submit,
has that carried out as the engine would, and returns what the command printed.
"""

import contextlib
import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from launch import slurm

SHOW = (sys.executable, '-I', '-S', '-c', 'import json, sys; print(json.dumps(sys.argv[1:]))')

#: Of one line in a shell function's body: drops srun's own flags, and runs the command that they are for.
SRUN = '() { while [ "$1" != -- ]; do shift; done; shift; "$@"; }'


def written(main, *arguments: str) -> str:
    """Returns what a launcher prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(list(arguments)) == 0
    return printed.getvalue()


def output(command: list[str], **options) -> str:
    done = subprocess.run(command, capture_output=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def through_slurm(command: list[str]) -> str:
    """The script in bash, with an srun that starts one task here. Through a real one: test_slurm.py."""
    text = written(slurm.main, '--nodes=2', '--', *command)
    return output(['/bin/bash'], input=os.fsencode(text), env=os.environ | {'BASH_FUNC_srun%%': SRUN})


LAUNCHERS = {
    'local': lambda command: output([sys.executable, '-m', 'launch', 'local', '--', *command]),
    'slurm': through_slurm,
}


@pytest.mark.parametrize('launcher', LAUNCHERS)
@given(st.lists(st.text(st.characters(codec='utf-8', exclude_characters='\0')), max_size=8))
@example(
    [
        'a b',
        '"',
        "'",
        '$HOME',
        '`id`',
        '*',
        '\\',
        'two\nlines',
        'dos\r\nlines',
        '',
        '--',
        '--workers=0',
        '-h',
        '~',
        ';',
        'é',
    ]
    + [
        '&&',
        '#',
        '!',
        '{}',
        '{0}',
        '%j',
        '\udcff',
        '\x1b[0m',
        "'\n\\'",
        '${HOME}\t',
        "$'\\x41'",
        '<<EOF',
        'a=(b)',
        '[a-z]?',
    ]
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_arguments_reach_the_command_unchanged(launcher, arguments):
    assert json.loads(LAUNCHERS[launcher]([*SHOW, *arguments])) == arguments


def test_a_study_is_told_its_shard(monkeypatch):
    text = written(slurm.main, '--array=8', '--', *SHOW, 'a b')
    environ = os.environ | {'BASH_FUNC_srun%%': SRUN, 'SLURM_ARRAY_TASK_ID': '3'}
    assert '#SBATCH --array=0-7\n' in text
    assert json.loads(output(['/bin/bash'], input=text.encode(), env=environ)) == ['a b', '--shard=3/8']
