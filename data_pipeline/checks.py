"""Is this a dataset of images with one class label each? What is accepted, and what is refused with which words.

Images are uint8, float32 in [0, 1], or uint16, which is divided by 65,535 and becomes float32 in [0, 1]. A dataset in
memory is checked when it is read. One that is streamed is checked in the graph, batch by batch; `refusal` then makes the
same line of what TensorFlow raises.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seedwise.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

#: Types of images as they are stored.
DTYPES = ('uint8', 'uint16', 'float32')

#: Examples of a split, whose order is an array of int32.
MOST_EXAMPLES = 2**31 - 1

#: Marks what the graph says about an example that cannot be used.
_BAD_LABEL, _BAD_PIXELS = 'label out of range', 'pixels out of range'


@dataclasses.dataclass(frozen=True)
class Form:
    """What a dataset's examples are.

    Attributes:
      image, label: names of the two features.
      shape: of an image, (height, width, channels).
      dtype: of an image as it is stored, one of `DTYPES`.
      classes: number of classes, at least 2.
    """

    image: str
    label: str
    shape: tuple[int, int, int]
    dtype: str
    classes: int

    @property
    def image_bytes(self) -> int:
        """Bytes of an image as it is handed on."""
        return int(np.prod(self.shape)) * (1 if self.dtype == 'uint8' else 4)


def form_of(name: str, info: Any) -> Form:
    """Returns the form of a prepared dataset, from its `tfds.core.DatasetInfo`.

    Raises:
      UserError: it is not one of equally sized images with one class label each, or has no train and test split.
    """
    import tensorflow_datasets as tfds

    features = info.features
    kinds = {'Image': tfds.features.Image, 'ClassLabel': tfds.features.ClassLabel}
    if not isinstance(features, tfds.features.FeaturesDict):
        raise UserError(
            f"dataset '{name}' consists of {_kind(features)}: it must have an Image and a ClassLabel feature"
        )
    image, label = _keys(name, features, info.supervised_keys, kinds)
    for key, kind in ((image, 'Image'), (label, 'ClassLabel')):
        if not isinstance(features[key], kinds[kind]) or isinstance(features[key], tfds.features.LabeledImage):
            what = f'Image of {_or(DTYPES)}' if kind == 'Image' else kind
            raise UserError(
                f"dataset '{name}' has the feature '{key}' of type {_kind(features[key])}: "
                f'it must be a tfds.features.{what}'
            )
    dtype = str(np.dtype(features[image].np_dtype))
    check_dtype(name, dtype)
    shape = features[image].shape
    if len(shape) != 3 or not all(shape):
        raise several_sizes(name, f'{shape}')
    missing = {'train', 'test'} - set(info.splits)
    if missing:
        raise UserError(
            f"dataset '{name}' has no {' and no '.join(sorted(missing))} split: it must have train and test, and has "
            f'{", ".join(sorted(info.splits)) or "none"}'
        )
    check_classes(name, features[label].num_classes)
    for split in ('train', 'test'):
        check_count(name, split, info.splits[split].num_examples)
    return Form(image, label, tuple(shape), dtype, features[label].num_classes)


def _keys(name: str, features: Any, keys: Any, kinds: Mapping[str, type]) -> tuple[str, str]:
    """Returns the names of the image and the label: the dataset's supervised keys, or else its only two of these kinds."""
    if keys:
        image, label = keys[:2]
        if not all(isinstance(key, str) and key in features for key in (image, label)):
            raise UserError(f"dataset '{name}' has the supervised_keys {keys}: they must name one image and one label")
        return image, label
    found = {kind: [key for key, f in features.items() if isinstance(f, kinds[kind])] for kind in kinds}
    if any(len(names) != 1 for names in found.values()):
        have = ', '.join(f'{key}: {_kind(feature)}' for key, feature in features.items())
        raise UserError(
            f"dataset '{name}' has no supervised_keys, and its features are {have}: exactly one Image and one ClassLabel "
            'are needed to know which to take'
        )
    return found['Image'][0], found['ClassLabel'][0]


def check_classes(name: str, classes: int | None) -> None:
    """Raises `UserError` if there is nothing to tell apart."""
    if not classes:
        raise UserError(
            f"dataset '{name}' does not say how many classes it has: make it with ClassLabel(num_classes=...)"
        )
    if classes < 2:
        raise UserError(f"dataset '{name}' has one class: at least 2 are needed")


def check_count(name: str, split: str, count: int) -> None:
    """Raises `UserError` if a split is empty, or has more examples than an order of 32-bit numbers holds."""
    if not count:
        raise UserError(f"dataset '{name}' has no examples in its {split} split: at least 1 is needed")
    if count > MOST_EXAMPLES:
        raise UserError(
            f"dataset '{name}' has {count:,} examples in its {split} split: at most {MOST_EXAMPLES:,} are possible"
        )


def check_dtype(name: str, dtype: str) -> None:
    """Raises `UserError` if images of this type cannot be scaled to [0, 1]."""
    if dtype not in DTYPES:
        raise UserError(f"dataset '{name}' has images of {dtype}: accepted are {_or(DTYPES)}")


