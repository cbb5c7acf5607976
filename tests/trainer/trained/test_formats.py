"""Each exported model, read by its own runtime, gives the run's probabilities."""

import importlib.util
import json

import numpy as np
import pytest

from seedwise.errors import UserError
from trainer import export as command
from trainer.export import FORMATS
from trainer.trained import finished


def saved_model(path, inputs):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return loaded.signatures['serving_default'](inputs=inputs)['probabilities'].numpy()


def litert(path, inputs):
    interpreter = pytest.importorskip('ai_edge_litert.interpreter', reason='requirements-export.txt is not installed')
    return interpreter.Interpreter(model_path=str(path)).get_signature_runner()(inputs=inputs)['probabilities']


def onnx(path, inputs):
    runtime = pytest.importorskip('onnxruntime', reason='requirements-export.txt is not installed')
    return runtime.InferenceSession(path).run(['probabilities'], {'inputs': inputs})[0]


@pytest.mark.parametrize('name', FORMATS)
def test_an_exported_model_gives_the_probabilities_of_the_run(name, digits, model, test_split, tmp_path):
    from trainer.trained.formats import export

    if name == 'onnx':
        pytest.importorskip('tf2onnx', reason='requirements-export.txt is not installed')
    done = export(finished.find(str(digits)), model, name, tmp_path / 'out' / FORMATS[name])
    assert done.difference is not None
    assert done.difference < 1e-5
    images = test_split[0][:50]
    read = {'saved_model': saved_model, 'litert': litert, 'onnx': onnx}[name]
    np.testing.assert_allclose(read(done.path, images), model.probabilities(images), atol=1e-5)
    about = json.loads(done.classes.read_text())
    assert about['class_names'] == list('0123456789')
    assert about['input'] == {
        'name': 'inputs',
        'shape': ['n', 28, 28, 1],
        'dtype': 'uint8',
        'holds': 'pixels from 0 to 255',
    }
    assert {path.name for path in done.path.parent.iterdir()} <= {
        done.path.name,
        done.classes.name,
    }  # nothing is left over
    export(finished.find(str(digits)), model, name, done.path)  # in place of the first


def test_packages_that_are_not_installed_are_named(digits, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    said = r"^onnx needs tf2onnx and onnx: pip install 'seedwise\[export\]', or pip install -e '\.\[export\]' in a checkout$"
    with pytest.raises(UserError, match=said):
        command.main(['trainer.export', str(digits), '--format=onnx'])


def test_a_model_in_another_precision_is_exported_in_float32(digits, model, test_split):
    single = model.in_float32()
    np.testing.assert_allclose(single.probabilities(test_split[0]), model.probabilities(test_split[0]), atol=1e-6)
