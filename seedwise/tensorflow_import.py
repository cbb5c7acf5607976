"""TensorFlow without its start-up noise."""

import contextlib
import faulthandler
import gc
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from seedwise import process, signals

#: What Keras and TensorFlow import where it is installed, for features that no command here uses. Matplotlib, pandas and
#: scikit-learn took 1.3 s of 3.5 s (2 CPU cores), and IPython and SciPy 0.5 s of 4.9 s of processor time (the same, busy).
UNUSED_BY_KERAS = ('IPython', 'matplotlib', 'pandas', 'scipy', 'sklearn')


def import_tensorflow():
    """Imports and returns TensorFlow; what it prints meanwhile is shown only if the import fails.

    TF_CPP_MIN_LOG_LEVEL is respected if it is set, and at 0 nothing is held back. For a process of our own: in it, Keras
    does without `UNUSED_BY_KERAS`, a run depends on no settings of libraries outside of its config, and signals are
    delivered as `signals.deliver_by_thread` says.

    oneDNN's kernels are on unless TF_ENABLE_ONEDNN_OPTS=0. TensorFlow itself turns them on where the processor has AVX-512
    with VNNI, or more. On one with AVX2 alone the CNN of `configs/cnn_nadam.py` takes 0.75 of its time by them (22.6 and
    24.0 s an epoch without, 16.1 and 19.0 s with them, in turn, 2 cores of an AMD EPYC).
    """
    signals.deliver_by_thread()
    if 'tensorflow' not in sys.modules:  # which has read it otherwise
        os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
    os.environ['KERAS_BACKEND'] = 'tensorflow'
    os.environ.pop('TF_USE_LEGACY_KERAS', None)
    if os.environ.get('TF_CPP_MIN_LOG_LEVEL') == '0':
        import tensorflow as tf

        _settle_keras()
        return tf
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('GRPC_VERBOSITY', 'NONE')
    warnings.filterwarnings('ignore', module='keras|tensorflow|google')
    with stderr_held_back(), _hidden(UNUSED_BY_KERAS):
        import tensorflow as tf
    _settle_keras()
    tf.get_logger().setLevel('ERROR')
    tf.autograph.set_verbosity(0)
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    gc.freeze()  # Imported modules live until exit: excluding them from garbage collection saves a second at shutdown.
    return tf


def _settle_keras() -> None:
    """Gives Keras its own defaults, whatever ~/.keras/keras.json holds."""
    import keras

    keras.config.set_floatx('float32')
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format('channels_last')
    keras.config.set_dtype_policy('float32')


@contextlib.contextmanager
def _hidden(packages: Sequence[str]) -> Iterator[None]:
    """Hides these packages from `import`, unless they are already imported."""
    hidden = dict.fromkeys(package for package in packages if package not in sys.modules)
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in hidden:
            sys.modules.pop(package, None)


@contextlib.contextmanager
def stderr_held_back():
    """Redirects the process's standard error, which C++ writes to directly, and gives it back if the block raises.

    If the process is aborted within the block, Python's stack is printed, and what was held back stays in a file of the
    temporary folder.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    path = Path(tempfile.gettempdir(), f'seedwise-stderr-{os.getpid()}.log')
    ours = not faulthandler.is_enabled()
    with open(path, 'w+b') as held:
        process.held_back.append((saved, path))
        os.dup2(held.fileno(), 2)
        if ours:
            faulthandler.enable(saved)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            if ours:
                faulthandler.disable()
            os.dup2(saved, 2)
            process.held_back.remove((saved, path))
            os.close(saved)
            path.unlink(missing_ok=True)
