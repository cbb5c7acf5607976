"""What is seen of a study while it runs: where its questions stand, and its page."""

import io
import json
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.trainer.compare.pretended import ACCURACY, NOISE, claim, pretend, small, study, table
from trainer.compare import progress
from trainer.compare.allocation.rounds import Rounds
from trainer.compare.analysis.comparisons import compare
from trainer.compare.report import looks
from trainer.compare.report.over_datasets import write_over_datasets
from trainer.compare.report.page import page_of
from trainer.compare.report.text.questions import Standing, standings
from trainer.compare.report.write import write_report


def test_where_questions_stand():
    good = 0.9 + NOISE[:, 0]
    runs = table(A=good[:8], B=good[:8] - 0.3, C=good[:8] + NOISE[:8, 1], D=np.full(8, np.nan))
    claims = (
        claim('better'),
        claim('equal', b={'optimizer': 'C'}, margin=0.5),
        claim('best', b=None),
        claim('at_least', value=0.5, b=None),
        claim('fails', a={'optimizer': 'D'}, b=None, value=0.5),
    )
    found = {one.name: one for one in standings(study(*claims), runs)}
    assert {name: one.state for name, one in found.items()} == {
        'better': 'holds',
        'equal': 'holds',
        'best: C': 'open',
        'at_least': 'holds',
        'fails': 'holds',
    }
    assert found['fails'].words == '8 of 8 runs'
    pair = compare(*(runs[runs['variant'] == name].set_index('seed')['test_accuracy'] for name in 'AB'), rule='anytime')
    better = found['better']
    assert (better.mean, better.low, better.high) == pytest.approx((pair.advantage, pair.low, pair.high))
    # The line of each claim is the last of its looks, of the comparison that is closest to undecided.
    for one, name in ((claims[2], 'best: C'), (claims[3], 'at_least')):
        course = min(looks.of_claims([one], runs), key=lambda course: course.clearance)
        last, line = course.looks[-1], found[name]
        assert (line.seeds, line.mean, line.low, line.high) == pytest.approx(
            (last.seeds, last.mean, last.low, last.high)
        )
    # The level of the interval is that of the standings.
    ranked = standings(study(margins={'test_accuracy': 0.1}), table(A=good[:8], B=good[:8] - 0.3, C=good[:8] - 0.01))
    assert [(one.name, one.state) for one in ranked] == [
        ('A over C', 'practically the same'),
        ('A over B', 'better'),
    ]
    # The third beats the last on 4 seeds; the first, with 3, is not shown to.
    three = table(A=good[:4] + 0.02, B=good[:4] - 0.3, C=good[:4] - 0.001)
    early = three[(three['variant'] != 'A') | (three['seed'] < 3)]
    assert {one.name: one.state for one in standings(study(), early)}['A over B'] == 'rival is behind'
    # Where the number of seeds is fixed there is an interval, and no state before all have finished.
    assert {one.state for one in standings(study(*claims), runs, judged=False)} == {''}
    assert [one.name for one in standings(study(claim('better', b={'optimizer': 'x'})), runs)] == ['better']


def test_a_replicate_of_tuning_counts_once_while_the_study_runs():
    config = study(claim('better'))
    config.tune, config.seeds = {'replicates': 4}, 8
    (found,) = standings(config, table(A=0.9 + NOISE[:8, 0], B=0.8 + NOISE[:8, 1]), judged=False)
    assert found.seeds == 4
    assert found.mean == pytest.approx(0.1 + (NOISE[:8, 0] - NOISE[:8, 1]).mean())


def test_the_standings_fit_a_terminal():
    many = [
        Standing(f'a long name of claim number {i} \N{GREEK SMALL LETTER ALPHA}' * 2, 5, 0.1, -0.1, 0.3)
        for i in range(20)
    ]
    many[15] = Standing('open', 5, 0.00123456, -0.1, 0.3, state='open')
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(progress.table_of([*many[:15], many[15], Standing('done', 4, 1.0, state='holds')]))
    lines = console.export_text().splitlines()
    assert len(lines) <= 2 + progress.MOST_LINES
    assert max(map(len, lines)) <= progress.WIDTH
    assert 'and 5 more' in lines[-1]
    assert progress.line_of(many[15]) == 'open: open, +0.00123 [-0.1, +0.3], 5 seeds'


