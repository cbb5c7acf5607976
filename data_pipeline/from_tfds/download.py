"""Whether the original files of a dataset are in a folder or can be downloaded, and what went wrong, in one line.

Needs no TensorFlow. The probe asks as TFDS's download does (by `requests`), so that all proxies and certificates are the
same for both.
"""

import errno
import hashlib
import http
import os
import queue
import re
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from seedwise.errors import UserError, in_a_line

PROBE_SECONDS = 4.0

#: Numbers of the `OSError`s that are about this machine's disk and not about the network.
_DISK = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}

#: TensorFlow's errors about the same, by name: it is not imported here.
_DISK_IN_TENSORFLOW = ('ResourceExhaustedError', 'PermissionDeniedError')


class NotAvailable(UserError):
    """A dataset is not on this machine and cannot be downloaded. `ways`: what would make it available."""

    def __init__(self, name: str, ways: str):
        super().__init__(f"dataset '{name}' is not available here; it needs one of: {ways}")
        self.name, self.ways = name, ways

    def __reduce__(self):
        return NotAvailable, (self.name, self.ways)


def not_available(name: str, data_dir: str, reason: str) -> NotAvailable:
    """Returns the error for a dataset whose download is impossible for this reason."""
    return NotAvailable(
        name,
        f'a copy that TFDS prepared in {data_dir}, its original files in --config.data.manual_dir, or a download '
        f'(which failed: {reason})',
    )


def registered_files(name: str) -> list[tuple[str, int, str, str]]:
    """Returns (URL, bytes, SHA-256, file name) of each file that TFDS registers for a dataset.

    The list is empty if TFDS does not know the dataset, or has no files of it that it could download.
    """
    import tensorflow_datasets as tfds

    base = base_name(name)
    root = Path(tfds.__file__).parent
    for path in (root / 'url_checksums' / f'{base}.txt', root / 'datasets' / base / 'checksums.tsv'):
        if path.exists():
            rows = [line.split('\t') for line in path.read_text(encoding='utf-8').splitlines()]
            return [(row[0], int(row[1]), row[2], row[3]) for row in rows if len(row) >= 4]
    return []


def base_name(name: str) -> str:
    """Returns a dataset's name without its config and version: 'emnist' of 'emnist/letters:3.1.0'."""
    return name.split('/')[0].split(':')[0]


def check_manual_dir(name: str, manual_dir: str, files: list[tuple[str, int, str, str]]) -> None:
    """Raises `UserError` if `manual_dir` lacks a registered file, or holds another one under its name."""
    if not os.path.isdir(manual_dir):
        raise UserError(f'data.manual_dir {manual_dir} is not a folder')
    for _, size, sha256, filename in files:
        path = Path(manual_dir, filename)
        if not path.is_file():
            raise UserError(f'data.manual_dir {manual_dir} lacks {filename} of {name}')
        if path.stat().st_size != size:
            raise UserError(
                f'{path} is cut off or another file: it has {path.stat().st_size:,} bytes, and {filename} of {name} has '
                f'{size:,}'
            )
        try:
            with open(path, 'rb') as file:
                found = hashlib.file_digest(file, 'sha256').hexdigest()
        except OSError as error:
            raise UserError(f'{path} cannot be read: {error.strerror}') from error
        if found != sha256:
            raise UserError(f'{path} is another file: its SHA-256 is not that of {filename} of {name}, {sha256}')


def unreachable(url: str, size: int) -> str:
    """Returns why a file of `size` bytes cannot be downloaded, or '' if its server begins to send it.

    TFDS would try for minutes. The answer here comes within `PROBE_SECONDS`.
    """
    if not url.startswith('http'):
        return ''
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    # A name server that never answers is bound by no timeout; a daemon thread does not delay the end of the process.
    threading.Thread(target=lambda: answers.put(_ask(url, size)), daemon=True).start()
    try:
        return answers.get(timeout=PROBE_SECONDS)
    except queue.Empty:
        return f'{_peer(url)} did not answer within {PROBE_SECONDS:g} s'


def _ask(url: str, size: int) -> str:
    import requests

    try:
        # GET, since some servers refuse HEAD, and login pages of networks answer the two differently.
        with requests.get(url, stream=True, timeout=PROBE_SECONDS, headers={'Accept-Encoding': 'identity'}) as answer:
            length = answer.headers.get('Content-Length', '')
            if answer.status_code != 200:
                return _answered(answer.url, answer.status_code)
            if _asks_first(url) or 'Content-Encoding' in answer.headers:
                return ''
            if length.isdecimal() and int(length) != size:
                kind = answer.headers.get('Content-Type', 'no type')
                return (
                    f'{_peer(answer.url)} sent another file: {int(length):,} bytes of {kind} instead of {size:,} bytes'
                )
            return ''
    except Exception as error:  # whatever it is, the file cannot be downloaded
        return why(error, url)


