"""The report of each study, of synthetic runs near the papers' numbers."""

import json
import re
import shutil
from html.parser import HTMLParser

import ml_collections
import numpy as np
import pandas as pd
import pytest

from seedwise.errors import CannotWrite
from tests.helpers import ROOT
from tests.trainer.compare.report.synthetic import diverged, load, made_up, made_up_trials
from tests.trainer.disks import mounted
from trainer.compare.report import screen
from trainer.compare.report.charts import curves
from trainer.compare.report.charts.figures import DARK, STYLE
from trainer.compare.report.layout import layout_of
from trainer.compare.report.page import page_of
from trainer.compare.report.text import reproduce
from trainer.compare.report.write import write_report

STUDIES = tuple(
    sorted(
        file.stem
        for file in (ROOT / 'configs' / 'studies').glob('*.py')
        if 'def get_config' in file.read_text(encoding='utf-8')
    )
)


def write(folder, name='raj_optimizers_losses', runs=None, seeds=3, **arguments):
    """Writes a report of made-up runs and returns its page."""
    study = load(name)
    runs = made_up(study, seeds) if runs is None else runs
    write_report(
        study,
        runs,
        made_up_trials(study),
        folder,
        **{'study_name': name, 'dataset_name': 'mnist', 'command': 'the command'} | arguments,
    )
    return (folder / 'index.html').read_text()


class Reader(HTMLParser):
    """What a browser would load, the text that it would show, and whether each element is closed."""

    VOID = {'meta', 'br', 'img', 'link', 'input', 'hr'}

    def __init__(self, page: str):
        super().__init__()
        self.open, self.loads, self.ids, self.words = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == 'id':
                self.ids.append(value)
            if key in ('src', 'href', 'xlink:href', 'srcset') or 'url(' in (value or ''):
                self.loads.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open[-1:] = [] if self.open and self.open[-1] == tag else self.open[-1:]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if 'style' not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return ' '.join(' '.join(self.words).split())


