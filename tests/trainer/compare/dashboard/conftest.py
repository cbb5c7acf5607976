"""One finished study, trained once."""

from pathlib import Path

import ml_collections
import pytest

from tests.helpers import finish, study_text
from trainer.compare import grid
from trainer.compare.dashboard import FRONT

STUDY = study_text(
    'config.base.data.validation = 200',
    'config.base.epochs = 3',
    "config.base.jit = 'off'",
    'config.axes = {',
    "    'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')},",
    "    'rate': {f'{rate:.0e}': {'optimizer': {'learning_rate': rate}} for rate in (0.01, 0.1)},",
    '}',
    'config.seeds = 2',
)


@pytest.fixture(scope='session')
def workdir(tmp_path_factory) -> Path:
    """The folder of a finished study of 2 x 2 variants x 2 seeds, whose runs have boards of their own too."""
    folder = tmp_path_factory.mktemp('study')
    (folder / 'small.py').write_text(STUDY)
    arguments = [f'--study={folder / "small.py"}', f'--workdir={folder / "w"}', '--study.base.tensorboard.enabled=true']
    said = finish(*arguments, '--workers=1')
    assert f'tensorboard --logdir={folder / "w"}, then http://localhost:6006/{FRONT}' in said
    return folder / 'w'


@pytest.fixture(scope='session')
def study() -> ml_collections.ConfigDict:
    scope: dict = {}
    exec(STUDY, scope)
    config = scope['get_config']()
    grid.prepare(config)
    return config
