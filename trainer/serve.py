"""Shows the model of a finished run on a page, where one draws or drops an image, and answers programs:

python -m trainer.serve WORKDIR [--port=8000] [--host=127.0.0.1] [--trust]

    curl --data-binary @digit.png http://127.0.0.1:8000/predict

The page needs no network. Ctrl-C ends it. Exit codes: 0 ended, 2 the command or the run is wrong.
"""

import sys
import threading

import numpy as np
from absl import flags

from seedwise import commands, tensorflow_import
from seedwise.errors import UserError
from seedwise.process import exit_now
from seedwise.signals import stop_requests
from seedwise.streams import printable
from trainer.output.progress import warn
from trainer.trained import finished, server

_HOST = flags.DEFINE_string(
    'host', '127.0.0.1', 'Address to listen on; the default is reached from this machine alone.'
)
_PORT = flags.DEFINE_integer('port', 8000, 'Port to listen on. 0: any that is free.', 0, 65535)
_TRUST = flags.DEFINE_bool('trust', False, "Run a user's own code in the run's folder, if the model needs it.")


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    arguments = commands.parse_flags(argv, __doc__, positional=True)
    if len(arguments) != 1:
        raise UserError('one folder of a run is required: python -m trainer.serve WORKDIR')
    run = finished.find(arguments[0])
    host = _HOST.value
    site, listening = server.listen(run, host, _PORT.value)
    with stop_requests(lambda number: exit_now(128 + number)):  # there is nothing to save
        tensorflow_import.import_tensorflow()
        from trainer.trained.model import Trained

        model = Trained(run, trust=_TRUST.value)
        model.probabilities(np.zeros((1, *run.shape), np.uint8))  # compiles it
    site.ready(model.probabilities, model.class_names)
    if not server.is_here(host):
        warn(f'everybody who reaches {host} can use this page: there is no password')
    name = f'[{host}]' if ':' in host else host
    print(f'http://{name}:{listening.port}  ({run.workdir}, {printable(run.dataset)}; Ctrl-C ends)', flush=True)

    def stop(number: int) -> None:
        # `shutdown` waits for the loop, which runs in this thread.
        threading.Thread(target=listening.shutdown).start()

    with stop_requests(stop):
        listening.serve_forever(poll_interval=0.2)
    return 0


if __name__ == '__main__':
    sys.exit(commands.run(main, 'interrupted'))