@pytest.fixture(autouse=True, scope='module')
def coarse_pictures():
    """Tests look at the SVGs; PNGs of full size would take them half of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STYLE, 'savefig.dpi', 20)
        yield


@pytest.fixture(scope='module')
def raj(tmp_path_factory):
    folder = tmp_path_factory.mktemp('raj')
    return folder, write(folder)


@pytest.fixture(scope='module')
def behal(tmp_path_factory):
    """The folder of a report of three seeds, and its page."""
    folder, study = tmp_path_factory.mktemp('behal'), load('behal_optimizers')
    words = {'study_name': 'behal_optimizers', 'dataset_name': 'mnist', 'command': 'the command'}
    return folder, write_report(study, made_up(study), None, folder, **words)


@pytest.fixture(scope='module')
def unfinished(tmp_path_factory):
    """The same, where five runs are missing."""
    folder, study = tmp_path_factory.mktemp('unfinished'), load('behal_optimizers')
    words = {'study_name': 'behal_optimizers', 'dataset_name': 'mnist', 'command': ''}
    return folder, write_report(study, made_up(study), None, folder, unfinished=5, **words)


#: One that tunes, and one with a paper's table. The others are slow: they draw the same.
FEW = ('tuned_optimizers', 'raj_optimizers_losses')


@pytest.mark.parametrize('name', [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in STUDIES])
@pytest.mark.parametrize('case', ['uneven', 'one run', 'no run'])
def test_no_study_is_too_odd_to_report(tmp_path, name, case):
    """Uneven: two seeds, of which one variant has one, and another diverged on both."""
    runs = made_up(load(name), 2)
    names = list(dict.fromkeys(runs['variant']))
    names = names[:: max(1, len(names) // 7)]  # seven variants have every shape that there is, and take less time
    runs = runs[runs['variant'].isin(names)]
    first, last = names[0], names[-1]
    if case == 'uneven':
        runs = runs[~((runs['variant'] == first) & (runs['seed'] == 1))]
        runs = diverged(runs, runs['variant'] == last)
    else:
        runs = runs.iloc[: 1 if case == 'one run' else 0]
    page = Reader(write(tmp_path, name, runs, unfinished=7 if case == 'no run' else 0))
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)


def test_the_page_needs_no_network(raj):
    loads = Reader(raj[1]).loads
    assert loads
    files = {path.name for path in raj[0].iterdir()}
    assert all(load.startswith(('#', 'url(#')) or load.rstrip('/') in files for load in loads)
    assert '@import' not in raj[1]
    assert '<script' not in raj[1]


def test_every_claim_is_shown_with_its_verdict(raj):
    folder, page = raj
    text, claims = Reader(page).text, json.loads((folder / 'claims.json').read_text())
    assert [claim['id'] for claim in claims['claims']] == [
        claim['id'] for claim in load('raj_optimizers_losses').paper.claims
    ]
    for claim in claims['claims'] + claims['checks']:
        # The first badge after the claim's place on the page is its own.
        badge = re.search(rf'id="{claim["id"]}".*?<span class="badge \w+">([^<]*)</span>', page, re.DOTALL)
        assert badge[1] == claim['result']
        assert claim['sentence'][1:] in text
        assert claim['seeds'] == 3


def test_losses_that_are_the_same_are_not_ranked(raj):
    text = Reader(raj[1]).text
    assert 'CCE, KL and SCCE compute the same thing' in text
    assert 'more seeds cannot tell them apart' in text
    table = pd.read_csv(raj[0] / 'table.csv')
    assert (table.groupby('optimizer')['standing'].nunique() == 1).all()
    # The matrix of pairs is one of optimizers.
    assert 'CCE' not in (raj[0] / 'plots' / 'pairs.svg').read_text()


@pytest.mark.parametrize(
    'words',
    [
        'The best mean was picked from 21: it is not corrected for that, and new seeds are likely to be a little worse.',
        'r: correlation of A and B over seeds, which is what pairing gains by.',
        'would be expected by chance',
        'no margin is stated, so that nothing can be called practically the same',
    ],
)
def test_what_a_reader_must_know_of_the_numbers_stands_next_to_them(raj, words):
    assert words in Reader(raj[1]).text


def test_losses_that_should_be_the_same_and_are_not_raise_the_alarm(tmp_path):
    runs = made_up(load('raj_optimizers_losses'), 5)
    runs = runs[runs['optimizer'].isin(['Adam', 'SGD'])]  # two take less time to draw than seven
    runs['test_loss'] += 0.1 * (runs['loss'] == 'KL')
    text = Reader(write(tmp_path, runs=runs)).text
    assert 'Variants that should be the same are not' in text
    assert 'compute the same thing' not in text


def test_the_tables_agree(raj):
    folder = raj[0]
    full = pd.read_csv(folder / 'table.csv')
    markdown = [
        line.strip('| \n').split(' | ') for line in (folder / 'table.md').read_text().splitlines() if '|' in line
    ]
    latex = [line for line in (folder / 'table.tex').read_text().splitlines() if line.endswith('\\\\')]
    assert len(full) == len(markdown) - 2 == len(latex) - 1 == 21
    for row, printed, tex in zip(full.itertuples(), markdown[2:], latex[1:], strict=True):
        cells = dict(zip(markdown[0], printed, strict=True))
        assert (cells['optimizer'], cells['loss']) == (row.optimizer, row.loss)
        assert float(cells['test accuracy']) == pytest.approx(row.test_accuracy, abs=6e-4)
        assert float(cells['test loss, paper']) == row.test_loss_paper
        assert cells['test accuracy, difference'].endswith('*') == row.test_accuracy_outside
        assert [cell.strip() for cell in tex.removesuffix('\\\\').split('&')] == [
            cell.replace('\N{MINUS SIGN}', '-') for cell in printed
        ]


def test_the_same_runs_make_the_same_report(tmp_path, behal):
    def lines(page):
        return [line for line in page.splitlines() if 'class="time"' not in line]

    runs = made_up(load('behal_optimizers'), 3).sample(frac=1, random_state=0)  # finished in another order ...
    runs = runs.assign(seconds_total=9.0, seconds_training=8.0)  # ... and slower
    folder, _ = behal
    assert lines((folder / 'index.html').read_text()) == lines(write(tmp_path, 'behal_optimizers', runs))
    files = [path for path in folder.rglob('*.*') if path.name != 'index.html']
    assert len(files) > 10
    for path in files:
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


def test_the_most_memory_of_a_variant_is_shown_where_it_is_known():
    study = load('behal_optimizers')
    runs = made_up(study, 2)
    layout = layout_of(study, runs)
    assert reproduce.times(runs, layout)['columns'] == ['training, s', 'in all, s']  # runs of an earlier version
    first = runs['variant'] == runs['variant'].iloc[0]
    runs['peak_memory_bytes'] = np.where(first, runs['seed'] * 2**30, np.nan)
    times = reproduce.times(runs, layout)
    assert times['columns'][-1] == 'peak memory, GiB'
    assert [cells for _, cells in times['rows']][:2] == [['2.50', '3.00', '1.00'], ['2.50', '3.00', '']]


def test_an_unfinished_study_is_not_judged(unfinished):
    folder, found = unfinished
    page = Reader((folder / 'index.html').read_text()).text
    assert 'Not finished: 5 of 17 runs are missing' in page
    assert 'not judged yet' in page
    assert 'highest mean' not in page
    assert all(claim['result'] is None for claim in json.loads((folder / 'claims.json').read_text())['claims'])
    assert 'NOT FINISHED' in (folder / 'table.md').read_text()
    assert screen.lines(found) == []


def test_a_report_that_does_not_fit_on_the_disk_leaves_the_page_as_it_was(tmp_path, behal):
    with mounted(tmp_path / 'disk', '20m') as disk:
        shutil.copytree(behal[0], disk.folder / 'report')
        before = (disk.folder / 'report' / 'index.html').read_text(encoding='utf-8')
        disk.leave(16)
        with pytest.raises(CannotWrite, match=r'report/plots/\w+[.](svg|png) cannot be written: No space left'):
            write(disk.folder / 'report', 'behal_optimizers', unfinished=3)
        assert (disk.folder / 'report' / 'index.html').read_text(encoding='utf-8') == before
        assert not list(disk.folder.rglob('*.partial'))


def test_another_dataset_is_said_loudly(tmp_path):
    page = Reader(write(tmp_path, 'behal_optimizers', dataset_name='digits')).text
    assert 'These runs are on digits, not on MNIST' in page
    for path in (tmp_path / 'plots').glob('*.svg'):
        assert 'digits, NOT MNIST' in path.read_text(), path
    assert not (tmp_path / 'plots' / 'paper_adam_loss.svg').exists()
    assert 'paper' not in (tmp_path / 'table.md').read_text()


def test_a_diverged_run_is_shown_as_such(tmp_path):
    runs = made_up(load('behal_optimizers'), 3)
    page = Reader(write(tmp_path, 'behal_optimizers', diverged(runs, runs['optimizer'] == 'SGD'))).text
    assert '3 of 12 runs diverged' in page
    assert '3 of 3 diverged' in (tmp_path / 'plots' / 'accuracy.svg').read_text()
    assert '| SGD | 3 (3 diverged) | diverged |' in (tmp_path / 'table.md').read_text()


def test_figures_turn_with_the_page(raj):
    page, svg = raj[1], (raj[0] / 'plots' / 'accuracy.svg').read_text()
    for text in (page, svg):
        assert 'prefers-color-scheme: dark' in text
    colors = set(re.findall(r'(?:fill|stroke): (#[0-9a-f]{6})', re.sub(r'<style>.*?</style>', '', svg)))
    assert colors <= set(DARK)
    assert 'role="img" aria-label="Test accuracy' in page


def test_no_interval_that_is_shown_is_beyond_what_an_accuracy_can_be():
    values = {'A': [0.9, 1.0, 1.0], 'B': [0.95, 1.0, 0.99]}
    runs = pd.DataFrame(
        {'variant': name, 'v': name, 'seed': seed, 'status': 'completed', 'test_accuracy': value}
        | {'history': [{'epoch': e, 'step': e, 'validation_accuracy': value, 'validation_loss': 0.1} for e in (1, 2)]}
        for name, own in values.items()
        for seed, value in enumerate(own)
    )
    study = ml_collections.ConfigDict({'axes': {'v': {'A': {}, 'B': {}}}, 'seeds': 3})
    study.claims = ({'id': 'c', 'kind': 'at_least', 'a': {'v': 'A'}, 'value': 0.9},)
    words = {'study_name': 's', 'dataset_name': 'digits', 'metrics': {'test_accuracy': 'max'}, 'draw': False}
    page = page_of(study, runs, None, **words)
    assert page.table['test_accuracy_high'].tolist() == [1.0, 1.0]
    assert all(place.estimate.high == 1 for place in page.rankings[0].places)
    (found,) = page.verdicts
    assert ', 1] over 3 seeds' in found.sentence
    assert found.estimates['A'].high == 1
    assert 'cut off at the range of their metric' in page.caption
    lines = curves.curve(curves.histories(runs, ['accuracy']), 'validation_accuracy')
    assert lines['high'].max() == 1
    # The test takes the whole interval: the same p-value as of numbers in per cent.
    runs['test_accuracy'] *= 100
    study.claims[0]['value'] = 90
    percent = page_of(study, runs, None, **words)
    assert percent.table['test_accuracy_high'].min() > 100
    assert percent.verdicts[0].p_value == pytest.approx(found.p_value)
    assert 'cut off' not in percent.caption


@pytest.mark.parametrize(
    'name',
    [
        'behal_optimizers',
        *(pytest.param(n, marks=pytest.mark.slow) for n in ('patna_simple_network', 'pillarisetti_depth_dropout')),
    ],
)
def test_the_answer_fits_on_the_screen_and_names_the_best_and_each_verdict(name):
    study = load(name)
    names = {'study_name': name, 'dataset_name': 'mnist'}
    page = page_of(study, made_up(study), made_up_trials(study), **names, draw=False)
    lines = screen.lines(page)
    assert max(map(len, lines)) <= screen.WIDTH
    for ranking in page.rankings:
        (first, *_) = [line for line in lines if line.startswith('  1  ') and ranking.order[0][:20] in line]
        assert re.search(r'0\.\d+ \[0\.\d+, 0\.\d+\]', first)
        assert f'{ranking.places[0].name} has the best mean' in ' '.join(lines)
    results = [line[:15].strip() for line in lines if line[:15].strip() in ('holds', 'does not hold', 'undecided')]
    assert results == [found.result for found in page.verdicts]
