"""The order of the examples is a pure function of (seed, step), for any split of the work."""

import numpy as np
import pytest

from data_pipeline import checks, pipeline
from data_pipeline.augment import Augment
from data_pipeline.examples import InMemory
from data_pipeline.own.raw import Raw
from data_pipeline.pipeline import Part
from seedwise.errors import UserError

COUNT = 103


@pytest.fixture
def examples():
    """Examples that say who they are: the label is the index, and the image holds it too."""
    labels = np.arange(COUNT, dtype=np.int32)
    images = np.broadcast_to(labels[:, None, None, None], (COUNT, 6, 6, 1)).astype(np.uint8)
    return InMemory(images, labels)


def order(examples, *, seed=0, batch=12, start=0, blocks=(5, 5, 5, 5, 5), part=Part(), **options):
    """Returns the labels of each step [steps, batch of the part], its replicas side by side."""
    dataset = pipeline.train_blocks(
        examples, seed=seed, batch=batch, start=start, blocks=list(blocks), part=part, **options
    )
    elements = [labels for _, labels in dataset.as_numpy_iterator()]
    rows = [np.concatenate(elements[i : i + part.local], axis=1) for i in range(0, len(elements), part.local)]
    return np.concatenate(rows)


def test_each_example_comes_once_before_any_comes_twice(examples):
    stream = order(examples, blocks=[9] * 6).ravel()
    for epoch in range(6):
        assert sorted(stream[epoch * COUNT : (epoch + 1) * COUNT]) == list(range(COUNT))


def test_order_depends_on_seed_and_epoch_only(examples):
    assert np.array_equal(order(examples), order(examples))
    assert np.array_equal(order(examples), order(examples, blocks=(1, 7, 17)))
    assert not np.array_equal(order(examples), order(examples, seed=1))
    stream = order(examples, blocks=[18]).ravel()
    assert not np.array_equal(stream[:COUNT], stream[COUNT : 2 * COUNT])


@pytest.mark.parametrize('start', [1, 8, 9, 17, 24])
def test_any_step_is_found_at_once(examples, start):
    assert np.array_equal(order(examples, start=start, blocks=(25 - start,)), order(examples)[start:])


@pytest.mark.parametrize('parts', [[Part(2, 0, 2)], [Part(2, 0, 1), Part(2, 1, 1)], [Part(4, 0, 2), Part(4, 2, 2)]])
def test_replicas_split_each_global_batch_and_never_change_it(examples, parts):
    assert np.array_equal(np.concatenate([order(examples, part=part) for part in parts], axis=1), order(examples))


def test_orders_of_two_epochs_are_independent():
    """The rank correlation of 200 pairs of epochs stays within what chance gives (TensorFlow's index_shuffle fails)."""
    many = InMemory(np.zeros((1000, 1, 1, 1), np.uint8), np.arange(1000, dtype=np.int32))
    stream = order(many, batch=1000, blocks=[201])
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(stream[:-1], stream[1:], strict=True)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(1000)
    assert abs(np.mean(correlations)) < 4 / np.sqrt(1000 * 200)


def test_a_batch_larger_than_the_dataset_spans_epochs(examples):
    stream = order(examples, batch=240, blocks=[3]).ravel()
    assert sorted(stream[:COUNT]) == sorted(stream[COUNT : 2 * COUNT]) == list(range(COUNT))


@pytest.mark.parametrize('batch', [1, 7, 103, 200])
@pytest.mark.parametrize('parts', [[Part()], [Part(2, 0, 1), Part(2, 1, 1)], [Part(3, 0, 3)]])
def test_evaluation_masks_padding_and_covers_each_example_once(examples, batch, parts):
    batch *= parts[0].replicas
    seen = []
    for part in parts:
        dataset = pipeline.eval_blocks(examples, batch=batch, steps=4, part=part)
        elements = list(dataset.as_numpy_iterator())
        assert len(elements) == part.local * pipeline.eval_block_count(examples, batch=batch, steps=4)
        for images, labels, mask in elements:
            assert np.array_equal(images[..., 0, 0, 0], labels)
            seen += list(labels[mask])
    assert sorted(seen) == list(range(COUNT))


