"""A Slurm cluster for the tests that need one."""

import os
import sys
from pathlib import Path

import pytest

from tests.launch import slurm_cluster

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='session')
def slurm(tmp_path_factory):
    """The environment in which Slurm's commands find the cluster."""
    reason = slurm_cluster.missing()
    if reason:
        pytest.skip(reason)
    with slurm_cluster.cluster(tmp_path_factory.mktemp('slurm')) as environ:
        yield environ | {'PYTHONPATH': str(ROOT), 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}
