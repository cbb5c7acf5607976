"""The time there is: what is started, what is stopped, and what is said."""

import datetime
import subprocess
import sys
import time

import pandas as pd
import pytest

import seedwise
from data_pipeline import sources
from seedwise.errors import UserError
from tests.helpers import ROOT
from tests.trainer.compare.pretended import ACCURACY, NOISE, played, small, spec, study, table
from trainer.compare import study as study_runs
from trainer.compare.allocation import budget
from trainer.compare.allocation.rounds import Rounds, Timed, stopping_of
from trainer.compare.engines.base import Limits
from trainer.compare.engines.local import Pool, Work
from trainer.compare.report.page import page_of

EVENING = datetime.datetime(2026, 3, 4, 17, 30)


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [('90s', 90), ('10m', 600), ('10 min', 600), ('2h', 7200), ('1h30m', 5400), ('1.5h', 5400), ('until 18:00', 1800)]
    + [('until 17:30', 86400), ('until 6:05', 45300)],
)
def test_a_time(text, seconds):
    assert budget.seconds_of(text, EVENING) == seconds


@pytest.mark.parametrize(
    'text', ['10', '0s', '-5m', 'soon', '10x', 'until 24:00', 'until noon', 'm', '1m2h', 'inf', 'nan']
)
def test_no_time(text):
    with pytest.raises(UserError, match=f"--budget is '{text}'.*such as|write its unit") as error:
        budget.seconds_of(text, EVENING)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('wrong', ['soon', 0, True, ['1h'], float('nan')])
def test_from_python_a_wrong_time_is_called_as_the_argument_is(tmp_path, wrong):
    with pytest.raises(UserError, match='^budget is '):
        seedwise.compare(small(tmp_path, None), tmp_path / 'w', budget=wrong)
    left = budget.Budget(1.5, called='budget', report=False)
    left.times.learn(spec('A', 9.0))
    with pytest.raises(UserError, match='^budget is 1.5 s, and not one run fits in'):
        left.check([spec('A')])


