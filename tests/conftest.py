"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

from tests.helpers import NO_TEST_DATA, TEST_DATA


@pytest.fixture(scope='session')
def mnist(tmp_path_factory) -> dict[str, str]:
    """The environment in which commands find MNIST prepared; skips if MNIST is not on this machine."""
    from data_pipeline import sources

    folder = os.environ.get('TFDS_DATA_DIR', '')
    if folder and list(Path(folder, 'mnist').glob('*/dataset_info.json')):
        return dict(os.environ)
    manual = TEST_DATA / 'mnist'
    if not manual.is_dir():
        pytest.skip(f'MNIST is not prepared in TFDS_DATA_DIR, and {NO_TEST_DATA}mnist/')
    folder = str(tmp_path_factory.mktemp('data'))
    sources.load(sources.locate('mnist', folder, str(manual)))
    return os.environ | {'TFDS_DATA_DIR': folder}
