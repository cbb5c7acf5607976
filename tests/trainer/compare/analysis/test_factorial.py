"""A grid as a factorial design, against effects that were put in and against statsmodels."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from trainer.compare.analysis.factorial import _effect, effects

OPTIMIZERS = {'Adam': 0.02, 'SGD': -0.03, 'Nadam': 0.01}
LOSSES = {'CCE': 0.001, 'KL': -0.001}


def grid(noise: float, seeds: int = 8, interaction: float = 0.0, draw: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(draw)
    rows = []
    for (optimizer, up), (loss, right), seed in itertools.product(OPTIMIZERS.items(), LOSSES.items(), range(seeds)):
        twist = interaction * (1 if (optimizer == 'Adam') == (loss == 'CCE') else -1)
        value = 0.95 + up + right + twist + 0.005 * seed + rng.normal(0, noise)
        rows.append({'optimizer': optimizer, 'loss': loss, 'seed': seed, 'test_accuracy': value})
    return pd.DataFrame(rows)


def test_effects_that_were_put_in_come_out():
    found = {effect.axes: effect for effect in effects(grid(1e-6), ['loss', 'optimizer'], 'test_accuracy')}
    # sd of 0.02, -0.03, 0.01 (mean 0): sqrt((4 + 9 + 1) / 2) * 0.01 = 0.026458; of 0.001, -0.001: 0.0014142.
    assert found['optimizer',].sd == pytest.approx(0.026458, rel=1e-3)
    assert found['loss',].sd == pytest.approx(0.0014142, rel=1e-2)
    assert found['optimizer',].spread == pytest.approx(0.05, rel=1e-3)
    assert found['loss', 'optimizer'].sd == pytest.approx(0, abs=1e-5)
    assert list(found)[:2] == [('optimizer',), ('loss',)]  # the largest first, interactions last


def test_noise_makes_no_effect():
    found = {effect.axes: effect for effect in effects(grid(0.02, draw=1), ['loss', 'optimizer'], 'test_accuracy')}
    assert found['loss',].low == 0
    assert found['optimizer',].low > 0.01
    assert found['loss', 'optimizer'].p_value > 0.05


def test_an_interaction_is_seen():
    found = {
        effect.axes: effect for effect in effects(grid(1e-4, interaction=0.01), ['loss', 'optimizer'], 'test_accuracy')
    }
    assert found['loss', 'optimizer'].low > 0.005
    assert found['loss', 'optimizer'].p_value < 1e-6


def test_p_values_are_those_of_statsmodels_with_the_degrees_of_greenhouse_and_geisser():
    frame = grid(0.01)
    table = AnovaRM(frame, 'test_accuracy', 'seed', within=['optimizer', 'loss']).fit().anova_table
    found = {effect.axes: effect for effect in effects(frame, ['optimizer', 'loss'], 'test_accuracy')}
    cube = frame.set_index(['optimizer', 'loss', 'seed'])['test_accuracy'].to_numpy().reshape(3, 2, 8)
    contrasts = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # orthonormal
    for axes, row, marginal in (
        (('optimizer',), 'optimizer', cube.mean(1)),
        (('loss',), 'loss', None),
        (('optimizer', 'loss'), 'optimizer:loss', cube[:, 0] - cube[:, 1]),
    ):
        epsilon = 1.0
        if marginal is not None:
            spread = np.cov(contrasts @ marginal)
            epsilon = np.trace(spread) ** 2 / (2 * np.trace(spread @ spread))
        f, df, rest = table.loc[row, ['F Value', 'Num DF', 'Den DF']]
        assert found[axes].p_value == pytest.approx(stats.f.sf(f, epsilon * df, epsilon * rest))
        assert (found[axes].df, found[axes].df_rest) == (df, rest)


def test_one_value_that_is_noisier_than_the_others_makes_no_effect():
    rng = np.random.default_rng(0)
    found = [_effect(('x',), rng.normal(size=(7, 10)) * np.array([[1]] * 6 + [[10]]), None) for _ in range(400)]
    assert np.mean([effect.p_value < 0.05 for effect in found]) < 0.08  # by the F test of equal spreads 0.15
    assert np.mean([effect.low == 0 for effect in found]) > 0.92
    assert not any(effect.high == 0 for effect in found)
    same = _effect(('x',), np.ones((3, 10)) * 0.1 + np.array([[0.0], [1e-17], [0.0]]), None)  # except for rounding
    assert (same.sd, same.high, same.p_value) == (0, 0, 1)


def test_the_interval_of_an_effect_covers_it():
    covered = [
        {e.axes: e for e in effects(grid(0.02, draw=draw), ['optimizer', 'loss'], 'test_accuracy')}
        for draw in range(300)
    ]
    for axes, true in ((('optimizer',), 0.0264575), (('loss',), 0.00141421)):
        share = np.mean([found[axes].low <= true <= found[axes].high for found in covered])
        assert 0.92 <= share <= 0.99, axes


def test_what_is_no_factorial_design_has_no_effects():
    frame = grid(0.01)
    assert effects(frame, ['optimizer'], 'test_accuracy') == []
    assert effects(frame[frame['seed'] < 2], ['optimizer', 'loss'], 'test_accuracy') == []
    assert (
        effects(frame[~((frame.optimizer == 'SGD') & (frame.loss == 'KL'))], ['optimizer', 'loss'], 'test_accuracy')
        == []
    )
    frame.loc[0, 'test_accuracy'] = np.inf  # its seed is left out
    assert len(effects(frame, ['optimizer', 'loss'], 'test_accuracy')) == 3
