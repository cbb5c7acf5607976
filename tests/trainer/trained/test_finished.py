"""Which folders are finished runs, and what is said of the others."""

import json
import shutil

import pytest

from seedwise.errors import UserError
from trainer.trained.finished import find


@pytest.fixture
def copy(digits, tmp_path):
    return shutil.copytree(digits, tmp_path / 'copy')


def test_what_is_known_of_a_run(digits):
    run = find(str(digits))
    assert (run.dataset, run.shape, run.dtype, run.unscaled) == ('digits', (28, 28, 1), 'uint8', False)
    assert run.class_names == tuple('0123456789')
    assert run.moments[0] == pytest.approx([0.337], abs=0.001)
    assert run.dark


def test_a_run_of_a_version_that_noted_less_is_read_too(copy):
    result = json.loads((copy / 'result.json').read_text())
    for key in ('input', 'class_names'):
        del result['dataset'][key]
    (copy / 'result.json').write_text(json.dumps(result))
    run = find(str(copy))
    assert (run.shape, run.dtype, run.class_names) == ((28, 28, 1), 'uint8', ())


def test_a_model_of_an_installed_package_is_looked_up_there(copy):
    config = json.loads((copy / 'config.json').read_text())
    config['model']['name'] = 'sklearn.datasets:load_digits'  # any function will do
    (copy / 'config.json').write_text(json.dumps(config))
    own = find(str(copy)).own_model
    assert (own.module, own.name) == ('sklearn.datasets', 'load_digits')
    config['model']['name'] = 'nobodys.package:net'
    (copy / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match="there is no module 'nobodys.package'"):
        _ = find(str(copy)).own_model


def change(folder, **fields):
    result = json.loads((folder / 'result.json').read_text())
    (folder / 'result.json').write_text(json.dumps(result | fields))


def change_data(folder, **fields):
    change(folder, dataset=json.loads((folder / 'result.json').read_text())['dataset'] | fields)


SHAPELESS = {'shape': [], 'dtype': 'uint8', 'unscaled': False}
COLOURS = {'mean': [0.3] * 3, 'deviation': [0.3] * 3}

FAULTS = {
    'none': (lambda f: shutil.rmtree(f), 'does not exist|unknown folder of a run'),
    'file': (lambda f: (shutil.rmtree(f), f.write_text('')), 'is a file: WORKDIR is the folder of a finished run'),
    'no run': (lambda f: (shutil.rmtree(f), f.mkdir()), 'is not the folder of a run: it has no result.json'),
    'unfinished': (lambda f: (f / 'result.json').unlink(), 'has not finished: the command that began it continues it'),
    'diverged': (lambda f: change(f, status='diverged'), 'diverged: its model predicts nothing'),
    'no model': (lambda f: (f / 'model.keras').unlink(), 'has no model.keras'),
    'no config': (lambda f: (f / 'config.json').unlink(), 'config.json cannot be read: No such file'),
    'torn config': (lambda f: (f / 'config.json').write_text('{'), 'config.json is damaged'),
    'other json': (lambda f: change(f, dataset={}), 'is not of a run of seedwise: KeyError'),
    'other shape': (
        lambda f: change_data(f, input=SHAPELESS),
        r'is not of a run of seedwise: ValueError: the shape \[\]',
    ),
    'other channels': (lambda f: change_data(f, normalization=COLOURS), 'the mean of 3 channels or features'),
    'deep json': (lambda f: (f / 'result.json').write_text('[' * 10**5), 'result.json is damaged'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_other_folders_are_refused_in_one_line(copy, fault):
    spoil, said = FAULTS[fault]
    spoil(copy)
    with pytest.raises(UserError, match=said) as error:
        find(str(copy))
    assert '\n' not in str(error.value)


def test_the_folder_of_a_study_is_named_as_one(copy):
    (copy.parent / 'study' / 'Adam').mkdir(parents=True)
    shutil.move(copy, copy.parent / 'study' / 'Adam' / '0')
    with pytest.raises(UserError, match='is the folder of a study: name one of its runs, such as .*/study/Adam/0$'):
        find(str(copy.parent / 'study'))
    with pytest.raises(UserError, match='is not the folder of a run: name one of those in it, such as .*/Adam/0$'):
        find(str(copy.parent / 'study' / 'Adam'))
