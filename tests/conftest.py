"""Fixtures that all tests share."""

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.forks import with_tensorflow, without_tensorflow
from tests.helpers import NO_TEST_DATA, STARTED, TEST_DATA, line_of


def pytest_configure():
    """A shell starts what is in its background with Ctrl-C ignored, which all that tests start would inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_goes_on():
    """Ends what a test has started and, where it failed, has left running, with all that this has started."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            for child in [*psutil.Process(process.pid).children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            process.wait()


@pytest.fixture(scope='session')
def mnist_folder(tmp_path_factory) -> str:
    """A data folder in which MNIST is prepared; skips if MNIST is not on this machine."""
    from data_pipeline import sources

    folder = os.environ.get('TFDS_DATA_DIR', '')
    if folder and list(Path(folder, 'mnist').glob('*/dataset_info.json')):
        return folder
    manual = TEST_DATA / 'mnist'
    if not manual.is_dir():
        pytest.skip(f'MNIST is not prepared in TFDS_DATA_DIR, and {NO_TEST_DATA}mnist/')
    folder = str(tmp_path_factory.mktemp('data'))
    sources.load(sources.locate('mnist', folder, str(manual)))
    return folder


@pytest.fixture
def mnist(mnist_folder) -> dict[str, str]:
    """The environment in which commands find MNIST prepared."""
    return os.environ | {'TFDS_DATA_DIR': mnist_folder}


@pytest.fixture
def error(tmp_path):
    """A function that runs a command which must fail as promised, and returns the line it prints."""

    def fail(*arguments: str, module: str = 'trainer.main', tensorflow: bool = False, **variables: str) -> str:
        forks = with_tensorflow() if tensorflow else without_tensorflow()
        # In a folder of its own, so that nothing is left in the checkout should a command not fail.
        ended = forks.run(module, *arguments, environ=os.environ | variables, folder=tmp_path)
        return line_of(ended.code, ended.out, ended.err)

    return fail
