"""Whatever a download can raise: one line that names what answered, or the fallback."""

import contextlib
import http.server
import os
import socket
import threading

import pytest

from data_pipeline.from_tfds import download
from tests.forks import with_tensorflow
from tests.helpers import run

PAGE = b'<html>log in to the network of the hotel</html>'


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path: /403, /404, /501, /page, /redirect, /broken, /ok."""

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        case = self.path.rpartition('/')[2]
        if case.isdecimal():
            self.send_error(int(case))
            return
        if case == 'redirect':
            self.send_response(302)
            self.send_header('Location', '/page')
            self.end_headers()
            return
        if case == 'cut':
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        content = b'x' * 1000 if case == 'ok' else PAGE
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.send_header('Content-Type', 'text/html')
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_address[1]}'
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope='module')
def server():
    with serving() as address:
        yield address


@pytest.mark.parametrize(
    ('case', 'reason'),
    [
        ('ok', ''),
        ('403', '127.0.0.1 answered HTTP 403 (Forbidden)'),
        ('404', '127.0.0.1 answered HTTP 404 (Not Found)'),
        ('501', '127.0.0.1 answered HTTP 501 (Not Implemented)'),
        ('page', '127.0.0.1 sent another file: 47 bytes of text/html instead of 1,000 bytes'),
        ('redirect', '127.0.0.1 sent another file: 47 bytes of text/html instead of 1,000 bytes'),
        ('cut', '127.0.0.1 closed the connection before the file was complete'),
    ],
)
def test_what_a_server_answers_is_named(server, case, reason):
    assert download.unreachable(f'{server}/{case}', 1000) == reason


@pytest.mark.parametrize(
    ('url', 'reason'),
    [
        ('http://127.0.0.1:1/x', '127.0.0.1 refused the connection'),
        ('http://nobody.invalid/x', 'the name of nobody.invalid cannot be resolved'),
        ('https://127.0.0.1:PORT/x', 'there is no secure connection to 127.0.0.1'),
    ],
)
def test_what_does_not_answer_is_named(server, url, reason):
    assert download.unreachable(url.replace('PORT', server.rpartition(':')[2]), 1000).startswith(reason)


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(download, 'PROBE_SECONDS', 0.5)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        url = f'http://127.0.0.1:{silent.getsockname()[1]}/x'
        assert 'did not answer' in download.unreachable(url, 1000)


def environment(data_dir, proxy: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith('_proxy')}
    return clean | {'http_proxy': proxy, 'https_proxy': proxy, 'TFDS_DATA_DIR': str(data_dir)}


@pytest.mark.parametrize(
    ('proxy', 'reason'),
    [
        ('foo:bar', "the address of the proxy, 'foo:bar', is not valid"),
        ('http://127.0.0.1:1', 'the proxy http://127.0.0.1:1 for'),
        ('SERVER', 'sent another file: 47 bytes of text/html'),
    ],
)
def test_prepare_ends_in_one_line_behind_a_proxy_that_does_not_deliver(server, tmp_path, proxy, reason):
    env = environment(tmp_path, proxy.replace('SERVER', server))
    words = ('data_pipeline.prepare', '--dataset=kmnist', f'--data_dir={tmp_path}')
    done = with_tensorflow().run(*words, environ=env)
    assert (done.code, done.err.count('\n')) == (2, 1), done.err
    assert "dataset 'kmnist' is not available here; it needs one of" in done.err
    assert reason in done.err


def test_a_run_falls_back_loudly_behind_such_a_proxy_or_ends_if_it_may_not(server, tmp_path):
    arguments = ('--config=configs/mlp_adam.py', '--config.data.name=kmnist', '--config.epochs=1')
    env = environment(tmp_path / 'data', server)
    result = run(tmp_path / 'run', *arguments, env=env)
    assert result['dataset']['name'] == 'digits'
    assert "'KMNIST' IS NOT AVAILABLE HERE" in result['stderr']
    refused = run(tmp_path / 'other', *arguments, '--config.data.fallback=', env=env, code=2)
    assert refused['stderr'].count('\n') == 1
