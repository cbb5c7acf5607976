"""The model of a finished run predicts what the run predicted; a user's own code runs only where it is trusted."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from seedwise.errors import UserError
from tests.forks import without_tensorflow
from tests.helpers import ROOT
from trainer import results
from trainer.results import read_correct
from trainer.trained import finished

OWN = """
from pathlib import Path
import keras

Path(__file__).with_name('ran').touch()


class Net(keras.Model):
    def __init__(self, classes, width):
        super().__init__()
        self.sizes = {'classes': classes, 'width': width}
        self.inner = [keras.layers.Flatten(), keras.layers.Dense(width, 'relu'), keras.layers.Dense(classes)]

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x

    def get_config(self):
        return self.sizes


def net(image_shape, classes, width=8):
    return Net(classes, width)


def lam(image_shape, classes, width=8):
    layers = [keras.Input(image_shape), keras.layers.Lambda(lambda x: 1 - x), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(width), keras.layers.Dense(classes)])


def plain(image_shape, classes, width=8):
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])
"""


def test_predictions_are_those_of_the_run(digits, model, test_split):
    images, labels = test_split
    result = json.loads((digits / 'result.json').read_text())
    probabilities = model.probabilities(images)
    assert np.array_equal(probabilities.argmax(1) == labels, read_correct(digits, len(labels)))
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert loss == pytest.approx(result['test']['loss'], abs=1e-5)
    scaled = model.probabilities(images.astype(np.float32) / 255)
    np.testing.assert_allclose(scaled, probabilities, atol=1e-6)


def test_the_command_prints_what_the_model_says(digits, model, test_split, tmp_path):
    images, _ = test_split
    files = [f'{tmp_path}/{i}.png' for i in range(3)]
    for file, image in zip(files, images, strict=False):
        Image.fromarray(image[..., 0]).save(file)
    command = [sys.executable, '-m', 'trainer.predict', str(digits), '--format=csv', *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, '')
    rows = [*csv.DictReader(io.StringIO(done.stdout))]
    assert [row['input'] for row in rows] == files
    found = np.array([[float(row[f'p_{name}']) for name in '0123456789'] for row in rows])
    np.testing.assert_allclose(found, model.probabilities(images[:3]), atol=1e-5)
    assert [row['class'] for row in rows] == [str(i) for i in found.argmax(1)]


@pytest.mark.parametrize(
    ('module', 'words', 'said'),
    [
        ('trainer.predict', ['RUN', 'x.png', '--format=jsn'], "unknown --format 'jsn': .* Did you mean 'json'?"),
        ('trainer.export', ['RUN', '--format=onx'], "unknown --format 'onx': .* Did you mean 'onnx'?"),
        ('trainer.serve', ['RUN', '--port=many'], 'flag --port=many'),
    ],
)
def test_mistakes_end_in_one_line(digits, module, words, said):
    words = [str(digits) if word == 'RUN' else word for word in words]
    done = without_tensorflow().run(module, *words, environ=os.environ)
    assert (done.code, done.out, done.err.count('\n')) == (2, '', 1)
    assert said.split(' .* ')[0] in done.err


def of_its_model(folder):
    """Returns the result in a folder, with the digest of the model that is in it now, as a stranger would forge it."""
    result = json.loads((folder / 'result.json').read_text())
    return result | {'model_sha256': results.model_sha256(folder)}


@pytest.fixture(params=['net', 'lam', 'plain'])
def own(request, digits, tmp_path):
    """A run with a model of the user's own, and the model."""
    import ml_collections

    from seedwise.dotted import with_tuples
    from trainer import models

    folder = shutil.copytree(digits, tmp_path / 'own')
    (tmp_path / 'mine.py').write_text(OWN)
    config = ml_collections.ConfigDict(with_tuples(json.loads((folder / 'config.json').read_text())))
    config.model.name, config.model.options = f'{tmp_path}/mine.py:{request.param}', {'width': 12}
    model = models.build(config, (28, 28, 1), 10, 1)
    model.save(folder / 'model.keras')
    results.write_json(folder / 'result.json', of_its_model(folder))
    (folder / 'config.json').write_text(config.to_json())
    (folder / 'sources').mkdir()
    shutil.copy(tmp_path / 'mine.py', folder / 'sources')
    for module in [module for module in sys.modules if module.startswith('seedwise_source_')]:
        del sys.modules[module]  # as in a process of its own
    return request.param, folder, model


