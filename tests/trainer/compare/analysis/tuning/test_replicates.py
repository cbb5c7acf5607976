"""Replicates of tuning count once: what is averaged, and what the interval over them covers."""

import numpy as np
import pandas as pd

from trainer.compare.analysis.claims.selection import by_variant
from trainer.compare.analysis.comparisons import compare
from trainer.compare.analysis.statistics import mean_intervals
from trainer.compare.analysis.tuning.replicates import by_replicate, replicate_of


def frame(values: np.ndarray) -> pd.DataFrame:
    """Runs of variants x seeds, `values` of that shape; inf: diverged."""
    rows = [
        {'variant': f'v{i:03d}', 'seed': seed, 'status': 'completed' if np.isfinite(value) else 'diverged'}
        | {'test_accuracy': value, 'history': [{'epoch': 1.0, 'step': 10, 'validation_loss': value}]}
        for i, row in enumerate(values)
        for seed, value in enumerate(row.tolist())
    ]
    return pd.DataFrame(rows)


def test_seeds_are_dealt_to_replicates_in_turn():
    assert replicate_of({'seeds': 5, 'tune': {'replicates': 2}}) == {0: 0, 1: 1, 2: 0, 3: 1, 4: 0}
    assert replicate_of({'seeds': [7, 3], 'tune': {'replicates': 2}}) == {7: 0, 3: 1}
    for study in ({'seeds': 5}, {'seeds': 5, 'tune': {'trials': 3}}, {'seeds': 5, 'tune': {'replicates': 1}}):
        assert replicate_of(study) == {}


def test_a_replicate_is_the_mean_over_its_seeds_and_diverges_with_any_of_them():
    runs = frame(np.array([[1.0, 2.0, 3.0, 6.0], [5.0, np.inf, 7.0, 8.0]]))
    assert by_replicate(runs, {}) is runs
    assert by_replicate(runs, {0: 0, 1: 1, 2: 2, 3: 3}) is runs
    units = by_replicate(runs, {0: 0, 1: 1, 2: 0, 3: 1})
    values = by_variant(units, units['test_accuracy'].astype(float), 'max')
    assert values.to_numpy().tolist() == [[2.0, 6.0], [4.0, -np.inf]]
    assert units['history'].iloc[0] == [{'epoch': 1.0, 'step': 10.0, 'validation_loss': 2.0}]


def test_the_interval_over_replicates_covers_and_that_over_seeds_of_one_search_does_not():
    """Of each variant 4 searches with sd 1, each with 2 seeds of sd 1; the split of a replicate moves all by sd 2.

    Simulated, 400 variants: the standard error of a coverage of 95% is 1.1%.
    """
    rng = np.random.default_rng(0)
    variants, replicates = 400, 4
    search, seeds = rng.normal(size=(variants, 1, replicates)), rng.normal(size=(variants, 2, replicates))
    of = {seed: seed % replicates for seed in range(2 * replicates)}
    runs = frame((search + seeds).reshape(variants, -1))
    units = by_replicate(runs, of)
    table = by_variant(units, units['test_accuracy'].astype(float), 'max')
    low, high = map(np.array, mean_intervals(table.to_numpy()))
    assert 0.92 < ((low < 0) & (high > 0)).mean() < 0.98
    # Eight seeds of the setting that one search has chosen: by theory 57%.
    low, high = map(np.array, mean_intervals((search[:, :, 0] + rng.normal(size=(variants, 8))).T))
    assert ((low < 0) & (high > 0)).mean() < 0.65
    # Two variants, paired by replicate: what the split does to both is gone.
    table = table.add(2 * rng.normal(size=replicates), axis=0)
    pairs = [compare(table.iloc[:, i], table.iloc[:, i + 1], detail=False) for i in range(0, variants, 2)]
    assert 0.90 < np.mean([pair.low < 0 < pair.high for pair in pairs]) < 0.99
    assert np.mean([pair.sd for pair in pairs]) < 2
