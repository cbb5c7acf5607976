"""A folder of images: <split>/<class>/<image>, or <class>/<image>."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.own import names
from data_pipeline.own.image_files import SUFFIXES
from data_pipeline.own.images import check_options, read_images
from data_pipeline.own.raw import Raw
from seedwise.errors import UserError

#: Names of the folder of a split; of the test splits, the first that is there is taken.
TRAIN, TEST = ('train', 'training'), ('test', 'testing', 'val', 'valid', 'validation')


def read(path: Path, make: Callable[..., Any], *, resize: Sequence[int] = (), channels: int = 0) -> Raw:
    """Reads a folder of images as uint8, each as `image_files.pixels` says.

    Args:
      path: the folder. It has a folder for each class, or folders `train` and `test` (or `val`) that have.
      make: is called with (shape, dtype), and returns the array to fill.
      resize: (height, width) that every image is scaled to, without regard to its proportions (bilinear); (): all have
        one size.
      channels: 1 (grey) or 3 (colours); 0: 1 if every image is grey, else 3.

    Raises:
      UserError: there are no images or no classes, an image cannot be read, or they have several sizes.
    """
    check_options(resize, channels)
    found, train, notes = _find(path)
    images, more = read_images(
        len(found), lambda i: found[i][0], lambda i: str(found[i][0]), make, path, resize=resize, channels=channels
    )
    return Raw(images, np.array([label for _, label in found]), train, (*notes, *more))


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
    return found + tested, len(found), [*notes, *note_on_test([folder.name for folder in tests]), *more]


def note_on_test(names: Sequence[str]) -> list[str]:
    """Returns a note on which of some parts, such as ['val', 'valid'], is the test split: the first. [] if none is there, or
    if it is alone and is called test."""
    if not names or (len(names) == 1 and names[0].lower() in TEST[:2]):
        return []
    rest = f'; {", ".join(names[1:])} is not used' if len(names) > 1 else ''
    return [f'{names[0]} is the test split{rest}']


def _classes(path: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith('.'))
    found, others = [], 0
    for folder in folders:
        for file in names.files(folder):
            if file.suffix.lower() in SUFFIXES:
                found.append((file, folder.name))
            else:
                others += 1
    if not found:
        what = (
            'no folder for a class'
            if not folders
            else f'no image ({", ".join(SUFFIXES)}) in the folders of its classes'
        )
        raise UserError(f'{path} has {what}: it must have <class>/<image>, or train/<class>/<image>')
    empty = {folder.name for folder in folders} - {label for _, label in found}
    what = 'files that are not images' if others > 1 else 'file that is not an image'
    notes = [f'{path.name} has {others:,} {what}'] if others else []
    return found, notes + [f"class '{name}' has no image in {path.name}" for name in sorted(empty)]
