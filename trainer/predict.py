"""Predicts with the model of a finished run:

python -m trainer.predict WORKDIR INPUT... [--format=table|csv|json] [--output=FILE] [--top=3] [--invert] [--trust]

WORKDIR is the folder of a run of trainer.main, or of one run of a study. INPUT is an image, a folder of images, or rows
of numbers (.npy, .npz, .csv); each is brought to the run's input as in training. Nothing is printed if one of them cannot
be read. Exit codes: 0 done, 2 the command, the run or an input is wrong.
"""

import sys
import time
from pathlib import Path

import numpy as np
from absl import flags

from seedwise import commands, tensorflow_import
from seedwise.errors import UserError, unknown
from seedwise.storage import paths
from seedwise.storage.files import write_bytes
from trainer.output.progress import Progress, warn
from trainer.trained import answers, finished
from trainer.trained.inputs import Inputs, gather

_FORMAT = flags.DEFINE_string('format', '', "table, csv or json (all classes). '': by the end of --output, else table.")
_OUTPUT = flags.DEFINE_string('output', '', "File to write instead of printing. '': none.")
_TOP = flags.DEFINE_integer('top', 3, 'Classes of each input in a table, the most probable first.', 1)
_INVERT = flags.DEFINE_bool('invert', False, 'Exchange bright and dark, as for black digits on white paper.')
_TRUST = flags.DEFINE_bool('trust', False, "Run a user's own code in the run's folder, if the model needs it.")

#: Inputs that the model gets at a time.
BATCH = 256

#: Seconds between two lines about progress, where the output is not a terminal.
_EVERY = 10.0


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    arguments = commands.parse_flags(argv, __doc__, positional=True)
    if len(arguments) < 2:
        what = (
            'at least one image is required' if arguments else 'the folder of a run and at least one image are required'
        )
        raise UserError(f'{what}: python -m trainer.predict WORKDIR IMAGE...')
    output = paths.file(_OUTPUT.value, '--output') if _OUTPUT.value else None
    name = _format(output)
    run = finished.find(arguments[0])
    inputs = gather(arguments[1:], run, invert=_INVERT.value)
    tensorflow_import.import_tensorflow()
    from trainer.trained.model import Trained

    model = Trained(run, trust=_TRUST.value)
    probabilities = _predict(model, inputs)
    for note in inputs.notes:
        warn(note)
    if run.dark and inputs.bright and not _INVERT.value:
        has = 'has' if inputs.bright == 1 else 'have'
        warn(
            f'{inputs.bright:,} of {len(inputs.names):,} inputs {has} a bright background, and {run.dataset} has a black '
            'one: give --invert if they show dark on bright'
        )
    text = answers.FORMATS[name](inputs.names, probabilities, model.class_names, _TOP.value)
    if output:
        write_bytes(output, text.encode(errors='surrogateescape'))
    else:
        sys.stdout.write(text)
    return 0


def _format(output: Path | None) -> str:
    by_end = {'.csv': 'csv', '.json': 'json'}.get(output.suffix.lower(), 'table') if output else 'table'
    name = _FORMAT.value or by_end
    if name not in answers.FORMATS:
        raise unknown('--format', name, answers.FORMATS)
    return name


def _predict(model, inputs: Inputs) -> np.ndarray:
    total, done, found = len(inputs.names), 0, []
    progress = Progress(total, 0, show=total > 10 * BATCH, doing='predicting', unit='inputs')
    started = said = time.monotonic()
    try:
        for batch in inputs.batches(BATCH):
            found.append(model.probabilities(batch))
            done += len(batch)
            progress.step(done)
            now = time.monotonic()
            if not progress.on_terminal and now - said > _EVERY:
                said = now
                progress.say(f'{done:,} of {total:,} inputs  ETA {(now - started) / done * (total - done):.0f} s')
    finally:
        progress.close()
    return np.concatenate(found)


if __name__ == '__main__':
    sys.exit(commands.run(main, 'interrupted; nothing was written'))
