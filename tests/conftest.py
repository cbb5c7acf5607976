"""Runs of the real commands, in real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def command(*arguments: str, launch: int = 0, **options) -> subprocess.Popen:
    """Starts `python -m trainer.main` with the arguments, below `launch local` with that many workers if asked for."""
    trainer = [sys.executable, '-m', 'trainer.main', *arguments]
    if launch:
        trainer = [sys.executable, '-m', 'launch', 'local', f'--workers={launch}', '--', *trainer]
    return subprocess.Popen(trainer, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def run(workdir: Path, *arguments: str, launch: int = 0, code: int = 0, timeout: float = 300, **options) -> dict:
    """Runs the command to its end and returns the result; fails where the exit code is not `code`."""
    process = command(*arguments, f'--workdir={workdir}', launch=launch, **options)
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == code, f'exit code {process.returncode}\n{out}\n{err}'
    path = workdir / 'result.json'
    result = json.loads(path.read_text()) if path.exists() else {}
    return result | {'stdout': out, 'stderr': err}


def study_text(*lines: str) -> str:
    """Returns the text of a study file on the bundled digits; `lines` say what differs from the default config."""
    head = ['import ml_collections', 'from configs import default', '', '', 'def get_config():']
    body = [
        'config = ml_collections.ConfigDict()',
        'config.base = default.get_config()',
        "config.base.data.name = 'digits'",
        *lines,
        'return config',
    ]
    return '\n'.join([*head, *(f'    {line}' for line in body), ''])


def weights(workdir: Path):
    """Returns all weights of a run's model.keras as one float64 vector, read by plain Keras."""
    import keras
    import numpy as np

    model = keras.models.load_model(workdir / 'model.keras', compile=False)
    return np.concatenate([weight.ravel().astype(np.float64) for weight in model.get_weights()])


def relative_l2(a, b) -> float:
    """||a - b|| / ||a||."""
    import numpy as np

    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


@pytest.fixture(scope='session')
def mnist(tmp_path_factory) -> dict[str, str]:
    """The environment in which commands find MNIST prepared; skips where there is no MNIST on this machine."""
    from data_pipeline import sources

    folder = os.environ.get('TFDS_DATA_DIR', '')
    if folder and list(Path(folder, 'mnist').glob('*/dataset_info.json')):
        return dict(os.environ)
    manual = ROOT.parent / 'shared' / 'mnist'
    if not manual.is_dir():
        pytest.skip('no MNIST here: neither prepared in $TFDS_DATA_DIR nor its four files in ../shared/mnist')
    folder = str(tmp_path_factory.mktemp('data'))
    sources.load(sources.locate('mnist', folder, str(manual)))
    return os.environ | {'TFDS_DATA_DIR': folder}
