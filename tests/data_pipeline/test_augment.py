"""Flip, crop, cutout and a user's own function: what they make of given draws, how these are drawn, and that nothing else
decides."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_datasets as tfds

from data_pipeline import augment as augmentation
from data_pipeline import pipeline, sources
from data_pipeline.augment import Augment
from data_pipeline.examples import InMemory
from data_pipeline.own import augment as own_augment
from data_pipeline.pipeline import Part
from seedwise.errors import UserError
from tests.data_pipeline import odd

MEAN = (0.25, 0.5, 0.75)
ALL = {'flip': True, 'crop': 2, 'cutout': 3}


def by_numpy(image, zero, *, flip=None, crop=None, cutout=None):
    """One image as the papers say it: `flip` a bool, `crop` (pixels, offsets from 0), `cutout` (side, centre)."""
    if flip:
        image = image[:, ::-1]
    if crop:
        pixels, (down, right) = crop
        padded = np.empty([side + 2 * pixels for side in image.shape[:2]] + [image.shape[2]], image.dtype)
        padded[:] = zero
        padded[pixels:-pixels, pixels:-pixels] = image
        image = padded[down : down + image.shape[0], right : right + image.shape[1]]
    if cutout:
        side, (row, column) = cutout
        image = image.copy()
        top, left = row - side // 2, column - side // 2
        image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = zero
    return image


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
@pytest.mark.parametrize('fields', [{'flip': True}, {'crop': 2}, {'cutout': 3}, {'cutout': 4}, ALL], ids=str)
@pytest.mark.parametrize('zero', [(), MEAN])
def test_each_is_a_few_lines_of_numpy_for_given_draws(fields, zero, dtype):
    rng = np.random.default_rng(0)
    n, height, width = 50, 7, 5
    images = rng.integers(0, 256, (n, height, width, 3)).astype(dtype)
    draws = {name: rng.random((n, 1 if name == 'flip' else 2), np.float32) for name in ALL}
    draws['crop'][0], draws['cutout'][0] = 0, np.nextafter(np.float32(1), np.float32(0))  # the ends of what is drawn
    augment = Augment(**fields, zero=zero)
    made = augmentation._rearranged(
        tf.constant(images), augment, **{name: tf.constant(draws[name]) if name in fields else None for name in ALL}
    )
    outside = np.array(zero or 0) if dtype == 'float32' else np.round(255 * np.array(zero or 0))
    for i in range(n):
        given = {'flip': draws['flip'][i, 0] < 0.5} if 'flip' in fields else {}
        if 'crop' in fields:
            given['crop'] = (2, [int(draw * 5) for draw in draws['crop'][i]])
        if 'cutout' in fields:
            y, x = draws['cutout'][i]
            given['cutout'] = (fields['cutout'], (int(y * height), int(x * width)))
        np.testing.assert_array_equal(made[i], by_numpy(images[i], outside, **given))


def blocks(examples, augment, *, start=0, end=4, batch=16, part=Part(), seed=0):
    """Returns the images and labels of steps `start` to `end`, the replicas of the part side by side."""
    dataset = pipeline.train_blocks(
        examples, seed=seed, batch=batch, start=start, blocks=[end - start], part=part, augment=augment
    )
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(images, axis=1), np.concatenate(labels, axis=1)


def test_half_are_flipped_and_all_crops_and_centres_are_as_frequent():
    """Read off the images: the middle pixel says the offset of the crop, and its neighbours the flip."""
    size, crop, n = 5, 2, 8000
    image = np.arange(100, 100 + size**2, dtype=np.uint8).reshape(1, size, size, 1)
    examples = InMemory(np.repeat(image, 1000, 0), np.zeros(1000, np.int32))
    images, _ = blocks(examples, Augment(flip=True, crop=crop), end=4, batch=n // 4)
    images = images.reshape(n, size, size).astype(int)
    flipped = np.array([np.diff(row[row > 0])[0] < 0 for row in images[:, 2]])
    assert abs(flipped.mean() - 0.5) < 0.02
    middle = images[:, 2, 2] - 100
    counts = [np.bincount(middle[side], minlength=size**2) for side in (flipped, ~flipped)]
    assert scipy.stats.chisquare(np.concatenate(counts)).pvalue > 0.001

    images, _ = blocks(examples, Augment(cutout=1), end=4, batch=n // 4)
    counts = (images.reshape(n, -1) == 0).sum(0)
    assert counts.sum() == n
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_an_option_changes_the_draws_of_no_other():
    """Without cutout the image is the same except for the square, and shift is drawn as it was before there was a flip."""
    rng = np.random.default_rng(1)
    examples = InMemory(rng.integers(1, 256, (64, 8, 8, 1)).astype(np.uint8), np.arange(64, dtype=np.int32))
    with_cutout, _ = blocks(examples, Augment(shift=1.0, flip=True, cutout=3))
    without, _ = blocks(examples, Augment(shift=1.0, flip=True))
    unflipped, _ = blocks(examples, Augment(shift=1.0))
    cut = with_cutout != without
    assert (with_cutout[cut] == 0).all()
    assert 0 < cut.mean() <= 9 / 64
    same, mirrored = ((without == other).all((2, 3, 4)) for other in (unflipped, unflipped[..., ::-1, :]))
    assert (same | mirrored).all()
    assert 0.3 < same.mean() < 0.7


#: A file of the user's own.
MINE = """
import tensorflow as tf