@pytest.mark.parametrize(('start', 'blocks', 'batch'), [(0, [5, 5, 5], 12), (7, [3, 1, 20], 12), (2, [4], 240)])
def test_blocks_made_at_once_are_those_of_the_pipeline(examples, start, blocks, batch):
    for part, _ in (examples.split(0, 20), (examples, None)):
        options = {'seed': 3, 'batch': batch, 'start': start, 'blocks': blocks}
        expected = pipeline.train_blocks(part, **options, part=Part()).as_numpy_iterator()
        for made, other in zip(pipeline.train_blocks_at_once(part, **options), expected, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(made, other, strict=True))
        size = {'batch': batch, 'steps': 4}
        expected = pipeline.eval_blocks(part, **size, part=Part()).as_numpy_iterator()
        for made, other in zip(pipeline.eval_blocks_at_once(part, **size), expected, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(made, other, strict=True))


def test_validation_split_is_drawn_by_the_seed_and_disjoint(examples):
    train, held_out = examples.split(0, 20)
    assert (train.count, held_out.count) == (COUNT - 20, 20)
    assert sorted([*train.indices, *held_out.indices]) == list(range(COUNT))
    assert not np.array_equal(held_out.indices, examples.split(1, 20)[1].indices)
    assert np.array_equal(held_out.indices, examples.split(0, 20)[1].indices)


def augmented(part=Part(), start=0, **amounts):
    image = np.zeros((32, 28, 28, 1), np.uint8)
    image[:, 10:18, 10:18] = 200
    square = InMemory(image, np.arange(32, dtype=np.int32))
    dataset = pipeline.train_blocks(
        square, seed=0, batch=16, start=start, blocks=[4 - start], part=part, augment=Augment(**amounts)
    )
    elements = [images for images, _ in dataset.as_numpy_iterator()]
    return np.concatenate(elements, axis=1).astype(np.float64)


def centres(images):
    grid = np.arange(28)
    total = images.sum((-3, -2, -1))
    return (images.sum((-2, -1)) * grid).sum(-1) / total, (images.sum((-3, -1)) * grid).sum(-1) / total


def test_augmentation_shifts_rotates_and_zooms_by_no_more_than_asked():
    y, x = centres(augmented(shift=3.0))
    for centre in (y, x):
        assert 2.0 < np.abs(centre - 13.5).max() <= 3.01
        assert abs(centre.mean() - 13.5) < 1.0
    mass = augmented(zoom=0.2).sum((-3, -2, -1)) / (200 * 64)
    assert 0.8**2 - 0.05 <= mass.min() < 0.8
    assert 1.2 < mass.max() <= 1.2**2 + 0.05
    rotated = augmented(rotate=45.0)
    assert np.abs(np.stack(centres(rotated)) - 13.5).max() < 0.1
    assert len({image.tobytes() for image in rotated.reshape(-1, 28, 28)}) == 64


def test_augmentation_is_the_same_for_any_split_and_start():
    amounts = {'shift': 2.0, 'rotate': 15.0, 'zoom': 0.1}
    whole = augmented(**amounts)
    halves = [augmented(part=Part(2, i, 1), **amounts) for i in range(2)]
    assert np.array_equal(np.concatenate(halves, axis=1), whole)
    assert np.array_equal(augmented(part=Part(2, 0, 2), **amounts), whole)
    assert np.array_equal(augmented(start=2, **amounts), whole[2:])


class Most:
    """A split of as many examples as are possible, in the order in which they are stored, without the memory for it."""

    count = checks.MOST_EXAMPLES

    def order(self, seed: int, epoch: int) -> 'Most':
        return self

    def __getitem__(self, some: slice) -> np.ndarray:
        return np.arange(some.start, min(some.stop, self.count), dtype=np.int32)

    def fetch(self, keys):
        return keys, keys

    def fetch_weights(self, keys, dtype: str) -> tuple:
        return ()


def test_the_most_examples_that_are_possible_are_each_trained_once_an_epoch():
    start, batch = 3 * Most.count // 1000, 1000  # the last step of the third epoch, in which the fourth begins
    (block,) = pipeline.train_blocks_at_once(Most(), seed=0, batch=batch, start=start, blocks=[2])
    expected = (start * batch + np.arange(2 * batch)) % Most.count
    assert np.array_equal(block[1].numpy().ravel(), expected)
    assert {0, Most.count - 1} <= {*expected.tolist()}
    assert pipeline.eval_block_count(Most(), batch=1000, steps=7) == 306_784


def test_one_example_more_is_refused():
    many = np.broadcast_to(np.zeros((), np.int8), Most.count + 1)
    with pytest.raises(UserError, match='2,147,483,648 examples in its train split: at most 2,147,483,647'):
        checks.check_count('mine', 'train', len(many))
    with pytest.raises(UserError, match='2,147,483,648 examples: at most 2,147,483,647'):
        Raw(many[:, np.newaxis], many, None)
