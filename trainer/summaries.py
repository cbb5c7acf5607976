"""A run's own board in TensorBoard: one folder each for train, validation and test, with the same tags across them."""

import collections
import contextlib
import itertools
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams import api_pb2

from seedwise import dotted
from seedwise.errors import CannotWrite
from trainer import metrics, results
from trainer.checkpoints import tensorflow_writing
from trainer.machine import provenance
from trainer.output import events, images
from trainer.output.progress import warn

#: The largest share of a run's training time that images of a split may take: with very short epochs, some evaluations
#: log none.
IMAGES_SHARE = 0.01

#: Hyperparameters that the HParams table shows by default: the first five.
_FIRST_COLUMNS = ('model.name', 'optimizer.name', 'optimizer.learning_rate', 'loss.name', 'seed')


class Summaries:
    """Writes a run's events below `folder`; with `folder` None (a worker that is not the chief) writes nothing.

    Events are there to be looked at, and a run's result does not depend on them: if one cannot be written, that is
    reported once, and the run goes on without more of them.

    What is there of steps beyond `step`, from which the run continues, was written by a process that was killed after
    its last checkpoint: TensorBoard is made to forget it.
    """

    def __init__(self, folder: Path | None, step: int = 0):
        self._folder, self._step = folder, step
        self._writers: dict[str, _Writer] = {}
        self._scalars: list[tuple[str, int, float, Mapping[str, float | None]]] = []
        self._profiling_until: int | None = None
        self._painter = ThreadPoolExecutor(1, 'images')
        self._painting: tuple[str, int, Future] | None = None
        self._painted_seconds: collections.Counter = collections.Counter()

    def start(self, config, dataset_name: str, model: keras.Model) -> None:
        """Writes what is known from the start: config and environment as text, the graph, the row of HParams."""
        if self._folder is None:
            return
        fields = json.loads(config.to_json())
        note = f'Trained on **{dataset_name}**.\n\n' + _indented(fields)
        values = [events.text('config', note), events.text('environment', _indented(provenance.environment()))]
        if config.tensorboard.hparams:
            values += _hparams(fields, group='/'.join(self._folder.parent.parts[-2:]))
        with self._writing() as folder:
            writer = self._writer(folder, '.')
            writer.write(0, *values)
            writer.write_graph(_graph(model))

    def scalars(self, split: str, step: int, values: Mapping[str, float | None]) -> None:
        """Keeps values by tag for the events of 'train', 'validation' or 'test'; None values are left out.

        Written by `flush`: many at once take a fifth of the time that they take between compiled steps.
        """
        if self._folder is not None:
            self._scalars.append((split, step, time.time(), values))

    def outcomes(self, split: str, step: int, outcomes: images.Outcomes, training_seconds: float) -> None:
        """Shows what a model gets wrong, unless that has taken too much of the `training_seconds` so far already.

        Painted while training goes on, and written with what comes next.
        """
        if self._folder is not None:
            self._write_images()
            if self._painted_seconds[split] <= IMAGES_SHARE * training_seconds:
                self._painting = split, step, self._painter.submit(_paint, split, outcomes)

    def _write_images(self) -> None:
        if self._painting:
            split, step, painting = self._painting
            self._painting = None
            seconds, values = painting.result()
            self._painted_seconds[split] += seconds
            if self._folder is not None:
                with self._writing() as folder:
                    self._writer(folder, split).write(step, *values)

    def profile(self, step: int, steps: int) -> None:
        """Starts a profile of the next `steps` steps."""
        if self._folder is not None and steps:
            with self._writing() as folder:
                tf.profiler.experimental.start(str(folder / 'train'))
                self._profiling_until = step + steps

    def profile_until(self, step: int) -> None:
        """Ends the profile once its steps are done."""
        if self._profiling_until is not None and step >= self._profiling_until:
            self._profiling_until = None
            with self._writing():
                tf.profiler.experimental.stop()

    def flush(self) -> None:
        """Makes everything visible, except for images that are not yet painted."""
        scalars, self._scalars = self._scalars, []
        if self._folder is None:
            return
        with self._writing() as folder:
            for split, step, wall_time, values in scalars:
                found = [events.scalar(tag, value) for tag, value in values.items() if value is not None]
                self._writer(folder, split).write(step, *found, wall_time=wall_time)
            for writer in self._writers.values():
                writer.flush()

    def close(self) -> None:
        """Ends the profile, waits for images that are being painted, and writes everything."""
        if self._profiling_until is not None:
            self.profile_until(self._profiling_until)
        self._write_images()
        self._painter.shutdown()
        self.flush()
        if self._folder is not None:
            with self._writing():
                for writer in self._writers.values():
                    writer.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Path]:
        """Yields the folder; once it cannot be written, nothing more is."""
        assert self._folder is not None
        try:
            with tensorflow_writing(self._folder):
                yield self._folder
        except CannotWrite as error:
            warn(f'{error.path} cannot be written: {error.reason}; the run goes on without TensorBoard events')
            self._folder = None
            self._writers.clear()

    def _writer(self, folder: Path, split: str) -> '_Writer':
        if split not in self._writers:
            self._writers[split] = _Writer(folder / split, self._step)
        return self._writers[split]