def _asks_first(url: str) -> bool:
    """Whether a server sends a page with a question before the file, which TFDS answers."""
    return urllib.parse.urlsplit(url).hostname == 'drive.google.com'


def disk_problem(error: BaseException, data_dir: str) -> UserError | None:
    """Returns the error for a folder that cannot be written, if that is what `error` is about."""
    causes = list(_chain(error))
    if any(kind.__name__ == 'RequestException' for cause in causes for kind in type(cause).__mro__):
        return None  # a firewall refuses a connection with the same numbers
    for cause in causes:
        reason = ''
        if isinstance(cause, OSError) and cause.errno in _DISK:
            reason = cause.strerror or str(cause)
        elif type(cause).__name__ in _DISK_IN_TENSORFLOW:
            reason = str(cause).rpartition(';')[2]
        elif 'Not enough disk space' in str(cause):
            reason = str(cause)
        if reason:
            return UserError(f'data.data_dir {data_dir} cannot be written: {_short(reason)}')
    return None


def why(error: BaseException, url: str) -> str:
    """Returns in words why a download failed.

    Args:
      error: what was raised.
      url: what was downloaded, unless the error names another.
    """
    text, chain = str(error), list(_chain(error))
    if found := re.search(r'https?://[^\s,]+', text):
        url = found[0].rstrip('.')
    if code := re.search(r'HTTP code: (\d+)|too many (\d+) error responses', text):
        return _answered(url, int(code[1] or code[2]))
    if tunnel := re.search(r'Tunnel connection failed: ([^\'")]+)', text):
        return f'{_peer(url)} answered: {tunnel[1]}'
    file = re.search(r'downloaded to (.*), has wrong checksum', text)
    if file and '.tmp.' not in file[1]:
        return f'{file[1]} is another file than the registered one: its SHA-256 differs'
    kinds = {kind.__name__ for cause in chain for kind in type(cause).__mro__}
    words = next((words for names, words in _WORDS if names & kinds), f'{type(error).__name__}: {_short(text)}')
    return words.format(peer=_peer(url), proxy=_proxy(url) or 'none', detail=_short(str(chain[-1])))


#: Names of exceptions -> what they mean; the first that is among those raised.
_WORDS = (
    (
        {'InvalidProxyURL', 'LocationParseError', 'ProxySchemeUnknown', 'InvalidSchema'},
        "the address of the proxy, '{proxy}', is not valid: it must be such as http://host:port",
    ),
    (
        {'NonMatchingChecksumError'},
        '{peer} sent another file than the registered one, perhaps a login page of the network: its SHA-256 differs',
    ),
    ({'SSLError'}, 'there is no secure connection to {peer}: {detail}'),
    ({'gaierror', 'NameResolutionError'}, 'the name of {peer} cannot be resolved'),
    ({'ConnectionRefusedError'}, '{peer} refused the connection'),
    ({'Timeout', 'TimeoutError'}, '{peer} did not answer in time'),
    (
        {'IncompleteRead', 'ProtocolError', 'ConnectionError', 'ChunkedEncodingError'},
        '{peer} closed the connection before the file was complete',
    ),
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and those that led to it."""
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        yield error
        inner = [error.__cause__, error.__context__, getattr(error, 'reason', None), *error.args[:1]]
        error = next((cause for cause in inner if isinstance(cause, BaseException)), error)


def _answered(url: str, code: int) -> str:
    meaning = next((f' ({status.phrase})' for status in http.HTTPStatus if status == code), '')
    return f'{_peer(url)} answered HTTP {code}{meaning}'


def _peer(url: str) -> str:
    """Returns who answers for a URL: its host, or a proxy."""
    host, proxy = urllib.parse.urlsplit(url).hostname or url, _proxy(url)
    return f'the proxy {proxy} for {host}' if proxy else host


def _proxy(url: str) -> str:
    """Returns the proxy that the environment sets for a URL, without its password."""
    import requests

    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or ''
    return re.sub(r'[^/@]*@', '', proxy)


def _short(text: str) -> str:
    """Returns text on one line, cut to a length that can be read."""
    line = in_a_line(text)
    return line if len(line) <= 300 else f'{line[:300]} ...'
