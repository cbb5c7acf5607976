"""A run is a function of its config: settings of libraries outside of it change nothing, or are kept with the result."""

import json
import os

import pytest

from tests.helpers import run

RUN = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.epochs=1', '--config.model.name=cnn')
RUN += ('--config.model.filters=(4,)', '--config.model.hidden=(16,)')


@pytest.fixture(scope='module')
def plain(tmp_path_factory) -> dict:
    return run(tmp_path_factory.mktemp('plain') / 'run', *RUN)


def test_settings_of_libraries_change_no_weight(tmp_path, plain):
    """All at once: each would change the weights, or end the run, by itself."""
    home = tmp_path / 'home'
    (home / '.keras').mkdir(parents=True)
    settings = {'backend': 'jax', 'image_data_format': 'channels_first', 'floatx': 'float16', 'epsilon': 0.1}
    (home / '.keras' / 'keras.json').write_text(json.dumps(settings))
    (home / 'matplotlibrc').write_text('text.usetex: True\nfigure.figsize: 1, 1\n')
    environment = {
        'HOME': str(home),
        'KERAS_BACKEND': 'jax',
        'TF_USE_LEGACY_KERAS': '1',
        'MPLBACKEND': 'TkAgg',
        'MATPLOTLIBRC': str(home / 'matplotlibrc'),
        'PYTHONHASHSEED': '7',
        'PYTHONOPTIMIZE': '2',
        'PYTHONWARNINGS': 'error',
        'LC_ALL': 'C',
    }
    result = run(tmp_path / 'run', *RUN, env=os.environ | environment)
    assert result['weights_sha256'] == plain['weights_sha256']
    assert json.loads((home / '.keras' / 'keras.json').read_text()) == settings


def test_what_changes_rounding_is_kept_with_the_result(tmp_path, plain):
    without_training = (*(word for word in RUN if 'epochs' not in word), '--config.epochs=0')
    result = run(
        tmp_path / 'run', *without_training, env=os.environ | {'TF_ENABLE_ONEDNN_OPTS': '0', 'OMP_NUM_THREADS': '1'}
    )
    assert result['host']['settings'] == {'TF_ENABLE_ONEDNN_OPTS': '0', 'OMP_NUM_THREADS': '1'}
    assert 'settings' not in plain['host'] or 'OMP_NUM_THREADS' not in plain['host']['settings']
