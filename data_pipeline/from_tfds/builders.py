"""Prepares a dataset by TFDS: from original files or a download to a folder that it is read from."""

import contextlib
import dataclasses
import io
import logging
import shutil
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

from data_pipeline.dataset import Location
from data_pipeline.from_tfds import decoded, download, folders
from data_pipeline.own import assemble
from seedwise.errors import UserError
from seedwise.shadowing import python_module
from seedwise.storage import locks

#: Tries of a server that answers 500 to 504 or closes the connection. TFDS's own ten take 205 s.
RETRIES = 4

#: A download that receives nothing for this long has failed. TFDS would wait for ever.
STALLED_SECONDS = 120.0

_POLL_SECONDS = 1.0


def prepare(location: Location) -> Path:
    """Returns the folder of a located dataset, prepared. Safe for several processes at once: one works, all wait.

    Raises:
      NotAvailable: it could not be downloaded.
      UserError: it could not be prepared for another reason.
    """
    if folder := folders.find(location.name, location.data_dir):
        return folder
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    # TFDS's bars are for downloads that somebody watches.
    if location.source != 'download' or not sys.stderr.isatty():
        tfds.disable_progress_bar()
    downloader.MAX_RETRIES = RETRIES
    logging.getLogger('urllib3').setLevel(logging.ERROR)  # it warns of each try
    path = location.name.partition(':')[0].replace('/', '.')
    try:
        with locks.held(Path(location.data_dir, f'.{path}.lock')):
            if folder := folders.find(location.name, location.data_dir):
                return folder
            print(f'preparing {location.name} in {location.data_dir} (once)', file=sys.stderr)
            builder = tfds.builder(location.name, data_dir=location.data_dir)
            with _extraction_folder(Path(location.data_dir, f'.{path}.extracted')) as extracted:
                options = tfds.download.DownloadConfig(
                    manual_dir=location.manual_dir or None, extract_dir=str(extracted)
                )
                with contextlib.redirect_stdout(io.StringIO()):
                    builder.download_and_prepare(download_config=options)
            return Path(builder.data_dir)
    except Exception as error:  # a builder is somebody's script: it may raise anything
        raise _problem(location, error) from error


def prepare_apart(location: Location, memory_limit_mb: int) -> Location:
    """Has another process prepare and check a dataset, if that has not been done; for one without TensorFlow.

    When that process ends, so do the threads that a failed download leaves behind, which would go on trying.

    Returns:
      The location, with the number of training examples.

    Raises:
      NotAvailable, UserError: as `sources.load`.
    """
    if location.source == 'own':
        return assemble.prepare(location, memory_limit_mb)
    folder = folders.find(location.name, location.data_dir) if location.source != 'bundled' else None
    if location.source == 'bundled' or (folder and decoded.checked(folder)):
        return location
    connection, theirs = Pipe()
    with theirs:
        command, environment = python_module('data_pipeline.from_tfds.child', str(theirs.fileno()))
        process = subprocess.Popen(
            command,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of Ctrl-C, which ends this process, and then that one too
        )
    try:
        connection.send((location, memory_limit_mb))
        _wait(connection, location)
        error = connection.recv()
    except (EOFError, OSError) as lost:
        code = process.wait()
        raise UserError(
            f"dataset '{location.name}' could not be prepared: its process ended with code {code}"
        ) from lost
    finally:
        process.kill()
        process.wait()
        connection.close()
    if error:
        raise error
    folder = folders.find(location.name, location.data_dir)
    return dataclasses.replace(location, train=folders.train_count(location.name, folder) if folder else None)


def _wait(connection, location: Location) -> None:
    """Waits for an answer, or for a download that receives nothing any more."""
    first = last = _unfinished(location)
    since = time.monotonic()
    while not connection.poll(_POLL_SECONDS):
        now = _unfinished(location)
        if now != last:
            last, since = now, time.monotonic()
        elif now - first and time.monotonic() - since > STALLED_SECONDS:
            reason = f'nothing was received for {STALLED_SECONDS:g} s'
            raise download.not_available(location.name, location.data_dir, reason)


def _unfinished(location: Location) -> set[tuple[str, int]]:
    """Returns the files that are being downloaded, each with its size."""
    found = set()
    for path in Path(location.data_dir, 'downloads', download.base_name(location.name)).glob('**/*.tmp.*/*'):
        with contextlib.suppress(OSError):
            found.add((str(path), path.stat().st_size))
    return found


@contextlib.contextmanager
def _extraction_folder(folder: Path):
    """A folder for what is extracted for one dataset, deleted at the end.

    In TFDS's own, `downloads/extracted`, a file has the name of its archive, which several datasets share, and what is there
    is taken without a look: Fashion-MNIST prepared after MNIST was MNIST.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _problem(location: Location, error: Exception) -> UserError:
    """Returns what an error of TFDS's means for the user."""
    if isinstance(error, UserError):
        return error
    if disk := download.disk_problem(error, location.data_dir):
        return disk
    files = download.registered_files(location.name)
    reason = download.why(error, files[0][0] if files else '')
    of_the_script = isinstance(error, ValueError | AssertionError) and not isinstance(error, OSError)
    if location.source == 'download' and files and not of_the_script:
        return download.not_available(location.name, location.data_dir, reason)
    return UserError(f"dataset '{location.name}' could not be prepared: {reason}")
