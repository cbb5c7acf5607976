"""TensorBoard scalars of a run: one folder each for train, validation and test, with the same tags across them."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hp

from trainer.results import NOT_HASHED

#: Hyperparameters that the HParams table shows unasked: it shows the first five.
_FIRST_COLUMNS = ('model.name', 'optimizer.name', 'optimizer.learning_rate', 'loss.name', 'seed')


class Summaries:
    """Writes a run's events below `folder`; with `folder` None (a worker that is not the chief) writes nothing."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._profiling_until: int | None = None

    def scalars(self, split: str, step: int, values: Mapping[str, float | None]) -> None:
        """Writes values by tag into the events of 'train', 'validation' or 'test'; None values are left out."""
        with self._writer(split) as writer:
            for tag, value in values.items():
                if writer is not None and value is not None:
                    tf.summary.scalar(tag, value, step=step)

    def config(self, config, dataset_name: str) -> None:
        """Writes the config as text, and its scalar fields as hyperparameters."""
        fields = json.loads(config.to_json())
        with self._writer('.') as writer:
            if writer is None:
                return
            text = json.dumps(fields, indent=2, sort_keys=True)
            note = f'Trained on **{dataset_name}**.\n\n'
            tf.summary.text('config', note + '\n'.join(f'    {line}' for line in text.splitlines()), step=0)
            metrics = [
                hp.Metric(tag, group=split, display_name=f'{split} {tag}')
                for split in ('validation', 'test')
                for tag in ('accuracy', 'loss')
            ]
            flat = {name: value for name, value in _flat(fields) if not name.startswith(NOT_HASHED)}
            columns = sorted(flat, key=lambda name: (name not in _FIRST_COLUMNS, name))
            hp.hparams_config(hparams=[hp.HParam(name) for name in columns], metrics=metrics)
            hp.hparams(flat, trial_id='/'.join(self._folder.parent.parts[-2:]))

    def profile(self, step: int, steps: int) -> None:
        """Starts a profile of the next `steps` steps."""
        if self._folder is not None and steps:
            tf.profiler.experimental.start(str(self._folder / 'train'))
            self._profiling_until = step + steps

    def profile_until(self, step: int) -> None:
        """Ends the profile once its steps are done."""
        if self._profiling_until is not None and step >= self._profiling_until:
            tf.profiler.experimental.stop()
            self._profiling_until = None

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        if self._profiling_until is not None:
            self.profile_until(self._profiling_until)
        for writer in self._writers.values():
            writer.close()

    @contextlib.contextmanager
    def _writer(self, split: str):
        if self._folder is None:
            yield None
            return
        if split not in self._writers:
            self._writers[split] = tf.summary.create_file_writer(str(self._folder / split))
        with self._writers[split].as_default():
            yield self._writers[split]


def _flat(fields: Mapping[str, Any], prefix: str = ''):
    """Yields (dotted name, value) of the fields that are set; tuples become text, which is what HParams can show."""
    for key, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}.')
        elif value is not None:
            yield f'{prefix}{key}', value if isinstance(value, bool | int | float | str) else str(value)