def usable(
    name: str, split: str, images: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels as they are handed on: uint8, or float32 in [0, 1], and int32.

    Args:
      name: of the dataset.
      split: of these examples.
      images: [n, height, width, channels], as they are stored, one of `DTYPES`.
      labels: [n].
      classes: number of classes.

    Raises:
      UserError: a label is out of range, or pixels are.
    """
    check_dtype(name, str(images.dtype))
    bad = labels[(labels < 0) | (labels >= classes)]
    if len(bad):
        raise _bad_label(name, split, bad[0], classes)
    if images.dtype == np.uint16:
        images = handed_on(images)
    elif images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        nan = np.isnan(images)
        raise _bad_pixels(name, split, images[~nan].min(initial=1), images[~nan].max(initial=0), nan.any())
    return images, labels


def check_finite(what: str, numbers: np.ndarray, first: int) -> None:
    """Raises `UserError` if one of some examples' numbers is not finite.

    Args:
      what: has these examples, for the error.
      numbers: [n, ...].
      first: the place of the first of these examples, from 0.
    """
    if numbers.dtype.kind == 'f' and not np.isfinite(numbers).all():
        at = first + int(np.argwhere(~np.isfinite(numbers))[0][0])
        raise UserError(f'{what} has a number that is not finite in example {at:,} (from 0)')


def usable_in_graph(
    split: str, images: 'tf.Tensor', labels: 'tf.Tensor', classes: int
) -> tuple['tf.Tensor', 'tf.Tensor']:
    """As `usable`, for a batch of what is streamed: what is refused makes TensorFlow raise, see `refusal`."""
    import tensorflow as tf

    bad = tf.reduce_min(tf.where((labels < 0) | (labels >= classes), labels, 2**31 - 1))
    tests = [tf.debugging.Assert(bad == 2**31 - 1, [f'{_BAD_LABEL}: {split}', bad, classes])]
    if images.dtype == tf.float32:
        in_range = tf.reduce_all((images >= 0) & (images <= 1))  # NaN is not
        nan = tf.math.is_nan(images)
        low, high = tf.reduce_min(tf.where(nan, 1.0, images)), tf.reduce_max(tf.where(nan, 0.0, images))
        tests.append(tf.debugging.Assert(in_range, [f'{_BAD_PIXELS}: {split}', low, high, tf.reduce_any(nan)]))
    with tf.control_dependencies(tests):
        if images.dtype == tf.uint16:
            return tf.cast(images, tf.float32) / 65535, tf.identity(labels)
        return tf.identity(images), tf.identity(labels)


def handed_on(array: np.ndarray) -> np.ndarray:
    """Returns inputs as models get them: uint8, or float32; whole numbers of 16 bits are scaled to [0, 1]."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.uint16:
        return array.astype(np.float32) / np.float32(65535)
    return np.ascontiguousarray(array, np.float32)


def handed_on_bytes(*images: np.ndarray) -> int:
    """Returns the bytes that images take as they are handed on: uint8, or float32."""
    return sum(array.size * (1 if array.dtype == np.uint8 else 4) for array in images)


def at_a_time(shape: tuple[int, ...], most: int) -> int:
    """Returns how many examples of a shape are looked at at a time: at most 2^24 numbers, which are 128 MiB as float64."""
    return min(most, max(1, 2**24 // math.prod(shape)))


def refusal(name: str, message: str) -> UserError | None:
    """Returns the error for an example that cannot be used, if that is what TensorFlow's `message` is about."""
    if match := re.search(rf'{_BAD_LABEL}: (\w+)[^\w-]+(-?\d+)\W+(\d+)', message):
        return _bad_label(name, match[1], int(match[2]), int(match[3]))
    if match := re.search(rf'{_BAD_PIXELS}: (\w+)[^\w-]+([-+.\w]+)[^\w-]+([-+.\w]+)\W+(\d)', message):
        return _bad_pixels(name, match[1], float(match[2]), float(match[3]), match[4] == '1')
    if match := re.search(r'not compatible with expected shape|Cannot batch tensors with different shapes', message):
        shapes = [f'({shape.replace(",", ", ")})' for shape in re.findall(r'\[(\d[\d,]*)\]', message)[:2]]
        return several_sizes(name, ' and '.join(shapes))
    return None


def several_sizes(name: str, shapes: str) -> UserError:
    """Returns the error for images that are not all of one size."""
    return UserError(
        f"dataset '{name}' has images of several sizes, {shapes}: all must have one height, width and number of channels"
    )


def _bad_label(name: str, split: str, label: int, classes: int) -> UserError:
    hint = '; TFDS writes -1 for examples without a label' if label == -1 else ''
    return UserError(
        f"dataset '{name}' has the label {label} in its {split} split: labels of its {classes:,} classes must be from 0 to "
        f'{classes - 1:,}{hint}'
    )


def _bad_pixels(name: str, split: str, low: float, high: float, nan: bool) -> UserError:
    return UserError(
        f"dataset '{name}' has float32 images with pixels from {low:g} to {high:g}{' and NaN' if nan else ''} in its {split}"
        ' split: they must be finite and in [0, 1]'
    )


def _kind(feature: Any) -> str:
    """Returns the type of a feature in words, such as 'Tensor of int64'."""
    kind = type(feature).__name__
    try:
        return kind if kind in ('ClassLabel', 'Text') else f'{kind} of {np.dtype(feature.np_dtype)}'
    except (AttributeError, TypeError):  # a dictionary of features has no one type
        return kind


def _or(names: tuple[str, ...]) -> str:
    return f'{", ".join(names[:-1])} or {names[-1]}'
