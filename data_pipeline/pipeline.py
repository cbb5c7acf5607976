"""tf.data: order, shard, batch, augment, prefetch.

Training examples form one endless stream: the first epoch's order, then the second's, and so on, cut into global batches.
Step s holds the examples at positions s * batch to (s + 1) * batch - 1 of it: a pure function of (seed, s), whatever the
number of replicas and wherever a run was resumed. No example is dropped, and none comes a second time before each has
come once; where the batch does not divide the epoch, one batch spans two.

Steps come in blocks, since many steps are compiled into one call. A block is images, uint8 or float32 in [0, 1], [steps,
batch of the replica, height, width, channels] and labels int32 [steps, batch of the replica].
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data_pipeline.examples import AUGMENT, InMemory, draw_seed


@dataclasses.dataclass(frozen=True)
class Part:
    """Which replicas of a global batch this input pipeline feeds: `local` of `replicas`, from number `first` on."""

    replicas: int = 1
    first: int = 0
    local: int = 1


@dataclasses.dataclass(frozen=True)
class Augment:
    """Largest random shift (pixels), rotation (degrees) and relative zoom of a training image; each drawn uniformly."""

    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0

    def __bool__(self) -> bool:
        return any((self.shift, self.rotate, self.zoom))


def train_blocks(
    examples, *, seed: int, batch: int, start: int, blocks: Sequence[int], part: Part, augment: Augment | None = None
) -> tf.data.Dataset:
    """Returns the training blocks from step `start` on, for one input pipeline.

    Args:
      examples: `InMemory` or `Sharded`.
      seed: of order and augmentation.
      batch: global batch size, a multiple of `part.replicas`.
      start: first step.
      blocks: number of steps in each block, in their order.
      part: which replicas to feed; the elements for them alternate.
      augment: augmentation, drawn by step and place in the global batch, and so the same for any number of replicas.
    """
    epoch, skip = divmod(start * batch, examples.count)
    keys = tf.data.Dataset.counter(tf.constant(epoch, tf.int64)).flat_map(lambda e: examples.shuffled(seed, e))
    sizes = [steps * batch for steps in blocks]
    keys = keys.rebatch([skip, *sizes]).skip(1) if skip else keys.rebatch(sizes)
    firsts = start + np.cumsum([0, *blocks[:-1]])
    keys = tf.data.Dataset.zip(keys, tf.data.Dataset.from_tensor_slices(firsts.astype(np.int64))).take(len(blocks))

    def block(keys, first):
        keys = _local(tf.reshape(keys, [-1, part.replicas, batch // part.replicas]), part)
        images, labels = examples.fetch(keys)
        if augment:
            steps = first + tf.range(tf.shape(keys)[1], dtype=tf.int64)
            images = _augmented(images, augment, seed, steps, batch, part)
        return images, labels

    return _for_replicas(keys.map(block, num_parallel_calls=2, deterministic=True), part)


def train_blocks_at_once(examples: InMemory, *, seed: int, batch: int, start: int, blocks: Sequence[int]):
    """Yields the blocks of `train_blocks` for one replica without augmentation, each made when it is asked for.

    Setting up tf.data takes 0.1 s, which a run of half a second feels; and where a run has one thread there is none that
    could prepare a block ahead of time.
    """
    position = start * batch
    for steps in blocks:
        keys, needed = [], steps * batch
        while needed:
            epoch, skip = divmod(position, examples.count)
            keys.append(examples.order(seed, epoch)[skip : skip + needed])
            position += len(keys[-1])
            needed -= len(keys[-1])
        with tf.device('CPU:0'):  # or a GPU would be sent all examples, to take these from
            block = examples.fetch(tf.constant(np.concatenate(keys).reshape(steps, batch)))
        yield block


def eval_blocks(examples, *, batch: int, steps: int, part: Part) -> tf.data.Dataset:
    """Returns all examples once, in blocks of `steps` batches (fewer in the last), with a mask for what pads the last.

    An element is (images, labels, mask bool [steps, batch of the replica]).
    """
    steps = min(steps, math.ceil(examples.count / batch))
    count = eval_block_count(examples, batch=batch, steps=steps)
    keys = examples.in_order().repeat().rebatch(steps * batch).take(count)

    def block(number, keys):
        position = number * steps * batch + tf.range(steps * batch, dtype=tf.int64)
        shape = [steps, part.replicas, batch // part.replicas]
        images, labels = examples.fetch(_local(tf.reshape(keys, shape), part))
        return images, labels, _local(tf.reshape(position < examples.count, shape), part)

    return _for_replicas(keys.enumerate().map(block, num_parallel_calls=2, deterministic=True), part)


def eval_blocks_at_once(examples: InMemory, *, batch: int, steps: int):
    """Yields the blocks of `eval_blocks` for one replica, each made when it is asked for."""
    steps = min(steps, math.ceil(examples.count / batch))
    for number in range(eval_block_count(examples, batch=batch, steps=steps)):
        position = np.arange(number * steps * batch, (number + 1) * steps * batch).reshape(steps, batch)
        with tf.device('CPU:0'):
            images, labels = examples.fetch(tf.constant(examples.indices[position % examples.count]))
            mask = tf.constant(position < examples.count)
        yield images, labels, mask


def eval_block_count(examples, *, batch: int, steps: int) -> int:
    """Returns the number of blocks that `eval_blocks` yields for each replica."""
    total = math.ceil(examples.count / batch)
    return math.ceil(total / min(steps, total))


def _local(x: tf.Tensor, part: Part) -> tf.Tensor:
    """[steps, replicas, batch, ...] -> [local replicas, steps, batch, ...] of this part."""
    return tf.transpose(x[:, part.first : part.first + part.local], [1, 0, 2])


def _for_replicas(blocks: tf.data.Dataset, part: Part) -> tf.data.Dataset:
    """Gives each local replica an element of its own, in turn."""
    # Unbatching copies: with one replica, its only row is taken instead.
    blocks = blocks.unbatch() if part.local > 1 else blocks.map(lambda *arrays: tuple(array[0] for array in arrays))
    options = tf.data.Options()
    options.deterministic = True
    # All degrees of parallelism are fixed, so autotuning has nothing to do; its thread delayed a run's end by up to 2 s.
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return blocks.prefetch(2 * part.local).with_options(options)


def _augmented(images, augment: Augment, seed: int, steps, batch: int, part: Part):
    """Shifts, rotates and scales each image about its centre by its own random amounts, with zeros outside; the type stays.

    images: uint8 or float32 [local replicas, steps, batch of the replica, height, width, channels].
    """

    def draw(step):
        draws = tf.random.stateless_uniform([batch, 4], draw_seed(seed, AUGMENT, step), -1.0, 1.0)
        return tf.reshape(draws, [part.replicas, batch // part.replicas, 4])[part.first : part.first + part.local]

    draws = tf.map_fn(draw, steps, fn_output_signature=tf.float32)  # [steps, local, batch of the replica, 4]
    draws = tf.reshape(tf.transpose(draws, [1, 0, 2, 3]), [-1, 4])
    shift_y, shift_x = draws[:, 0] * augment.shift, draws[:, 1] * augment.shift
    angle, scale = draws[:, 2] * (augment.rotate * np.pi / 180), 1.0 + draws[:, 3] * augment.zoom

    # The op maps output to input pixels: x_in = a x_out + b y_out + c; rotation and scale are about the centre.
    shape = tf.shape(images)
    height, width = tf.cast(shape[3], tf.float32), tf.cast(shape[4], tf.float32)
    cos, sin = tf.cos(angle) / scale, tf.sin(angle) / scale
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    c = centre_x - cos * (centre_x + shift_x) - sin * (centre_y + shift_y)
    f = centre_y + sin * (centre_x + shift_x) - cos * (centre_y + shift_y)
    zero = tf.zeros_like(angle)
    flat = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.reshape(images, tf.concat([[-1], shape[3:]], 0)),
        transforms=tf.stack([cos, sin, c, -sin, cos, f, zero, zero], axis=1),
        output_shape=shape[3:5],
        fill_value=0.0,
        interpolation='BILINEAR',
        fill_mode='CONSTANT',
    )
    return tf.reshape(flat, shape)
