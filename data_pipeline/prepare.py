"""Fetches and checks a dataset ahead of time:

python -m data_pipeline.prepare --dataset=mnist [--manual_dir=FOLDER] [--data_dir=FOLDER]

Several at once do no harm. Exit codes: 0 the dataset is ready, 2 it is not, and one line says why.
"""

import sys

from absl import flags

from data_pipeline import sources
from seedwise import commands, tensorflow_import
from seedwise.errors import UserError

_DATASET = flags.DEFINE_string('dataset', 'mnist', 'Any TFDS image-classification dataset.')
_MANUAL_DIR = flags.DEFINE_string('manual_dir', '', "Folder with the dataset's original files. '': download them.")
_DATA_DIR = flags.DEFINE_string(
    'data_dir', '', "Folder to prepare it in. '': $TFDS_DATA_DIR, else ~/tensorflow_datasets."
)


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    commands.parse_flags(argv, __doc__)
    try:
        location = sources.ensure_downloaded(sources.locate(_DATASET.value, _DATA_DIR.value, _MANUAL_DIR.value))
        tensorflow_import.import_tensorflow()
        dataset = sources.load(location)
    except UserError as error:
        raise UserError(str(error).replace('--config.data.', '--')) from error
    print(
        f'{dataset.name} is ready in {location.data_dir}: {dataset.train.count:,} training and {dataset.test.count:,} test '
        f'examples of {"x".join(map(str, dataset.image_shape))}, {dataset.classes} classes'
    )
    print(f'fingerprint {dataset.fingerprint}')
    return 0


if __name__ == '__main__':
    sys.exit(commands.run(main))
