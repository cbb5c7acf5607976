"""Whatever a dataset is, the model sees its right numbers in [0, 1], or one line says why not."""

import contextlib
import dataclasses
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data_pipeline import pipeline, sources
from data_pipeline.augment import Augment
from data_pipeline.from_tfds import prepared
from data_pipeline.pipeline import Part
from seedwise.errors import UserError
from tests.data_pipeline import odd
from tests.helpers import run
from trainer.loop.scaling import scaled

F = tfds.features
COUNTS = {'train': 12, 'test': 7}
LIMITS = {'in memory': 4096, 'streamed': 0}


@dataclasses.dataclass(frozen=True)
class Images:
    """`top`: the largest pixel; `one`: what is 1 for the model; `refused`: what the line says if they are."""

    feature: object
    dtype: str
    top: float
    one: float
    refused: str = ''
    channels: int = 1
    nan: bool = False


IMAGES = {
    'uint8': Images(F.Image(shape=(4, 4, 1)), 'uint8', 255, 255),
    'uint8 RGBA': Images(F.Image(shape=(4, 4, 4), encoding_format='png'), 'uint8', 255, 255, channels=4),
    'uint16': Images(F.Image(shape=(4, 4, 1), dtype=np.uint16, encoding_format='png'), 'uint16', 65535, 65535),
    'float32': Images(F.Image(shape=(4, 4, 1), dtype=np.float32), 'float32', 1, 1),
    'float32 to 255': Images(
        F.Image(shape=(4, 4, 1), dtype=np.float32), 'float32', 255, 1, 'pixels from 0 to 255 in its train split'
    ),
    'NaN': Images(F.Image(shape=(4, 4, 1), dtype=np.float32), 'float32', 1, 1, 'pixels from 0 to 1 and NaN', nan=True),
    'int32': Images(F.Tensor(shape=(4, 4, 1), dtype=np.int32), 'int32', 255, 255, "'image' of type Tensor of int32"),
}

#: Name -> (feature that is declared, feature that it is written with, label of the last test example, what is refused).
LABELS = {
    'ok': (F.ClassLabel(num_classes=3), F.ClassLabel(num_classes=3), 2, ''),
    '-1': (F.ClassLabel(num_classes=3), F.ClassLabel(num_classes=3), -1, 'the label -1 in its test split'),
    'too large': (F.ClassLabel(num_classes=3), F.ClassLabel(num_classes=9), 3, 'the label 3 in its test split'),
    'one class': (F.ClassLabel(num_classes=1), F.ClassLabel(num_classes=9), 0, 'has one class: at least 2'),
    'text': (F.Text(), F.Text(), 'b', "'label' of type Text: it must be a tfds.features.ClassLabel"),
    'int64': (F.Scalar(np.int64), F.Scalar(np.int64), 2, "'label' of type Scalar of int64"),
}

#: What is checked first, if there are several reasons.
FIRST = ('int32', 'text', 'int64', 'one class', 'float32 to 255', 'NaN', '-1', 'too large')


def written(data_dir: Path, image: str, label: str) -> dict[str, np.ndarray]:
    """Writes the dataset 'mine', and returns the images of each split as they are stored."""
    kind = IMAGES[image]
    declared, encoded, last, _ = LABELS[label]
    stored, splits = {}, {}
    for split, count in COUNTS.items():
        stored[split] = odd.pictures(count, (4, 4, kind.channels), kind.dtype, kind.top, seed=count)
        if kind.nan:
            stored[split][3, 1, 1] = np.nan
        usual = {'text': 'a', 'one class': 0}.get(label)
        labels = [usual if usual is not None else i % 3 for i in range(count)]
        splits[split] = odd.examples(stored[split], [*labels[:-1], last] if split == 'test' else labels)
    features = F.FeaturesDict({'image': kind.feature, 'label': declared})
    odd.write(data_dir, 'mine', features, splits, written_as=F.FeaturesDict({'image': kind.feature, 'label': encoded}))
    return stored


