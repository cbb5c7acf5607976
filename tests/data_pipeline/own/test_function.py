"""A function of the user's own as data: what it may return, in memory and in the store, and what is refused."""

import numpy as np
import pytest

from data_pipeline import sources
from seedwise.errors import UserError
from tests.data_pipeline.own.reading import load, refusal

FUNCTIONS = """
import numpy as np
import tensorflow as tf

def arrays(data_dir, count=20):
    x = np.arange(count * 4, dtype='float32').reshape(count, 4) / (count * 4)
    return {'train': (x, np.arange(count) % 2), 'test': (x[:4], [0, 1, 0, 1])}

def stream(data_dir):
    x = np.zeros((6, 8, 8, 3), 'uint8')
    return {'train': tf.data.Dataset.from_tensor_slices((x, np.arange(6) % 3))}

def many(data_dir, form='known', low=-40):
    '''40 examples of int16, of which the last weigh more, and 8 of int8; text as labels.'''
    x = (np.arange(40 * 12).reshape(40, 3, 4) % 97 + low).astype('int16')
    y, w = np.array(['no', 'yes'])[np.arange(40) % 2], np.arange(40) / 8
    splits = {'train': (x, y, w), 'test': (x[:8].astype('int8'), y[:8])}
    if form == 'known':
        return {name: tf.data.Dataset.from_tensor_slices(split) for name, split in splits.items()}
    if form == 'unknown':
        kinds = tf.TensorSpec(None, tf.int16), tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.float64)
        made = tf.data.Dataset.from_generator(lambda: zip(x, y, w), output_signature=kinds)
        return splits | {'train': made.shuffle(40, seed=3) if low == 0 else made}
    if form == 'memmap':
        np.save(data_dir + '/x.npy', x)
        return splits | {'train': (np.load(data_dir + '/x.npy', mmap_mode='r'), y, w)}
    return splits

def shuffled(data_dir):
    return {'train': tf.data.Dataset.range(5000).map(lambda i: (tf.fill([4], i), i % 2)).shuffle(5000)}

def uneven(data_dir): return {'train': ([[1.0, 2.0], [3.0]], [0, 1])}
def endless(data_dir): return {'train': tf.data.Dataset.range(5).map(lambda i: (tf.fill([4], i), i % 2)).repeat()}
def sizes(data_dir):
    kinds = tf.TensorSpec([None, 3]), tf.TensorSpec([], tf.int32)
    rows = [(np.zeros((1 + i // 300, 3)), i % 2) for i in range(700)]
    return {'train': tf.data.Dataset.from_generator(lambda: rows, output_signature=kinds)}

def weighed(data_dir, weight):
    x = np.zeros((6, 4), 'float32')
    return {'train': (x, [0, 1] * 3, [1.0, weight, 0, 0, 0, 0]), 'test': (x, [0, 1] * 3, [-1] * 6)}

def infinite(data_dir):
    return {'train': tf.data.Dataset.range(1200).map(lambda i: (tf.fill([4], 1 / (i - 1100)), i % 2))}

def nothing(data_dir): return None
def one(data_dir): return {'train': np.zeros(3)}
def batched(data_dir): return {'train': tf.data.Dataset.from_tensor_slices((np.zeros((3, 2)), [0, 1, 0])).batch(2)}
def raises(data_dir): return open(data_dir + '/missing.bin')
"""


