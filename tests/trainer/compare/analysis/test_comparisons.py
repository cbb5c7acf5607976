"""Comparisons of two variants: by hand, with runs that diverge, unpaired, and their error rates."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trainer.compare.analysis.comparisons import (
    BETTER,
    SAME,
    UNDECIDED,
    WORSE,
    any_pair,
    compare,
    compare_all,
)
from trainer.compare.analysis.ranking import rank


def series(*values: float, first_seed: int = 0) -> pd.Series:
    return pd.Series(values, index=range(first_seed, first_seed + len(values)), dtype=float)


def test_comparison_by_hand():
    # Differences 1 2 3 4: mean 2.5, sd sqrt(5/3) = 1.290994, t = 2.5 / (sd / 2) = 3.872983 with 3 degrees of freedom:
    # p = 0.030466. Interval: 2.5 +- 3.182446 * 0.645497 = 2.5 +- 2.054260.
    result = compare(series(1, 3, 5, 7), series(0, 1, 2, 3))
    assert (result.n, result.advantage, result.wins, result.test) == (4, 2.5, 4, 'paired t')
    assert result.sd == pytest.approx(1.290994, abs=1e-6)
    assert result.p_value == pytest.approx(0.030466, abs=1e-5)
    assert (result.low, result.high) == pytest.approx((0.445740, 4.554260), abs=1e-5)
    assert (result.sign(), result.outcome()) == (1, BETTER)
    assert result.correlation == pytest.approx(1)
    assert result.p_sign_flip == pytest.approx(2 / 16)


def test_the_lower_loss_is_the_better():
    result = compare(series(1, 3, 5, 7), series(0, 1, 2, 3), goal='min')
    assert (result.advantage, result.wins, result.losses, result.sign()) == (-2.5, 0, 4, -1)
    assert result.outcome() == WORSE


def test_runs_are_paired_by_seed_whatever_their_order():
    a, b = series(1, 2, 3, 4), pd.Series([10.0, 3.0, 1.0], index=[9, 2, 0])
    result = compare(a, b)  # seeds 0 and 2: 1 against 1, 3 against 3
    assert (result.n, result.ties, result.superiority) == (2, 2, 0.5)


def test_no_difference_at_all_is_p_1_and_no_number_of_seeds():
    result = compare(series(*[0.9] * 5), series(*[0.9] * 5))
    assert (result.p_value, result.seeds_needed, result.sign(), result.outcome()) == (1.0, None, 0, UNDECIDED)


def test_equal_differences_of_few_seeds_are_rounding_and_no_proof():
    # t is infinite, and its p-value would be 0 after two seeds: the anytime rule's takes its place. log E of an infinite t
    # is log 2 + (n - 1) / 2 * log(1 + 4 n), so that p is 2 / (2 * 41^4.5) for ten seeds and 1 / 13 for three.
    ten = compare(series(*np.arange(10) * 0.1 + 0.3), series(*np.arange(10) * 0.1))  # equal except for rounding
    assert (ten.p_value, ten.outcome(), ten.seeds_needed) == (pytest.approx(41**-4.5), BETTER, 4)
    three = compare(series(1, 1, 1), series(0.9, 0.9, 0.9))
    assert (three.p_value, three.low, three.outcome()) == (pytest.approx(1 / 13, rel=0.01), None, UNDECIDED)
    assert (three.carried_by, ten.carried_by) == (None, None)
    assert compare(series(1, 1), series(1, 1), margin=0.1).outcome() == UNDECIDED  # nor of being the same


def test_one_seed_decides_nothing():
    result = compare(series(1), series(0))
    assert (result.p_value, result.low, result.sd, result.seeds_needed, result.sign()) == (None,) * 4 + (0,)
    assert result.outcome() == UNDECIDED


@pytest.mark.parametrize(
    ('shift', 'outcome'), [(0.03, BETTER), (-0.03, WORSE), (0.0, SAME), (0.01, UNDECIDED), (-0.009, UNDECIDED)]
)
def test_four_outcomes_against_a_margin(shift, outcome):
    noise = np.array([0.001, -0.001, 0.002, -0.002, 0.0005, -0.0005])
    assert compare(series(*noise + shift), series(*[0.0] * 6), margin=0.01).outcome() == outcome


def test_without_a_margin_nothing_is_practically_the_same():
    assert compare(series(*[1e-9, -1e-9] * 5), series(*[0.0] * 10)).outcome() == UNDECIDED


def test_practically_the_same_by_hand():
    # Differences -1 0 1: mean 0, standard error 1 / sqrt(3) = 0.577350. Against a margin of 3 each of the two t values
    # is 3 / 0.577350 = 5.196152 with 2 degrees of freedom; one-sided p = (1 - t / sqrt(t^2 + 2)) / 2 = 0.017549.
    found = compare(series(-1, 0, 1), series(0, 0, 0), margin=3)
    assert found.p_within(3) == pytest.approx(0.017549, abs=1e-6)
    assert found.outcome() == SAME  # 2 * 0.0175 < 0.05: as the 95% interval +- 2.48 lies within +- 3
    assert found.p_within(0) is None


# Runs that diverge


def test_a_variant_that_always_diverges_is_worse():
    # B diverged on all six seeds: the exact sign test, 2 / 2^6. On a seed where both did, neither is better.
    worst = series(*[-math.inf] * 6)
    result = compare(series(*[0.9] * 6), worst)
    assert result.p_value == pytest.approx(2 / 64)
    assert (result.advantage, result.failed_b, result.wins, result.sign()) == (None, 6, 6, 1)
    both = compare(worst, worst)
    assert (both.ties, both.failed, both.outcome(), both.p_value) == (6, 0, UNDECIDED, None)


def test_a_variant_that_loses_on_every_seed_is_behind_though_some_of_its_runs_diverged():
    rng = np.random.default_rng(0)
    muon, adafactor = rng.normal(0.9808, 0.001, 10), rng.normal(0.9722, 0.001, 10)
    adafactor[[2, 7]] = -np.inf
    result = compare(series(*muon), series(*adafactor))
    assert (result.failed_a, result.failed_b, result.outcome()) == (0, 2, BETTER)
    assert result.p_value < 1e-4 / 41  # it survives any correction: what ranks of ten seeds never could
    assert compare(series(*adafactor), series(*muon)).outcome() == WORSE


def test_who_diverges_more_is_never_the_better_one():
    a, b = np.full(10, 0.99), np.full(10, 0.9)
    a[:3] = -np.inf
    assert compare(series(*a), series(*b)).outcome() == UNDECIDED
    assert compare(series(*b), series(*a)).outcome() == UNDECIDED
    b[3:6] = -np.inf  # as often: the means decide
    assert compare(series(*a), series(*b)).outcome() == BETTER


def test_who_diverges_less_is_not_better_if_it_is_shown_to_be_worse_elsewhere():
    a, b = np.linspace(0.949, 0.951, 20), np.full(20, 0.99)
    b[::2] = -np.inf  # ten seeds of twenty, which by themselves decide
    assert compare(series(*a), series(*b)).outcome() == UNDECIDED
    assert compare(series(*a + 0.04), series(*b)).outcome() == BETTER


def test_who_diverges_alone_is_never_practically_the_same():
    a, b = series(*[0.9] * 5, -math.inf), series(*[0.9] * 6)
    assert compare(a, b, margin=0.01).outcome() == UNDECIDED
    both = series(*[0.9] * 5, -math.inf)
    assert compare(both, both, margin=0.01).outcome() == SAME  # on the five seeds on which they trained


def test_divergence_alone_decides_where_it_is_often_enough():
    # B diverged on eight seeds of ten and was a little better on the two others: 2 * 2 * 2^-8 of the sign test, halved.
    a, b = series(*[0.9] * 10), series(*[-math.inf] * 8, 0.91, 0.92)
    result = compare(a, b)
    assert result.advantage == pytest.approx(-0.015)
    assert (result.sign(), result.p_value) == (1, pytest.approx(4 / 2**8))


# Margins, families, other runs


def test_the_margin_is_what_the_p_value_asks_about():
    a, b = series(0.011, 0.010, 0.009, 0.010, 0.0105), series(0, 0, 0, 0, 0)
    assert compare(a, b).sign() == 1
    assert compare(a, b, margin=0.01).sign() == 0
    assert compare(a, b, margin=0.02).sign() == -1
    assert (compare(a, b, margin=0.01).wins, compare(a, b, margin=0.01).superiority) == (2, 0.6)


@pytest.mark.parametrize(
    ('a', 'b', 'goal', 'message'),
    [
        (series(1), series(1, first_seed=5), 'max', 'no seed in common'),
        (pd.Series([1.0, 2.0], index=[0, 0]), series(1), 'max', 'occurs twice'),
        (series(math.nan), series(1), 'max', 'missing'),
        (series(1), series(1), 'highest', "'max' or 'min'"),
    ],
)
def test_runs_that_cannot_be_paired_are_refused(a, b, goal, message):
    with pytest.raises(ValueError, match=message):
        compare(a, b, goal=goal)


def test_a_comparison_is_plain_data():
    a, b = series(1, 2, math.inf), series(0, 3, 1)
    assert json.loads(json.dumps(dataclasses.asdict(compare(a, b)), allow_nan=False))['failed_a'] == 1


def test_all_pairs_are_one_family():
    noise = np.array([0.1, -0.2, 0.3, -0.1, 0.2, -0.3])
    values = pd.DataFrame({'a': 3 + noise[::-1], 'b': noise, 'c': -noise})
    pairs = {(c.a, c.b): c for c in compare_all(values)}
    assert set(pairs) == {('a', 'b'), ('a', 'c'), ('b', 'c')}
    smallest = min(pairs.values(), key=lambda c: c.p_value)
    assert smallest.p_adjusted == pytest.approx(3 * smallest.p_value)
    assert [pairs[pair].sign() for pair in (('a', 'b'), ('a', 'c'), ('b', 'c'))] == [1, 1, 0]


@pytest.mark.parametrize('margin', [0.0, 0.25])
def test_pairs_of_many_runs_are_counted_in_sorted_order(margin):
    rng = np.random.default_rng(0)
    left, right = (np.where(rng.uniform(size=60) < 0.1, -np.inf, rng.integers(0, 9, 60) / 4) for _ in range(2))
    assert any_pair.counts(left, right, margin, most=0) == any_pair.counts(left, right, margin)


def test_a_seed_that_carries_the_result_is_named():
    rng = np.random.default_rng(0)
    gained = rng.normal(0, 0.001, 10)
    gained[4] = 0.8
    assert compare(series(*gained), series(*[0.0] * 10)).carried_by == 4
    assert compare(series(*rng.normal(0, 1, 10)), series(*[0.0] * 10)).carried_by is None


def test_unpaired_runs_are_compared_by_welch_and_brunner_munzel():
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 1, 12), rng.normal(0, 3, 7)
    result = compare(series(*x), series(*y), paired=False)
    expected = stats.ttest_ind(x, y, equal_var=False)
    assert (result.test, result.n) == ("Welch's t", 7)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert result.superiority == pytest.approx(stats.mannwhitneyu(x, y).statistic / (12 * 7))
    assert result.superiority_low < result.superiority < result.superiority_high


@pytest.mark.parametrize('share', [0.0, 0.1])
def test_false_answers_are_no_more_often_than_they_may_be(share):
    """Equal variants, a share of whose runs diverges: 3,000 studies of ten seeds, without a margin and with one."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3000, 10))
    a[rng.uniform(size=a.shape) < share] = -np.inf
    b[rng.uniform(size=b.shape) < share] = -np.inf
    pairs = [compare(series(*x), series(*y), detail=False) for x, y in zip(a, b, strict=True)]
    wrong = np.mean([pair.outcome() in (BETTER, WORSE) for pair in pairs])
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 3000)
    on_the_edge = [dataclasses.replace(pair, advantage=pair.advantage + 2.0, margin=2.0) for pair in pairs]
    assert np.mean([pair.outcome() in (BETTER, SAME) for pair in on_the_edge]) <= 0.05 + 0.012


@pytest.mark.parametrize('unit', [1.0, 100.0])
@pytest.mark.parametrize('paired', [True, False])
def test_the_rounding_of_a_difference_is_no_difference(unit, paired):
    """One test example of 10,000 on each seed, however many pairs are looked at."""
    rng = np.random.default_rng(0)
    for n in (2, 3):
        for _ in range(100):
            b = np.round(unit * rng.integers(9000, 9900, n) / 10_000, 4)
            a = np.round(b + unit * 0.0001, 4)
            found = compare(pd.Series(a), pd.Series(b), paired=paired)
            assert found.outcome() == UNDECIDED
            assert rank(pd.DataFrame({'A': a, 'B': b}), paired=paired).of('best') == []


def test_a_difference_that_is_the_margin_is_not_above_it():
    a, b = pd.Series([0.9542, 0.9741, 0.9613, 0.9388]), pd.Series([0.9541, 0.9740, 0.9612, 0.9387])
    found = compare(a, b, margin=0.0001)
    assert (found.wins, found.ties, found.losses) == (0, 4, 0)
    assert found.p_value == 1
    assert compare(a, b).outcome() == BETTER