def seen(dataset, split: str, *, augment: bool) -> np.ndarray:
    """Returns what the model is given of a split, [n, height, width, channels], in an order of its own."""
    examples = getattr(dataset, split)
    if split == 'train':
        blocks = pipeline.train_blocks(
            examples,
            seed=0,
            batch=4,
            start=0,
            blocks=[3],
            part=Part(),
            augment=Augment(shift=1e-9) if augment else None,
        )
        ((images, _),) = blocks
    else:
        ((images, _, mask),) = pipeline.eval_blocks(examples, batch=4, steps=9, part=Part())
        images = tf.boolean_mask(images, mask)[tf.newaxis]
    return scaled(images, 'float32').numpy().reshape(-1, *images.shape[2:])


def in_one_order(images: np.ndarray) -> np.ndarray:
    return np.array(sorted(images.reshape(len(images), -1).tolist()))


#: Each image with labels that are right, and each label with images that are; the others are slow.
PAIRS = [
    pair if pair[0] == 'uint8' or pair[1] == 'ok' else pytest.param(*pair, marks=pytest.mark.slow)
    for pair in itertools.product(IMAGES, LABELS)
]


@pytest.mark.parametrize(('image', 'label'), PAIRS)
def test_the_model_sees_the_right_numbers_or_one_line_says_why_not(tmp_path, image, label):
    stored = written(tmp_path, image, label)
    refused = [IMAGES[image].refused, LABELS[label][-1]]
    reason = next((refused[key in LABELS] for key in FIRST if key in (image, label)), '')
    lines = set()
    for mode, limit in LIMITS.items():
        if reason:
            with pytest.raises(UserError, match="^dataset 'mine' .*") as caught:
                sources.load(sources.locate('mine', str(tmp_path)), memory_limit_mb=limit)
            lines.add(str(caught.value))
            continue
        dataset = sources.load(sources.locate('mine', str(tmp_path)), memory_limit_mb=limit)
        assert dataset.train.image_bytes == 16 * IMAGES[image].channels * (1 if image.startswith('uint8') else 4)
        images = stored['train'].astype(np.float64) / IMAGES[image].one
        for mine, numpys in zip(dataset.train.moments, (images.mean((0, 1, 2)), images.std((0, 1, 2))), strict=True):
            assert np.abs(mine - numpys).max() <= 1e-6, mode
        assert dataset.train.class_counts(3).tolist() == np.bincount(np.arange(COUNTS['train']) % 3).tolist(), mode
        for split, augment in (('train', False), ('train', True), ('test', False)):
            numbers = in_one_order(seen(dataset, split, augment=augment))
            expected = in_one_order(stored[split].astype(np.float32) / np.float32(IMAGES[image].one))
            assert numbers.min() == 0
            assert numbers.max() == 1
            assert np.abs(numbers - expected).max() <= 1e-6, (mode, augment)
    if reason:
        (line,) = lines
        assert reason in line


def test_each_of_the_65536_numbers_of_uint16_is_the_same_in_memory_and_streamed(tmp_path):
    image = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    features = F.FeaturesDict({'image': IMAGES['uint16'].feature, 'label': F.ClassLabel(num_classes=3)})
    declared = F.Image(shape=(256, 256, 1), dtype=np.uint16, encoding_format='png')
    features = F.FeaturesDict({'image': declared, 'label': F.ClassLabel(num_classes=3)})
    odd.write(tmp_path, 'mine', features, dict.fromkeys(COUNTS, odd.examples([image], [1])))
    for limit in (0, 4096):
        test = sources.load(sources.locate('mine', str(tmp_path)), memory_limit_mb=limit).test
        ((images, _, _),) = pipeline.eval_blocks(test, batch=1, steps=1, part=Part())
        assert np.array_equal(images.numpy().ravel(), np.arange(65536, dtype=np.float32) / np.float32(65535))


