"""A study on several data sets is a study on each, and a page over them."""

import csv
import json
import re
from urllib.parse import unquote

import ml_collections
import pandas as pd
import pytest

from configs import default
from seedwise.errors import UserError
from tests.helpers import finish
from tests.trainer.compare.driver import run
from trainer.compare import datasets, grid
from trainer.compare.normalize import normalize
from trainer.compare.report.over_datasets import write_over_datasets
from trainer.compare.report.page import page_of

TWO = {'digits': {'data': {'name': 'digits'}}, 'mnist': {'data': {'name': 'mnist'}}}
OPTIMIZERS = {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}


def study(axes, **fields):
    made = ml_collections.ConfigDict({'base': default.get_config(), 'axes': axes, 'seeds': 2, **fields})
    normalize(made)
    grid.prepare(made)
    return made


def claim(**fields):
    return {
        'id': 'x',
        'quote': 'q',
        'metric': 'test_accuracy',
        'a': {'optimizer': 'Adam'},
        'b': {'optimizer': 'SGD'},
    } | fields


def test_each_data_set_has_a_study_without_that_axis():
    whole = study({'data': TWO, 'optimizer': OPTIMIZERS})
    parts = datasets.split(whole)
    assert {name: part.base.data.name for name, part in parts.items()} == {'digits': 'digits', 'mnist': 'mnist'}
    assert [[v.name for v in grid.variants_of(part)] for part in parts.values()] == [['Adam', 'SGD']] * 2
    assert datasets.split(study({'optimizer': OPTIMIZERS})).keys() == {''}
    assert datasets.axis_of(study({'normalize': {n: {'data': {'normalize': n}} for n in ('none', 'standard')}})) is None


def test_claims_go_where_they_say():
    claims = (claim(), claim(id='y', where={'data': 'mnist'}), claim(id='z', where={'data': ('digits', 'mnist')}))
    parts = datasets.split(study({'data': TWO, 'optimizer': OPTIMIZERS}, claims=claims))
    assert {name: [c['id'] for c in part.claims] for name, part in parts.items()} == {
        'digits': ['x', 'z'],
        'mnist': ['x', 'y', 'z'],
    }
    assert all('data' not in (c.get('where') or {}) for part in parts.values() for c in part.claims)


@pytest.mark.parametrize(
    ('axes', 'claims', 'words'),
    [
        ({'data': TWO}, (), "no axis but 'data', which names data sets"),
        (
            {'data': TWO, 'more': {'a': {'data': {'options': {'x': 1}}}}},
            (),
            "the axes 'data' and 'more' both name data",
        ),
        ({'data': TWO, 'optimizer': OPTIMIZERS}, (claim(a={'data': 'mnist'}),), "claim 1 compares data sets: .* 'a'"),
    ],
)
def test_what_does_not_compare_is_refused(axes, claims, words):
    with pytest.raises(UserError, match=words):
        datasets.split(study(axes, claims=claims))


def test_variants_by_name_must_share_their_data():
    made = ml_collections.ConfigDict({'base': default.get_config(), 'seeds': 1})
    made.variants = {name: {'labels': {'data': name}, 'overrides': overrides} for name, overrides in TWO.items()}
    grid.prepare(made)
    with pytest.raises(UserError, match=r'differ in data\.name: .* give the data sets an axis of their own'):
        grid.variants_of(made)


def page(seeds, tune=None, values=None, **stopping):
    """A page of variants A and B with these seeds; `values`: of A, those of B are 0."""
    made = ml_collections.ConfigDict({'axes': {'v': {'A': {}, 'B': {}}}, 'seeds': seeds, 'claims': ()})
    if tune:
        made.tune = tune
    rows = [
        {'variant': name, 'v': name, 'seed': seed, 'status': 'completed', 'test_accuracy': value}
        for i, seed in enumerate(seeds)
        for name, value in (('A', values[i] if values else 0.5), ('B', 0.0))
    ]
    frame = pd.DataFrame(rows)
    metrics = {'test_accuracy': 'max'}
    how = {'rule': 'anytime'} | stopping
    return page_of(made, frame, None, study_name='s', dataset_name='digits', metrics=metrics, draw=False, stopping=how)


