"""`python -m launch vertex`: the job is what the API's own message types take; the source distribution is complete."""

import importlib
import json
import os
import subprocess
import sys
import tarfile
import types
from importlib import metadata
from pathlib import Path

import pytest

from launch import vertex
from seedwise.errors import UserError
from tests.helpers import ROOT

TRAIN = ('--', 'python', '-m', 'trainer.main', '--config=configs/cnn_nadam.py')


def spec(*arguments: str) -> dict:
    options, command = vertex.parse(['--bucket=bucket', *arguments])
    return vertex.job_spec(options, command, 'name', 'seedwise-0.1.0.tar.gz')


@pytest.fixture(scope='module')
def message():
    """The API's type of a job's description.

    Its file and what this imports, and not the packages around them, which import all of the API (20 s).
    """
    try:
        files = metadata.files('google-cloud-aiplatform')
    except metadata.PackageNotFoundError:
        pytest.skip("google-cloud-aiplatform is not installed: pip install -e '.[vertex]'")
    file = next(file.locate() for file in files if file.match('google/cloud/aiplatform_v1/types/custom_job.py'))
    names = ('google.cloud.aiplatform_v1', 'google.cloud.aiplatform_v1.types')
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in zip(names, (file.parent.parent, file.parent), strict=True):
            package = types.ModuleType(name)
            package.__path__ = [str(folder)]
            patch.setitem(sys.modules, name, package)
        yield importlib.import_module('google.cloud.aiplatform_v1.types.custom_job').CustomJobSpec


def test_the_job_is_one_for_the_api(message):
    parsed = message.from_json(
        json.dumps(spec('--workers=4', '--accelerator=NVIDIA_TESLA_T4', '--accelerators=2', '--spot', *TRAIN))
    )
    chief, workers = parsed.worker_pool_specs
    assert (chief.replica_count, workers.replica_count) == (1, 3)
    assert chief.machine_spec.accelerator_type.name == 'NVIDIA_TESLA_T4'
    assert workers.machine_spec.accelerator_count == 2
    assert parsed.scheduling.strategy.name == 'SPOT'
    assert parsed.scheduling.restart_job_on_worker_restart
    assert 'exec python -m trainer.main --config=configs/cnn_nadam.py' in chief.container_spec.args[0]
    assert len(message.from_json(json.dumps(spec(*TRAIN))).worker_pool_specs) == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--accelerators=2', *TRAIN), '--accelerators needs --accelerator=TYPE'),
        (('--workers=2', '--', 'python', '-m', 'trainer.compare'), 'a study runs on one machine'),
        (('--region=moon', *TRAIN), 'us-central1'),
        ((*TRAIN, '\udcff'), 'not UTF-8'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        spec(*arguments)
    assert '\n' not in str(error.value)


@pytest.fixture(scope='module')
def sdist(tmp_path_factory) -> Path:
    """The source distribution of this checkout."""
    folder = tmp_path_factory.mktemp('sdist')
    commands = ['egg_info', f'--egg-base={folder}', 'sdist', f'--dist-dir={folder}']
    subprocess.run([sys.executable, 'setup.py', '--quiet', *commands], cwd=ROOT, check=True, timeout=60)
    (file,) = folder.glob('*.tar.gz')
    return file


def test_the_source_distribution_holds_all_that_runs(sdist):
    with tarfile.open(sdist) as archive:
        packed = {name.partition('/')[2] for name in archive.getnames()}
    packages = ('configs', 'data_pipeline', 'trainer', 'launch')
    files = [path for package in packages for path in (ROOT / package).rglob('*') if path.is_file()]
    needed = {str(path.relative_to(ROOT)) for path in files if '__pycache__' not in path.parts}
    assert any('templates' in name for name in needed)
    assert needed <= packed


def test_the_source_distribution_installs_and_finds_its_configs_from_any_folder(sdist, tmp_path):
    pip = [
        'pip',
        'install',
        '--quiet',
        '--no-index',
        '--no-deps',
        '--no-build-isolation',
        f'--target={tmp_path / "lib"}',
    ]
    subprocess.run([sys.executable, '-m', *pip, str(sdist)], check=True, timeout=120)
    done = subprocess.run(
        [sys.executable, '-m', 'trainer.main', '--config=configs/cnn_nadam.py', '--config.epochs=-1'],
        cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(tmp_path / 'lib')}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, '')
    assert 'epochs is -1' in done.stderr
    assert (tmp_path / 'lib' / 'trainer' / 'compare' / 'report' / 'templates').is_dir()
