"""Seeds until decided: rounds as a function of results, and one real study."""

import json

import ml_collections
import numpy as np
import pandas as pd
import pytest

from seedwise.errors import UserError
from tests.helpers import ROOT, finish, results_of
from tests.trainer.compare.driver import refuse, run
from tests.trainer.compare.pretended import ACCURACY, NOISE, SMALL, claim, pretend, small, study, table
from trainer.compare import records
from trainer.compare import study as study_runs
from trainer.compare.allocation import planning, seeds
from trainer.compare.allocation.rounds import Rounds, finished_seeds, next_seeds, stopping_of
from trainer.compare.checks.check_claims import check_reachable
from trainer.compare.report.page import page_of
from trainer.compare.report.text.questions import Question, questions_of


def runs_used(
    config: ml_collections.ConfigDict, runs: pd.DataFrame, most: int
) -> tuple[dict[str, int], list[Question]]:
    """Plays the rounds of a study on runs that are all there; returns the seeds of each variant, and what was asked last."""
    have, asked = dict.fromkeys(runs['variant'], 0), []
    while wanted := next_seeds(asked, have, most):
        assert all(have[name] < n <= most for name, n in wanted.items())
        have |= wanted
        known = runs[[seed < have[name] for name, seed in zip(runs['variant'], runs['seed'], strict=True)]]
        asked = questions_of(config, known)
    return have, asked


def test_the_claims_of_the_first_study_would_have_been_decided_by_fewer_runs():
    config, runs, _, _ = records.read(ROOT / 'docs' / 'studies' / 'raj_optimizers_losses' / 'runs.csv')
    have, asked = runs_used(config, runs.drop(columns='test_correct'), 10)
    assert len(runs) == 210
    assert sum(have.values()) == 101
    assert min(have.values()) == seeds.LEAST
    # Seven of eight claims are decided; Nadam and RMSprop are closer than ten seeds show. Of what computes the same thing,
    # one variant alone gets more seeds.
    assert [(q.name, q.waits_for) for q in asked if not q.answered] == [
        ('nadam_best_optimizer', ('CCE-Nadam', 'CCE-RMSprop'))
    ]
    # Except where a claim compares variants that compute the same thing: it takes runs of both.
    assert {n for name, n in have.items() if not name.startswith('CCE')} == {seeds.LEAST, seeds.LEAST + 1}


def test_seeds_go_to_what_is_open_alone():
    far = table(A=0.9 + NOISE[:, 0], B=0.5 + NOISE[:, 1], C=0.9 + NOISE[:, 2], D=0.3 + NOISE[:, 3])
    have, asked = runs_used(study(claim('better')), far, 30)
    assert have == {'A': 4, 'B': 4, 'C': 4, 'D': 4}
    assert asked == [Question('better', True)]
    have, asked = runs_used(study(claim('better', b={'optimizer': 'C'})), far, 12)
    assert have == {'A': 12, 'B': 4, 'C': 12, 'D': 4}
    assert [(q.answered, set(q.waits_for)) for q in asked] == [(False, {'A', 'C'})]
    # Of many rivals, those that are beaten get no more; without claims, what may be the best goes on.
    for config in (study(claim('best', b=None)), study()):
        have, asked = runs_used(config, far, 8)
        assert have == {'A': 8, 'B': have['B'], 'C': 8, 'D': have['D']}
        assert have['B'] < 8 > have['D']
    # What is practically the same is answered too.
    have, asked = runs_used(study(margins={'test_accuracy': 0.1}), far, 30)
    assert asked == [Question('the best variant', True)]
    assert max(have.values()) < 10


def test_a_variant_that_always_diverges_does_not_use_up_the_seeds():
    nothing = np.full(40, np.nan)
    good = 0.9 + NOISE[:, 1]
    have, asked = runs_used(study(claim('better')), table(A=nothing, B=good), 30)
    assert (have['A'], asked[0].answered) == (7, True)  # signs decide
    have, asked = runs_used(study(claim('better')), table(A=nothing, B=nothing, C=good), 30)
    assert (have['A'], have['C']) == (5, 4)
    assert 'Every run of A and of B diverged' in asked[0].stuck
    have, asked = runs_used(study(claim('better')), table(A=good, B=good), 30)
    assert (have['A'], asked[0].stuck) == (5, 'No seed tells A and B apart.')
    have, asked = runs_used(study(), table(A=good, B=good), 30)
    assert (have['A'], asked[0].stuck) == (5, 'No seed tells A and B apart.')
    # One that fails altogether leaves its question open, and gets its rival no seeds.
    have, asked = runs_used(
        study(claim('best', b=({'optimizer': 'B'}, {'optimizer': 'D'}))), table(A=good + 1, B=good), 30
    )
    assert (have['A'], asked[0].answered, asked[0].stuck) == (4, False, 'No seed has finished for D.')
    some = np.where(np.arange(40) == 1, np.nan, good)
    have, asked = runs_used(study(claim('at_least', value=0.5, b=None)), table(A=some, B=good), 30)
    assert have['A'] == 4
    assert 'more seeds would not give it a mean' in asked[0].stuck


