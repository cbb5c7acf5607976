"""Learning-rate sensitivity against cases worked by hand."""

import math

import numpy as np
import pytest

from trainer.compare.analysis.tuning.sensitivity import learning_rate_sensitivity, same_width

RATES = [1e-4, 1e-3, 1e-2, 1e-1]


def sensitivity(values, **options):
    return learning_rate_sensitivity(RATES, values, (1e-5, 1.0), **({'tolerance': 0.01} | options))


def test_width_is_the_share_of_good_trials_in_decades():
    # 0.975 and 0.98 lie within 0.01 of 0.98: 2 of 4 trials on 5 decades are 2.5 decades. Wilson, 2 of 4: 0.15 to 0.85.
    result = sensitivity([0.90, 0.975, 0.98, math.nan])
    assert (result.good, result.best, result.best_learning_rate, result.width) == (2, 0.98, 1e-2, 2.5)
    assert (result.lowest, result.highest, result.decades) == (1e-3, 1e-2, 5)
    assert (result.width_low, result.width_high) == pytest.approx((0.75, 4.25), abs=0.01)


def test_width_of_a_loss():
    assert sensitivity([0.5, 0.12, 0.115, math.inf], goal='min').best_learning_rate == 1e-2


def test_widths_are_told_apart_by_enough_trials_only():
    wide, narrow = sensitivity([0.98] * 4), sensitivity([0.98, 0.1, 0.1, 0.1])
    assert same_width(wide, wide) == 1
    assert same_width(wide, narrow) > 0.05
    many = [
        learning_rate_sensitivity(np.geomspace(1e-5, 1, 20), values, (1e-5, 1.0), tolerance=0.01)
        for values in ([0.9] * 20, [0.9] * 5 + [0.1] * 15)
    ]
    assert same_width(*many) < 0.001


def test_shares_of_different_ranges_do_not_compare():
    other = learning_rate_sensitivity(RATES, [0.9] * 4, (1e-4, 1.0), tolerance=0.01)
    with pytest.raises(ValueError, match='decades'):
        same_width(sensitivity([0.9] * 4), other)


@pytest.mark.parametrize(
    ('rates', 'values', 'bounds'),
    [([1e-3], [math.nan], (1e-4, 1)), ([1e-3], [1, 2], (1e-4, 1)), ([1e-3], [1], (1, 1e-4)), ([], [], (1e-4, 1))],
)
def test_no_trial_to_judge_by_is_refused(rates, values, bounds):
    with pytest.raises(ValueError, match='finite'):
        learning_rate_sensitivity(rates, values, bounds, tolerance=0.01)