def test_a_running_study_is_looked_at_within_its_share_of_the_time(tmp_path, monkeypatch):
    """Each result is read once, seeds count up to the first gap, and a state is printed when it changes."""
    now = [0.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    plan = Rounds(small(tmp_path, 8), tmp_path)
    pages, said, states = [], [], []
    board = SimpleNamespace(stands=lambda found: states.append({one.state for one in found}), say_elsewhere=said.append)

    def page(frame, left):
        pages.append((sorted(frame['variant'] + frame['seed'].astype(str)), left))
        now[0] += 2

    watch = progress.Watch(plan, page)
    stage = next(plan.stages())
    watch.begin(stage)
    for spec in reversed(stage):  # slow, other, fast; the last seed first
        pretend(spec, ACCURACY[spec.variant.name] + 0.1 * NOISE[spec.seed, 0])
        now[0] += 100
        watch.look(board)
    # 12 runs of 100 s, and pages of 2 s may take 0.4% of that.
    slow = [f'slow{seed}' for seed in range(4)]
    assert pages == [(slow, 8), ([f'other{seed}' for seed in range(4)] + slow, 4)]
    assert said == ['faster_is_better: holds, +0.01 [+0.01, +0.01], 4 seeds']
    assert (states[0], states[-1]) == ({''}, {'holds'})  # not judged before each variant has a run
    reading = len(watch._rows)
    (plan.workdir / 'fast' / '0' / 'result.json').write_text('not read again')
    watch.look(board, ended=True)
    assert len(watch._rows) == reading == 12


GOOD = 0.9 + NOISE[:, 0]
NAMES = {'study_name': 'x', 'dataset_name': 'digits'}


@pytest.mark.parametrize('claims', [(claim('better'), claim('best', b=None), claim('at_least', value=0.5, b=None)), ()])
@pytest.mark.parametrize('fixed', [True, False])
def test_a_page_in_the_middle_of_a_study(tmp_path, claims, fixed):
    runs = table(A=GOOD[:6], B=GOOD[:6] - 0.3 + NOISE[:6, 1], C=GOOD[:4] + NOISE[:4, 2])
    how = {'rule': 'fixed' if fixed else 'anytime', 'until_decided': not fixed, 'planned': 9, 'running': 5}
    unfinished = 5 if fixed else 0
    page = write_report(
        study(*claims), runs, None, tmp_path, **NAMES, command='the command', unfinished=unfinished, stopping=how
    )
    html, answers = (tmp_path / 'index.html').read_text(), json.loads((tmp_path / 'claims.json').read_text())
    assert ': 16 of 21 runs are on this page' in html
    assert ('Nothing is judged before all have finished' in html) == fixed
    assert ('Seeds are added until decided: 4 to 6 seeds so far.' in html) != fixed
    assert 'by number of seeds' in html
    assert not list((tmp_path / 'plots').iterdir())  # what takes the longest waits for the end
    expected = ['holds', 'undecided', 'holds'] if claims else []
    assert [one['result'] for one in answers['claims']] == [None if fixed else result for result in expected]
    told = {(one['of'], one['b']): one for one in answers['looks']}
    by_claim = {('better', 'B'), ('best', 'B'), ('best', 'C'), ('at_least', '')}
    assert told.keys() == (by_claim if claims else {('the best variant', 'B'), ('the best variant', 'C')})
    if claims and not fixed:
        pair, course = page.verdicts[0].comparisons[0], told['better', 'B']
        assert (course['low'][-1], course['high'][-1], course['seeds'][-1]) == pytest.approx((pair.low, pair.high, 6))


def test_a_finished_study_with_a_fixed_number_of_seeds_has_no_looks():
    runs = table(A=GOOD[:6], B=GOOD[:6] - 0.3)
    assert page_of(study(claim('better')), runs, None, draw=False, **NAMES).courses == ()


def test_over_data_sets_the_seeds_count_that_were_fixed_before_anybody_looked(tmp_path):
    """The mean over the first 4 seeds; a data set without them is not judged."""

    def pages(seeds: int, first: int):
        how = {'rule': 'anytime' if first else 'fixed', 'until_decided': bool(first), 'first': first}
        frames = {f'd{i}': table(A=GOOD[i : i + seeds], B=NOISE[i : i + seeds, 1]) for i in range(2)}
        return {
            name: page_of(study(), frame, None, draw=False, **NAMES, stopping=how) for name, frame in frames.items()
        }

    about = {'study_name': 'x', 'about': '', 'command': 'the command'}
    lines = write_over_datasets(pages(6, 4), tmp_path, **about)
    assert 'each counted once' in ' '.join(lines)
    rows = pd.read_csv(tmp_path / 'table.csv', index_col='variant')
    assert rows.loc['A', 'test_accuracy_d1'] == pytest.approx(GOOD[1:5].mean(), abs=1e-5)
    write_over_datasets(pages(6, 0), tmp_path, **about)
    rows = pd.read_csv(tmp_path / 'table.csv', index_col='variant')
    assert rows.loc['A', 'test_accuracy_d1'] == pytest.approx(GOOD[1:7].mean(), abs=1e-5)
    lines = write_over_datasets(pages(3, 4), tmp_path, **about)
    assert 'Nothing is judged over the data sets: that takes results of its first 4 seeds' in ' '.join(lines)
