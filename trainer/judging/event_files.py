"""Scalars of TensorBoard's event files, read without TensorFlow.

An event file is a list of records: length (uint64, little-endian), its checksum (4 bytes), a serialized `Event`, and the
checksum of that (TensorFlow's record_writer.h). TensorBoard's own loader imports TensorFlow where it is installed, and
verifies checksums, which takes most of its time; here a record counts if it can be parsed.
"""

import array
import struct
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT

from seedwise.errors import UserError

PATTERN = 'events.out.tfevents*'

#: Seconds that the event files of one command may take.
MOST_SECONDS = 120.0

#: Records between looks at the clock.
EACH = 1000

#: A record of more bytes is an image, a graph or an embedding: it is skipped unread.
MOST_RECORD_BYTES = 2**16


class Damaged(Exception):
    """A record cannot be read."""


class Curve:
    """(step, value) in the order in which they were written, at 16 bytes each."""

    def __init__(self) -> None:
        self._steps, self._values = array.array('q'), array.array('d')

    def add(self, step: int, value: float) -> None:
        """Appends a point."""
        self._steps.append(step)
        self._values.append(value)

    @property
    def last(self) -> int:
        """The last step."""
        return max(self._steps)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(self._steps, self._values, strict=True)


class Reader:
    """Reads event files until its time is up."""

    def __init__(self, seconds: float = MOST_SECONDS):
        self._seconds, self._end = seconds, time.monotonic() + seconds

    def scalars(self, folder: Path, tags: Collection[str] = ()) -> Mapping[str, Curve]:
        """Returns the curve of each tag in a folder; a file that is cut off is read as far as it goes.

        Args:
          folder: with event files.
          tags: which ones; (): all.

        Raises:
          UserError: a file cannot be read, or the time is up.
        """
        found: dict[str, Curve] = {}
        searched = [tag.encode() for tag in tags]
        for file in sorted(folder.glob(PATTERN)):
            try:
                for number, record in enumerate(_records(file)):
                    if not number % EACH and time.monotonic() > self._end:
                        raise UserError(
                            f'{file} is not read to its end: event files may take {self._seconds:.0f} s in all; name fewer '
                            'folders, or a tag (--metric), which takes less time'
                        )
                    if not searched or any(tag in record for tag in searched):
                        _take(record, found)
            except OSError as error:
                raise UserError(f'{file} cannot be read: {error.strerror}') from error
            except (Damaged, DecodeError, struct.error) as error:  # what came before the damage counts
                if not found:
                    raise UserError(f'{file} is not an event file, or is damaged from its start') from error
        return {tag: curve for tag, curve in found.items() if not tags or tag in tags}


def _records(file: Path) -> Iterator[bytes]:
    """Yields the records that may hold scalars; at an end that is cut off there are no more."""
    size = file.stat().st_size
    with open(file, 'rb') as stream:
        place = 0
        while True:
            header = stream.read(12)
            if len(header) < 12:
                return
            (length,) = struct.unpack_from('<Q', header)
            place += 16 + length
            if place > size:
                if length > size:
                    raise Damaged
                return
            if length > MOST_RECORD_BYTES:
                stream.seek(length + 4, 1)
                continue
            yield stream.read(length + 4)[:length]


def _take(record: bytes, found: dict[str, Curve]) -> None:
    event = Event.FromString(record)
    for value in event.summary.value:
        if value.HasField('simple_value'):
            number = value.simple_value
        elif value.HasField('tensor') and not value.tensor.tensor_shape.dim:
            tensor = value.tensor
            if tensor.dtype not in (DT_FLOAT, DT_DOUBLE):
                continue
            single = tensor.dtype == DT_FLOAT
            if tensor.tensor_content:
                (number,) = struct.unpack('<f' if single else '<d', tensor.tensor_content)
            else:
                values = tensor.float_val if single else tensor.double_val
                number = values[0] if values else 0.0
        else:
            continue
        if value.tag not in found:
            found[value.tag] = Curve()
        found[value.tag].add(event.step, number)
