"""Prepares and checks a dataset for a process without TensorFlow: python -m data_pipeline.from_tfds.child FD

Over the connection at file descriptor FD it is sent the arguments of `sources.load`, and answers with None or the
`UserError`. When the connection breaks, the other process has died, and this one ends.
"""

import sys
import threading
from multiprocessing.connection import Connection

from data_pipeline import sources
from seedwise import tensorflow_import
from seedwise.errors import UserError
from seedwise.process import exit_now


def main(fd: int) -> None:
    """Prepares and checks the dataset that is asked for over the connection at this file descriptor."""
    connection = Connection(fd)
    location, memory_limit_mb = connection.recv()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    tensorflow_import.import_tensorflow()
    try:
        sources.load(location, memory_limit_mb=memory_limit_mb)
        connection.send(None)
    except UserError as error:
        connection.send(error)


def _end_with(connection: Connection) -> None:
    try:
        connection.recv()
    except (EOFError, OSError):
        exit_now(1)


if __name__ == '__main__':
    main(int(sys.argv[1]))