class TestFunction:
    @pytest.fixture
    def file(self, tmp_path):
        (tmp_path / 'mine.py').write_text(FUNCTIONS)
        return f'{tmp_path}/mine.py'

    def test_arrays_and_tf_data(self, file, tmp_path):
        data = load(f'{file}:arrays', tmp_path, count=30)
        assert (data.name, data.train.count, data.test.count, data.image_shape) == ('arrays', 30, 4, (4,))
        assert not data.unscaled
        data = load(f'{file}:stream', tmp_path)
        assert (data.image_shape, data.classes, data.train.count, data.test.count) == ((8, 8, 3), 3, 3, 3)

    @pytest.mark.parametrize('low', [-40, 0])  # 0: numbers from 0 to 96, which are pixels
    def test_what_does_not_fit_is_put_into_the_store_and_is_the_same(self, file, tmp_path, low):
        whole, *streamed = (
            load(f'{file}:many', tmp_path, 10, memory_limit_mb=limit, form=form, low=low)
            for limit, form in ((1, 'known'), (0, 'known'), (0, 'arrays'), (0, 'memmap'))
        )
        by_place = np.arange(48, dtype=np.int32)
        for other in streamed:
            assert type(other.train) is not type(whole.train)
            assert (other.image_shape, other.classes, other.unscaled) == ((3, 4, 1), 2, low < 0)
            assert other.train.indices.tolist() == whole.train.indices.tolist()
            assert (other.train.weights == [*np.arange(40) / 8, *[1] * 8]).all()
            for mine, its in zip(whole.train.fetch(by_place), other.train.fetch(by_place), strict=True):
                assert mine.dtype == its.dtype
                assert (mine.numpy() == its.numpy()).all()
            for mine, its in zip(whole.train.moments, other.train.moments, strict=True):
                assert (mine == its).all()
        assert whole.fingerprint == streamed[0].fingerprint

    def test_the_store_is_found_again_and_not_for_other_data(self, file, tmp_path, capfd):
        def made(limit=0, **options):
            sources.assemble._read.cache_clear()
            load(f'{file}:many', tmp_path, memory_limit_mb=limit, form='unknown', **options)
            return len([*(tmp_path / 'own').glob('*/inputs.npy')])

        assert [made(limit=1), made(), made(), made(low=0), made(low=0)] == [0, 1, 1, 2, 2]
        assert capfd.readouterr().err.count('preparing many') == 2
        assert not [*(tmp_path / 'own').glob('.*/*')]

    @pytest.mark.parametrize('weight', [-1.0, np.nan, np.inf, 0.0])
    def test_sample_weights_that_are_refused(self, file, tmp_path, weight):
        (tmp_path / 'mine.py').write_text(FUNCTIONS.replace('[1.0, weight', '[weight, weight'))
        said = refusal(f'{file}:weighed', tmp_path, weight=float(weight))
        assert 'has only sample weights of 0' in said or f'sample weight {weight:g} in example 0 (from 0)' in said

    def test_the_weights_of_a_test_split_are_not_looked_at(self, file, tmp_path):
        notes = load(f'{file}:weighed', tmp_path, weight=0.5).notes
        assert notes == (
            'each training example has its sample weight in the training loss; evaluation counts each once',
        )

    @pytest.mark.parametrize(
        ('name', 'words'),
        [
            ('shuffled', 'returned other examples when it was called again: they must depend on its arguments alone'),
            ('endless', 'endless, train: it has no end: leave out repeat()'),
            ('sizes', 'sizes, train: its examples must be (input, label), all of one shape'),
            ('infinite', "dataset 'infinite' has a number that is not finite in example 1,100 (from 0)"),
        ],
    )
    def test_what_is_refused_where_it_does_not_fit(self, file, tmp_path, name, words):
        with pytest.raises(UserError) as error:
            load(f'{file}:{name}', tmp_path, memory_limit_mb=0)
        assert words in str(error.value)
        assert not [*(tmp_path / 'own').glob('*/*')]

    @pytest.mark.parametrize(
        ('name', 'words'),
        [
            ('nothing', 'nothing returned NoneType: it must return'),
            ('one', 'one, train is ndarray: it must be (inputs, labels)'),
            ('batched', 'batched, train: its examples must be (input, label), all of one shape'),
            ('uneven', 'uneven, train: inputs: no array can be made of list'),
            ('raises', 'FileNotFoundError'),
        ],
    )
    def test_what_is_refused(self, file, tmp_path, name, words):
        assert words in refusal(f'{file}:{name}', tmp_path)
