"""Who may be the best: the standing of each variant, by hand and by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trainer.compare.analysis.ranking import BEHIND, BEST, LEADS, SAME, UNDECIDED, rank

NOISE = 0.001 * np.array([0.3, -0.5, 0.2, 0.6, -0.4, -0.2, 0.5, -0.3, 0.1, -0.3])


def frame(**means: float) -> pd.DataFrame:
    return pd.DataFrame({name: mean + np.roll(NOISE, 3 * i) for i, (name, mean) in enumerate(means.items())})


def standings(values, **arguments) -> dict[str, str]:
    return {place.name: place.standing for place in rank(values, **arguments).places}


def test_a_clear_winner_is_the_best_and_all_others_are_behind():
    found = rank(frame(SGD=0.90, Adam=0.98, Nadam=0.97))
    assert [place.name for place in found.places] == ['Adam', 'Nadam', 'SGD']
    assert [place.standing for place in found.places] == [BEST, BEHIND, BEHIND]
    assert found.decided
    assert found.comparisons == 2


def test_what_may_be_as_good_is_undecided_and_not_the_same():
    assert standings(frame(Adam=0.98, Nadam=0.9801, SGD=0.9)) == {'Nadam': LEADS, 'Adam': UNDECIDED, 'SGD': BEHIND}


def test_within_a_stated_margin_of_the_best_is_practically_the_same():
    values = frame(Adam=0.98, Nadam=0.9801, SGD=0.9)
    assert standings(values, margin=0.005) == {'Nadam': BEST, 'Adam': SAME, 'SGD': BEHIND}
    # Behind by more than nothing, but not by more than the margin: neither the same nor behind.
    assert standings(frame(Adam=0.98, Nadam=0.985), margin=0.005) == {'Nadam': LEADS, 'Adam': UNDECIDED}


def test_the_same_has_the_level_of_a_comparison_of_two():
    values = pd.DataFrame({'A': [2.0, 0, 2, 0, 1], 'B': np.zeros(5)})  # 1 ahead, sd 1, se 1 / sqrt(5) = 0.447
    margin = 2.1  # t = 2.46 with 4 degrees: one-sided p = 0.035, and the 95% interval reaches to 2.24
    assert standings(values, margin=margin) == {'A': LEADS, 'B': UNDECIDED}
    assert standings(values, margin=2.3) == {'A': BEST, 'B': SAME}


def test_of_a_loss_the_lowest_is_the_best():
    assert standings(frame(SGD=0.5, Adam=0.1), goal='min') == {'Adam': BEST, 'SGD': BEHIND}


def test_the_level_is_that_of_the_comparisons_with_one_variant_not_of_all_pairs():
    rng = np.random.default_rng(3)
    values = pd.DataFrame(rng.normal(0, 1, (10, 20)))
    values[0] += 1.6
    found = rank(values)
    p = np.array([stats.ttest_rel(values[0], values[j], alternative='greater').pvalue for j in range(1, 20)])
    assert {place.name for place in found.places if place.standing == BEHIND} >= {
        str(j + 1) for j in np.flatnonzero(p < 0.05 / 19)
    }


def test_two_diverged_runs_do_not_make_a_worse_variant_as_good_as_the_best():
    values = frame(Muon=0.9808, RMSprop=0.9759, Adafactor=0.9722)
    values.loc[[2, 7], 'Adafactor'] = -np.inf
    assert standings(values) == {'Muon': BEST, 'RMSprop': BEHIND, 'Adafactor': BEHIND}
    (adafactor,) = [place for place in rank(values).places if place.name == 'Adafactor']
    assert (adafactor.n, adafactor.diverged, adafactor.estimate.n) == (10, 2, 8)


def test_a_variant_that_diverged_everywhere_is_last():
    values = frame(SGD=0.9, Adam=0.98)
    values['broken'] = -np.inf
    assert standings(values) == {'Adam': BEST, 'SGD': BEHIND, 'broken': BEHIND}


def test_one_seed_and_one_variant_have_no_standing():
    assert set(standings(frame(SGD=0.9, Adam=0.98).iloc[:1]).values()) == {''}
    assert set(standings(frame(Adam=0.98)).values()) == {''}


def test_seeds_that_are_missing_leave_the_others():
    values = frame(SGD=0.9, Adam=0.98)
    values.loc[0, 'SGD'] = np.nan
    found = rank(values)
    assert [(place.name, place.n) for place in found.places] == [('Adam', 10), ('SGD', 9)]
    assert standings(values) == {'Adam': BEST, 'SGD': BEHIND}


@pytest.mark.parametrize('k', [2, 10])
def test_the_true_best_is_seldom_called_behind(k):
    """1,000 studies of five seeds, all variants equally good: the first is a best one in all."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1000, 5, k)) + rng.normal(size=(1000, 5, 1))
    wrong = [standings(pd.DataFrame(study))['0'] == BEHIND for study in values]
    assert np.mean(wrong) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_what_cannot_be_compared_with_a_better_mean_is_not_called_the_same_as_the_best():
    """A and B are within 0.01 of each other, and the one run of C is ahead of both by 0.09."""
    few = pd.Series([0.99, np.nan, np.nan, np.nan, np.nan])
    a = pd.Series([0.9001, 0.9003, 0.9005, 0.9002, 0.9004])
    found = rank(pd.DataFrame({'A': a, 'B': a - 0.0001, 'C': few}), margin=0.01)
    assert {place.name: place.standing for place in found.places} == {'C': LEADS, 'A': UNDECIDED, 'B': UNDECIDED}
