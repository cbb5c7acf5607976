"""TensorFlow without its start-up noise."""

import contextlib
import os
import sys
import tempfile
import warnings


def import_tensorflow():
    """Imports and returns TensorFlow; what it prints meanwhile is shown only if the import fails.

    TF_CPP_MIN_LOG_LEVEL, where set, is respected, and at 0 nothing is held back.
    """
    if os.environ.get('TF_CPP_MIN_LOG_LEVEL') == '0':
        import tensorflow as tf

        return tf
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('GRPC_VERBOSITY', 'NONE')
    warnings.filterwarnings('ignore', module='keras|tensorflow|google')
    with stderr_held_back():
        import tensorflow as tf
    tf.get_logger().setLevel('ERROR')
    tf.autograph.set_verbosity(0)
    from absl import logging

    logging.set_verbosity(logging.ERROR)
    return tf


@contextlib.contextmanager
def stderr_held_back():
    """Redirects the process's standard error, which C++ writes to directly, and gives it back if the block raises."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
