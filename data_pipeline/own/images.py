"""Image files as arrays, whatever their kind, depth and orientation."""

import collections
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from seedwise import machine
from seedwise.errors import UserError

#: Modes of Pillow without colour. '1': a bit; 'LA': with transparency; the rest: 16 and 32 bits.
GREY = ('1', 'L', 'LA', 'La', 'I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N')

#: Orientations of EXIF that swap width and height.
TURNED = (5, 6, 7, 8)


def check_options(resize: Sequence[int], channels: int) -> None:
    """Raises `UserError` if `resize` is no size, or `channels` no number of channels."""
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
    """Returns images as uint8 [count, height, width, channels], and notes.

    An image is turned as its EXIF orientation says; a palette becomes colours; transparency is laid on black; 16 bits
    become 8.

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
        read = [*pool.map(lambda i: header(open_image(i)), range(count))]
    _check_readable([(name(i), why) for i, why in enumerate(read) if isinstance(why, str)])
    headers = [found for found in read if not isinstance(found, str)]
    grey = all(mode in GREY for _, mode in headers)
    channels = channels or (1 if grey else 3)
    sizes = collections.Counter(size for size, _ in headers)
    if len(sizes) > 1 and not resize:
        (first, _), (second, _) = sizes.most_common(2)
        example = name(next(i for i, (size, _) in enumerate(headers) if size == second))
        raise UserError(
            f'{where} has images of {len(sizes):,} sizes, such as {first[0]}x{first[1]} and {second[0]}x{second[1]} '
            f'({example}): set a common one, such as --config.data.options.resize="({first[0]}, {first[1]})"'
        )
    height, width = resize or next(iter(sizes))
    images = make((count, height, width, channels), np.uint8)

    def fill(i: int) -> str:
        try:
            images[i] = pixels(open_image(i), (height, width), channels)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return ' '.join(str(error).split()) or type(error).__name__
        return ''

    with ThreadPoolExecutor(machine.cores()) as pool:
        broken = [*pool.map(fill, range(count))]
    _check_readable([(name(i), why) for i, why in enumerate(broken) if why])
    deep = any(mode.startswith(('I', 'F')) for _, mode in headers)
    return images, ['images of 16 bits were read as 8'] if deep else []


def header(file: Path | BinaryIO) -> tuple[tuple[int, int], str] | str:
    """Returns an image's (height, width) as it is seen, and its mode; text: why it cannot be read."""
    try:
        if isinstance(file, Path) and not file.stat().st_size:
            return 'it is empty'
        with Image.open(file) as image:
            width, height = image.size
            if image.getexif().get(0x0112) in TURNED:
                width, height = height, width
            mode = image.mode
            if mode == 'P' and image.palette and not image.info.get('transparency'):
                colours = np.frombuffer(image.palette.getdata()[1], np.uint8)
                mode = 'L' if len(colours) % 3 == 0 and (colours.reshape(-1, 3).std(1) == 0).all() else 'P'
            return (height, width), mode
    except Image.UnidentifiedImageError:
        return 'it is not an image'
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return ' '.join(str(error).split()) or type(error).__name__


def pixels(file: Path | BinaryIO, size: tuple[int, int], channels: int) -> np.ndarray:
    """Returns an image as uint8 [height, width, channels]. Raises what Pillow raises for a broken one."""
    with Image.open(file) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith('I'):
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    elif image.mode == 'F':
        image = Image.fromarray(np.round(255 * np.asarray(image).clip(0, 1)).astype(np.uint8))
    if image.mode == 'P':
        image = image.convert('RGBA' if 'transparency' in image.info else 'RGB')
    if image.mode in ('LA', 'La', 'RGBA', 'RGBa', 'PA'):
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, (0, 0, 0, 255)), image)
    image = image.convert('L' if channels == 1 else 'RGB')
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(*size, channels)


def _check_readable(broken: Sequence[tuple[str, str]]) -> None:
    if broken:
        file, why = broken[0]
        more = f', and {len(broken) - 1:,} more such file{"s" * (len(broken) > 2)}' if len(broken) > 1 else ''
        raise UserError(f'{file} cannot be read: {why}{more}; replace or remove what cannot be read')
