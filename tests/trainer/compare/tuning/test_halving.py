"""Trials that pause and go on: the same numbers as without a pause, after any kill, and a report that says what it took."""

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.forks import with_tensorflow
from tests.helpers import compare, finish, study_text, wait_for


def history(folder: Path) -> list[dict]:
    result = json.loads((folder / 'result.json').read_text())
    return [{k: v for k, v in row.items() if k not in ('seconds', 'rung')} for row in result['history']]


def test_a_run_that_paused_ends_as_one_that_did_not(tmp_path):
    """Its schedule is that of the whole training, and where it is to pause and has, nothing is trained again."""
    ended = with_tensorflow().run('tests.trainer.compare.tuning.pauses', str(tmp_path), environ=os.environ)
    assert ended.code == 0, ended.err
    _, second, third, _ = ended.out.split()
    assert second == third
    whole, paused = history(tmp_path / 'whole'), history(tmp_path / 'paused')
    # 1,237 examples, batches of 128: 20 steps; pauses after 2, 10 and 20 of them, evaluations after 10 and 20 besides.
    assert [row['step'] for row in paused] == [2, 10, 20]
    validation = [{k: v for k, v in row.items() if k.startswith('validation')} for row in paused]
    assert validation[1:] == [{k: v for k, v in row.items() if k.startswith('validation')} for row in whole]
    assert paused[2] == whole[1]


TUNED = study_text(
    'config.base.data.validation, config.base.epochs, config.base.model.hidden = 200, 4, ()',
    "config.axes = {'optimizer': {'SGD': {'optimizer': {'name': 'SGD'}}}}",
    'config.seeds = 4',
    "config.tune = {'trials': 4, 'metric': 'validation_accuracy', 'replicates': 2}",
    "config.tune.halving = {'eta': 2, 'rungs': 3}",
    "config.tune.tiers = {'rate': {'SGD': {'optimizer': {'learning_rate': ('log', 1e-4, 1.0)}}}}",
)


@pytest.mark.slow
def test_a_tuned_study_that_is_killed_goes_on_from_rung_to_rung_and_reports_its_budget(tmp_path):
    (tmp_path / 'tuned.py').write_text(TUNED)
    arguments, work = (f'--study={tmp_path / "tuned.py"}', f'--workdir={tmp_path / "w"}', '--workers=1'), tmp_path / 'w'
    process = compare(*arguments, start_new_session=True)
    wait_for(lambda: len([*work.glob('trials/*/*/paused.json')]) > 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finish(*arguments)
    pauses = {path.parent.name: json.loads(path.read_text()) for path in work.glob('trials/SGD-rate/*/paused.json')}
    assert sorted(pauses) == [f'{r}-{n:03d}' for r in (0, 1) for n in range(4)]
    # 1,237 examples, 4 epochs: 39 steps; a quarter is 10, a half 20. One of two is left, and is trained no further.
    assert sorted(pause['steps'] for pause in pauses.values()) == [10] * 4 + [20] * 4
    assert not [*work.glob('trials/*/*/result.json'), *work.glob('trials/*/*/checkpoints')]
    best = {
        r: max((n for n in pauses if n[0] == r), key=lambda n: (pauses[n]['steps'], score(pauses[n]))) for r in '01'
    }
    rates = [rate_of(work / 'SGD-rate' / str(seed)) for seed in range(4)]
    assert rates == [rate_of(work / 'trials' / 'SGD-rate' / best[str(seed % 2)]) for seed in range(4)]
    claims = json.loads((work / 'report' / 'claims.json').read_text())
    examples = 2 * (2 * 10 + 2 * 20) * 128
    assert claims['tuning']['examples_granted'] == claims['tuning']['examples_seen'] == {'SGD-rate': examples}
    table = pd.read_csv(work / 'report' / 'table.csv')
    assert dict(zip(table['tuning'], table['tuning_examples'], strict=True)) == {'rate': examples, 'default': 0}
    assert set(table['seeds']) == {2}  # replicates
    page = (work / 'report' / 'index.html').read_text()
    assert 'done again in each of 2 replicates of 2 seeds' in page
    assert f'the same {examples:,} for each. All were used.' in page


def score(result: dict) -> float:
    return min(result['history'], key=lambda row: row['validation_loss'])['validation_accuracy']


def rate_of(folder: Path) -> float:
    return json.loads((folder / 'config.json').read_text())['optimizer']['learning_rate']
