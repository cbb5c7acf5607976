"""Selectors in words, and expressions of columns."""

import pandas as pd
import pytest

from seedwise.errors import UserError
from trainer.compare.analysis.claims.selection import column, label


def test_labels_read_as_words():
    assert label({'optimizer': 'Nadam', 'loss': 'CCE'}) == 'Nadam + CCE'
    assert label({'layers': '5', 'optimizer': ('SGD', 'Adam')}) == 'layers 5 + SGD or Adam'
    assert label({'learning_rate': '1e-4', 'dropout': 'none'}) == 'learning rate 1e-4 + dropout none'
    assert label({}) == 'all variants'


@pytest.mark.parametrize(
    'metric',
    [
        '@pd.io.common.os.system("touch boom") * test_loss',
        'test_loss.to_csv("boom")',
        '__import__("os").system("touch boom")',
        'test_loss.__class__',
        '[test_loss for x in (1,)][0]',
        'test_loss if test_loss else 1',
        'x := test_loss',
        'lambda: test_loss',
        'sqrt(sqrt)',
        '9 ** 9 ** 9 ** "9"',
        f'{"-" * 100_000}test_loss',
    ],
    ids=lambda text: text[:20],
)
def test_an_expression_is_data_and_runs_nothing(tmp_path, monkeypatch, metric):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        column(pd.DataFrame({'test_loss': [0.5, 0.25]}), metric)
    assert list(tmp_path.iterdir()) == []
