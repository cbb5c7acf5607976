"""Config files are modules: they import what is next to them, and what they define can be pickled."""

import pickle
import subprocess
import sys

from seedwise import config_files


def test_a_file_may_import_what_is_next_to_it_and_its_functions_can_be_pickled(tmp_path):
    (tmp_path / 'widths_of_mine.py').write_text('WIDTHS = (3, 5)\n')
    file = tmp_path / 'mine.py'
    file.write_text(
        'import ml_collections\nfrom widths_of_mine import WIDTHS\n\n\ndef double(x):\n    return 2 * x\n\n\n'
        "def get_config():\n    return ml_collections.ConfigDict({'widths': WIDTHS, 'double': pickle_of(double)})\n\n\n"
        'def pickle_of(function):\n    import pickle\n\n    return pickle.dumps(function)\n'
    )
    config = config_files.load(file, [])
    assert config.widths == (3, 5)
    assert pickle.loads(config.double)(4) == 8


def test_a_neighbour_takes_the_place_of_no_package(tmp_path):
    (tmp_path / 'json.py').write_text('raise RuntimeError\n')
    (tmp_path / 'mine.py').write_text(
        'import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict()\n'
    )
    code = (
        'import pathlib, sys; from seedwise import config_files; config_files.load(pathlib.Path(sys.argv[1]), [])\n'
        'import json.decoder'
    )
    done = subprocess.run([sys.executable, '-c', code, str(tmp_path / 'mine.py')], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_file_runs_each_time(tmp_path):
    file = tmp_path / 'mine.py'
    for value in (1, 2):
        file.write_text(
            f'import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict({{"x": {value}0}})\n'
        )
        assert config_files.load(file, []).x == 10 * value
