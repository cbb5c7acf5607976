"""TensorBoard's event files, written without TensorFlow: values of summaries, and files of them that are replaced whole."""

import hashlib
import io
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from seedwise.storage import files

#: What all event files' names begin with; TensorBoard knows them by it.
PREFIX = 'events.out.tfevents.'

#: Values of one step: the step, its time in seconds since 1970 (None: that of writing), and the values.
Step = tuple[int, float | None, Sequence[Summary.Value]]


def scalar(tag: str, value: float, description: str = '') -> Summary.Value:
    """Returns a number, as float32; `description` is Markdown."""
    tensor = TensorProto(dtype=DT_FLOAT, float_val=[value])
    return Summary.Value(tag=tag, metadata=scalar_metadata.create_summary_metadata('', description), tensor=tensor)


def text(tag: str, markdown: str) -> Summary.Value:
    """Returns a text in Markdown."""
    metadata = text_metadata.create_summary_metadata('', '')
    return Summary.Value(tag=tag, metadata=metadata, tensor=_string(markdown.encode()))


def image(tag: str, png: bytes, width: int, height: int, description: str = '') -> Summary.Value:
    """Returns a PNG image of `width` x `height` pixels; `description` is Markdown."""
    parts = [str(width).encode(), str(height).encode(), png]
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=len(parts))])
    tensor = TensorProto(dtype=DT_STRING, string_val=parts, tensor_shape=shape)
    return Summary.Value(tag=tag, metadata=image_metadata.create_summary_metadata('', description), tensor=tensor)


def layout(charts: Layout) -> Summary.Value:
    """Returns the layout of the custom scalars page."""
    tensor = _string(charts.SerializeToString())
    metadata = layout_metadata.create_summary_metadata()
    return Summary.Value(tag=layout_metadata.CONFIG_SUMMARY_TAG, metadata=metadata, tensor=tensor)


def experiment(hparams: Iterable[api_pb2.HParamInfo], metrics: Iterable[api_pb2.MetricInfo]) -> Summary.Value:
    """Returns the columns of the HParams page: one TensorBoard run of a folder is to have them."""
    columns = api_pb2.Experiment(hparam_infos=hparams, metric_infos=metrics)
    return _hparams(hparams_metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=columns))


def session(hparams: Mapping[str, bool | float | str], group: str, started: float | None) -> Summary.Value:
    """Returns the row of a run on the HParams page.

    Args:
      hparams: value by column.
      group: the runs that are shown as one row, with the mean of their metrics.
      started: when the run began, in seconds since 1970; None: not known.
    """
    start = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=started)
    for name, value in hparams.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        elif isinstance(value, bool):
            start.hparams[name].bool_value = value
        else:
            start.hparams[name].number_value = value
    return _hparams(
        hparams_metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start)
    )


def session_end(completed: bool, ended: float) -> Summary.Value:
    """Returns how and when (in seconds since 1970) the run of a row ended."""
    status = api_pb2.STATUS_SUCCESS if completed else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    return _hparams(hparams_metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end))


def replace(folder: Path, events: Sequence[Step], order: int = 0) -> bool:
    """Makes `events` all that a folder holds, in one file of a new name; returns whether that was to do.

    The new file is there before the old one goes, and sorts behind it. A TensorBoard that has read the old one reads the
    new one from its lowest step on, and drops what it knew from there (and Python's reader does so at the mark of a
    restart), so that no point is shown twice. Without events the folder is left without a file.

    One process at a time may write a folder.

    Args:
      folder: made where it is not there.
      events: rising in steps.
      order: place among the runs on those of TensorBoard's pages that sort them by the time of their first event: before
        those that have none (0), the lowest first.
    """
    digest = hashlib.sha256(str(order).encode())
    for step, seconds, values in events:
        digest.update(Event(step=step, wall_time=seconds or 0, summary=Summary(value=values)).SerializeToString())
    key = f'.{digest.hexdigest()[:16]}'
    old = sorted(folder.glob(f'{PREFIX}*'))
    unchanged = bool(old) and old[-1].name.endswith(key)
    if events and not unchanged:
        now = time.time()
        buffer = io.BytesIO()
        records = RecordWriter(buffer)
        records.write(Event(wall_time=order or now, file_version='brain.Event:2').SerializeToString())
        restart = SessionLog(status=SessionLog.START)
        records.write(Event(wall_time=now, step=events[0][0], session_log=restart).SerializeToString())
        for step, seconds, values in events:
            event = Event(step=step, wall_time=seconds or now, summary=Summary(value=values))
            records.write(event.SerializeToString())
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [re.match(r'\d+', path.name.removeprefix(PREFIX)) for path in old]
        number = 1 + max((int(found[0]) for found in numbers if found), default=0)
        with files.replacing(folder / f'{PREFIX}{number:010d}{key}', folder / '.partial') as partial:
            partial.write_bytes(buffer.getvalue())
    for path in old[:-1] if unchanged else old:
        path.unlink(missing_ok=True)
    return not unchanged


def _string(content: bytes) -> TensorProto:
    return TensorProto(dtype=DT_STRING, string_val=[content])


def _hparams(tag: str, content: plugin_data_pb2.HParamsPluginData) -> Summary.Value:
    metadata = hparams_metadata.create_summary_metadata(content)
    return Summary.Value(tag=tag, metadata=metadata, tensor=hparams_metadata.NULL_TENSOR)
