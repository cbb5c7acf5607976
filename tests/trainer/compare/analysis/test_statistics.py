"""Statistics against cases worked by hand and published tables."""

import dataclasses
import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from trainer.compare.analysis import statistics
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.statistics import (
    UNBOUNDED,
    Target,
    cut,
    estimate,
    false_discovery_rate,
    holm,
    mean_interval,
    mean_intervals,
    partial_conjunction,
    prediction_reach,
    seeds_needed,
    sign_flip,
    superiority,
    to_target,
    wilson,
)

# Estimates


def test_mean_sd_and_interval_of_five_values():
    # mean 10/5 = 2; squares of deviations 4 + 1 + 0 + 1 + 4 = 10, / (5 - 1) = 2.5, sd 1.581139; t(4, 0.975) = 2.776445:
    # 2 +- 2.776445 * 1.581139 / sqrt(5) = 2 +- 1.963243.
    result = estimate([0, 1, 2, 3, 4])
    assert (result.n, result.mean) == (5, 2)
    assert result.sd == pytest.approx(math.sqrt(2.5))
    assert (result.low, result.high) == pytest.approx((0.036757, 3.963243), abs=1e-6)


def test_one_seed_has_no_interval():
    assert estimate([0.97]) == dataclasses.replace(estimate([0.97]), sd=None, low=None, high=None, n=1)


def test_equal_values_have_an_interval_of_no_width():
    result = estimate([0.1 + 0.2] * 2 + [0.3] * 2)  # the sum differs from 0.3 by rounding alone
    assert result.low == pytest.approx(result.high, abs=1e-15)


@pytest.mark.parametrize('n', [2, 3, 5, 10])
def test_the_interval_covers_the_mean_as_often_as_it_says_however_few_the_seeds(n):
    # 4,000 samples: 95% +- 3 * sqrt(0.05 * 0.95 / 4000) = 1%. A BCa bootstrap covers 71% at n = 3.
    low, high = mean_intervals(np.random.default_rng(0).normal(size=(n, 4000)))
    assert np.mean((np.array(low) <= 0) & (np.array(high) >= 0)) == pytest.approx(0.95, abs=0.0105)


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


# Holm


def test_holm_by_hand():
    # Sorted: 0.01 * 4 = 0.04, 0.02 * 3 = 0.06, 0.03 * 2 = 0.06, 0.04 * 1 = 0.04 -> 0.06, each at least the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_does_not_count_tests_that_could_not_be_made():
    assert holm([None, 0.02, None]) == [None, 0.02, None]
    assert holm([]) == []


def test_benjamini_and_hochberg_by_hand():
    # Sorted 0.01 * 4/1 = 0.04, 0.02 * 4/2 = 0.04, 0.03 * 4/3 = 0.04, 0.5 * 4/4 = 0.5; from the largest down, the minimum.
    assert false_discovery_rate([0.5, 0.01, None, 0.03, 0.02]) == pytest.approx([0.5, 0.04, None, 0.04, 0.04])


def test_corrections_and_shares_are_those_of_statsmodels():
    p = np.random.default_rng(0).uniform(size=40) ** 3
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method='holm')[1])
    assert false_discovery_rate(p.tolist()) == pytest.approx(multipletests(p, method='fdr_bh')[1])
    for k, n in ((0, 10), (3, 10), (10, 10)):
        assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method='wilson'), abs=1e-12)


def test_partial_conjunction_by_hand():
    # Shown in at least 2 of 3: (3 - 2 + 1) * second smallest = 2 * 0.02.
    assert partial_conjunction([0.3, 0.01, 0.02], 2) == pytest.approx(0.04)
    assert partial_conjunction([0.3, 0.01, 0.02], 1) == pytest.approx(0.03)  # at least one: Bonferroni
    assert partial_conjunction([0.3, 0.01, 0.02], 3) == pytest.approx(0.3)  # all: the largest
    assert partial_conjunction([0.3], 2) == 1


# Other intervals and tests


