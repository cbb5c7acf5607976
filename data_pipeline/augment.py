"""Augmentation of training images: each step is drawn by (seed, step of training, place in the global batch).

The steps follow each other in this order: shift, rotation and zoom together; the user's own function; flip; crop; cutout.
All come before normalisation. Mixup, which needs labels and comes after normalisation, is in `trainer/loop/mixup.py`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data_pipeline.examples import AUGMENT, draw_seed

# What is drawn has a stream of its own within `AUGMENT`, so that an option changes the numbers of no other.
_MOVE, _FLIP, _CROP, _CUTOUT, _OWN = range(5)


@dataclasses.dataclass(frozen=True)
class Augment:
    """What is done to training images.

    Attributes:
      shift: largest shift along each axis, in pixels, drawn uniformly.
      rotate: largest rotation either way, in degrees, drawn uniformly.
      zoom: largest relative change of scale, drawn uniformly.
      flip: whether to mirror left and right, with probability 1/2 (He et al. 2016, "Deep Residual Learning for Image
        Recognition", section 4.2).
      crop: pixels of padding on each side, of which a random part of the image's size is taken (as there).
      cutout: side of a square that is cut out, in pixels, with its centre anywhere in the image (DeVries & Taylor 2017,
        "Improved Regularization of Convolutional Neural Networks with Cutout", section 3).
      own: the user's own function (`data_pipeline/own/augment.py`); None: none.
      zero: the number of each channel that is 0 for the model, in [0, 1] for uint8: what `crop` pads with, and what `cutout`
        leaves. (): 0.
    """

    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    crop: int = 0
    cutout: int = 0
    own: Callable | None = None
    zero: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return any((self.shift, self.rotate, self.zoom, self.flip, self.crop, self.cutout, self.own))


def augmented(images, augment: Augment, seed: int, steps, batch: int, local: Callable):
    """Returns the images of a block augmented, of the same shape; uint8 stays uint8, unless there is an own function.

    Args:
      images: uint8 or float32 [local replicas, steps, batch of the replica, height, width, channels].
      augment: what to do.
      seed: the run's.
      steps: numbers of the steps, int64 [steps].
      batch: global batch size.
      local: [steps, batch, ...] -> [local replicas, steps, batch of the replica, ...].
    """
    shape = tf.shape(images)
    flat = tf.reshape(images, tf.concat([[-1], shape[3:]], 0))

    def draws(stream, width, **options):
        """[images, width] numbers: in [0, 1) unless the options say otherwise."""

        def draw(step):
            return tf.random.stateless_uniform([batch, width], draw_seed(seed, AUGMENT, step, stream), **options)

        dtype = options.get('dtype', tf.float32)
        return tf.reshape(local(tf.map_fn(draw, steps, fn_output_signature=dtype)), [-1, width])

    if augment.shift or augment.rotate or augment.zoom:
        flat = _moved(flat, augment, draws(_MOVE, 4, minval=-1.0, maxval=1.0))
    if augment.own:
        scaled = tf.cast(flat, tf.float32) / 255 if flat.dtype == tf.uint8 else flat
        flat = augment.own(scaled, draws(_OWN, 2, minval=None, maxval=None, dtype=tf.int32))
    if augment.flip or augment.crop or augment.cutout:
        flat = _rearranged(
            flat,
            augment,
            flip=draws(_FLIP, 1) if augment.flip else None,
            crop=draws(_CROP, 2) if augment.crop else None,
            cutout=draws(_CUTOUT, 2) if augment.cutout else None,
        )
    return tf.reshape(flat, shape)


def _moved(images, augment: Augment, draws):
    """Shifts, rotates and scales each image about its centre, with 0 outside, before normalisation.

    images: [n, height, width, channels]; draws: [n, 4] in [-1, 1): shift down, shift right, rotation, scale.
    """
    shift_y, shift_x = draws[:, 0] * augment.shift, draws[:, 1] * augment.shift
    angle, scale = draws[:, 2] * (augment.rotate * np.pi / 180), 1.0 + draws[:, 3] * augment.zoom

    # The op maps output to input pixels: x_in = a x_out + b y_out + c; rotation and scale are about the centre.
    size = tf.shape(images)[1:3]
    height, width = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
    cos, sin = tf.cos(angle) / scale, tf.sin(angle) / scale
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    c = centre_x - cos * (centre_x + shift_x) - sin * (centre_y + shift_y)
    f = centre_y + sin * (centre_x + shift_x) - cos * (centre_y + shift_y)
    zero = tf.zeros_like(angle)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([cos, sin, c, -sin, cos, f, zero, zero], axis=1),
        output_shape=size,
        fill_value=0.0,
        interpolation='BILINEAR',
        fill_mode='CONSTANT',
    )


def _rearranged(images, augment: Augment, *, flip, crop, cutout):
    """Flips, crops and cuts out: each pixel of the result is one of the image, or `zero`, and so all is one gather.

    images: [n, height, width, channels]; draws in [0, 1): flip [n, 1], crop [n, 2] and cutout [n, 2], down and right.
    """
    shape = tf.shape(images)
    n, height, width, channels = tf.unstack(shape)
    rows = row = tf.range(height)[tf.newaxis]
    columns = column = tf.range(width)[tf.newaxis]
    kept = tf.ones([1, 1, 1], tf.bool)
    if crop is not None:
        offsets = _whole(crop, 2 * augment.crop + 1) - augment.crop
        rows, columns = row + offsets[:, :1], column + offsets[:, 1:]
    inside = _between(rows, 0, height)[:, :, tf.newaxis] & _between(columns, 0, width)[:, tf.newaxis]
    if flip is not None:  # before the crop: a column of the crop is one of the flipped image
        columns = tf.where(flip < 0.5, width - 1 - columns, columns)
    if cutout is not None:
        first_row = _whole(cutout[:, :1], height) - augment.cutout // 2
        first_column = _whole(cutout[:, 1:], width) - augment.cutout // 2
        cut_rows = _between(row, first_row, first_row + augment.cutout)
        cut_columns = _between(column, first_column, first_column + augment.cutout)
        kept = ~(cut_rows[:, :, tf.newaxis] & cut_columns[:, tf.newaxis])
    source = tf.where(inside & kept, rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis], height * width)
    source = tf.broadcast_to(source, shape[:3])
    zero = tf.broadcast_to(_zero(augment, images.dtype), [n, 1, channels])
    pixels = tf.concat([tf.reshape(images, [n, height * width, channels]), zero], 1)
    return tf.gather(pixels, source, axis=1, batch_dims=1)


def _whole(draws, count):
    """Numbers in [0, 1) -> whole numbers in [0, count), int32. The largest float32 below 1 gives count - 1."""
    return tf.cast(tf.floor(draws * tf.cast(count, tf.float32)), tf.int32)


def _between(places, first, end):
    return (places >= first) & (places < end)


def _zero(augment: Augment, dtype):
    zero = np.array(augment.zero or [0.0])
    return tf.constant(np.round(255 * zero) if dtype == tf.uint8 else zero, dtype)
