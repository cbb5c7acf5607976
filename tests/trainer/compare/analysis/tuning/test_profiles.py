"""Performance profiles against a case worked by hand."""

import math

import pytest

from trainer.compare.analysis.tuning.profiles import performance_profile, profile_score, ratios

# Fastest on each workload: 1, 2, 4. Ratios: A 1 1 2.5; B 2 1 1; C 3 never 1.
TIMES = {
    'A': {'mnist': 1, 'fashion': 2, 'kmnist': 10},
    'B': {'mnist': 2, 'fashion': 2, 'kmnist': 4},
    'C': {'mnist': 3, 'fashion': math.inf, 'kmnist': 4},
}


def test_ratios_to_the_fastest():
    assert ratios(TIMES)['C'] == {'mnist': 3, 'fashion': math.inf, 'kmnist': 1}


def test_profile_by_hand():
    taus, rho = performance_profile(TIMES)
    assert taus.tolist() == [1, 2, 2.5, 3, 4]
    assert (3 * rho['A']).round().tolist() == [2, 2, 3, 3, 3]
    assert (3 * rho['B']).round().tolist() == [2, 3, 3, 3, 3]
    assert (3 * rho['C']).round().tolist() == [1, 1, 1, 2, 2]


def test_score_is_the_area_under_the_profile():
    # A: (3 + 3 + 1.5) / 3 / 3 = 0.8333; B: (2 + 3 + 3) / 9 = 0.8889; C: (1 + 0 + 3) / 9 = 0.4444.
    assert profile_score(TIMES) == pytest.approx({'A': 7.5 / 9, 'B': 8 / 9, 'C': 4 / 9})


def test_a_workload_that_nobody_solves_counts_against_all():
    times = {'A': {'easy': 1.0, 'hard': math.inf}, 'B': {'easy': 1.0, 'hard': math.inf}}
    assert profile_score(times) == {'A': 0.5, 'B': 0.5}


@pytest.mark.parametrize(
    'times', [{}, {'A': {}}, {'A': {'x': 1}, 'B': {'y': 1}}, {'A': {'x': 0}}, {'A': {'x': math.nan}}]
)
def test_incomplete_times_are_refused(times):
    with pytest.raises(ValueError, match='workload|positive'):
        performance_profile(times)