def test_what_is_shown_ends_at_the_range_of_the_metric_and_covers_as_often():
    whole, shown = estimate([0.9, 1.0, 1.0]), estimate([0.9, 1.0, 1.0], bounds=range_of('test_accuracy'))
    assert whole.high > 1 == shown.high
    assert (shown.low, shown.mean, shown.sd) == (whole.low, whole.mean, whole.sd)
    assert range_of('val/acc') == range_of('val_accuracy') == (0, 1)
    # In per cent, or of a metric without a known range, nothing is cut.
    assert estimate([90, 100, 100], bounds=range_of('accuracy')).high > 100
    assert range_of('test_loss') == range_of('test_accuracy - train_accuracy') == UNBOUNDED
    low, high = cut(np.array([-0.1, -0.1]), np.array([1.1, 1.1]), np.array([0, -1]), np.array([1, 1]), (0, 1))
    assert (low.tolist(), high.tolist()) == ([0, -0.1], [1, 1.1])
    values = np.random.default_rng(0).beta(20, 1, (3, 4000))
    low, high = map(np.array, mean_intervals(values))
    seen = cut(low, high, values.min(0), values.max(0), (0, 1))
    true = 20 / 21
    assert ((seen[0] < true) & (true < seen[1])).tolist() == ((low < true) & (true < high)).tolist()


def test_mean_interval_of_one_column():
    assert mean_interval(np.array([1.0])) == (None, None)
    assert mean_interval(np.array([0.0, 1, 2, 3, 4])) == pytest.approx((0.036757, 3.963243), abs=1e-6)


def test_one_more_run_falls_into_the_prediction_interval_by_hand():
    # t(4, 0.975) = 2.776445, times sd 2 times sqrt(1 + 1/5) = 1.095445.
    assert prediction_reach(5, 2.0) == pytest.approx(2.776445 * 2 * 1.095445, abs=1e-5)


def test_sign_flips_by_hand():
    # Five positive values: of 32 sign patterns two are as extreme. Seven values of 1, 1, ..., 1 and -1: mean 5/7; as
    # extreme are at most one minus or at most one plus: 2 * (1 + 7) / 128.
    assert sign_flip(np.array([1.0, 2, 3, 4, 5])) == pytest.approx(2 / 32)
    assert sign_flip(np.array([1.0] * 6 + [-1])) == pytest.approx(16 / 128)
    assert sign_flip(np.zeros(4)) == 1
    assert sign_flip(np.array([1.0])) is None


def test_sign_flips_of_thousands_of_values_are_not_drawn(monkeypatch):
    values = np.random.default_rng(0).exponential(size=1001) - 0.94
    fast = sign_flip(values)
    monkeypatch.setattr(statistics, 'MOST_FLIPPED', 2000)
    assert fast == pytest.approx(sign_flip(values), abs=0.01)
    assert 0.01 < fast < 0.2


def test_sign_flips_of_many_seeds_repeat():
    values = np.random.default_rng(0).normal(0.3, 1, 40)
    assert sign_flip(values) == sign_flip(values)


# Seeds needed


@pytest.mark.parametrize(('effect', 'n'), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (40, 2)])
def test_seeds_needed_agree_with_published_numbers(effect, n):
    # G*Power's answers for Cohen's small, medium and large effect (paired t, two-sided, alpha 0.05, power 0.8).
    assert seeds_needed(effect) == n


def test_seeds_needed_without_an_answer():
    assert seeds_needed(0.0) is None
    assert seeds_needed(math.nan) is None
    assert seeds_needed(1e-6) is None  # some 10^13
    assert seeds_needed(math.inf) == 2
    assert seeds_needed(1e9) == 2


# Time to a target

HISTORY = [
    {'epoch': 1, 'step': 10, 'seconds': 2.5, 'validation_accuracy': 0.90, 'validation_loss': 0.4},
    {'epoch': 2, 'step': 20, 'seconds': 4.5, 'validation_accuracy': None, 'validation_loss': None},
    {'epoch': 3, 'step': 30, 'seconds': 6.5, 'validation_accuracy': 0.95, 'validation_loss': 0.2},
    {'epoch': 4, 'step': 40, 'seconds': 8.5, 'validation_accuracy': 0.93, 'validation_loss': 0.3},
]


def test_time_to_a_target():
    # From 0.90 at epoch 1 to 0.95 at epoch 3: 0.93 is at 0.6 of the way. The second entry has no value.
    reached = to_target(HISTORY, 0.93)
    assert (reached.epoch, reached.step, reached.seconds) == pytest.approx((2.2, 22, 4.9))
    assert to_target(HISTORY, 0.90) == Target(1, 10, 2.5)
    assert to_target(HISTORY, 0.96) is None
    reached = to_target(HISTORY, 0.25, 'validation_loss', 'min')
    assert (reached.epoch, reached.step, reached.seconds) == pytest.approx((2.5, 25, 5.5))
    assert to_target([{'epoch': 1, 'validation_accuracy': 1.0}], 0.9) == Target(1, None, None)
    assert to_target([], 0.9) is None
