"""Data sets are the units over data sets, and seeds are not."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.over_datasets import errors as over_datasets_errors
from trainer.compare.analysis.over_datasets import over_datasets


def values(table, seeds=3, spread=0.0):
    """Returns a frame for each data set, of variants' means {name: [one a data set]}."""
    count = len(next(iter(table.values())))
    noise = np.linspace(-spread, spread, seeds)
    return {f'd{j}': pd.DataFrame({name: row[j] + noise for name, row in table.items()}) for j in range(count)}


def test_two_variants_are_compared_by_the_signed_rank_test():
    a, b = [0.9, 0.8, 0.7, 0.95, 0.85, 0.6, 0.9], [0.88, 0.81, 0.65, 0.9, 0.75, 0.53, 0.7]
    found = over_datasets(values({'a': a, 'b': b}), 'max', error=True)
    first, second = found.rows
    assert (first.name, first.standing, second.standing) == ('a', 'best', 'behind')
    assert second.p == 2 * stats.wilcoxon(np.subtract(a, b), alternative='greater').pvalue == 4 / 128
    assert first.rank == pytest.approx(8 / 7)
    assert (first.best, second.best) == (6, 1)
    assert (found.smallest, found.needed) == (2 / 128, 6)
    difference = np.subtract(b, a)
    reach = stats.t.ppf(0.975, 6) * difference.std(ddof=1) / math.sqrt(7)
    assert second.difference.low == pytest.approx(difference.mean() - reach)
    errors = 1 - np.array([a, b])
    assert second.near == np.mean(errors[1] / errors.min(0) <= 1.1)


def test_more_seeds_decide_nothing_over_data_sets():
    """Three data sets are three numbers, and no test of three numbers reaches 5%."""
    for seeds in (3, 1000):
        found = over_datasets(values({'a': [0.9, 0.9, 0.9], 'b': [0.1, 0.2, 0.3]}, seeds), 'max', error=True)
        assert [row.standing for row in found.rows] == ['leads', 'undecided']
        assert found.rows[1].p == found.smallest == 2 / 8


def test_level_is_shared_by_the_rivals():
    table = {name: np.linspace(0.5, 0.6, 6) + step for name, step in (('a', 0.05), ('b', 0.0), ('c', -0.05))}
    found = over_datasets(values(table), 'max', error=True)
    # The differences are all of one size: the distribution is that of the signs.
    assert [row.p for row in found.rows][1:] == pytest.approx([2 / 64, 2 / 64])
    assert found.needed == 6


def test_a_loss_is_better_if_smaller():
    found = over_datasets(values({'a': [2.0, 3.0], 'b': [1.0, 1.5]}), 'min', error=False)
    assert [row.name for row in found.rows] == ['b', 'a']
    assert found.rows[1].difference.mean == -1.25
    assert found.rows[1].near == 0.0


def test_a_variant_that_diverged_is_the_last_on_that_data_set():
    table = values({'a': [0.9] * 6, 'b': [0.8, 0.7, 0.6, 0.5, 0.4, 0.3]})
    table['d0'].loc[1, 'a'] = -math.inf
    found = over_datasets(table, 'max', error=True)
    assert math.isnan(found.rows[0].means['d0'])
    assert found.rows[0].rank == pytest.approx(7 / 6)
    assert found.rows[1].difference is None
    # The largest of six differences points the other way: 1 - 2 p is that of the signed-rank test.
    assert found.rows[1].p > 0.2


def test_seeds_that_only_some_variants_have_are_left_out():
    """As with --until-decided: no more seeds went to what cannot be the best."""
    table = values({'a': [0.9] * 6, 'b': [0.8, 0.7, 0.6, 0.5, 0.4, 0.3]})
    whole = over_datasets(table, 'max', error=True)
    for frame in table.values():
        frame.loc[3] = [0.0, math.nan]
    assert over_datasets(table, 'max', error=True) == whole
    with pytest.raises(ValueError, match='results of the same seeds'):
        over_datasets({'d': pd.DataFrame({'a': [1.0, math.nan], 'b': [math.nan, 1.0]})}, 'max', error=True)


def test_equal_variants_are_undecided():
    found = over_datasets(values({'a': [0.5] * 8, 'b': [0.5] * 8}), 'max', error=True)
    assert [row.standing for row in found.rows] == ['leads', 'undecided']
    assert [row.rank for row in found.rows] == [1.5, 1.5]
    assert found.rows[1].p == 1.0


def test_all_data_sets_need_the_same_variants():
    with pytest.raises(ValueError, match='every variant needs results on every data set'):
        over_datasets({'x': pd.DataFrame({'a': [1.0]}), 'y': pd.DataFrame({'b': [1.0]})}, 'max', error=True)


def test_seeds_that_results_decide_on_are_no_part_of_the_test():
    """Equal variants, seeds until a claim of A being better by 1 sd is decided: all of its means are pulled to one side."""
    all_seeds, first = over_datasets_errors(30, 200, 0.0, 1.0, np.random.default_rng(1))
    assert all_seeds > 0.15
    assert first <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
