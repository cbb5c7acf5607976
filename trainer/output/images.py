"""What a model gets wrong, as PNG images."""

import dataclasses
import functools
import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Side of the square that a confusion matrix's cells fill, and the least side of a cell with its count in it, in pixels.
SIDE, WRITTEN = 280, 24

#: The most confidently wrong examples: how many, how many in a row, and the side of each, in pixels.
WRONG, COLUMNS, EXAMPLE = 20, 5, 56


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """Predictions for the examples of a split.

    Attributes:
      confusion: [classes, classes], number of examples by label (row) and predicted class (column).
      images: [n, height, width, channels] uint8, the most confidently wrong, n <= `WRONG`, the most confident first; or
        [n, features].
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
    """Returns the outcomes of examples.

    Args:
      images: [..., height, width, channels], uint8 or float32 in [0, 1]; or [..., features].
      labels: [...].
      mask: [...]; examples outside of it do not count.
      predicted: [...].
      confidence: [...].
      classes: number of them.
    """
    images = images.reshape(-1, *images.shape[labels.ndim :])
    labels, mask, predicted, confidence = (array.ravel() for array in (labels, mask, predicted, confidence))
    counts = np.bincount((labels * classes + predicted)[mask], minlength=classes**2)
    wrong = np.flatnonzero(mask & (predicted != labels))
    wrong = wrong[np.argsort(-confidence[wrong], kind='stable')[:WRONG]]
    shown, *parts = (x[wrong] for x in (images, labels, predicted, confidence))
    if shown.dtype != np.uint8:
        shown = np.round(255 * shown.clip(0, 1)).astype(np.uint8)
    return Outcomes(counts.reshape(classes, classes), shown, *parts)


def confusion_matrix(confusion: np.ndarray) -> Image.Image:
    """Returns a matrix of counts [classes, classes] as an image: a cell is darker the larger its share of the row."""
    classes = len(confusion)
    cell = max(2, SIDE // classes)
    left = top = 38
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    canvas = np.full((top + cell * classes + 8, left + cell * classes + 8), 255, np.uint8)
    # The root shows the few that are wrong.
    cells = canvas[top : top + cell * classes, left : left + cell * classes]
    cells[:] = np.kron((255 - 190 * np.sqrt(share)).astype(np.uint8), np.ones((cell, cell), np.uint8))
    middle = cell * classes // 2
    _write(canvas, left + middle, 10, 'predicted')
    _write(canvas.T[:, ::-1], cell * classes - middle + 8, 10, 'label')
    for i in range(0, classes, max(1, math.ceil(WRITTEN / cell))):
        _write(canvas, left + i * cell + cell // 2, 28, str(i))
        _write(canvas, 28, top + i * cell + cell // 2, str(i))
    if cell >= WRITTEN:
        for i, j in zip(*(x.tolist() for x in np.nonzero(confusion)), strict=True):
            ink = 255 if share[i, j] > 0.5 else 0
            _write(cells, j * cell + cell // 2, i * cell + cell // 2, _short(confusion[i, j]), ink)
    return Image.fromarray(canvas)


def most_confidently_wrong(found: Outcomes) -> Image.Image:
    """Returns the most confidently wrong examples as an image, each with its label, prediction and confidence."""
    drawable = found.images.ndim == 4 and found.images.shape[-1] in (1, 3)  # neither features nor infrared
    shown, channels = (len(found.images), found.images.shape[-1]) if drawable else (0, 1)
    width, height = EXAMPLE + 8, EXAMPLE + 32
    canvas = np.full((max(1, math.ceil(shown / COLUMNS)) * height, COLUMNS * width, channels), 255, np.uint8)
    if not shown:
        text = 'these are not images' if len(found.images) else 'none is wrong'
        _write(canvas, width * COLUMNS // 2, height // 2, text)
    for k in range(shown):
        x, y = k % COLUMNS * width + 4, k // COLUMNS * height
        example = Image.fromarray(_drawable(found.images[k])).resize((EXAMPLE, EXAMPLE), Image.Resampling.NEAREST)
        canvas[y : y + EXAMPLE, x : x + EXAMPLE] = np.asarray(example).reshape(EXAMPLE, EXAMPLE, channels)
        _write(canvas, x + EXAMPLE // 2, y + EXAMPLE + 8, f'{found.labels[k]} as {found.predicted[k]}')
        _write(canvas, x + EXAMPLE // 2, y + EXAMPLE + 21, f'{found.confidence[k]:.2%}')
    return Image.fromarray(_drawable(canvas))


def png(image: Image.Image) -> bytes:
    """Returns the image as PNG, written fast rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', compress_level=1)
    return buffer.getvalue()


def _drawable(pixels: np.ndarray) -> np.ndarray:
    """Pixels as Pillow takes them: [height, width] for one channel."""
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f'{count / 1000:.2g}k'


def _write(canvas: np.ndarray, x: int, y: int, words: str, ink: int = 0) -> None:
    """Writes words around the point (x, y) of pixels [height, width] or [height, width, channels]."""
    mask = _mask(words)
    height, width = mask.shape
    top, left = y - height // 2, max(0, x - width // 2)
    canvas[top : top + height, left : left + width][mask[:, : canvas.shape[1] - left]] = ink


@functools.lru_cache(10_000)
def _mask(words: str) -> np.ndarray:
    """The pixels that are ink, bool. Pillow takes a millisecond for ten words, and most come again."""
    return np.hstack([_glyph(character) for character in words])


@functools.cache
def _glyph(character: str) -> np.ndarray:
    font = ImageFont.load_default(11)
    image = Image.new('1', (max(1, round(font.getlength(character))), 13))
    ImageDraw.Draw(image).text((0, 10), character, fill=1, font=font, anchor='ls')
    return np.asarray(image)
