"""A grid as a factorial design, against effects that were put in and against statsmodels."""

import itertools

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.anova import AnovaRM

from trainer.compare.analysis.factorial import effects

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


def test_p_values_are_those_of_statsmodels():
    frame = grid(0.01)
    table = AnovaRM(frame, 'test_accuracy', 'seed', within=['optimizer', 'loss']).fit().anova_table
    found = {effect.axes: effect for effect in effects(frame, ['optimizer', 'loss'], 'test_accuracy')}
    for axes, row in ((('optimizer',), 'optimizer'), (('loss',), 'loss'), (('optimizer', 'loss'), 'optimizer:loss')):
        assert found[axes].p_value == pytest.approx(table.loc[row, 'Pr > F'])
        assert (found[axes].df, found[axes].df_rest) == (table.loc[row, 'Num DF'], table.loc[row, 'Den DF'])


def test_the_interval_of_an_effect_covers_it():
    covered = [
        {e.axes: e for e in effects(grid(0.02, draw=draw), ['optimizer', 'loss'], 'test_accuracy')}
        for draw in range(300)
    ]
    for axes, true in ((('optimizer',), 0.0264575), (('loss',), 0.00141421)):
        share = np.mean([found[axes].low <= true <= found[axes].high for found in covered])
        assert 0.92 <= share <= 0.98, axes


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
