"""Many images as one array: they are read by several threads, and what cannot be read is named."""

import collections
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from data_pipeline.own import image_files
from seedwise import machine
from seedwise.errors import UserError


def check_options(resize: Sequence[int], channels: int) -> None:
    """Raises `UserError` if `resize` is not a size, or `channels` not a number of channels."""
    if channels not in (0, 1, 3):
        raise UserError(f'data.options.channels is {channels!r}: it must be 0 (as the images are), 1 or 3')
    if resize and not (len(resize) == 2 and all(isinstance(side, int) and 0 < side <= 10_000 for side in resize)):
        raise UserError(f'data.options.resize is {tuple(resize)}: it must be (height, width) in pixels')


def read_images(
    count: int,
    open_image: Callable[[int], Path | BinaryIO],
    name: Callable[[int], str],
    make: Callable[..., Any],
    where: Path,
    *,
    resize: Sequence[int] = (),
    channels: int = 0,
) -> tuple[Any, list[str]]:
    """Returns images as uint8 [count, height, width, channels], each as `image_files.pixels` says, and notes.

    Args:
      count: number of images.
      open_image: number of an image -> its file, or its bytes as a file.
      name: number of an image -> what it is called in errors.
      make: is called with (shape, dtype), and returns the array to fill.
      where: what holds them all, for errors.
      resize: (height, width) that every image is scaled to, without regard to its proportions (bilinear); (): all have
        one size.
      channels: 1 (grey) or 3 (colours); 0: 1 if every image is grey, else 3.

    Raises:
      UserError: an image cannot be read, or they have several sizes.
    """
    with ThreadPoolExecutor(machine.cores()) as pool:
        read = [*pool.map(lambda i: image_files.header(open_image(i)), range(count))]
    _check_readable([(name(i), why) for i, why in enumerate(read) if isinstance(why, str)])
    headers = [found for found in read if not isinstance(found, str)]
    channels = channels or (1 if all(header.grey for header in headers) else 3)
    sizes = collections.Counter(header.size for header in headers)
    if len(sizes) > 1 and not resize:
        (first, _), (second, _) = sizes.most_common(2)
        example = name(next(i for i, header in enumerate(headers) if header.size == second))
        raise UserError(
            f'{where} has images of {len(sizes):,} sizes, such as {first[0]}x{first[1]} and {second[0]}x{second[1]} '
            f'({example}): set a common one, such as --config.data.options.resize="({first[0]}, {first[1]})"'
        )
    height, width = resize or next(iter(sizes))
    images = make((count, height, width, channels), np.uint8)

    def fill(i: int) -> str:
        try:
            images[i] = image_files.pixels(open_image(i), (height, width), channels)
        except image_files.BROKEN as error:
            return image_files.why(error)
        return ''

    with ThreadPoolExecutor(machine.cores()) as pool:
        broken = [*pool.map(fill, range(count))]
    _check_readable([(name(i), why) for i, why in enumerate(broken) if why])
    return images, ['images of 16 bits were read as 8'] if any(header.deep for header in headers) else []


def _check_readable(broken: Sequence[tuple[str, str]]) -> None:
    if broken:
        file, why = broken[0]
        more = f', and {len(broken) - 1:,} more such file{"s" * (len(broken) > 2)}' if len(broken) > 1 else ''
        raise UserError(f'{file} cannot be read: {why}{more}; replace or remove what cannot be read')