OPEN = Question('x', False, ('A', 'B'))


@pytest.mark.parametrize(
    ('asked', 'have', 'without', 'expected'),
    [
        ([], {'A': 0, 'B': 3, 'C': 9}, (), {'A': 4, 'B': 4}),
        ([Question('x', True)], {'A': 4, 'B': 4}, (), {}),
        ([OPEN], {'A': 4, 'B': 4, 'C': 4}, (), {'A': 5, 'B': 5}),
        ([OPEN], {'A': 9, 'B': 4, 'C': 4}, (), {'B': 5}),  # somebody else has added seeds
        ([OPEN], {'A': 16, 'B': 16, 'C': 4}, (), {'A': 20, 'B': 20}),
        ([OPEN], {'A': 19, 'B': 19, 'C': 4}, (), {'A': 20, 'B': 20}),
        ([OPEN], {'A': 20, 'B': 20, 'C': 4}, (), {}),
        ([OPEN], {'A': 8, 'B': 8, 'C': 4}, ('A',), {}),  # its runs fail, or do not fit: B alone answers nothing
        ([Question('x', False, ('A',))], {'A': 8, 'B': 8}, ('B',), {'A': 10}),
        ([OPEN, Question('y', False, ('B', 'C'))], {'A': 8, 'B': 8, 'C': 4}, (), {'A': 10, 'B': 10, 'C': 5}),
    ],
)
def test_the_next_round(asked, have, without, expected):
    assert next_seeds(asked, have, 20, without) == expected


def test_results_out_of_order_and_of_other_seeds_count_up_to_the_first_gap():
    runs = pd.DataFrame({'variant': ['A'] * 4 + ['B'], 'seed': [7, 2, 0, 99, 3]})
    assert finished_seeds(runs, ['A', 'B', 'C'], [0, 2, 3, 7]) == {'A': 2, 'B': 0, 'C': 0}


@pytest.mark.parametrize(
    ('own', 'most', 'expected'),
    [(3, None, range(30)), (20, None, range(60)), (3, 5, range(5)), ((4, 9), 4, (4, 9, 10, 11))]
    + [((4, 9, 1, 0, 7), 4, (4, 9, 1, 0))],
)  # fmt: skip
def test_the_seeds_that_a_variant_may_get(own, most, expected):
    config = ml_collections.ConfigDict({'seeds': own})
    seeds.with_most_seeds(config, most)
    assert list(config.seeds) == list(expected)
    with pytest.raises(UserError, match='--seeds is 3: .*from 4 to'):
        seeds.with_most_seeds(config, 3)


@pytest.mark.parametrize(
    ('about', 'expected'),
    [
        ({'study': {'seeds': 5}, 'unfinished': 0}, ([5], False)),
        ({'study': {'seeds': [0, 1]}, 'unfinished': 0}, ([2], False)),
        ({'study': {'seeds': 5}, 'unfinished': 3}, ([], False)),
        ({'study': {}, 'stopping': {'rule': 'anytime', 'looks': [5, 10]}}, ([5, 10], True)),
        ({}, ([], False)),
        ([], ([], False)),
    ],
)
def test_earlier_looks(tmp_path, about, expected):
    assert records.looks(tmp_path) == ([], False)
    (tmp_path / 'study.json').write_text(json.dumps(about))
    assert records.looks(tmp_path) == expected


