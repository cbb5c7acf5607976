"""Intervals over seeds and test examples, by hand, by simulation and against a crossed mixed model."""

import warnings

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from trainer.compare.analysis.examples import crossed, flips
from trainer.compare.analysis.statistics import mean_interval


def table(rng, seeds: int, examples: int, sd_seed: float, sd_example: float, sd_rest: float) -> np.ndarray:
    return (
        rng.normal(0, sd_seed, (seeds, 1))
        + rng.normal(0, sd_example, (1, examples))
        + rng.normal(0, sd_rest, (seeds, examples))
    )


def test_crossed_by_hand():
    # Rows 1 0 and 1 1: mean 3/4. Row means 1/2 and 1: variance 1/8, / 2 = 1/16. Column means 1 and 1/2: 1/16 too.
    # Residuals +-1/4: squares 4 / 16 = 1/4, / (1 * 1) / 4 = 1/16. Variance 1/16 + 1/16 - 1/16.
    found = crossed(np.array([[1, 0], [1, 1]]))
    assert (found.mean, found.seeds, found.examples) == (0.75, 2, 2)
    assert (found.sd_seeds, found.sd_examples) == pytest.approx((0.25, 0.25))
    # Satterthwaite: (1/16)^2 / (2 * (1/16)^2) = 1/2 degree of freedom.
    assert found.high - found.mean == found.mean - found.low > 0.25


@pytest.mark.parametrize(('sd_seed', 'sd_example'), [(0.1, 1.0), (1.0, 0.0), (0.3, 3.0)])
def test_the_interval_covers_the_mean_for_new_seeds_and_examples(sd_seed, sd_example):
    rng = np.random.default_rng(0)
    tables = (table(rng, 5, 100, sd_seed, sd_example, 1.0) for _ in range(500))
    covered = np.mean([found.low <= 0 <= found.high for found in map(crossed, tables)])
    assert 0.925 <= covered <= 0.99


def test_an_interval_over_seeds_alone_leaves_the_examples_out():
    rng = np.random.default_rng(0)
    tables = [table(rng, 5, 100, 0.1, 3.0, 1.0) for _ in range(300)]
    narrow = [abs(x.mean()) <= 2.776 * x.mean(1).std(ddof=1) / np.sqrt(5) for x in tables]
    assert np.mean(narrow) < 0.7


@pytest.mark.parametrize('seeds', [2, 3, 5])
def test_new_examples_never_make_the_interval_of_a_few_seeds_narrower(seeds):
    for x in (table(np.random.default_rng(i), seeds, 100, 1.0, 1.0, 1.0) for i in range(50)):
        assert crossed(x).high >= mean_interval(x.mean(1))[1] - 1e-12


def test_variances_agree_with_a_crossed_mixed_model():
    x = table(np.random.default_rng(1), 12, 30, 0.5, 1.0, 1.0)
    seed, example = np.indices(x.shape)
    frame = pd.DataFrame({'y': x.ravel(), 'seed': seed.ravel(), 'example': example.ravel(), 'all': 1})
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = MixedLM.from_formula(
            'y ~ 1', groups='all', vc_formula={'seed': '0 + C(seed)', 'example': '0 + C(example)'}, data=frame
        ).fit()
    expected = np.sqrt(
        model.vcomp[1] / 12 + model.vcomp[0] / 30 + model.scale / 360
    )  # components are in alphabetical order
    found = crossed(x)
    variance = found.sd_seeds**2 + found.sd_examples**2 - model.scale / 360
    assert np.sqrt(variance) == pytest.approx(expected, rel=0.02)


def test_flips_are_counted():
    a, b = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    assert flips(a, b) == flips(a, b).__class__(0.25, 0.25, 0.25, 0.25)


def test_one_seed_has_no_interval_over_seeds():
    with pytest.raises(ValueError, match='two or more'):
        crossed(np.ones((1, 10)))
