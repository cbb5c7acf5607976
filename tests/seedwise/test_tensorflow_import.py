"""TensorFlow is imported without what is not used, and without a word."""

import subprocess
import sys

from seedwise.tensorflow_import import UNUSED_BY_KERAS
from tests.helpers import ROOT


def python(code: str) -> str:
    """Returns what a fresh interpreter prints, errors included."""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True, capture_output=True, timeout=120)
    return done.stdout + done.stderr


def test_what_keras_does_not_need_here_is_not_imported_with_it_and_can_be_after_it():
    """Pandas, which was imported before, stays what it was."""
    said = python(
        'import pandas, sys\n'
        'from seedwise import tensorflow_import\n'
        'tensorflow_import.import_tensorflow()\n'
        'print(set(tensorflow_import.UNUSED_BY_KERAS) & set(sys.modules), sys.modules["pandas"] is pandas)\n'
        f'import {", ".join(UNUSED_BY_KERAS)}\n'
        'print(set(tensorflow_import.UNUSED_BY_KERAS) - set(sys.modules))\n'
    )
    assert said == "{'pandas'} True\nset()\n"
