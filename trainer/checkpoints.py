"""Checkpoints of a run: weights, optimizer and progress in one atomic save."""

import contextlib
import hashlib
import json
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from seedwise.errors import CannotWrite, UserError, writing
from seedwise.storage.files import replacing


class Checkpoints:
    """Saves and restores a run.

    Every worker restores; only the chief saves, since all that is saved is the same on every worker. Checkpoints are found
    by listing the folder: TensorFlow's own list of them (`tf.train.CheckpointManager`) is one more file that can be torn.
    """

    def __init__(
        self, folder: Path, variables: list[tf.Variable], *, keep: int, every_steps: int, every_seconds: float
    ):
        self._progress = tf.Variable('', dtype=tf.string, trainable=False)
        self._checkpoint = tf.train.Checkpoint(variables=variables, progress=self._progress)
        self._folder = folder
        self._keep = keep
        self._every_steps = every_steps
        self._every_seconds = every_seconds
        self._saved_step = 0
        self._saved_at = time.monotonic()

    def restore(self) -> dict | None:
        """Restores the newest whole checkpoint; returns the progress saved with it, or None if there is none.

        Raises:
          UserError: there are checkpoints, and all of them are damaged; or the disk does not let one be read.
        """
        saved = self._saved()
        for path in saved:
            index = path.with_name(f'{path.name}.index')
            try:
                index.read_bytes()  # TensorFlow 2.21 ends the process (SIGSEGV) where the system cannot read it
            except IsADirectoryError:
                continue
            except OSError as error:
                raise UserError(f'{index} cannot be read: {error.strerror}') from error
            try:
                self._checkpoint.read(str(path)).assert_consumed()
                progress = json.loads(self._progress.numpy())
                self._saved_step = progress['step']
            except (tf.errors.OpError, AssertionError, LookupError, ValueError, TypeError):  # depends on the damage
                continue
            return progress
        if saved:
            raise UserError(f'no checkpoint in {self._folder} can be read: delete that folder to train from the start')
        return None

    def _saved(self) -> list[Path]:
        """Returns the checkpoints, the newest first."""
        files = [path for path in self._folder.glob('step-*.index') if re.fullmatch(r'step-\d+\.index', path.name)]
        paths = [path.with_suffix('') for path in files]
        return sorted(paths, key=_step, reverse=True)

    def due(self, step: int) -> bool:
        """Whether it is time to save, by steps or by seconds."""
        by_steps = self._every_steps and step - self._saved_step >= self._every_steps
        by_seconds = self._every_seconds and time.monotonic() - self._saved_at >= self._every_seconds
        return bool(by_steps or by_seconds)

    def save(self, progress: dict) -> None:
        """Saves variables and `progress` (JSON, with its 'step') as one; a kill at any moment leaves the one before.

        Raises:
          CannotWrite: the one before is still there.
        """
        if progress['step'] == self._saved_step:
            return  # it is there, and whole: two files are not replaced at once
        self._progress.assign(json.dumps(progress))
        partial = self._folder / f'.step-{progress["step"]}'
        with tensorflow_writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._delete_partial()
            try:
                self._checkpoint.write(str(partial))
                # TensorFlow writes the index in its place, where a kill leaves a torn one: it is there last, and whole.
                for file in sorted(self._folder.glob(f'{partial.name}.*')):
                    file.replace(self._folder / file.name.removeprefix('.'))
            except (tf.errors.OpError, OSError):
                self._delete_partial()  # on a full disk, its space is needed to continue
                raise
            saved = self._saved()
            damaged = [path for path in saved if _step(path) > progress['step']]  # a newer one would have been restored
            for path in damaged + saved[len(damaged) + self._keep :]:
                self._delete(path)
        self._saved_step = progress['step']
        self._saved_at = time.monotonic()

    def _delete(self, prefix: Path) -> None:
        """Deletes a checkpoint."""
        for file in self._folder.glob(f'{prefix.name}.*'):
            file.unlink()

    def _delete_partial(self) -> None:
        """Deletes what there is of checkpoints that were not written to their end."""
        for path in self._folder.glob('.step-*'):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _step(prefix: Path) -> int:
    return int(prefix.name.removeprefix('step-'))


@contextlib.contextmanager
def tensorflow_writing(path: Path) -> Iterator[None]:
    """Raises `CannotWrite` as `seedwise.errors.writing` does, for TensorFlow's errors too."""
    with writing(path):
        try:
            yield
        except tf.errors.OpError as error:
            # '{{function_node ...}} /the/path; No space left on device [Op:SaveV2]'
            first = re.sub(r'\s*\[Op:\w*\]$', '', error.message.partition('\n')[0])
            raise CannotWrite(path, first.rpartition('; ')[2]) from error


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a model in Keras's own format, all of it or nothing. Raises `CannotWrite`."""
    partial = path.with_name(f'.{path.stem}.partial.keras')  # Keras goes by the ending
    with writing(path), replacing(path, partial):
        model.save(partial)


def load_weights(model: keras.Model, path: Path) -> None:
    """Gives a model the weights of the same one that `save_model` wrote; `UserError` if the file is damaged.

    Unlike `keras.models.load_model`, it needs no class of a user's own to be known to Keras.
    """
    try:
        model.load_weights(path)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:  # which one, depends on the damage
        raise UserError(f'{path} is damaged: delete {path.parent} and train the run again') from error


def weights_sha256(model: keras.Model) -> str:
    """Returns the SHA-256 over all weights of a model, in their order: shape, type and little-endian bytes of each."""
    digest = hashlib.sha256()
    for weight in model.weights:
        array = weight.numpy()
        digest.update(f'{array.shape} {array.dtype.name};'.encode())
        digest.update(array.astype(array.dtype.newbyteorder('<')).tobytes())
    return digest.hexdigest()
