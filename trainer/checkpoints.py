"""Checkpoints of a run: weights, optimizer and progress in one atomic save."""

import hashlib
import json
import time
from pathlib import Path

import keras
import tensorflow as tf


class Checkpoints:
    """Saves and restores a run.

    Every worker restores; only the chief saves, since all that is saved is the same on every worker.
    """

    def __init__(
        self, folder: Path, variables: list[tf.Variable], *, keep: int, every_steps: int, every_seconds: float
    ):
        self._progress = tf.Variable('', dtype=tf.string, trainable=False)
        checkpoint = tf.train.Checkpoint(variables=variables, progress=self._progress)
        self._checkpoint = checkpoint
        self._manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=keep, checkpoint_name='step')
        self._every_steps = every_steps
        self._every_seconds = every_seconds
        self._saved_step = 0
        self._saved_at = time.monotonic()

    def restore(self) -> dict | None:
        """Restores the newest checkpoint; returns the progress saved with it, or None where there is none."""
        path = self._manager.latest_checkpoint
        if not path:
            return None
        self._checkpoint.restore(path).assert_consumed()
        progress = json.loads(self._progress.numpy())
        self._saved_step = progress['step']
        return progress

    def due(self, step: int) -> bool:
        """Whether it is time to save, by steps or by seconds."""
        by_steps = self._every_steps and step - self._saved_step >= self._every_steps
        by_seconds = self._every_seconds and time.monotonic() - self._saved_at >= self._every_seconds
        return bool(by_steps or by_seconds)

    def save(self, progress: dict) -> None:
        """Saves variables and `progress` (JSON, with its 'step') as one; a kill at any moment leaves the one before."""
        self._progress.assign(json.dumps(progress))
        self._manager.save(checkpoint_number=progress['step'])
        self._saved_step = progress['step']
        self._saved_at = time.monotonic()


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a model in Keras's own format, all of it or nothing."""
    partial = path.with_name(f'.{path.stem}.partial.keras')
    model.save(partial)
    partial.replace(path)


def weights_sha256(model: keras.Model) -> str:
    """Returns the SHA-256 over all weights of a model, in their order: shape, type and little-endian bytes of each."""
    digest = hashlib.sha256()
    for weight in model.weights:
        array = weight.numpy()
        digest.update(f'{array.shape} {array.dtype.name};'.encode())
        digest.update(array.astype(array.dtype.newbyteorder('<')).tobytes())
    return digest.hexdigest()
