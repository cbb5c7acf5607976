"""A short campaign; `python -m tests.faults.campaign --minutes=180 --seed=1` is a long one."""

import os
import random
import re
import subprocess
import sys

import pytest

from seedwise.errors import UserError
from tests.faults import hostile, long, sittings
from tests.faults.kills import commands as kills
from tests.faults.networks.wire import missing
from tests.helpers import ROOT, run

NETWORKS = pytest.param('networks', marks=pytest.mark.skipif(bool(missing()), reason=missing() or 'there is all'))


def campaign(*arguments: str) -> str:
    words = [sys.executable, '-m', 'tests.faults.campaign', *arguments]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_input_gives_a_traceback_or_hangs():
    said = campaign('--examples=5', '--seed=0', '--only=tables,studies,runs')
    assert 'found: 0' in said
    for part in ('tables', 'studies', 'runs'):
        assert re.search(rf'\| {part} \| \d+ \| 1 \| 5 \| 5 \| 0 \| 0 \|', said), said


@pytest.mark.slow
@pytest.mark.parametrize('part', ['hostile', 'kills'])
def test_nothing_is_lost_and_nothing_of_a_stranger_s_is_run(part):
    assert 'found: 0' in campaign('--minutes=5', '--seed=0', f'--only={part}')


@pytest.mark.slow
@pytest.mark.parametrize(
    'part',
    [
        *('disk', 'growing', 'files', 'together', 'surroundings', 'figures', 'lines', 'readers', 'differential'),
        NETWORKS,
    ],
)
def test_each_part_of_the_campaign_runs(part):
    said = campaign('--examples=1', '--seed=0', f'--only={part}')
    assert 'found: 0' in said


@pytest.mark.slow
def test_the_plain_program_tells_weights_that_are_trained_otherwise(tmp_path):
    fields = {'data.name': 'digits', 'steps': 2, 'precision': 'float64', 'optimizer.weight_decay': 0.01}
    words = ['--config=configs/default.py', *(f'--config.{path}={value}' for path, value in fields.items())]
    run(tmp_path / 'run', *words)
    for decay, found in ((0.01, False), (0.0101, True)):
        code = 'import sys; from tests.faults import differential; differential.main(sys.argv)'
        given = repr(fields | {'optimizer.weight_decay': decay})
        command = [sys.executable, '-c', code, given, str(tmp_path / 'run')]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert ('kernel: it differs by' in said) == found, said


@pytest.mark.parametrize(
    'html', ['<script>', '<a href="javascript:x">', '<a href="//x">', '<p onclick="x">', '<img src="x">', '<form>']
)
def test_what_would_run_is_found(html):
    head = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'"><a href="#x">"""
    assert hostile.faults_of(head) == []
    assert hostile.faults_of(head + html)


@pytest.mark.parametrize(('each', 'grows'), [(0.0, False), (0.005, True)])
def test_what_grows_in_long_work_is_told_from_what_varies(each, grows):
    numbers = random.Random(0)
    samples = []
    for done in range(80):
        steady = dict.fromkeys(long.TOLERANCES, 100.0)
        values = {name: value * (1 + each * done) * numbers.uniform(0.95, 1.05) for name, value in steady.items()}
        samples.append(long.Sample(done, float(done), values))
    assert [found for _, found in long.verdicts(samples)] == [grows] * len(long.TOLERANCES)


def test_a_finished_run_that_is_written_again_is_found(tmp_path):
    result = tmp_path / 'work' / 'Adam' / '0' / 'result.json'
    result.parent.mkdir(parents=True)
    result.touch()
    before = kills.finished(tmp_path)
    assert kills.trained_again(tmp_path, before) == ''
    os.utime(result, ns=(1, 1))
    assert kills.trained_again(tmp_path, before) == f'trained again: {[str(result)]}'


def test_a_campaign_goes_on_where_it_was_killed(tmp_path):
    file = tmp_path / 'state.json'
    for turn, name in enumerate(['kills', 'kills', 'files']):
        state = sittings.Sittings(file, 7, ['kills', 'files'])
        state.begin()
        if turn == 1:
            fault = {'turn': 1, 'text': 'study: it hung for 300 s', 'seconds': 310.0, 'load': 4.5}
            state.parts[name]['found'].append(fault)
        state.note(name, 2, 60.0, {'study': {'SIGKILL': 1, 'SIGTERM': 1}} if name == 'kills' else {})
    state = sittings.Sittings(file, None, ['files', 'kills'])
    assert (state.seed, state.seconds, state.found) == (7, 180.0, 1)
    said = '\n'.join(state.summary())
    assert '| kills | 2 | 2 | 4 | 3 | 1 | 1 |\n| files | 1 | 1 | 2 | 2 | 0 | 0 |' in said
    assert '| kills | SIGKILL | SIGTERM |\n| --- | --- | --- |\n| study | 2 | 2 |' in said
    assert 'kills, turn 1 (310 s, load 4.5 a core: overloaded, try it again)' in said
    for seed, names in ((8, ['kills', 'files']), (7, ['kills'])):
        with pytest.raises(UserError, match='name another --state'):
            sittings.Sittings(file, seed, names)