def test_a_page_says_that_somebody_looked_before_and_what_is_open():
    runs = table(A=0.9 + NOISE[:10, 0], B=0.899 + NOISE[:10, 1])
    names = {'study_name': 'x', 'dataset_name': 'digits', 'draw': False}
    config = study(claim('better'))
    assert page_of(config, runs, None, **names).how_it_ended() == []
    twice = page_of(config, runs, None, **names, stopping={'rule': 'anytime', 'looks': [5, 10]})
    assert 'judged with 5 seeds' in twice.how_it_ended()[0]
    assert twice.verdicts[0].comparisons[0].rule == 'anytime'
    how = {'rule': 'anytime', 'ended': 'stopped', 'planned': 30}
    assert '10 of 30 seeds are judged. Verdicts' in page_of(config, runs, None, **names, stopping=how).how_it_ended()[0]
    how = {'rule': 'anytime', 'until_decided': True, 'ended': 'time', 'budget': '10 min', 'planned': 30}
    rule, why, left = page_of(config, runs, None, **names, stopping=how).how_it_ended()
    assert '10 seeds, 20 runs' in rule
    assert why == '1 of 1 question is open. The time (10 min) was used up.'
    assert left.startswith('Open: better. About ')


def test_a_margin_that_no_difference_reaches():
    with pytest.raises(UserError, match='lies between 0 and 1'):
        check_reachable('margin', 'test_accuracy', 1.0)
    check_reachable('margin', 'test_loss', 1.0)
    check_reachable('margin', 'test_accuracy', 0.5)


@pytest.mark.parametrize(
    ('broken', 'ended', 'expected'),
    [
        ('', 'seeds', {'fast': 8, 'slow': 8, 'other': 4}),
        ('other', 'seeds', {'fast': 8, 'slow': 8, 'other': 0}),
        ('slow', 'decided', {'fast': 4, 'slow': 0, 'other': 4}),  # nothing waits for seeds that could be given
    ],
)
def test_a_variant_that_fails_does_not_stop_the_others(tmp_path, broken, ended, expected):
    plan = Rounds(small(tmp_path, 8), tmp_path)
    for number, specs in enumerate(plan.stages()):
        assert number < 6
        for spec in reversed(specs):  # in any order
            name = spec.variant.name
            if name != broken:
                pretend(spec, ACCURACY[name] + NOISE[spec.seed, list(ACCURACY).index(name)])
    found = [spec.variant.name for spec in plan.runs()]
    assert {name: found.count(name) for name in ACCURACY} == expected
    assert plan.ended == ended