class _Writer:
    """Writes an event file: one event for all values of a step.

    `tf.summary` writes the same, a value an event, at twenty times the time: a tenth of a run of half a second.
    """

    _numbers = itertools.count()

    def __init__(self, folder: Path, step: int):
        folder.mkdir(parents=True, exist_ok=True)
        name = f'events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}.{next(self._numbers):06d}.v2'
        self._file = tf.io.TFRecordWriter(str(folder / name))
        self._file.write(Event(wall_time=time.time(), file_version='brain.Event:2').SerializeToString())
        start = Event(wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START))
        self._file.write(start.SerializeToString())

    def write(self, step: int, *values: Summary.Value, wall_time: float | None = None) -> None:
        """Writes values as one event, of now if not of another time."""
        event = Event(wall_time=wall_time or time.time(), step=step, summary=Summary(value=values))
        self._file.write(event.SerializeToString())

    def write_graph(self, graph: GraphDef) -> None:
        self._file.write(Event(wall_time=time.time(), graph_def=graph.SerializeToString()).SerializeToString())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _paint(split: str, outcomes: images.Outcomes) -> tuple[float, list[Summary.Value]]:
    """Returns the seconds it took, and the images."""
    started = time.thread_time()
    matrix, wrong = images.confusion_matrix(outcomes.confusion), images.most_confidently_wrong(outcomes)
    counts = f'Examples of the {split} set by label (row) and predicted class (column).'
    words = f'Those of the {split} set with the highest probability of a wrong class: label, prediction, probability.'
    values = [
        events.image('mistakes/confusion_matrix', images.png(matrix), *matrix.size, counts),
        events.image('mistakes/most_confidently_wrong', images.png(wrong), *wrong.size, words),
    ]
    return time.thread_time() - started, values


def _hparams(fields: Mapping[str, Any], group: str) -> list[Summary.Value]:
    """The row of a run on the HParams page, and the columns."""
    # Tuples become text, which HParams can show.
    flat = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in dotted.flatten(fields)
        if value is not None and results.is_hashed(name)
    }
    columns = [
        api_pb2.HParamInfo(name=name, type=_type(flat[name]))
        for name in sorted(flat, key=lambda name: (name not in _FIRST_COLUMNS, name))
    ]
    measured = metrics.measured(fields['metrics'])
    shown = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(group=split, tag=tag),
            display_name=f'{split} {tag.replace("_", " ")} {"↑" if metric.goal == "max" else "↓"}',
            description=f'{metric.what} {"Higher" if metric.goal == "max" else "Lower"} is better.',
        )
        for split in ('validation', 'test')
        for tag, metric in measured.items()
    ]
    return [events.experiment(columns, shown), events.session(flat, group, time.time())]


def _type(value: bool | float | str) -> 'api_pb2.DataType.ValueType':
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    return api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64


def _graph(model: keras.Model) -> GraphDef:
    """One node for each layer, and for each operation between layers: the graph of the compiled steps has thousands.

    Layers of a subclassed model have no edges.
    """
    graph = GraphDef()
    if not hasattr(model, 'output'):
        for layer in model.layers:
            graph.node.add(name=layer.name, op=type(layer).__name__).attr['parameters'].i = layer.count_params()
        return graph
    names = {operation.name for operation in model.operations}
    for operation in model.operations:
        node = graph.node.add(name=operation.name, op=type(operation).__name__)
        # A nested model's own input and output are tensors inside of it: its calls know those of this model.
        calls = operation._inbound_nodes
        made_by = [tensor._keras_history.operation.name for call in calls for tensor in call.input_tensors]
        node.input.extend(name for name in dict.fromkeys(made_by) if name in names)
        shapes = [
            TensorShapeProto(dim=[TensorShapeProto.Dim(size=size or -1) for size in tensor.shape])
            for tensor in calls[-1].output_tensors
        ]
        node.attr['_output_shapes'].CopyFrom(AttrValue(list=AttrValue.ListValue(shape=shapes)))
        if isinstance(operation, keras.Layer):
            node.attr['parameters'].i = operation.count_params()
    return graph


def _indented(fields: Mapping[str, Any]) -> str:
    """JSON as Markdown shows it as it is."""
    return '\n'.join(f'    {line}' for line in json.dumps(fields, indent=2, sort_keys=True).splitlines())
