"""Variants that compute the same thing: which seeds count for all of them."""

import numpy as np
import pandas as pd
import pytest

from trainer.compare.analysis.claims import pooling
from trainer.compare.analysis.claims.selection import SEEDS_FROM
from trainer.compare.analysis.claims.verdicts import verdicts
from trainer.compare.analysis.rules import ANYTIME, FIXED
from trainer.compare.report import looks

SEEDS = {'A-x': 8, 'A-y': 5, 'B-x': 5, 'B-y': 6}
CHECK = {'id': 'same', 'kind': 'equal', 'a': {'loss': 'x'}, 'b': {'loss': 'y'}, 'margin': 0.001}


def study(*checks):
    return {'axes': {'optimizer': {'A': {}, 'B': {}}, 'loss': {'x': {}, 'y': {}}}, 'checks': checks}


def runs(difference=0.0):
    values = np.random.default_rng(0).normal(0.9, 0.01, 10)
    rows = [
        (name, *name.split('-'), seed, 'completed', values[seed] + (difference if name.endswith('y') else 0.0))
        for name, n in SEEDS.items()
        for seed in range(n)
    ]
    return pd.DataFrame(rows, columns=['variant', 'optimizer', 'loss', 'seed', 'status', 'test_accuracy'])


def test_a_run_counts_for_all_variants_that_compute_the_same_thing():
    filled = pooling.filled(study(CHECK), runs(), {}, ANYTIME)
    assert filled.groupby('variant')['seed'].apply(sorted).map(len).to_dict() == {
        'A-x': 8,
        'A-y': 8,
        'B-x': 6,
        'B-y': 6,
    }
    assert not filled.duplicated(['variant', 'seed']).any()
    first = filled.groupby('variant')[SEEDS_FROM].agg(lambda names: ' '.join(set(names))).to_dict()
    assert first == {'A-x': 'A-x', 'A-y': 'A-x', 'B-x': 'B-x', 'B-y': 'B-x'}
    borrowed = filled[(filled['variant'] == 'A-y') & (filled['seed'] == 7)].iloc[0]
    assert (borrowed['optimizer'], borrowed['loss']) == ('A', 'y')
    assert borrowed['test_accuracy'] == runs().query("variant == 'A-x' and seed == 7")['test_accuracy'].item()


#: Claims about variants of one group, in which a run of A-x that stands for A-y says nothing -> how many seeds are left.
WITHIN = {
    'better': ({'kind': 'better', 'a': {'optimizer': 'A', 'loss': 'x'}, 'b': {'optimizer': 'A', 'loss': 'y'}}, 5),
    'best of its group': ({'kind': 'best', 'a': {'loss': 'x'}, 'where': {'optimizer': 'A'}}, 5),
    'best of all': ({'kind': 'best', 'a': {'optimizer': 'A', 'loss': 'x'}}, 5),
    'mostly': ({'kind': 'mostly', 'a': {'loss': 'x'}, 'b': {'loss': 'y'}, 'matched': ['optimizer']}, 5),
    'means over optimizers': ({'kind': 'better', 'a': {'loss': 'x'}, 'b': {'loss': 'y'}}, 5),
    'another optimizer': (
        {'kind': 'better', 'a': {'optimizer': 'A', 'loss': 'x'}, 'b': {'optimizer': 'B', 'loss': 'x'}},
        6,
    ),
}


@pytest.mark.parametrize('kind', WITHIN)
def test_a_run_that_stands_for_both_sides_of_a_claim_counts_for_neither(kind):
    claim, seeds = WITHIN[kind]
    claim = {'id': 'c', 'quote': '', 'section': '', 'metric': 'test_accuracy', **claim}
    rng = np.random.default_rng(1)
    # Equal up to rounding, as with two formulas for one loss.
    frame = runs().assign(test_accuracy=lambda one: one['test_accuracy'] + rng.normal(0, 1e-9, len(one)))
    filled = pooling.filled(study(CHECK), frame, {}, ANYTIME)
    (found,) = verdicts([claim], filled, None, {}, ANYTIME)
    assert found.seeds == seeds
    if 'another' in kind:
        return
    assert [pair.n for pair in found.comparisons if 'y' in pair.b][:1] == [seeds]
    assert all(course.looks[-1].seeds <= 6 for course in looks.of_claims([claim], filled))
    assert 'more seeds cannot tell them apart' in found.stuck
    assert found.waits_for == (('A-x', 'B-x') if kind == 'best of all' else ())
    # By a margin they can be compared: by runs of their own.
    claim |= {'margin': 1e-9}
    (found,) = verdicts([claim], filled, None, {}, ANYTIME)
    assert {'A-x', 'A-y'} <= {*found.waits_for}


def test_failures_are_counted_once():
    failed = runs().assign(test_accuracy=0.1)
    filled = pooling.filled(study(CHECK), failed, {}, ANYTIME)
    claim = {'id': 'c', 'kind': 'fails', 'a': {}, 'value': 0.5, 'metric': 'test_accuracy'}
    assert f'{len(failed)} of {len(failed)} runs' in verdicts([claim], filled, None, {}, ANYTIME)[0].sentence


@pytest.mark.parametrize(
    ('checks', 'difference', 'rule'),
    [((), 0.0, ANYTIME), ((CHECK,), 0.0, FIXED), ((CHECK,), 0.002, ANYTIME)],
    ids=['nobody says it', 'all have the same number of seeds', 'the runs refute it'],
)
def test_other_runs_count_for_themselves(checks, difference, rule):
    filled = pooling.filled(study(*checks), runs(difference), {}, rule)
    assert len(filled) == sum(SEEDS.values())
    assert SEEDS_FROM not in filled


THREE = {'axes': {'optimizer': {'A': {}, 'B': {}}, 'loss': {'x': {}, 'y': {}, 'z': {}}}}
OF_A = {'a': {'optimizer': 'A', 'loss': 'x'}, 'b': {'optimizer': 'A', 'loss': 'y'}}


@pytest.mark.parametrize(
    'changed',
    [
        THREE,
        {'axes': {}, 'variants': {}},
        {'checks': (CHECK | OF_A,)},
        {'checks': (CHECK | {'where': {'optimizer': 'A'}},)},
    ],
    ids=[
        'nothing is said of a third value',
        'the study lists its variants',
        'said of A alone',
        'said of A alone, by where',
    ],
)
def test_only_axes_of_which_every_value_is_said_to_be_the_same_in_all_settings_are_pooled(changed):
    filled = pooling.filled(study(CHECK) | changed, runs(), {}, ANYTIME)
    assert len(filled) == sum(SEEDS.values())
    assert pooling.axes(study(CHECK) | changed, []) == []


def test_a_run_of_a_tuned_variant_counts_for_tuned_ones_alone():
    tuned = runs().assign(tuning='rate')
    tuned['variant'] += '-rate'
    both = pd.concat([runs().assign(tuning='default').query('seed < 4'), tuned], ignore_index=True)
    filled = pooling.filled(study(CHECK), both, {}, ANYTIME)
    assert filled.groupby('variant')['seed'].nunique()['A-x'] == 4
    assert set(filled.loc[filled['variant'] == 'A-y-rate', SEEDS_FROM]) == {'A-x-rate'}
