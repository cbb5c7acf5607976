"""A study in TensorBoard, in a browser: what a reader looks for is there, with few clicks."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pandas as pd
import pytest

from trainer.compare.dashboard import FRONT, MEAN

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


@pytest.fixture(scope='module')
def tensorboard(workdir):
    """The address of a TensorBoard that has loaded the study."""
    command = [sys.executable, '-m', 'tensorboard.main', f'--logdir={workdir}', '--port=0']
    with subprocess.Popen(command, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            address = next(match[1] for line in server.stderr if (match := re.search(r'at (http://\S+)', line)))
            while not is_loaded(address):
                time.sleep(0.2)
            yield address
        finally:
            server.kill()  # not SIGTERM, which a run in this process may have blocked for its children


def is_loaded(address: str) -> bool:
    """Returns whether TensorBoard shows all variants and seeds: it listens before it has read them."""
    with urllib.request.urlopen(f'{address}data/plugin/scalars/tags') as answer:
        tags = json.load(answer)
    return all(
        sum(tag in found for found in tags.values()) >= runs
        for tag, runs in (('accuracy/validation', 4), ('seed_accuracy/validation', 8))
    )


@pytest.fixture(scope='module')
def browser():
    if not CHROMIUM:
        pytest.skip('no chromium here')
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu'])
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def tabs(browser):
    """What the pages have in common: the scripts of TensorBoard, which are compiled once."""
    with browser.new_context(viewport={'width': 1440, 'height': 1000}) as context:
        yield context


@pytest.fixture
def page(tabs, tensorboard):
    page = tabs.new_page()
    page.set_default_timeout(60_000)
    page.server = tensorboard
    yield page
    page.evaluate('localStorage.clear()')
    page.close()


def open_page(page, address: str, runs: str = f'^{MEAN}') -> None:
    """Opens one of TensorBoard's pages with a filter of runs, as the study's link does."""
    page.goto('about:blank')
    page.goto(f'{page.server}{FRONT.partition("#")[0]}#{address}&regexInput={urllib.parse.quote(runs)}')


def test_the_first_page_shows_the_means_and_the_seeds_with_one_click(page):
    page.goto(page.server)
    page.get_by_text('accuracy/validation', exact=True).first.wait_for()
    assert '#timeseries' in page.url
    for name in ('mean/Adam-rate_1e-02', 'mean/Adam-rate_1e-01', 'mean/SGD-rate_1e-02', 'mean/SGD-rate_1e-01'):
        page.get_by_text(name, exact=True).first.wait_for()
    single = page.get_by_text('seed_accuracy/validation', exact=True)
    assert not single.count()
    page.get_by_role('button').filter(has_text='seed_accuracy').click()
    single.first.wait_for()


def test_custom_scalars_show_means_with_intervals(page):
    open_page(page, 'custom_scalars')
    for quantity in ('validation accuracy', 'train accuracy', 'validation loss', 'train loss'):
        card = page.locator('tf-custom-scalar-margin-chart-card').filter(has_text=f'{quantity} by step')
        card.get_by_text('Matches (4)').wait_for()


def test_hparams_has_the_axes_as_columns_sorts_by_them_as_numbers_and_filters(page, workdir):
    from playwright.sync_api import expect

    open_page(page, 'hparams')
    page.get_by_text('SGD-rate_1e-01').wait_for()
    header = page.locator('vaadin-grid').first.inner_text()
    for column in ('optimizer', 'rate', 'test accuracy ↑', 'test loss ↓', 'validation accuracy ↑'):
        assert column in header

    def choose(label: str, item: str) -> None:
        menu = page.locator(f'tf-hparams-query-pane paper-dropdown-menu[label="{label}"]')
        menu.click()
        menu.locator('paper-item').filter(has_text=item).click()

    def wait_for_order(expected: list[str]) -> None:
        cells = page.locator('vaadin-grid').first.locator('vaadin-grid-cell-content')
        names = expect(cells.filter(has_text=re.compile('-rate_')))
        names.to_have_text([re.compile(name) for name in expected], timeout=30_000)

    table = pd.read_csv(workdir / 'report' / 'table.csv', dtype={'rate': str})
    best_first = table.sort_values('test_loss')
    choose('Sort by', 'test loss')
    choose('Direction', 'Ascending')
    wait_for_order([f'{row["optimizer"]}-rate_{row["rate"]}' for _, row in best_first.iterrows()])
    choose('Sort by', 'rate')
    wait_for_order(['rate_1e-02', 'rate_1e-02', 'rate_1e-01', 'rate_1e-01'])
    choose('Direction', 'Descending')
    wait_for_order(['rate_1e-01', 'rate_1e-01', 'rate_1e-02', 'rate_1e-02'])
    page.locator('tf-hparams-query-pane').get_by_text('SGD').click()
    page.get_by_text('SGD-rate_1e-01').wait_for(state='hidden')
    assert page.get_by_text('Adam-rate_1e-01').is_visible()


def test_images_show_the_overview_and_what_a_run_gets_wrong(page):
    open_page(page, 'images')
    page.get_by_text('accuracy/overview').first.wait_for()
    open_page(page, 'images', 'Adam-rate_1e-02/0/')
    page.get_by_text('mistakes/confusion_matrix').first.wait_for()
    image = page.locator('tf-image-loader img').first
    image.wait_for()
    assert image.evaluate('image => image.decode().then(() => image.naturalWidth)') > 300
