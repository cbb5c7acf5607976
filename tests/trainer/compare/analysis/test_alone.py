"""The analysis is usable on anybody's numbers: it needs neither TensorFlow nor any of our other packages."""

import subprocess
import sys

from tests.helpers import ROOT

CODE = """
import importlib, pkgutil, sys
ours = ('configs', 'launch', 'trainer.results', 'trainer.config.check')
for name in ('tensorflow', 'keras', 'absl', 'ml_collections', *ours):
    sys.modules[name] = None
import trainer.compare.analysis as analysis
for module in pkgutil.walk_packages(analysis.__path__, 'trainer.compare.analysis.'):
    importlib.import_module(module.name)
    print(module.name.rsplit('.', 1)[1])
"""


def test_it_imports_with_tensorflow_keras_and_absl_blocked():
    done = subprocess.run([sys.executable, '-c', CODE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {'claims', 'statistics', 'verdicts'} <= set(done.stdout.split())