def test_no_run_is_started_that_would_end_too_late(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(time, 'time', lambda: pytest.fail('somebody may set this clock'))
    left = budget.Budget(100, report=False)
    assert left.may_start(spec('A'))  # nothing is known yet: the first runs tell
    now[0] += 50
    left.finished(spec('A', 40))
    assert left.may_start(spec('A'))
    now[0] += 20
    assert not left.may_start(spec('A'))
    assert not left.may_start(spec('B'))  # of one not seen yet, the slowest tells
    left.finished(spec('B', 5))
    assert left.may_start(spec('B'))
    assert left.refused == {'A', 'B'}
    assert left.seeds_that_fit(['B']) == 6
    assert left.seeds_that_fit(['A', 'B']) == 0
    with pytest.raises(UserError, match='not one run fits in: a run of A takes about 40 s'):
        left.check([spec('A')])
    left.check([spec('A'), spec('B')])
    # A worker that asks for a run is given the next that fits.
    work = Work([spec('A'), spec('A'), spec('B')], left.may_start)
    assert work.next_for('worker').variant.name == 'B'
    assert work.next_for('worker') is None


@pytest.mark.parametrize(
    ('seconds', 'stages', 'ended', 'expected'),
    [
        (
            1000,
            [3, 9, 2, 2, 2, 2],
            'seeds',
            {'fast': 8, 'slow': 8, 'other': 4},
        ),  # 5 s each: all of the first round fits
        (32, [3, 3, 3, 3], 'time', {'fast': 2, 'slow': 2, 'other': 2}),  # a seed of each, as long as the time does
        (82, [3, 9, 2, 2, 2], 'time', {'fast': 6, 'slow': 6, 'other': 4}),
    ],
)
def test_rounds_within_a_time(tmp_path, monkeypatch, seconds, stages, ended, expected):
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    plan = Rounds(small(tmp_path, 8), tmp_path, budget.Budget(seconds, report=False))
    assert played(plan, now) == stages
    assert now[0] <= seconds
    found = [spec.variant.name for spec in plan.runs()]
    assert {name: found.count(name) for name in ACCURACY} == expected
    assert plan.ended == ended


def test_a_report_that_took_long_while_runs_were_trained_gets_more_time_at_the_end(monkeypatch):
    monkeypatch.setattr(time, 'monotonic', lambda: 1000.0)
    left = budget.Budget(300)
    assert left.left == 300 - budget.REPORT_SECONDS
    left.reported(2.0)
    assert left.left == 300 - budget.REPORT_SECONDS
    left.reported(12.0)
    assert left.left == 300 - 18
    left.reported(3.0)
    left.reported(1e6)  # of a short time most is kept for runs
    assert left.left == 300 - 60


def test_as_many_seeds_as_fit(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    config = small(tmp_path, None)
    config.seeds = 20
    plan = Timed(config, tmp_path, 0, 1, budget.Budget(100, report=False))
    # Three variants of 5 s: the first seed, half of those that fit, and so on.
    assert played(plan, now) == [3, 6, 3, 3, 3]
    assert (plan.complete_seeds(), plan.ended, len(plan.runs())) == (6, 'time', 18)
    assert now[0] == 90
    frame = pd.DataFrame({'seed': [spec.seed for spec in plan.runs()]})
    how = stopping_of(plan, frame, 0)
    assert (how['rule'], how['looks'], how['ended'], how['planned']) == ('fixed', [6], 'time', 20)


def test_a_run_that_fails_is_not_blamed_on_the_clock(tmp_path):
    plan = Timed(small(tmp_path, None), tmp_path, 0, 1, budget.Budget(100, report=False))
    assert len([*plan.stages()]) == 1  # of which nothing has finished
    assert plan.ended == 'failed'
    runs = table(A=0.9 + NOISE[:3, 0], B=0.5 + NOISE[:3, 1])
    how = {'ended': 'failed', 'planned': 5}
    page = page_of(study(), runs, None, study_name='x', dataset_name='d', draw=False, stopping=how)
    assert ': 3 of 5 seeds are judged. Seeds from the first one with a failed run on' in page.how_it_ended()[0]


def test_time_that_is_over_before_a_worker_has_started_starts_none(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    left = budget.Budget(5, report=False)
    work = Work([spec('A'), spec('A'), spec('B')], left.may_start)
    work.drop_refused()
    assert work.waiting == 3
    now[0] = 5.1
    work.drop_refused()
    assert work.waiting == 0
    assert left.refused == {'A', 'B'}


def test_runs_that_the_time_did_not_reach_have_not_failed():
    left = budget.Budget(5, started=time.monotonic() - 6, report=False)
    Pool(1, sources.locate('digits')).run([spec('A'), spec('B')], pytest.fail, Limits(left.may_start, left.end))
    assert left.refused == {'A', 'B'}


def test_the_time_counts_from_the_start_of_the_process():
    code = 'import time; time.sleep(0.3); from seedwise import process; print(process.age())'
    age = float(
        subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )
    assert age == 0 or 0.25 < age < 60


def test_data_sets_share_the_time_that_is_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    whole = budget.Budget(90, report=False)
    first = whole.part(3)
    now[0] = 10
    assert (first.left, whole.part(2).left) == (20, 40)


def test_a_run_that_takes_longer_than_the_time_is_stopped_and_has_saved(tmp_path):
    config = small(tmp_path, None)
    config.base.epochs = 1
    specs = {'short': study_runs.Plan(config, tmp_path / 'work', 0, 1).runs()[0]}
    config.base.epochs = 20_000
    specs['long'] = study_runs.Plan(config, tmp_path / 'work', 0, 1).runs()[1]
    pool, events = Pool(1, sources.locate('digits')), []
    pool.run([specs['short']], events.append)  # after which the worker is ready
    left = budget.Budget(2.0, report=False)
    pool.run([specs['long']], events.append, Limits(left.may_start, left.end))
    assert [event.kind for event in events] == ['started', 'finished', 'started', 'stopped']
    assert list((specs['long'].workdir / 'checkpoints').glob('*.index'))
    left.stopped(specs['long'])
    assert left.refused == {specs['long'].variant.name}
    assert left.times.of(specs['long'].variant.name) > 1.5