def test_a_process_that_dies_in_a_round_leaves_the_rest_to_the_next(tmp_path):
    """Half of each round by a process that dies, the other half by one that has the same command."""
    halves, whole = tmp_path / 'halves', tmp_path / 'whole'
    halves.mkdir()

    def train(specs):
        for spec in specs:
            pretend(spec, ACCURACY[spec.variant.name] + NOISE[spec.seed, list(ACCURACY).index(spec.variant.name)])

    for specs in (plan := Rounds(small(tmp_path, 8), whole)).stages():
        train(specs)
    for _ in range(30):
        specs = next(Rounds(small(tmp_path, 8), halves).stages(), [])
        left = [spec for spec in specs if spec.result() is None]
        train(left[: -(-len(left) // 2)][::-1])
    other = Rounds(small(tmp_path, 8), halves)
    assert other.look()[2] == {}
    names = [[f'{spec.variant.name} {spec.seed}' for spec in one.runs()] for one in (plan, other)]
    assert names[0] == names[1]


def test_who_takes_seeds_away_has_seen_their_results(tmp_path):
    config = small(tmp_path, None)
    plan = study_runs.Plan(config, tmp_path, 0, 1)
    for one in plan.runs():
        pretend(one, 0.5)
    frame = pd.DataFrame({'seed': [one.seed for one in plan.runs()]})
    assert stopping_of(plan, frame, 0)['rule'] == 'fixed'
    config.seeds = 1
    fewer = study_runs.Plan(config, tmp_path, 0, 1)
    how = stopping_of(fewer, frame[frame['seed'] == 0], 0)
    # The two seeds were fixed beforehand; that one is left, results may have decided.
    assert (how['rule'], how['first'], how['taken_away'], how['picked']) == ('anytime', 2, True, False)
    with config.ignore_type():
        config.seeds = (1,)
    other = study_runs.Plan(config, tmp_path, 0, 1)
    assert stopping_of(other, frame[frame['seed'] == 1], 0)['picked']


@pytest.mark.parametrize('now', [3, 5])
def test_the_number_of_seeds_that_are_left_is_not_fixed_beforehand(tmp_path, now):
    """A study of 10 seeds, seen, of which the runs of some were deleted."""
    (tmp_path / 'report').mkdir()
    (tmp_path / 'report' / 'study.json').write_text(json.dumps({'stopping': {'rule': 'fixed', 'looks': [10]}}))
    config = small(tmp_path, None)
    config.seeds = now
    how = stopping_of(study_runs.Plan(config, tmp_path, 0, 1), pd.DataFrame({'seed': range(now)}), 0)
    assert (how['rule'], how['first']) == ('anytime', seeds.LEAST)


@pytest.mark.parametrize(
    ('earlier', 'first'),
    [
        (None, 4),
        ({'rule': 'fixed', 'looks': [10]}, 4),
        ({'rule': 'anytime', 'looks': [10, 20], 'first': 10}, 10),
        ({'rule': 'fixed', 'looks': [2]}, 2),
    ],
)
def test_seeds_that_were_fixed_before_anybody_looked(tmp_path, earlier, first):
    if earlier:
        (tmp_path / 'report').mkdir()
        (tmp_path / 'report' / 'study.json').write_text(json.dumps({'stopping': earlier}))
    how = stopping_of(Rounds(small(tmp_path, 30), tmp_path), pd.DataFrame({'seed': []}), 0)
    assert how['first'] == first


def test_one_study_until_it_is_decided_and_looked_at_again(tmp_path):
    """On digits, from the first round to the verdict."""
    file, workdir = tmp_path / 'small.py', tmp_path / 'w'
    file.write_text(SMALL)
    arguments = [f'--study={file}', f'--workdir={workdir}', '--workers=1']
    said = finish(*arguments, '--until-decided', '--seeds=12', '--budget=5m')
    found = results_of(workdir)
    counts = {rate: sum(run.startswith(f'{rate}/') for run in found) for rate in ('fast', 'slow', 'other')}
    assert counts['other'] == seeds.LEAST <= counts['fast'] == counts['slow'] <= 12
    answers = json.loads((workdir / 'report' / 'claims.json').read_text())
    assert (answers['rule'], answers['claims'][0]['result']) == ('anytime', 'holds')
    assert 'The question is answered.' in answers['how_it_ended']
    assert 'Seeds were added until decided' in said

    plan = Rounds(small(tmp_path, 12), workdir)
    assert plan.look()[2] == {}
    assert plan.ended == 'decided'
    # Killed before this one had ended, the same command would go on with it, and with nothing else.
    lost = workdir / 'other' / '3' / 'result.json'
    content = lost.read_text()
    lost.unlink()
    assert plan.look()[2] == {'other': 4}
    lost.write_text(content)

    # The study itself, with two seeds, trains nothing, and does not forget that somebody has looked.
    code, again, _ = run(*arguments)
    assert code == 0
    assert 'Somebody looked before' in again
    assert 'undecided' in again
    _, plan_lines, _ = run(*arguments, '--plan', '--study.seeds=40')
    assert f'{120 - len(found)} runs to go' in plan_lines
    assert 'a difference of' in plan_lines
    assert 'not one run fits' in refuse(*arguments, '--budget=0.01s', '--study.seeds=40')
    for flags, words in REFUSED.items():
        assert words in refuse(*arguments, *flags)
    assert results_of(workdir) == found


def test_a_plan_is_about_the_metric_that_the_study_ranks_by():
    rows = [('a', 0, 0.5), ('a', 1, 0.6), ('b', 0, 0.5), ('b', 1, 0.8)]
    frame = pd.DataFrame(rows, columns=['variant', 'seed', 'test_macro_f1']).assign(status='completed')
    assert 'in test macro f1 between two variants' in planning._difference(frame, 'test_macro_f1', 10, False)


#: Flags that do not go together -> what the line says.
REFUSED = {
    ('--until-decided', '--shard=0/2'): 'does not go with --shard',
    ('--budget=1m', '--shard=0/2'): 'does not go with --shard',
    ('--budget=1m', '--plan'): '--budget does not go with --plan',
    ('--plan', '--report_only'): '--plan does not go with',
    ('--seeds=4',): '--seeds is for a study without a file',
    ('--until-decided', '--seeds=3'): 'from 4 to',
}


def test_a_plan_counts_the_compilation_of_a_variant_once():
    times = {'a': planning._Times(first=8.0, others=1.0), 'b': planning._Times(first=5.0, others=2.0)}
    # a: 8 + 3 x 1; b has all its seeds; c, not yet seen, as b: 5 + 1 x 2.
    assert planning._seconds(times, {'a': 1, 'b': 5, 'c': 3}, {'a': 5, 'b': 5, 'c': 5}) == 18.0
