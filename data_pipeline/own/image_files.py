"""One image from its file: what its header says, and its pixels as a model gets them."""

import dataclasses
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from seedwise.errors import in_a_line

SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

#: Pillow's names of these formats. It reads others too, and some of those by starting another program (EPS).
FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP')

#: Modes of Pillow without colour. '1': a bit; 'LA': with transparency; the rest: 16 and 32 bits.
GREY = ('1', 'L', 'LA', 'La', 'I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N')

#: Modes with transparency.
TRANSPARENT = ('LA', 'La', 'RGBA', 'RGBa', 'PA')

#: The EXIF tag of the orientation, and its values that swap width and height.
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)

#: What reading a broken image raises.
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are read.

    Attributes:
      size: (height, width) as it is seen, in pixels.
      mode: Pillow's; 'L' for a palette of greys alone.
      turned: whether its EXIF orientation turns or mirrors it.
      transparent: whether parts of it may be.
    """

    size: tuple[int, int]
    mode: str
    turned: bool = False
    transparent: bool = False

    @property
    def grey(self) -> bool:
        """Whether it has no colours."""
        return self.mode in GREY

    @property
    def deep(self) -> bool:
        """Whether it has more than 8 bits a channel."""
        return self.mode.startswith(('I', 'F'))


def header(file: Path | BinaryIO) -> Header | str:
    """Returns an image's header; text: why it cannot be read."""
    try:
        if isinstance(file, Path) and not file.stat().st_size:
            return 'it is empty'
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            orientation = image.getexif().get(ORIENTATION, 1)
            if orientation in SIDEWAYS:
                width, height = height, width
            mode = image.mode
            if mode == 'P' and image.palette and not image.info.get('transparency'):
                colours = np.frombuffer(image.palette.getdata()[1], np.uint8)
                mode = 'L' if len(colours) % 3 == 0 and (colours.reshape(-1, 3).std(1) == 0).all() else 'P'
            transparent = mode in TRANSPARENT or 'transparency' in image.info
            return Header((height, width), mode, orientation in range(2, 9), transparent)
    except Image.UnidentifiedImageError:
        return 'it is not an image'
    except BROKEN as error:
        return why(error)


def why(error: BaseException) -> str:
    """Returns in a line why an image cannot be read."""
    return in_a_line(error) or type(error).__name__


def pixels(file: Path | BinaryIO, size: tuple[int, int], channels: int) -> np.ndarray:
    """Returns an image as uint8 [height, width, channels]; of several frames, the first.

    It is turned as its EXIF orientation says; a palette becomes colours; transparency is laid on black; 16 bits become 8.

    Args:
      file: an image in one of `FORMATS`.
      size: (height, width) that it is scaled to, without regard to its proportions (bilinear).
      channels: 1 (grey, by the luma of ITU-R 601-2) or 3 (colours).

    Raises one of `BROKEN` if it cannot be read.
    """
    with Image.open(file, formats=FORMATS) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith('I'):
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    elif image.mode == 'F':
        image = Image.fromarray(np.round(255 * np.asarray(image).clip(0, 1)).astype(np.uint8))
    if image.mode == 'P':
        image = image.convert('RGBA' if 'transparency' in image.info else 'RGB')
    if image.mode in TRANSPARENT:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, (0, 0, 0, 255)), image)
    image = image.convert('L' if channels == 1 else 'RGB')
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(*size, channels)
