"""A against A finds nothing in the share of cases that it promises, and something where seeds are not alike."""

import numpy as np
import pandas as pd

from trainer.compare.analysis.self_check import against_itself


def test_it_finds_nothing_in_all_but_five_cases_of_a_hundred():
    found = against_itself(pd.DataFrame(np.random.default_rng(0).normal(size=(10, 200))))
    assert (found.variants, found.seeds, found.comparisons) == (200, 5, 200 * 126)
    assert 0.04 < found.share < 0.06
    assert '5.' in found.sentence or '4.' in found.sentence


def test_seeds_that_come_from_two_machines_are_found():
    values = np.random.default_rng(0).normal(size=(10, 50))
    values[:5] += 5
    assert against_itself(pd.DataFrame(values)).share > 0.06  # where the two are not mixed evenly


def test_too_few_seeds_say_so():
    assert 'needs four seeds' in against_itself(pd.DataFrame({'a': [1.0, 2.0, np.inf]})).sentence
