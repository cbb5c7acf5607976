"""One finished run, trained once."""

import pytest

from tests.helpers import ROOT, run


@pytest.fixture(scope='session')
def digits(tmp_path_factory):
    """The folder of a run on the bundled digits, with normalised inputs."""
    workdir = tmp_path_factory.mktemp('trained') / 'run'
    words = ('--config.data.name=digits', '--config.data.normalize=standard', '--config.tensorboard.enabled=False')
    run(workdir, f'--config={ROOT}/configs/mlp_adam.py', *words, '--config.epochs=5')
    return workdir


@pytest.fixture(scope='session')
def model(digits):
    from trainer.trained import finished
    from trainer.trained.model import Trained

    return Trained(finished.find(str(digits)))


@pytest.fixture(scope='session')
def test_split():
    """The test split of the digits: images [360, 28, 28, 1] and labels."""
    from data_pipeline import sources

    test = sources.load(sources.locate('digits')).test
    return test.images[test.indices], test.labels[test.indices]
