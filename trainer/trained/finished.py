"""A finished run's folder, as far as it is needed to use the model. Needs no TensorFlow."""

import dataclasses
import errno
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline.from_tfds import known
from seedwise import references
from seedwise.errors import UserError
from seedwise.storage import files, paths
from trainer import results
from trainer.config.check import PRECISIONS
from trainer.results import MODEL

#: Folders that are looked at for the runs of a study.
_MOST_FOLDERS = 1000


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
      workdir: its folder.
      config: its fields, as JSON has them.
      dataset: name of what it was trained on.
      shape: of an input, (height, width, channels) or (features,).
      unscaled: whether it was trained on numbers that are not all in [0, 1], as they are.
      class_names: in the order of the labels; (): not known, of a run of an earlier version.
      columns: names of the features of a table, in their order; (): it has none.
      moments: mean and deviation of each channel or feature, by which inputs are normalised; None: they are not.
      dtype: of the inputs that the run was trained on, 'uint8' or 'float32'.
    """

    workdir: Path
    config: Mapping[str, Any]
    dataset: str
    shape: tuple[int, ...]
    unscaled: bool
    class_names: tuple[str, ...]
    columns: tuple[str, ...]
    moments: tuple[list[float], list[float]] | None
    dtype: str

    @property
    def images(self) -> bool:
        """Whether inputs are images, and not rows of features."""
        return len(self.shape) == 3

    @property
    def form(self) -> str:
        """What an input is, in words: '28x28x1' or '13 features'."""
        return 'x'.join(map(str, self.shape)) if self.images else f'{self.shape[0]:,} features'

    @property
    def dark(self) -> bool:
        """Whether it was trained on images of which it is known that their background is black."""
        return self.dataset in known.DATASETS and known.DATASETS[self.dataset].dark

    @property
    def own_model(self) -> references.Reference | None:
        """What makes its model, if that is a user's own: the run's copy of the file, or the installed package's function."""
        name = str(self.config['model']['name'])
        if not references.is_reference(name):
            return None
        path, _, function = name.rpartition(':')
        if not path.endswith('.py'):
            return references.parse(name, 'model.name')
        return references.Reference(self.workdir / results.SOURCES / Path(path).name, function)


def find(text: str) -> Finished:
    """Returns the finished run in a folder.

    Args:
      text: the folder, as the user named it.

    Raises:
      UserError: there is no such folder, it is not a run's, or the run has not finished, or has diverged.
    """
    workdir = paths.local(text, 'WORKDIR')
    if not workdir.is_dir():
        if workdir.exists():
            raise UserError(f'{text} is a file: WORKDIR is the folder of a finished run, such as {workdir.parent}')
        raise paths.missing(text, workdir, 'folder of a run', lambda path: (path / 'config.json').is_file())
    result = results.read_result(workdir)
    if result is None:
        raise _no_result(workdir, text)
    config = files.read_json(workdir / 'config.json', 'train the run again in another folder')
    if config is None:
        raise UserError(f'{workdir / "config.json"} cannot be read: {os.strerror(errno.ENOENT)}')
    if result.get('status') == 'diverged':
        raise UserError(f'the run in {text} diverged: its model predicts nothing')
    if not (workdir / MODEL).is_file():
        raise UserError(f'the run in {text} has no {MODEL}: delete that folder and train it again')
    if result.get('model_sha256') not in (None, results.model_sha256(workdir)):  # None: of an earlier version
        raise UserError(f'{workdir / MODEL} is damaged, or of another run: delete {workdir} and train the run again')
    try:
        return _of(workdir, config, result['dataset'])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f'{workdir / "result.json"}, or config.json next to it, is not of a run of seedwise: '
            f'{type(error).__name__}: {error}'
        ) from error


def _of(workdir: Path, config: Mapping[str, Any], data: Mapping[str, Any]) -> Finished:
    normalization, given = data.get('normalization'), data.get('input')
    if given is None:  # of a version that did not note it
        unscaled = normalization is not None and config['data'].get('normalize', 'auto') == 'auto'
        given = {'shape': _shape_of_model(workdir / MODEL), 'dtype': 'uint8', 'unscaled': unscaled}
    shape = tuple(map(int, given['shape']))
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(f'the shape {[*shape]}')
    for part in ('mean', 'deviation'):
        if normalization and len([float(number) for number in normalization[part]]) != shape[-1]:
            raise ValueError(f'the {part} of {len(normalization[part])} channels or features')
    for value, accepted in ((given['dtype'], ('uint8', 'float32')), (config['precision'], PRECISIONS)):
        if value not in accepted:
            raise ValueError(f'{value!r}, where it must be {" or ".join(accepted)}')
    return Finished(
        workdir,
        config,
        str(data['name']),
        shape,
        bool(given['unscaled']),
        tuple(map(str, data.get('class_names', ()))),
        tuple(map(str, data.get('columns', ()))),
        (normalization['mean'], normalization['deviation']) if normalization else None,
        str(given['dtype']),
    )


def _no_result(workdir: Path, text: str) -> UserError:
    if (workdir / 'config.json').exists() or (workdir / 'checkpoints').exists():
        return UserError(f'the run in {text} has not finished: the command that began it continues it')
    runs = sorted(str(path.parent) for path in workdir.glob('*/*/result.json'))[:_MOST_FOLDERS]
    if runs:
        return UserError(f'{text} is the folder of a study: name one of its runs, such as {runs[0]}')
    runs = sorted(str(path.parent) for path in workdir.glob('*/result.json'))[:_MOST_FOLDERS]
    if runs:
        return UserError(f'{text} is not the folder of a run: name one of those in it, such as {runs[0]}')
    return UserError(f'{text} is not the folder of a run: it has no result.json')


def _shape_of_model(file: Path) -> tuple[int, ...]:
    """Returns the shape of an input of a model, from what Keras stores; `UserError` if it is not there."""
    try:
        with zipfile.ZipFile(file) as stored:
            layers = json.loads(stored.read('config.json'))['config']['layers']
        return tuple(layers[0]['config']['batch_shape'][1:])
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f'{file} does not say what inputs it takes: train the run again with this version') from error
