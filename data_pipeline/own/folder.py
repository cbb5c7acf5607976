"""A folder of images: <split>/<class>/<image>, or <class>/<image>."""

import collections
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.own import image_files, names
from data_pipeline.own.raw import Raw
from seedwise import machine
from seedwise.errors import UserError

#: Names of the folder of a split; of the test splits, the first that is there is taken.
TRAIN, TEST = ('train', 'training'), ('test', 'testing', 'val', 'valid', 'validation')


def read(path: Path, make: Callable[..., Any], *, resize: Sequence[int] = (), channels: int = 0) -> Raw:
    """Reads a folder of images as uint8.

    An image is read as `image_files.pixels` says.

    Args:
      path: the folder. It has a folder for each class, or folders `train` and `test` (or `val`) that have.
      make: is called with (shape, dtype), and returns the array to fill.
      resize: (height, width) that every image is scaled to, without regard to its proportions (bilinear); (): all have
        one size.
      channels: 1 (grey) or 3 (colours); 0: 1 if every image is grey, else 3.

    Raises:
      UserError: there are no images or no classes, an image cannot be read, or they have several sizes.
    """
    if channels not in (0, 1, 3):
        raise UserError(f'data.options.channels is {channels!r}: it must be 0 (as the images are), 1 or 3')
    if resize and not (len(resize) == 2 and all(isinstance(side, int) and 0 < side <= 10_000 for side in resize)):
        raise UserError(f'data.options.resize is {tuple(resize)}: it must be (height, width) in pixels')
    found, train, notes = _find(path)
    with ThreadPoolExecutor(machine.cores()) as pool:
        read = [*pool.map(image_files.header, (file for file, _ in found))]
    _check_readable([(file, why) for (file, _), why in zip(found, read, strict=True) if isinstance(why, str)])
    headers = [header for header in read if not isinstance(header, str)]
    channels = channels or (1 if all(header.grey for header in headers) else 3)
    sizes = collections.Counter(header.size for header in headers)
    if len(sizes) > 1 and not resize:
        (first, _), (second, _) = sizes.most_common(2)
        example = next(file for (file, _), header in zip(found, headers, strict=True) if header.size == second)
        raise UserError(
            f'{path} has images of {len(sizes):,} sizes, such as {first[0]}x{first[1]} and {second[0]}x{second[1]} '
            f'({example}): set a common one, such as --config.data.options.resize="({first[0]}, {first[1]})"'
        )
    height, width = resize or next(iter(sizes))
    images = make((len(found), height, width, channels), np.uint8)

    def fill(i: int) -> str:
        try:
            images[i] = image_files.pixels(found[i][0], (height, width), channels)
        except image_files.BROKEN as error:
            return image_files.why(error)
        return ''

    with ThreadPoolExecutor(machine.cores()) as pool:
        broken = [*pool.map(fill, range(len(found)))]
    _check_readable([(file, why) for (file, _), why in zip(found, broken, strict=True) if why])
    if any(header.deep for header in headers):
        notes.append('images of 16 bits were read as 8')
    return Raw(images, np.array([label for _, label in found]), train, tuple(notes))


def _find(path: Path) -> tuple[list[tuple[Path, str]], int | None, list[str]]:
    """Returns the images with their classes, training split first; its size, if there is a test split; and notes."""
    inside = {folder.name.lower(): folder for folder in path.iterdir() if folder.is_dir()}
    train = next((inside[name] for name in TRAIN if name in inside), None)
    tests = [inside[name] for name in TEST if name in inside]
    if train is None:
        found, notes = _classes(path)
        return found, None, notes
    found, notes = _classes(train)
    if not tests:
        return found, None, notes
    tested, more = _classes(tests[0])
    if len(tests) > 1:
        notes.append(f'{tests[0].name} is the test split; {", ".join(folder.name for folder in tests[1:])} is not used')
    elif tests[0].name.lower() not in TEST[:2]:
        notes.append(f'{tests[0].name} is the test split')
    return found + tested, len(found), notes + more


def _classes(path: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith('.'))
    found, others = [], 0
    for folder in folders:
        for file in names.files(folder):
            if file.suffix.lower() in image_files.SUFFIXES:
                found.append((file, folder.name))
            else:
                others += 1
    if not found:
        what = (
            'no folder for a class'
            if not folders
            else f'no image ({", ".join(image_files.SUFFIXES)}) in the folders of its classes'
        )
        raise UserError(f'{path} has {what}: it must have <class>/<image>, or train/<class>/<image>')
    empty = {folder.name for folder in folders} - {label for _, label in found}
    what = 'files that are not images' if others > 1 else 'file that is not an image'
    notes = [f'{path.name} has {others:,} {what}'] if others else []
    return found, notes + [f"class '{name}' has no image in {path.name}" for name in sorted(empty)]


def _check_readable(broken: Sequence[tuple[Path, str]]) -> None:
    if broken:
        file, why = broken[0]
        more = f', and {len(broken) - 1:,} more such file{"s" * (len(broken) > 2)}' if len(broken) > 1 else ''
        raise UserError(f'{file} cannot be read: {why}{more}; replace or remove what cannot be read')
