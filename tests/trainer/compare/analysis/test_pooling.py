"""Variants that compute the same thing: which seeds count for all of them."""

import numpy as np
import pandas as pd
import pytest

from trainer.compare.analysis import pooling
from trainer.compare.analysis.rules import ANYTIME, FIXED

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
    filled, first = pooling.filled(study(CHECK), runs(), {}, ANYTIME)
    assert filled.groupby('variant')['seed'].apply(sorted).map(len).to_dict() == {
        'A-x': 8,
        'A-y': 8,
        'B-x': 6,
        'B-y': 6,
    }
    assert not filled.duplicated(['variant', 'seed']).any()
    assert first == {'A-x': 'A-x', 'A-y': 'A-x', 'B-x': 'B-x', 'B-y': 'B-x'}
    borrowed = filled[(filled['variant'] == 'A-y') & (filled['seed'] == 7)].iloc[0]
    assert (borrowed['optimizer'], borrowed['loss']) == ('A', 'y')
    assert borrowed['test_accuracy'] == runs().query("variant == 'A-x' and seed == 7")['test_accuracy'].item()


@pytest.mark.parametrize(
    ('checks', 'difference', 'rule'),
    [((), 0.0, ANYTIME), ((CHECK,), 0.0, FIXED), ((CHECK,), 0.002, ANYTIME)],
    ids=['nobody says it', 'all have the same number of seeds', 'the runs refute it'],
)
def test_other_runs_count_for_themselves(checks, difference, rule):
    filled, first = pooling.filled(study(*checks), runs(difference), {}, rule)
    assert len(filled) == sum(SEEDS.values())
    assert all(name == own for name, own in first.items())


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
    filled, _ = pooling.filled(study(CHECK) | changed, runs(), {}, ANYTIME)
    assert len(filled) == sum(SEEDS.values())
    assert pooling.axes(study(CHECK) | changed, []) == []


def test_a_run_of_a_tuned_variant_counts_for_tuned_ones_alone():
    tuned = runs().assign(tuning='rate')
    tuned['variant'] += '-rate'
    both = pd.concat([runs().assign(tuning='default').query('seed < 4'), tuned], ignore_index=True)
    filled, first = pooling.filled(study(CHECK), both, {}, ANYTIME)
    assert filled.groupby('variant')['seed'].nunique()['A-x'] == 4
    assert first['A-y-rate'] == 'A-x-rate'
