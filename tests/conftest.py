"""Fixtures that all tests share."""

import contextlib
import os
from pathlib import Path

import psutil
import pytest

from tests.helpers import NO_TEST_DATA, STARTED, TEST_DATA


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