def brightness(images, seeds, most=0.3):
    draw = lambda seed: tf.random.stateless_uniform([], seed, -most, most)
    return images + tf.map_fn(draw, seeds, fn_output_signature=tf.float32)[:, None, None, None]

def half(images, seeds):
    return images[:, ::2]
def integers(images, seeds):
    return tf.cast(255 * images, tf.uint8)
def of_the_batch(images, seeds):
    return images - tf.reduce_mean(images)
def stateful(images, seeds):
    return images * tf.random.uniform([images.shape[0], 1, 1, 1], seed=3)
def raises(images, seeds):
    return images.nothing
"""

FAULTS = {
    'half': 'half returned float32 (16, 3, 5, 3): it must return images as it gets them, float32 (16, 5, 5, 3)',
    'integers': 'integers returned uint8 (16, 5, 5, 3)',
    'of_the_batch': 'must depend on each image and its seed alone',
    'stateful': 'must depend on each image and its seed alone',
    'raises': 'mine.py, line 17: AttributeError',
}


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
    file = tmp_path_factory.mktemp('own') / 'mine.py'
    file.write_text(MINE)
    return str(file)


@pytest.mark.parametrize('function', FAULTS)
def test_an_own_function_that_breaks_a_promise_is_refused(mine, function):
    with pytest.raises(UserError) as error:
        own_augment.build(f'{mine}:{function}', {}, (5, 5, 3))
    assert FAULTS[function] in str(error.value)


def test_an_own_function_gets_images_from_0_to_1_and_a_seed_for_each(mine):
    rng = np.random.default_rng(2)
    examples = InMemory(rng.integers(0, 256, (64, 5, 5, 3)).astype(np.uint8), np.arange(64, dtype=np.int32))
    own = own_augment.build(f'{mine}:brightness', {'most': 0.5}, (5, 5, 3))
    images, labels = blocks(examples, Augment(own=own))
    added = images - examples.images[labels] / np.float32(255)
    one = added.mean((2, 3, 4))  # the same number for all pixels of an image, another one for each image
    assert np.abs(added - one[..., None, None, None]).max() < 1e-6
    assert 0.4 < np.abs(one).max() <= 0.5
    assert len(np.unique(np.round(one, 5))) == one.size


def test_the_images_are_the_same_for_any_split_start_and_storage(tmp_path, mine):
    shape = (6, 5, 3)
    form = tfds.features.FeaturesDict(
        {
            'image': tfds.features.Image(shape=shape, encoding_format='png'),
            'label': tfds.features.ClassLabel(num_classes=64),
        }
    )
    examples = odd.examples(odd.pictures(64, shape, 'uint8', 255), range(64))
    odd.write(tmp_path, 'mine', form, {'train': examples, 'test': examples})
    located = sources.locate('mine', str(tmp_path))
    assert located.image_shape == shape
    memory, disk = (sources.load(located, memory_limit_mb=limit).train for limit in (4096, 0))
    assert isinstance(memory, InMemory)
    assert not isinstance(disk, InMemory)
    augment = Augment(shift=1.0, rotate=10.0, zoom=0.1, **ALL, zero=MEAN)
    whole, labels = blocks(memory, augment)
    assert len({image.tobytes() for image in whole.reshape(-1, *shape)}) == 64
    halves = zip(*(blocks(memory, augment, part=Part(4, first, 2)) for first in (0, 2)), strict=True)
    resumed = blocks(disk, augment, start=1)  # of one shard, and so in the same order
    for (images, places), start in ((resumed, 1), ([np.concatenate(half, axis=1) for half in halves], 0)):
        np.testing.assert_array_equal(places, labels[start:])
        np.testing.assert_array_equal(images, whole[start:])

    with_own = dataclasses.replace(augment, own=own_augment.build(f'{mine}:brightness', {}, shape))
    images, _ = blocks(memory, with_own)
    assert (images.dtype, whole.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(blocks(disk, with_own, start=1, part=Part(2, 0, 2))[0], images[1:])