LATE = {
    'label -1': (IMAGES['uint8'], -1, 'the label -1 in its train split: labels of its 3 classes must be from 0 to 2'),
    'label too large': (IMAGES['uint8'], 7, 'the label 7 in its train split'),
    'pixels of 255': (IMAGES['float32'], 255.0, 'pixels from 0 to 255 in its train split'),
    'negative pixels': (IMAGES['float32'], -0.5, 'pixels from -0.5 to 1 in its train split'),
    'infinite pixels': (IMAGES['float32'], np.inf, 'pixels from 0 to inf in its train split'),
    'NaN': (IMAGES['float32'], np.nan, 'pixels from 0 to 1 and NaN in its train split'),
    'a larger image': (IMAGES['uint8'], 'image', 'images of several sizes, (5, 5, 1) and (4, 4, 1)'),
}


def written_late(data_dir: Path, case: str) -> None:
    """Writes the dataset 'mine', the last training example of which is what the case says: loading looks at 100."""
    kind, harm, _ = LATE[case]
    images = list(odd.pictures(120, (4, 4, 1), kind.dtype, kind.top))
    labels = [i % 3 for i in range(120)]
    if harm == 'image':
        images[-1] = tf.io.encode_png(odd.pictures(1, (5, 5, 1), 'uint8', 255)[0]).numpy()
    elif case.startswith('label'):
        labels[-1] = harm
    else:
        images[-1][2, 2] = harm
    features = F.FeaturesDict({'image': kind.feature, 'label': F.ClassLabel(num_classes=3)})
    splits = {'train': odd.examples(images, labels), 'test': odd.examples(images[:9], labels[:9])}
    written_as = F.FeaturesDict({'image': kind.feature, 'label': F.ClassLabel(num_classes=9)})
    odd.write(data_dir, 'mine', features, splits, written_as=written_as)


@pytest.mark.parametrize('case', LATE)
def test_what_is_met_late_in_a_stream_is_the_same_line_as_in_memory(tmp_path, case):
    written_late(tmp_path, case)
    location = sources.locate('mine', str(tmp_path))
    with pytest.raises(UserError) as in_memory:
        sources.load(location)
    dataset = sources.load(location, memory_limit_mb=0)
    assert LATE[case][-1] in str(in_memory.value)
    for read in (
        lambda: pipeline.train_blocks(dataset.train, seed=0, batch=40, start=0, blocks=[3], part=Part()),
        lambda: pipeline.eval_blocks(dataset.train, batch=40, steps=3, part=Part()),
        lambda: pipeline.train_blocks(
            dataset.train, seed=0, batch=40, start=0, blocks=[3], part=Part(), augment=Augment(shift=1.0)
        ),
    ):
        with pytest.raises(UserError) as streamed, prepared.errors_explained(location):
            list(read())
        assert str(streamed.value) == str(in_memory.value)


TWO_REPLICAS = ['--config.replicas=2', '--config.tensorboard.enabled=false']


@pytest.mark.parametrize('more', [[], pytest.param(TWO_REPLICAS, marks=pytest.mark.slow)], ids=str)
def test_a_run_on_a_stream_with_a_wrong_label_ends_with_that_line(tmp_path, more):
    """In processes of their own, since replicas of a CPU are made when TensorFlow starts. Slow with two of them."""
    written_late(tmp_path, 'label -1')
    arguments = ['--config=configs/mlp_adam.py', '--config.data.name=mine', f'--config.data.data_dir={tmp_path}']
    said = run(tmp_path / 'run', *arguments, '--config.data.memory_limit_mb=0', '--config.epochs=1', *more, code=2)
    (line,) = said['stderr'].splitlines()
    assert line.startswith("error: dataset 'mine' has the label -1 in its train split")