def test_own_code_runs_only_with_trust(own):
    from trainer.trained.model import Trained

    name, folder, model = own
    run = finished.find(str(folder))
    ran = folder / 'sources' / 'ran'
    if name == 'plain':
        trained = Trained(run)  # Keras knows all of its layers
        assert not ran.exists()
    else:
        with pytest.raises(
            UserError, match='sources/mine.py, which runs only if you trust it: read it, and give --trust'
        ):
            Trained(run)
        assert not ran.exists()
        trained = Trained(run, trust=True)
        assert ran.exists()
    inputs = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    mean, deviation = (np.float32(x) for x in run.moments)
    logits = model((inputs - mean) / deviation).numpy()
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(trained.probabilities(inputs), expected, atol=1e-5)


def changed(digits, folder, part, content) -> finished.Finished:
    """Returns a copy of the run, of which one part of model.keras is another."""
    shutil.copytree(digits, folder)
    with zipfile.ZipFile(digits / 'model.keras') as whole, zipfile.ZipFile(folder / 'model.keras', 'w') as other:
        for name in whole.namelist():
            other.writestr(name, content if name == part else whole.read(name))
    results.write_json(folder / 'result.json', of_its_model(folder))
    return finished.find(str(folder))


def function(module, name):
    return {'class_name': 'function', 'config': name, 'module': module, 'registered_name': name}


@pytest.mark.parametrize(
    ('layer', 'options', 'why'),
    [
        ('Lambda', {'function': {'class_name': '__lambda__', 'config': {'value': 'AAAA'}}}, 'lambda'),
        ('TFSMLayer', {'filepath': '/nowhere'}, 'TFSMLayer'),
        ('StringLookup', {'vocabulary': '/etc/passwd'}, 'vocabulary'),
        ('Activation', {'activation': function('os', 'system')}, 'Could not locate function'),
        ('Activation', {'activation': function('keras.utils', 'get_file')}, 'not a modeling function'),
    ],
)
def test_a_stranger_s_model_runs_no_code_and_reads_no_file(digits, tmp_path, layer, options, why):
    from trainer.trained.model import Trained

    given = {'InputLayer': {'batch_shape': [None, 28, 28, 1], 'dtype': 'float32', 'name': 'x'}, layer: options}
    part = {'module': 'keras.layers', 'registered_name': None}
    layers = [part | {'class_name': name, 'config': config} for name, config in given.items()]
    whole = {'module': 'keras', 'registered_name': None, 'class_name': 'Sequential'}
    content = json.dumps(whole | {'config': {'name': 'net', 'layers': layers}})
    with pytest.raises(UserError, match='model.keras is damaged') as error:
        Trained(changed(digits, tmp_path / 'run', 'config.json', content))
    assert why in str(error.value.__cause__)


@pytest.mark.parametrize(('part', 'content'), [('config.json', '{"a":' * 10**5), ('model.weights.h5', 'nothing')])
def test_a_part_of_a_model_that_is_damaged_is_no_traceback(digits, tmp_path, part, content):
    from trainer.trained.model import Trained

    with pytest.raises(UserError, match='model.keras is damaged'):
        Trained(changed(digits, tmp_path / 'run', part, content))


@pytest.mark.parametrize('shape', [[28, 28, 3], [10**6, 10**6, 1], [784]])
def test_a_model_of_another_form_than_the_result_says_is_named(digits, tmp_path, shape):
    from trainer.trained.model import Trained

    folder = shutil.copytree(digits, tmp_path / 'run')
    result = json.loads((folder / 'result.json').read_text())
    del result['dataset']['normalization']
    result['dataset']['input']['shape'] = shape
    (folder / 'result.json').write_text(json.dumps(result))
    with pytest.raises(UserError, match='model.keras does not take .*, as result.json says: they are not of one run'):
        Trained(finished.find(str(folder)))


def test_a_model_that_is_damaged_or_of_another_run_is_named(digits, tmp_path):
    folder = shutil.copytree(digits, tmp_path / 'run')
    forged = of_its_model(changed(digits, tmp_path / 'other', '', b'').workdir)
    assert forged['model_sha256'] != json.loads((folder / 'result.json').read_text())['model_sha256']
    for content in ((tmp_path / 'other' / 'model.keras').read_bytes(), b'', b'PK\x03\x04'):
        (folder / 'model.keras').write_bytes(content)
        with pytest.raises(UserError, match='model.keras is damaged, or of another run: delete'):
            finished.find(str(folder))


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04'])
def test_a_damaged_model_of_an_earlier_version_is_named(digits, tmp_path, content):
    from trainer.trained.model import Trained

    folder = shutil.copytree(digits, tmp_path / 'run')
    result = json.loads((folder / 'result.json').read_text())
    del result['model_sha256']
    results.write_json(folder / 'result.json', result)
    (folder / 'model.keras').write_bytes(content)
    with pytest.raises(UserError, match='model.keras is damaged: delete'):
        Trained(finished.find(str(folder)))
