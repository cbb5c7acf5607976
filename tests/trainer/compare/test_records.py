"""A study's three files: what is written comes back, and makes the same report."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from seedwise.errors import UserError
from tests.helpers import ROOT
from tests.trainer.compare.report.synthetic import load, made_up, made_up_trials
from trainer.compare import records
from trainer.compare.report.charts.figures import STYLE
from trainer.compare.report.page import page_of
from trainer.compare.report.write import write_report


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch):
    monkeypatch.setitem(STYLE, 'savefig.dpi', 20)


def with_bits(runs: pd.DataFrame, examples: int = 1003) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return runs.assign(test_correct=[rng.uniform(size=examples) < 0.95 for _ in range(len(runs))])


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ('tuned_optimizers', 'patna_simple_network')]


@pytest.mark.parametrize('name', ['behal_optimizers', *SLOW])
def test_the_report_from_the_files_is_the_report_from_the_runs(tmp_path, name):
    """Slow of large studies: each makes two reports."""
    study = load(name)
    runs, trials = with_bits(made_up(study)), made_up_trials(study)
    if name != 'behal_optimizers':  # of large studies a part is enough
        runs = runs[runs['variant'].isin(list(dict.fromkeys(runs['variant']))[:5])].reset_index(drop=True)
    rest = {'study_name': name, 'dataset_name': 'mnist', 'unfinished': 0, 'about': 'About.', 'command': 'the command'}
    write_report(study, runs, trials, tmp_path / 'a', **rest)
    records.write(tmp_path / 'a', study, runs, trials, **rest)
    read_study, read_runs, read_trials, read_rest = records.read(tmp_path / 'a' / 'runs.csv')
    write_report(read_study, read_runs, read_trials, tmp_path / 'b', **read_rest)
    for file in ('table.csv', 'table.md', 'claims.json'):
        assert (tmp_path / 'b' / file).read_text() == (tmp_path / 'a' / file).read_text(), file
    pages = [
        [line for line in (tmp_path / x / 'index.html').read_text().splitlines() if 'class="time"' not in line]
        for x in 'ab'
    ]
    assert pages[0] == pages[1]


SHIPPED = sorted((ROOT / 'docs' / 'studies').glob('*/runs.csv'))


@pytest.mark.parametrize('file', SHIPPED, ids=lambda file: file.parent.name)
def test_a_shipped_report_is_made_again_from_its_runs(file):
    study, runs, trials, rest = records.read(file)
    about = {key: rest[key] for key in ('study_name', 'dataset_name', 'unfinished')}
    page = page_of(study, runs, trials, **about, draw=False)
    table = page.table.to_csv(index=False, float_format='%.6g').rstrip()
    assert table == file.with_name('table.csv').read_text().rstrip()
    assert page.claims_as_data() == json.loads(file.with_name('claims.json').read_text())
    assert '--workdir' not in rest['command']


def test_bits_take_little_room_and_come_back():
    runs = with_bits(pd.DataFrame({'variant': ['a', 'b'], 'seed': [0, 1], 'status': ['completed'] * 2}), 10_000)
    text = records.to_csv(runs)
    assert len(text) < 2 * 0.5 * 10_000
    for before, after in zip(runs['test_correct'], records.from_csv(text)['test_correct'], strict=True):
        assert (before == after).all()


def test_bits_that_would_fill_the_memory_do_not(tmp_path):
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(10**8))).decode()
    found = records.from_csv(f'variant,seed,test_correct,test_examples\na,0,{bomb},8\n')
    assert len(found['test_correct'][0]) == 8
    with pytest.raises(ValueError, match='test_correct has 8 bits, and test_examples says 10,000,000,000,000'):
        records.from_csv(f'variant,seed,test_correct,test_examples\na,0,{records._packed(np.ones(8, bool))},{10**13}\n')


@pytest.mark.parametrize('damage', ['', '{', '{}', '{"study": 3}', '[' * 10**5])
def test_damaged_files_are_named(tmp_path, damage):
    study = load('behal_optimizers')
    records.write(tmp_path, study, made_up(study), None, study_name='x')
    (tmp_path / 'study.json').write_text(damage)
    with pytest.raises(UserError, match=r'study\.json'):
        records.read(tmp_path / 'runs.csv')
    shutil.rmtree(tmp_path)
    with pytest.raises(UserError, match='cannot be read'):
        records.read(tmp_path / 'runs.csv')


def test_axes_are_text_as_they_were(tmp_path):
    runs = pd.DataFrame({'batch': ['064', '1e3'], 'variant': ['a', 'b'], 'seed': [0, 1], 'test_loss': [0.1, None]})
    found = records.from_csv(records.to_csv(runs))
    assert found['batch'].tolist() == ['064', '1e3']
    assert np.isnan(found['test_loss'][1])
    assert json.loads(json.dumps(found['seed'].tolist())) == [0, 1]
    rates = runs.rename(columns={'batch': 'learning_rate'})  # which is a number of trials, and here an axis
    assert records.from_csv(records.to_csv(rates), axes=['learning_rate'])['learning_rate'].tolist() == ['064', '1e3']
