"""Sentences of a report, from numbers."""

import numpy as np
import pandas as pd

from tests.trainer.compare.report.synthetic import load, made_up
from trainer.compare.analysis.claims.verdicts import verdict
from trainer.compare.analysis.factorial import Effect
from trainer.compare.report.text.sentences import to_decide, what_matters


def test_what_matters_is_said_with_its_size():
    def effect(name: str, sd: float, low: float, high: float) -> Effect:
        return Effect((name,), 2, 18, sd, low, high, None, 0.01)

    sentence = what_matters(
        [effect('optimizer', 0.02, 0.019, 0.021), effect('loss', 0.0005, 0.0004, 0.0006)], 'test_loss'
    )
    assert sentence == (
        'The optimizer matters most: mean test loss has a standard deviation of 0.02 [0.019, 0.021] over its values and '
        '0.0005 [0.0004, 0.0006] over those of the loss: 40 (at least 32) times as much.'
    )
    close = [effect('optimizer', 0.02, 0.01, 0.03), effect('loss', 0.015, 0.01, 0.02)]
    assert 'Whether the optimizer or the loss matters more is undecided: mean test loss' in what_matters(
        close, 'test_loss'
    )
    nothing = [effect('optimizer', 0.01, 0.0, 0.03), effect('loss', 0.0, 0.0, 0.02)]
    assert 'Which axis matters is undecided' in what_matters(nothing, 'test_loss')
    unseen = [effect('optimizer', 0.02, 0.019, 0.021), effect('loss', 0.0, 0.0, 0.001), effect('layers', 0.0, 0.0, 0.0)]
    found = what_matters(unseen, 'test_loss')
    assert 'at most 0.001 over those of the loss and none that is seen over those of the layers: at least 19' in found
    assert what_matters(unseen[:1], 'test_loss') == ''


def test_what_would_decide_a_claim():
    study = load('behal_optimizers')
    runs = made_up(study, 4)
    # SGD leads Adadelta by 0.001 with a standard deviation of 0.002: 34 seeds see that with 80% power, 30 more.
    gaps = 0.001 + 0.002 * np.array([-1, -1, 1, 1]) * np.sqrt(3 / 4)
    base = runs[runs['optimizer'] == 'Adadelta'].set_index('seed')['test_accuracy']
    sgd = runs['optimizer'] == 'SGD'
    runs.loc[sgd, 'test_accuracy'] = (base + pd.Series(gaps, base.index)).loc[runs.loc[sgd, 'seed']].to_numpy()
    claim = {'id': 'x', 'kind': 'better', 'a': {'optimizer': 'SGD'}, 'b': {'optimizer': 'Adadelta'}}
    assert (
        to_decide(verdict(claim, runs), runs)
        == 'About 30 more seeds would decide it, if the difference is what it seems.'
    )
    assert to_decide(verdict(claim, runs[runs['seed'] == 0]), runs) == 'More seeds could decide it.'
    runs.loc[sgd, 'test_accuracy'] -= 0.00096
    assert 'Over 10,000 seeds' in to_decide(verdict(claim, runs), runs)
