"""Statistics against cases worked by hand and published tables."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from trainer.compare.analysis.statistics import (
    Target,
    compare,
    compare_all,
    equivalence,
    estimate,
    holm,
    mean_interval,
    seeds_needed,
    superiority,
    to_target,
)


def series(*values: float, first_seed: int = 0) -> pd.Series:
    return pd.Series(values, index=range(first_seed, first_seed + len(values)), dtype=float)


# Estimates


def test_mean_and_sd_of_five_values():
    # mean 10/5 = 2; squares of deviations 4 + 1 + 0 + 1 + 4 = 10, / (5 - 1) = 2.5.
    result = estimate([0, 1, 2, 3, 4])
    assert result.mean == 2
    assert result.sd == pytest.approx(math.sqrt(2.5))
    assert result.low < 2 < result.high
    assert result.method == 'bootstrap, BCa'


def test_one_seed_has_no_interval():
    assert estimate([0.97]) == dataclasses.replace(estimate([0.97]), sd=None, low=None, high=None, n=1)


def test_equal_values_have_an_interval_of_no_width():
    result = estimate([0.5] * 4)
    assert (result.low, result.high, result.method) == (0.5, 0.5, 'bootstrap, percentile')


def test_a_report_made_anew_is_the_same_report():
    values = np.random.default_rng(1).normal(size=10)
    assert estimate(values) == estimate(values)


def test_bootstrap_interval_covers_the_mean_about_as_often_as_documented():
    # 200 samples of ten normal values: a 95% interval covers in about 90% of cases, +- 2 * sqrt(0.09 / 200) = 0.04.
    samples = np.random.default_rng(0).normal(size=(200, 10))
    covered = np.mean([result.low <= 0 <= result.high for result in map(estimate, samples)])
    assert 0.86 <= covered <= 0.96


@pytest.mark.parametrize('values', [[], [1.0, math.inf], [1.0, math.nan]])
def test_an_estimate_of_nothing_or_of_diverged_runs_is_refused(values):
    with pytest.raises(ValueError, match='finite'):
        estimate(values)


# P(A>B)


def test_p_a_beats_b_counts_a_tie_half():
    # Differences +1 +2 0 -1: two wins, a tie, a loss: (2 + 1/2) / 4 = 0.625. Wilson at p = 0.625, n = 4, z = 1.95996:
    # centre (p + z^2 / 8) / (1 + z^2 / 4) = 1.105182 / 1.960365 = 0.563763;
    # half width z sqrt(p (1 - p) / 4 + z^2 / 64) / (1 + z^2 / 4) = 1.959964 * 0.344408 / 1.960365 = 0.344337.
    share, low, high = superiority(np.array([1.0, 2.0, 0.0, -1.0]))
    assert share == 0.625
    assert (low, high) == pytest.approx((0.219426, 0.908100), abs=1e-5)


def test_p_a_beats_b_of_a_clean_sweep_keeps_an_interval():
    # 10 of 10, Wilson's lower bound: 1 / (1 + z^2 / 10) = 1 / 1.384146 = 0.722467.
    assert superiority(np.ones(10)) == pytest.approx((1.0, 0.722467, 1.0), abs=1e-6)
    assert superiority(-np.ones(10)) == pytest.approx((0.0, 0.0, 1 - 0.722467), abs=1e-6)


def test_p_a_beats_b_of_ties_alone_is_a_half():
    share, low, high = superiority(np.zeros(6))
    assert share == 0.5
    assert low == pytest.approx(1 - high)


# Paired comparison


def test_comparison_by_hand():
    # Differences 1 2 3 4: mean 2.5, sd sqrt(5/3) = 1.290994, t = 2.5 / (sd / 2) = 3.872983 with 3 degrees of freedom:
    # p = 0.030466. Interval: 2.5 +- 3.182446 * 0.645497 = 2.5 +- 2.054260.
    result = compare(series(1, 3, 5, 7), series(0, 1, 2, 3))
    assert (result.n, result.advantage, result.wins, result.test) == (4, 2.5, 4, 'paired t')
    assert result.sd == pytest.approx(1.290994, abs=1e-6)
    assert result.p_value == pytest.approx(0.030466, abs=1e-5)
    assert (result.low, result.high) == pytest.approx((0.445740, 4.554260), abs=1e-5)
    assert result.sign() == 1


def test_the_lower_loss_is_the_better():
    result = compare(series(1, 3, 5, 7), series(0, 1, 2, 3), goal='min')
    assert (result.advantage, result.wins, result.losses, result.sign()) == (-2.5, 0, 4, -1)


def test_runs_are_paired_by_seed_whatever_their_order():
    a, b = series(1, 2, 3, 4), pd.Series([10.0, 3.0, 1.0], index=[9, 2, 0])
    result = compare(a, b)  # seeds 0 and 2: 1 against 1, 3 against 3
    assert (result.n, result.ties, result.superiority) == (2, 2, 0.5)


def test_no_difference_at_all_is_p_1_and_no_number_of_seeds():
    result = compare(series(*[0.9] * 5), series(*[0.9] * 5))
    assert (result.p_value, result.seeds_needed, result.sign()) == (1.0, None, 0)


def test_the_same_difference_on_every_seed_is_judged_by_ranks():
    # t divides by a standard deviation of 0 (but for rounding); the signed-rank test gives 2 / 2^10.
    result = compare(series(*np.arange(10) * 0.1 + 0.3), series(*np.arange(10) * 0.1))
    assert (result.test, result.p_value) == ('Wilcoxon signed-rank', 2 / 1024)
    assert result.seeds_needed == 2


def test_one_seed_decides_nothing():
    result = compare(series(1), series(0))
    assert (result.p_value, result.low, result.sd, result.seeds_needed, result.sign()) == (None,) * 4 + (0,)


def test_a_diverged_run_counts_as_the_worst():
    # B diverged on all six seeds: signed rank 2 / 2^6. On a seed where both did, neither is better.
    worst = series(*[-math.inf] * 6)
    result = compare(series(*[0.9] * 6), worst)
    assert (result.p_value, result.advantage, result.infinite, result.wins, result.sign()) == (2 / 64, None, 6, 6, 1)
    assert compare(worst, worst).ties == 6


def test_where_runs_diverge_the_ranks_decide_which_is_better():
    # B diverged on eight seeds of ten, and was a little better on the two others.
    a, b = series(*[0.9] * 10), series(*[-math.inf] * 8, 0.91, 0.92)
    result = compare(a, b)
    assert result.advantage == pytest.approx(-0.015)
    assert result.sign() == 1


def test_the_margin_is_what_the_p_value_asks_about():
    a, b = series(0.011, 0.010, 0.009, 0.010, 0.0105), series(0, 0, 0, 0, 0)
    assert compare(a, b).sign() == 1
    assert compare(a, b, margin=0.01).sign() == 0
    assert compare(a, b, margin=0.02).sign() == -1


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
    assert json.loads(json.dumps(dataclasses.asdict(compare(a, b)), allow_nan=False))['infinite'] == 1


# Holm


def test_holm_by_hand():
    # Sorted: 0.01 * 4 = 0.04, 0.02 * 3 = 0.06, 0.03 * 2 = 0.06, 0.04 * 1 = 0.04 -> 0.06, each at least the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_does_not_count_tests_that_could_not_be_made():
    assert holm([None, 0.02, None]) == [None, 0.02, None]
    assert holm([]) == []


def test_all_pairs_are_one_family():
    noise = np.array([0.1, -0.2, 0.3, -0.1, 0.2, -0.3])
    values = pd.DataFrame({'a': 3 + noise[::-1], 'b': noise, 'c': -noise})
    pairs = {(c.a, c.b): c for c in compare_all(values)}
    assert set(pairs) == {('a', 'b'), ('a', 'c'), ('b', 'c')}
    smallest = min(pairs.values(), key=lambda c: c.p_value)
    assert smallest.p_adjusted == pytest.approx(3 * smallest.p_value)
    assert [pairs[pair].sign() for pair in (('a', 'b'), ('a', 'c'), ('b', 'c'))] == [1, 1, 0]


def test_ten_seeds_can_win_among_210_pairs():
    # The reason for t: signed rank cannot go below 2 / 2^10, and 210 * 2 / 2^10 = 0.41.
    rng = np.random.default_rng(0)
    pair = compare(series(*rng.normal(0.97, 0.001, 10)), series(*rng.normal(0.95, 0.001, 10)))
    assert pair.p_value is not None
    assert 210 * pair.p_value < 0.05


# Intervals and equivalence


def test_t_interval_covers_the_mean_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(size=(1000, 5))
    covered = np.mean([low <= 0 <= high for low, high in map(mean_interval, samples)])
    assert 0.93 <= covered <= 0.97


def test_equivalence_by_hand():
    # Differences -1 0 1: mean 0, standard error 1 / sqrt(3) = 0.577350. Against a margin of 3 each of the two t values
    # is 3 / 0.577350 = 5.196152 with 2 degrees of freedom; one-sided p = (1 - t / sqrt(t^2 + 2)) / 2 = 0.017549.
    assert equivalence(np.array([-1.0, 0.0, 1.0]), 3) == pytest.approx(0.017549, abs=1e-6)


def test_equivalence_of_degenerate_differences():
    assert equivalence(np.array([1.0]), 2) is None
    assert equivalence(np.full(5, 0.1), 0.2) == 0
    assert equivalence(np.full(5, 0.3), 0.2) == 1
    assert equivalence(np.array([0.0, math.inf]), 0.2) == 1
    with pytest.raises(ValueError, match='margin'):
        equivalence(np.zeros(3), 0)


# Seeds needed


@pytest.mark.parametrize(('effect', 'n'), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (40, 2)])
def test_seeds_needed_agree_with_published_numbers(effect, n):
    # G*Power's answers for Cohen's small, medium and large effect (paired t, two-sided, alpha 0.05, power 0.8).
    differences = np.array([-1.0, 1.0]) / math.sqrt(2) + effect  # standard deviation 1
    assert seeds_needed(differences) == n


def test_seeds_needed_without_an_answer():
    assert seeds_needed(np.zeros(5)) is None
    assert seeds_needed(np.array([0.1])) is None
    assert seeds_needed(np.array([1.0, math.inf])) is None
    assert seeds_needed(np.array([-1.0, 1.0 + 1e-6])) is None  # some 10^13
    assert seeds_needed(np.full(5, 0.1)) == 2
    assert seeds_needed(np.array([1.0, 1.0 + 1e-9])) == 2


# Time to a target

HISTORY = [
    {'epoch': 1, 'step': 10, 'seconds': 2.5, 'validation_accuracy': 0.90, 'validation_loss': 0.4},
    {'epoch': 2, 'step': 20, 'seconds': 4.5, 'validation_accuracy': None, 'validation_loss': None},
    {'epoch': 3, 'step': 30, 'seconds': 6.5, 'validation_accuracy': 0.95, 'validation_loss': 0.2},
    {'epoch': 4, 'step': 40, 'seconds': 8.5, 'validation_accuracy': 0.93, 'validation_loss': 0.3},
]


def test_time_to_a_target():
    assert to_target(HISTORY, 0.93) == Target(3, 30, 6.5)
    assert to_target(HISTORY, 0.90) == Target(1, 10, 2.5)
    assert to_target(HISTORY, 0.96) is None
    assert to_target(HISTORY, 0.25, 'validation_loss', 'min') == Target(3, 30, 6.5)
    assert to_target([{'epoch': 1, 'validation_accuracy': 1.0}], 0.9) == Target(1, None, None)
    assert to_target([], 0.9) is None
