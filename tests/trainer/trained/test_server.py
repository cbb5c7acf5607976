"""The page and the endpoint: through Werkzeug's client, and once through a real server and a real browser."""

import dataclasses
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from werkzeug.test import Client

from seedwise.errors import UserError
from tests.helpers import ROOT
from trainer.trained import finished, server

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


@pytest.fixture
def client(digits, model):
    site = server.Site(finished.find(str(digits)))
    site.ready(model.probabilities, model.class_names)
    return Client(site)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'PNG')
    return file.getvalue()


def test_an_image_as_the_body_or_in_a_form_gives_the_probabilities(client, model, test_split):
    image = test_split[0][0]
    expected = dict(zip(model.class_names, model.probabilities(image[None])[0].tolist(), strict=True))
    body = client.post('/predict', data=png(image[..., 0])).json
    form = client.post('/predict', data={'file': (io.BytesIO(png(image[..., 0])), 'x.png')}).json
    assert body == form
    found = [(one['name'], one['probability']) for one in body['classes']]
    assert dict(found) == pytest.approx(expected, abs=1e-6)
    assert [p for _, p in found] == sorted(expected.values(), reverse=True)
    assert body['unsure'] == [name for name, p in found[1:] if p >= server.UNSURE]
    assert (body['changes'], body['bright_background']) == ([], False)
    inverted = client.post('/predict?invert=1&seen=1', data=png(255 - image[..., 0])).json
    assert inverted['classes'] == body['classes']
    assert inverted['seen'].startswith('data:image/png;base64,')
    assert client.post('/predict', data=png(255 - image[..., 0])).json['bright_background']


@pytest.mark.parametrize(
    ('method', 'path', 'data', 'code', 'said'),
    [
        ('POST', '/predict', b'', 400, 'there is no image: send the file as the body'),
        ('POST', '/predict', b'nothing', 400, 'the image cannot be read: it is not an image'),
        ('POST', '/predict', png(np.zeros((99, 99), np.uint8))[:60], 400, 'the image cannot be read: '),
        ('POST', '/predict', png(np.zeros((8000, 8000), bool)), 400, 'the image has more than 40,000,000 pixels'),
        ('POST', '/predict', bytes(server.MOST_BYTES + 1), 413, 'an image may have 10,485,760 bytes'),
        ('GET', '/predict', None, 405, '/predict takes POST'),
        ('POST', '/', b'', 405, '/ takes GET'),
        ('GET', '/../server.py', None, 404, 'there is no such page'),
    ],
)
def test_what_is_wrong_is_answered_in_one_line(client, method, path, data, code, said):
    answer = client.open(path, method=method, data=data)
    assert answer.status_code == code
    assert answer.json['error'].startswith(said)
    assert answer.text.count('\n') == 1


def test_the_page_loads_nothing_from_elsewhere_and_runs_only_its_own_script(client):
    for path in ('/', '/page.js', '/page.css', '/model.json'):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'; script-src 'self'" in answer.headers['Content-Security-Policy']
        assert answer.headers['X-Content-Type-Options'] == 'nosniff'
        assert not re.search(r'https?://|innerHTML|insertAdjacent|outerHTML|document\.write', answer.text)
    for host, code in {
        'elsewhere.example': 400,
        '127.0.0.1.example': 400,
        '[::1]:8000': 200,
        '127.0.0.1:80': 200,
    }.items():
        assert client.get('/', headers={'Host': host}).status_code == code


def test_a_run_on_rows_and_a_port_that_is_taken_are_refused(digits):
    run = finished.find(str(digits))
    _, listening = server.listen(run, '127.0.0.1', 0)
    with pytest.raises(
        UserError, match=f'--port={listening.port} cannot be listened on: Address already in use; choose'
    ):
        server.listen(run, '127.0.0.1', listening.port)
    listening.server_close()
    with pytest.raises(UserError, match='--host=nowhere.invalid .* cannot be listened on: .*not known|resolution'):
        server.listen(run, 'nowhere.invalid', 0)
    with pytest.raises(UserError, match='is an image, and the run in .* takes rows of 13 features'):
        server.listen(dataclasses.replace(run, shape=(13,)), '127.0.0.1', 0)


#: A zero as tall as the board, as those of the digits are, in pixels of the board.
STROKE = [(140 + 75 * np.cos(a), 140 - 118 * np.sin(a)) for a in np.linspace(1.6, 1.6 + 2 * np.pi, 25)]


@pytest.fixture(scope='module')
def served(digits, tmp_path_factory):
    """A running command, for a run with a class that is called as if it were HTML."""
    folder = shutil.copytree(digits, tmp_path_factory.mktemp('served') / 'run')
    result = json.loads((folder / 'result.json').read_text())
    result['dataset']['class_names'][9] = '<img src=x onerror=alert(1)>'
    (folder / 'result.json').write_text(json.dumps(result))
    command = [sys.executable, '-m', 'trainer.serve', str(folder), '--port=0']
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, preexec_fn=heard, **pipes) as process:  # noqa: PLW1509
        try:
            yield process, process.stdout.readline().split()[0]
        finally:
            process.kill()


def test_a_digit_is_drawn_and_read_in_a_browser_and_ctrl_c_ends_the_server(served, tmp_path):
    process, address = served
    if not CHROMIUM:
        pytest.skip('no chromium here')
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu'])
        page = browser.new_page()
        page.set_default_timeout(30_000)
        faults, asked = [], []
        page.on('pageerror', lambda error: faults.append(error))
        page.on('console', lambda message: faults.append(message.text) if message.type == 'error' else None)
        page.on('dialog', lambda dialog: faults.append(dialog))
        page.on('request', lambda request: asked.append(request.url))
        page.goto(address)
        box = page.locator('#board').bounding_box()
        page.mouse.move(box['x'] + STROKE[0][0], box['y'] + STROKE[0][1])
        page.mouse.down()
        for x, y in STROKE[1:]:
            page.mouse.move(box['x'] + x, box['y'] + y)
        page.mouse.up()
        page.locator('#bars li').first.wait_for()
        assert page.locator('#answer').inner_text().startswith('0 ')
        assert page.locator('#bars .best .name').inner_text() == '0'
        assert page.locator('#bars li').count() == 10
        assert page.locator('#bars .name').last.inner_text() == '<img src=x onerror=alert(1)>'
        page.locator('#clear').click()
        assert page.locator('#bars li').count() == 0
        Image.fromarray(np.zeros((30, 50), np.uint8)).save(tmp_path / 'black.png')
        page.locator('#file').set_input_files(tmp_path / 'black.png')
        page.get_by_text('resized to 28x28').wait_for()
        (tmp_path / 'bad.png').write_text('nothing')
        assert not faults
        page.locator('#file').set_input_files(tmp_path / 'bad.png')
        page.get_by_text('the image cannot be read: it is not an image').wait_for()
        assert {url.split('/')[2] for url in asked if not url.startswith(('data:', 'blob:'))} == {address.split('/')[2]}
        browser.close()
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, '', '')