def test_over_data_sets_replicates_count_once_by_the_seeds_that_were_fixed_beforehand(tmp_path):
    """Four seeds in two replicates, seen, then eight: the test takes the first four, two of each replicate."""
    seeds, values = (5, 6, 7, 8, 9, 10, 11, 12), [0.1, 0.2, 0.3, 0.4, 0.9, 0.9, 0.9, 0.9]
    tune = {'replicates': 2, 'trials': 2, 'metric': 'validation_accuracy'}
    pages = {name: page(seeds, tune, values, first=4) for name in ('one', 'two')}
    said = write_over_datasets(pages, tmp_path, study_name='s', about='', command='c')
    assert 'Over 2 data sets' in ' '.join(said)
    (row,) = (row for row in csv.DictReader((tmp_path / 'table.csv').open()) if row['variant'] == 'A')
    assert float(row['test_accuracy_one']) == pytest.approx(0.25)
    words = '2 replicates, with the first 4 seeds, which were fixed before anybody looked'
    assert words in (tmp_path / 'index.html').read_text()


def test_over_data_sets_nothing_is_judged_by_seeds_that_results_may_have_chosen(tmp_path):
    pages = {'one': page((0, 1, 2, 3), first=4), 'two': page((3, 5, 7, 9), first=4, picked=True)}
    said = write_over_datasets(pages, tmp_path, study_name='s', about='', command='c')
    assert 'results may have chosen those that are left' in ' '.join(said)
    assert 'Over 2 data sets' not in ' '.join(said)


STUDY = """
import ml_collections
from configs import default

def half(data_dir, start=0):
    from sklearn.datasets import load_digits
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype('float32')[start::2]
    return {'train': (x[:600], y[start::2][:600]), 'test': (x[600:], y[start::2][600:])}

def get_config():
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.epochs, config.base.jit = 1, 'off'
    config.base.model.hidden = ()
    config.base.tensorboard.enabled = False
    config.axes = {
        'data': {f'half {i}': {'data': {'name': f'{__file__}:half', 'options': {'start': i}}} for i in (0, 1)},
        'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')},
    }
    config.seeds = 2
    config.claims = [{
        'id': 'adam', 'quote': 'Adam <b> beats SGD', 'metric': 'test_loss', 'a': {'optimizer': 'Adam'},
        'b': {'optimizer': 'SGD'}, 'kind': 'better',
    }]
    return config
"""


def test_a_study_on_two_data_sets_of_a_users_own(tmp_path):
    (tmp_path / 'halves.py').write_text(STUDY)
    words = (f'--study={tmp_path}/halves.py', f'--workdir={tmp_path}/out')
    said = finish(*words, '--workers=1', '--until-decided', '--seeds=4', '--budget=10m')
    assert 'Over 2 data sets, each counted once' in said
    assert 'with 2 variants it takes 6 data sets to show it' in ' '.join(said.split())
    rows = list(csv.DictReader((tmp_path / 'out' / 'report' / 'table.csv').open()))
    fingerprints = set()
    for half in ('half 0', 'half 1'):
        (folder,) = (f for f in (tmp_path / 'out').iterdir() if f.name.replace('_', ' ') == half)
        results = [json.loads(file.read_text()) for file in folder.glob('Adam/*/result.json')]
        assert len(results) == 4
        mean = sum(result['test']['accuracy'] for result in results) / 4
        (own,) = (row for row in rows if row['variant'] == 'Adam')
        assert float(own[f'test_accuracy_{half}']) == pytest.approx(mean, abs=1e-5)
        fingerprints.add(results[0]['dataset']['fingerprint'])
        assert (folder / 'report' / 'index.html').exists()
    assert len(fingerprints) == 2
    page = (tmp_path / 'out' / 'report' / 'index.html').read_text()
    assert 'Adam &lt;b&gt; beats SGD' in page
    links = re.findall(r'href="(\.\./[^"]*)"', page)
    assert len(links) == 2
    assert all((tmp_path / 'out' / 'report' / unquote(link)).resolve().exists() for link in links)
    assert 'Means over the first 4 seeds, which were fixed before anybody looked' in page
    # The study itself has two seeds: they are too few of those that were fixed before.
    code, again, _ = run(*words, '--report-only')
    assert code == 0
    assert 'takes results of its first 4 seeds of every variant on every data set' in ' '.join(again.split())
    code, planned, _ = run(*words, '--workers=1', '--plan', '--study.seeds=10')
    # No time for a run on the second data set: what has finished is reported.
    (tmp_path / 'out' / 'report' / 'index.html').unlink()
    (second,) = (f for f in (tmp_path / 'out').iterdir() if f.name.replace('_', ' ') == 'half 1')
    (second / 'Adam' / '3' / 'result.json').unlink()
    late, _, warned = run(*words, '--workers=1', '--budget=0.01s', '--study.seeds=4')
    assert late == 0
    assert 'half 1: --budget is' in warned
    assert 'not one run fits in' in warned
    assert (tmp_path / 'out' / 'report' / 'index.html').exists()
    assert code == 0
    assert planned.startswith('half 0:\n2 variants and 10 seeds: 20 runs; 8 finished.')
    assert '2 data sets in all: 24 runs to go: about' in planned