@pytest.mark.parametrize(
    'image', ['uint16', *(pytest.param(i, marks=pytest.mark.slow) for i in ('float32', 'uint8 RGBA'))]
)
def test_a_run_learns_from_images_that_are_not_uint8_and_shows_them(tmp_path, image):
    """Augmented and streamed, in this process: the board shows what is wrong as PNG, which has 8 bits.

    Slow for the others: each compiles a run, and how they are read the tests above say.
    """
    from configs import default
    from trainer.train import evaluate, train

    kind = IMAGES[image]
    labels = np.arange(90) % 3
    images = odd.pictures(90, (4, 4, kind.channels), kind.dtype, kind.top) // 4
    for i, label in enumerate(labels):
        images[i, label] = kind.top
    if kind.channels == 1 and kind.dtype == 'float32':
        images = images.clip(0, 1)
    features = F.FeaturesDict({'image': kind.feature, 'label': F.ClassLabel(num_classes=3)})
    split = odd.examples(images, labels)
    odd.write(tmp_path, 'mine', features, {'train': split[:60], 'test': split[60:]})
    config = default.get_config()
    config.data.name, config.data.data_dir, config.data.memory_limit_mb = 'mine', str(tmp_path), 0
    config.data.augment.shift, config.epochs, config.global_batch_size = 0.2, 30, 20
    config.model.name, config.model.hidden = 'mlp', ()
    config.optimizer.name, config.optimizer.learning_rate = 'Adam', 0.02
    location = sources.locate('mine', str(tmp_path))
    result = train(config, location, tmp_path / 'run', show=False)
    assert result['test']['accuracy'] > 0.9
    assert list((tmp_path / 'run' / 'tensorboard' / 'test').iterdir())
    (tmp_path / 'run' / 'config.json').write_text('{}')
    assert evaluate(config, location, tmp_path / 'run')['test']['loss'] == pytest.approx(result['test']['loss'])


def small(**features) -> F.FeaturesDict:
    return F.FeaturesDict({'image': F.Image(shape=(4, 4, 1)), 'label': F.ClassLabel(num_classes=3)} | features)


def load_small(data_dir: Path, features, more=None, *, keys=(), splits=('train', 'test'), counts=(5, 1)):
    """Writes the dataset 'mine' of a few examples with `features`, of which `more` are values, and loads it."""
    images = odd.pictures(max(counts), (4, 4, 1), 'uint8', 255)
    rows = [example | (more or {}) for example in odd.examples(images, np.arange(max(counts)) % 3)]
    odd.write(data_dir, 'mine', features, {s: rows[:n] for s, n in zip(splits, counts, strict=True)}, keys=keys)
    return sources.load(sources.locate('mine', str(data_dir)))


def test_without_supervised_keys_the_only_image_and_the_only_label_are_taken(tmp_path):
    """As `store_as_tfds_dataset` leaves it."""
    dataset = load_small(tmp_path, small(id=F.Text()), {'id': 'x'})
    assert (dataset.train.count, dataset.test.count, dataset.image_shape) == (5, 1, (4, 4, 1))


def test_a_dataset_of_store_as_tfds_dataset_is_read(tmp_path):
    images = odd.pictures(6, (4, 4, 1), 'uint8', 255)
    rows = odd.examples(images, np.arange(6) % 3)
    tfds.dataset_builders.store_as_tfds_dataset(
        'mine', '1.0.0', small(), dict.fromkeys(COUNTS, list(enumerate(rows))), data_dir=str(tmp_path)
    )
    assert sources.load(sources.locate('mine', str(tmp_path))).train.count == 6


PIXELS = np.zeros((4, 4, 1), np.uint8)
REFUSED = {
    'two images': (
        small(mask=F.Image(shape=(4, 4, 1))),
        {'mask': PIXELS},
        {},
        ('image: Image of uint8', 'mask: Image of uint8', 'label: ClassLabel', 'exactly one'),
    ),
    'two labels': (small(fine=F.ClassLabel(num_classes=2)), {'fine': 0}, {}, ('fine: ClassLabel', 'exactly one')),
    'keys of other features': (small(id=F.Text()), {'id': 'x'}, {'keys': ('image', 'id')}, ("'id' of type Text",)),
    'no test split': (small(), {}, {'splits': ('train', 'validation')}, ('no test split', 'has train, validation')),
    'an empty test split': (small(), {}, {'counts': (5, 0)}, ('no examples in its test split',)),
    'no training examples': (small(), {}, {'counts': (0, 5)}, ('no examples in its train split',)),
    'any size': (
        F.FeaturesDict({'image': F.Image(shape=(None, None, 1)), 'label': F.ClassLabel(num_classes=3)}),
        {},
        {},
        ('images of several sizes, (None, None, 1)',),
    ),
}


