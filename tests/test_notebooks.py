"""The notebooks run from top to bottom on the CPU, from this checkout."""

import os
import shutil
import sys
from pathlib import Path

import nbclient
import nbformat
import psutil
import pytest

from tests.helpers import ROOT

NOTEBOOK = ROOT / 'notebooks' / 'colab.ipynb'
JUDGE = ROOT / 'notebooks' / 'judge.ipynb'


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with links to what a checkout holds, where runs/ is the test's own."""
    for name in ('configs', 'data_pipeline', 'seedwise', 'trainer'):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(NOTEBOOK.parent, tmp_path / 'notebooks')
    (tmp_path / 'tmp').mkdir()
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'tmp'))
    monkeypatch.setenv('PATH', f'{Path(sys.executable).parent}:{os.environ["PATH"]}')  # where tensorboard is
    yield tmp_path
    for process in psutil.process_iter(['cwd']):  # TensorBoard outlives the notebook
        if process.info['cwd'] == str(tmp_path):
            process.kill()


def test_the_notebook_trains_and_shows_tensorboard(checkout):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    settings = notebook.cells[1]
    assert "DATA = 'mnist'" in settings.source
    settings.source = settings.source.replace("DATA = 'mnist'", "DATA = 'digits'")  # no network needed
    folder = {'metadata': {'path': str(checkout / 'notebooks')}}
    nbclient.NotebookClient(notebook, timeout=300, resources=folder).execute()
    shown = [str(cell.get('outputs', '')) for cell in notebook.cells]
    assert 'training on the' in shown[3]
    assert 'digits: test accuracy 0.' in shown[6]
    assert 'tensorboard-frame' in shown[9]
    assert (checkout / 'runs' / 'colab-digits' / 'result.json').exists()


def test_the_notebook_judges_a_frame(checkout):
    notebook = nbformat.read(JUDGE, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={'metadata': {'path': str(checkout / 'notebooks')}}
    ).execute()
    shown = [str(cell.get('outputs', '')) for cell in notebook.cells]
    assert 'Muon has the best mean accuracy' in shown[2]
    assert 'standing' in shown[3]
    assert shown[4].count('holds') >= 2


@pytest.mark.parametrize('file', [NOTEBOOK, JUDGE], ids=lambda file: file.stem)
def test_a_notebook_is_kept_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get('outputs') or cell.get('execution_count') for cell in notebook.cells)
