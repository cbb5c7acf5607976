"""An augmentation of the user's own: FILE.py:NAME, a function of (images, seeds)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from seedwise import references
from seedwise.errors import UserError
from seedwise.references import running

#: Images that a function is tried on before a run.
_TRIED = 16


def build(name: str, options: Mapping[str, Any], shape: tuple[int, ...]) -> Callable:
    """Returns NAME of 'FILE.py:NAME' as a function of (images, seeds), after a try on images of noise.

    Args:
      name: the reference.
      options: more arguments, by their names.
      shape: (height, width, channels) of an image.

    Returns:
      A function of images float32 [n, height, width, channels] and seeds int32 [n, 2], one for each image, that
      returns images of the same shape and type.

    Raises:
      UserError: it raises, or returns something else, or images that depend on anything but themselves and their seeds.
    """
    reference = references.parse(name, 'data.augment.name')
    function, what = running.load(reference), str(reference)

    @tf.autograph.experimental.do_not_convert
    def own(images, seeds):
        value = running.call(function, reference.file, images, seeds, **options)
        if not tf.is_tensor(value) or value.dtype != tf.float32 or not value.shape.is_compatible_with(images.shape):
            kind = f'{value.dtype.name} {value.shape}' if tf.is_tensor(value) else type(value).__name__
            raise UserError(f'{what} returned {kind}: it must return images as it gets them, float32 {images.shape}')
        return value

    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((_TRIED, *shape), np.float32))
    seeds = tf.constant(rng.integers(-(2**31), 2**31, (_TRIED, 2)), tf.int32)
    compiled = tf.function(own, autograph=False)
    parts = [slice(0, 3), slice(3, _TRIED)]
    try:
        whole = compiled(images, seeds).numpy()
        again = np.concatenate([compiled(images[part], seeds[part]).numpy() for part in parts])
    except tf.errors.OpError as error:
        raise running.explain(error, [reference.file]) or UserError(f'{what} fails: {running.words(error)}') from error
    if not np.allclose(whole, again, rtol=1e-4, atol=1e-4, equal_nan=True):
        raise UserError(
            f'{what} makes another image of the same image and seed when it is called with fewer of them, or again: the '
            'result must depend on each image and its seed alone (tf.random.stateless_uniform(shape, seeds[i]))'
        )
    return own