@pytest.mark.parametrize('case', REFUSED)
def test_a_dataset_of_another_form_is_refused_with_the_true_reason(tmp_path, case):
    features, more, options, words = REFUSED[case]
    with pytest.raises(UserError) as caught:
        load_small(tmp_path, features, more, **options)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_label_without_a_number_of_classes_is_refused(tmp_path):
    with contextlib.suppress(UserError):
        load_small(tmp_path, small(), counts=(5, 0))
    path = tmp_path / 'mine' / '1.0.0' / 'features.json'
    noted = json.loads(path.read_text())
    del noted['featuresDict']['features']['label']['classLabel']['numClasses']
    path.write_text(json.dumps(noted))
    with pytest.raises(UserError, match='does not say how many classes'):
        sources.load(sources.locate('mine', str(tmp_path)))


def test_one_pixel_and_a_handful_of_examples_are_a_dataset(tmp_path):
    features = F.FeaturesDict({'image': F.Image(shape=(1, 1, 1)), 'label': F.ClassLabel(num_classes=2)})
    rows = odd.examples(odd.pictures(5, (1, 1, 2), 'uint8', 255)[..., :1], [0, 1, 0, 1, 0])
    odd.write(tmp_path, 'mine', features, {'train': rows, 'test': rows[:1]})
    for limit in (0, 4096):
        dataset = sources.load(sources.locate('mine', str(tmp_path)), memory_limit_mb=limit)
        ((images, labels),) = pipeline.train_blocks(dataset.train, seed=0, batch=8, start=0, blocks=[1], part=Part())
        assert images.shape == (1, 8, 1, 1, 1)
        assert np.bincount(labels.numpy().ravel()).sum() == 8


def test_files_that_are_no_records_are_named_as_what_they_are(tmp_path):
    with contextlib.suppress(UserError):
        load_small(tmp_path, small(), counts=(5, 0))
    path = tmp_path / 'mine' / '1.0.0' / 'dataset_info.json'
    path.write_text(path.read_text().replace('"tfrecord"', '"array_record"'))
    with pytest.raises(UserError, match='stored as array_record: it must be tfrecord'):
        sources.load(sources.locate('mine', str(tmp_path)))


DAMAGE = ('dataset_info.json', 'features.json', 'cut', 'empty', 'missing', 'image')


@pytest.mark.parametrize('damage', DAMAGE)
@pytest.mark.parametrize('limit', [0, 4096], ids=['streamed', 'in memory'])
def test_damaged_data_of_ones_own_are_named_and_never_to_be_deleted(tmp_path, damage, limit):
    features, rows = small(), odd.examples(odd.pictures(40, (4, 4, 1), 'uint8', 255), np.arange(40) % 3)
    if damage == 'image':
        rows[20]['image'] = b'no image'
    folder = odd.write(tmp_path, 'mine', features, {'train': rows, 'test': rows[:3]})
    file = folder / damage if damage.endswith('json') else folder / 'mine-train.tfrecord-00000-of-00001'
    if damage == 'missing':
        file.unlink()
    elif damage != 'image':
        os.truncate(file, 0 if damage == 'empty' else file.stat().st_size - 30)

    def read():
        location = sources.locate('mine', str(tmp_path))
        with prepared.errors_explained(location):
            dataset = sources.load(location, memory_limit_mb=limit)
            list(pipeline.train_blocks(dataset.train, seed=0, batch=20, start=0, blocks=[2], part=Part()))

    with pytest.raises(UserError) as caught:
        read()
    line = str(caught.value)
    assert f"'mine' in {folder} is damaged, {file.name} cannot be read: make it again from its source" in line
    assert 'delete' not in line
