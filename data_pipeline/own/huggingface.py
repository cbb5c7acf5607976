"""A dataset of images that Hugging Face's `datasets` saved to disk: huggingface:PATH."""

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.own.folder import TEST, TRAIN, note_on_test
from data_pipeline.own.images import check_options, read_images
from data_pipeline.own.raw import Raw
from seedwise.errors import UserError, in_a_line, unknown

#: Names of a column of labels where none is named, and no column or several are of the type ClassLabel.
LABELS = ('label', 'labels', 'fine_label', 'class')


def read(
    path: Path,
    make: Callable[..., Any],
    *,
    image: str = '',
    label: str = '',
    resize: Sequence[int] = (),
    channels: int = 0,
) -> Raw:
    """Reads what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote, without the network.

    Args:
      path: the folder.
      make: is called with (shape, dtype), and returns the array to fill.
      image: the column of the images; '': the only one of the type Image.
      label: the column of the labels; '': the only one of the type ClassLabel, or one that is called as in `LABELS`.
      resize: as `images.read_images` says.
      channels: as `images.read_images` says.

    Raises:
      UserError: the library is not installed, the folder is another's, or it has no such columns.
    """
    check_options(resize, channels)
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"'huggingface:' needs the library datasets ({error}): install it with pip install datasets"
        ) from error
    try:
        stored = datasets.load_from_disk(str(path))
    except Exception as error:  # of many kinds, by what is in the folder
        raise UserError(
            f'{path} cannot be read as a dataset that save_to_disk wrote: {in_a_line(error, 200)}'
        ) from error
    parts, notes = _parts(stored, path)
    features = parts[0].features
    images = _column(features, image, 'image', datasets.Image, ('image', 'img'), path)
    labels = _column(features, label, 'label', datasets.ClassLabel, LABELS, path)
    names = getattr(features[labels], 'names', None)
    raw = [part.cast_column(images, datasets.Image(decode=False)).with_format(None) for part in parts]
    places = [(part, row) for part in raw for row in range(len(part))]

    def open_image(i: int) -> io.BytesIO | Path:
        part, row = places[i]
        cell = part[row][images] or {}
        return io.BytesIO(cell['bytes']) if cell.get('bytes') else Path(cell.get('path') or path / 'no image')

    def name(i: int) -> str:
        part, row = places[i]
        return f'row {row:,} of {path}' + (' (test split)' if part is not raw[0] else '')

    pixels, more = read_images(len(places), open_image, name, make, path, resize=resize, channels=channels)
    numbers = [value for part in raw for value in part[labels]]
    if names:
        if any(value is None or not 0 <= value < len(names) for value in numbers):
            row = next(i for i, value in enumerate(numbers) if value is None or not 0 <= value < len(names))
            raise UserError(f'{name(row)} has no label: its {labels} is {numbers[row]}')
        numbers = [names[value] for value in numbers]
    return Raw(pixels, np.array(numbers), len(raw[0]) if len(raw) > 1 else None, (*notes, *more))


def _parts(stored: Any, path: Path) -> tuple[list[Any], list[str]]:
    """Returns the training split, the test split if there is one, and notes."""
    if not isinstance(stored, dict):
        return [stored], []
    train = next((name for name in TRAIN if name in stored), None)
    if train is None and len(stored) > 1:
        raise unknown(f'training split of {path}', 'train', stored)
    train = train or next(iter(stored))
    tests = [name for name in TEST if name in stored and name != train]
    return [stored[train], *(stored[name] for name in tests[:1])], note_on_test(tests)


def _column(features: Any, given: str, option: str, kind: type, usual: Sequence[str], path: Path) -> str:
    if given:
        if given not in features:
            raise unknown(f'column in data.options.{option}', given, features)
        return given
    of_kind = [name for name, feature in features.items() if isinstance(feature, kind)]
    found = of_kind if len(of_kind) == 1 else [name for name in usual if name in (of_kind or features)][:1]
    if not found:
        raise UserError(
            f'{path} has the columns {", ".join(features)}: name the one of the {option}s in data.options.{option}'
        )
    return found[0]
