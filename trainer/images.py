"""What a model gets wrong, as PNG images."""

import dataclasses
import functools
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Side of the square that a confusion matrix's cells fill, and the least side of a cell with its count in it, in pixels.
SIDE, WRITTEN = 280, 24

#: The most confidently wrong examples: how many, how many in a row, and the side of each, in pixels.
WRONG, COLUMNS, EXAMPLE = 20, 5, 56


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What became of the examples of a split.

    Attributes:
      confusion: [classes, classes], number of examples by label (row) and predicted class (column).
      images: [n, height, width, channels] uint8, the most confidently wrong, n <= `WRONG`, the most confident first.
      labels, predicted: [n], theirs.
      confidence: [n], the probability of the predicted class.
    """

    confusion: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    def __add__(self, other: 'Outcomes') -> 'Outcomes':
        """The outcomes of the examples of both."""
        order = np.argsort(-np.concatenate([self.confidence, other.confidence]), kind='stable')[:WRONG]
        parts = (
            np.concatenate([getattr(self, name), getattr(other, name)])[order]
            for name in ('images', 'labels', 'predicted', 'confidence')
        )
        return Outcomes(self.confusion + other.confusion, *parts)


def outcomes(
    images: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray,
    predicted: np.ndarray,
    confidence: np.ndarray,
    *,
    classes: int,
) -> Outcomes:
    """Returns the outcomes of n examples.

    Args:
      images: [n, height, width, channels] uint8.
      labels: [n].
      mask: [n]; examples outside of it do not count.
      predicted: [n].
      confidence: [n].
      classes: number of them.
    """
    counts = np.bincount((labels * classes + predicted)[mask], minlength=classes**2)
    wrong = np.flatnonzero(mask & (predicted != labels))
    wrong = wrong[np.argsort(-confidence[wrong], kind='stable')[:WRONG]]
    parts = (x[wrong] for x in (images, labels, predicted, confidence))
    return Outcomes(counts.reshape(classes, classes), *parts)


def confusion_matrix(confusion: np.ndarray) -> Image.Image:
    """Returns a matrix of counts [classes, classes] as an image: a cell is the darker, the more of its row it has."""
    classes = len(confusion)
    cell = max(2, SIDE // classes)
    left = top = 38
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    image = Image.new('L', (left + cell * classes + 8, top + cell * classes + 8), 255)
    # The root shows the few that are wrong.
    shades = np.kron(255 - 190 * np.sqrt(share), np.ones((cell, cell))).astype(np.uint8)
    image.paste(Image.fromarray(shades), (left, top))
    draw, font = _draw(image)
    draw.text((left + cell * classes // 2, 10), 'predicted', fill=0, font=font, anchor='mm')
    across = Image.new('L', (cell * classes, 20), 255)
    _draw(across)[0].text((cell * classes // 2, 10), 'label', fill=0, font=font, anchor='mm')
    image.paste(across.rotate(90, expand=True), (0, top))
    every = max(1, -(-WRITTEN // cell))
    for i in range(0, classes, every):
        middle = i * cell + cell // 2
        draw.text((left + middle, 30), str(i), fill=0, font=font, anchor='mm')
        draw.text((30, top + middle), str(i), fill=0, font=font, anchor='mm')
    if cell >= WRITTEN:
        for i, j in zip(*np.nonzero(confusion), strict=True):
            place = left + j * cell + cell // 2, top + i * cell + cell // 2
            draw.text(place, _short(confusion[i, j]), fill=255 * int(share[i, j] > 0.5), font=font, anchor='mm')
    return image


def most_confidently_wrong(found: Outcomes) -> Image.Image:
    """Returns the most confidently wrong examples as an image, each with its label, prediction and confidence."""
    shown = len(found.images)
    color = shown and found.images.shape[-1] == 3
    rows = max(1, -(-shown // COLUMNS))
    image = Image.new('RGB' if color else 'L', (COLUMNS * (EXAMPLE + 8), rows * (EXAMPLE + 32)), 'white')
    draw, font = _draw(image)
    if not shown:
        draw.text((4, 4), 'none is wrong', fill='black', font=font)
    for k in range(shown):
        x, y = k % COLUMNS * (EXAMPLE + 8) + 4, k // COLUMNS * (EXAMPLE + 32)
        pixels = found.images[k] if color else found.images[k, ..., 0]
        image.paste(Image.fromarray(pixels).resize((EXAMPLE, EXAMPLE), Image.Resampling.NEAREST), (x, y))
        words = f'{found.labels[k]} as {found.predicted[k]}\n{found.confidence[k]:.2%}'
        draw.text((x, y + EXAMPLE + 1), words, fill='black', font=font)
    return image


def png(image: Image.Image) -> bytes:
    """Returns the image as PNG, written fast rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', compress_level=1)
    return buffer.getvalue()


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f'{count / 1000:.2g}k'


def _draw(image: Image.Image) -> tuple[ImageDraw.ImageDraw, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    draw = ImageDraw.Draw(image)
    draw.fontmode = '1'
    return draw, _font()


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(11)
