"""TensorBoard scalars of a run: one folder each for train, validation and test, with the same tags across them."""

import itertools
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import api as hp
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from trainer.results import NOT_HASHED

#: Hyperparameters that the HParams table shows unasked: it shows the first five.
_FIRST_COLUMNS = ('model.name', 'optimizer.name', 'optimizer.learning_rate', 'loss.name', 'seed')


class Summaries:
    """Writes a run's events below `folder`; with `folder` None (a worker that is not the chief) writes nothing."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._writers: dict[str, _Writer] = {}
        self._profiling_until: int | None = None

    def scalars(self, split: str, step: int, values: Mapping[str, float | None]) -> None:
        """Writes values by tag into the events of 'train', 'validation' or 'test'; None values are left out."""
        if self._folder is not None:
            summaries = [scalar_pb(tag, value) for tag, value in values.items() if value is not None]
            self._writer(split).write(step, *summaries)

    def config(self, config, dataset_name: str) -> None:
        """Writes the config as text, and its scalar fields as hyperparameters."""
        if self._folder is None:
            return
        fields = json.loads(config.to_json())
        text = json.dumps(fields, indent=2, sort_keys=True)
        note = f'Trained on **{dataset_name}**.\n\n' + '\n'.join(f'    {line}' for line in text.splitlines())
        metrics = [
            hp.Metric(tag, group=split, display_name=f'{split} {tag}')
            for split in ('validation', 'test')
            for tag in ('accuracy', 'loss')
        ]
        flat = {name: value for name, value in _flat(fields) if not name.startswith(NOT_HASHED)}
        columns = sorted(flat, key=lambda name: (name not in _FIRST_COLUMNS, name))
        self._writer('.').write(
            0,
            text_pb('config', note),
            hp.hparams_config_pb(hparams=[hp.HParam(name) for name in columns], metrics=metrics),
            hp.hparams_pb(flat, trial_id='/'.join(self._folder.parent.parts[-2:])),
        )

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

    def _writer(self, split: str) -> '_Writer':
        assert self._folder is not None
        if split not in self._writers:
            self._writers[split] = _Writer(self._folder / split)
        return self._writers[split]


class _Writer:
    """Writes an event file: one event for all that there is to say of a step.

    `tf.summary` writes the same, a value an event, at twenty times the time: a tenth of a run of half a second.
    """

    _numbers = itertools.count()

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        name = f'events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}.{next(self._numbers)}.v2'
        self._file = tf.io.TFRecordWriter(str(folder / name))
        self._file.write(Event(wall_time=time.time(), file_version='brain.Event:2').SerializeToString())

    def write(self, step: int, *summaries) -> None:
        """Writes summaries (protocol buffers) as one event."""
        event = Event(wall_time=time.time(), step=step)
        for summary in summaries:
            event.summary.value.extend(summary.value)
        self._file.write(event.SerializeToString())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _flat(fields: Mapping[str, Any], prefix: str = ''):
    """Yields (dotted name, value) of the fields that are set; tuples become text, which is what HParams can show."""
    for key, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}.')
        elif value is not None:
            yield f'{prefix}{key}', value if isinstance(value, bool | int | float | str) else str(value)
