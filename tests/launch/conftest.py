"""A Slurm cluster for the tests that need one."""

import os
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.launch import slurm_cluster

#: Arguments that a shell, a template or YAML could take for something else. '\udcff' is a byte that is not UTF-8.
AWKWARD = (
    'a b', '"', "'", '$HOME', '`id`', '*', '\\', 'two\nlines', 'dos\r\nlines', '', '--', '--workers=0', '-h',
    '~', ';', 'é', '&&', '#', '!', '{}', '{0}', '%j', '\udcff', '\x1b[0m', "'\n\\'", '${HOME}\t', "$'\\x41'",
    '<<EOF', 'END', '$(HOME)', '$$(HOME)', '1e3', '0o17', 'no', 'a=(b)', '[a-z]?'
)  # fmt: skip


@pytest.fixture(scope='session')
def slurm(tmp_path_factory):
    """The environment in which Slurm's commands find the cluster."""
    reason = slurm_cluster.missing()
    if reason:
        pytest.skip(reason)
    with slurm_cluster.cluster(tmp_path_factory.mktemp('slurm')) as environ:
        yield environ | {'PYTHONPATH': str(ROOT), 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}
