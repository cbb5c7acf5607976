"""The commands in a folder of the user's own that has files named as ours."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import seedwise.__main__
from seedwise.shadowing import python_module

BAD = '--config.epochs=many'


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    environment = python_module('seedwise')[1]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A project with a `configs/` package, a `trainer.py` and a `launch.py`."""
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / '__init__.py').write_text('')
    (tmp_path / 'configs' / 'mine.py').write_text('from configs.default import get_config\n')
    return tmp_path


def test_python_m_says_in_one_line_what_hides_what(folder):
    done = run(folder, sys.executable, '-m', 'trainer.main', '--config=configs/mine.py')
    assert (done.returncode, done.stderr.count('\n')) == (2, 1)
    assert str(folder / 'configs') in done.stderr
    assert "'configs'" in done.stderr
    (folder / 'trainer.py').write_text('')
    done = run(folder, sys.executable, '-m', 'trainer.main', '--config=configs/mine.py')
    assert done.returncode != 0
    assert done.stderr.count('\n') == 1


def test_the_console_command_works_all_the_same(folder):
    for name in ('trainer.py', 'launch.py', 'seedwise_notes.py'):
        (folder / name).write_text('raise SystemExit("the wrong module")\n')
    console = (sys.executable, '-P', '-c', 'import sys; from seedwise.__main__ import main; sys.exit(main())')
    done = run(folder, *console, 'train', '--config=configs/mine.py', BAD)
    assert (done.returncode, done.stderr) == (2, 'error: --config.epochs=many: it must be a whole number\n')
    assert run(folder, *console, 'launch', 'slurm', '--help').returncode == 0
    done = run(folder, *console, 'trian')
    assert (done.returncode, done.stderr.strip().rpartition('accepted are ')[2]) == (
        2,
        "compare, export, judge, launch, predict, prepare, serve, train. Did you mean 'train'?",
    )


def test_workers_of_a_study_find_our_modules_whatever_the_folder_holds(folder):
    (folder / 'trainer.py').write_text('')
    command, environment = python_module('trainer.compare.engines.worker', 'x')
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert "invalid literal for int() with base 10: 'x'" in done.stderr


def test_the_installed_command_is_that_module():
    (command,) = metadata.entry_points(group='console_scripts', name='seedwise')
    assert command.load() is seedwise.__main__.main
