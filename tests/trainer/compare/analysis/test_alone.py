"""The analysis is usable on anybody's numbers: it needs neither TensorFlow nor any of our other packages."""

import subprocess
import sys

from tests.helpers import ROOT

CODE = """
import importlib, pkgutil, sys
for name in ('tensorflow', 'keras', 'absl', 'ml_collections', 'configs', 'launch', 'trainer.results', 'trainer.check'):
    sys.modules[name] = None
import trainer.compare.analysis as analysis
for module in pkgutil.iter_modules(analysis.__path__):
    importlib.import_module(f'trainer.compare.analysis.{module.name}')
    print(module.name)
"""


def test_it_imports_with_tensorflow_keras_and_absl_blocked():
    done = subprocess.run([sys.executable, '-c', CODE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {'claims', 'statistics', 'verdicts'} <= set(done.stdout.split())
