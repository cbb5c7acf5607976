"""Each form of a user's own data that is a file or a folder: what is read, and what is refused in which words."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from data_pipeline import sources
from tests.data_pipeline.own.reading import load, refusal


def save(path, pixels, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **how)


@pytest.fixture
def folder(tmp_path):
    """A folder of 2 classes in 2 splits, 3 images of 4x6 each, of one grey; the last digit of the grey is its place."""
    for split, first in (('train', 100), ('test', 200)):
        for number, name in enumerate(('cat', 'dog')):
            for i in range(3):
                grey = np.full((4, 6), first + 10 * number + i, np.uint8)
                save(tmp_path / 'pets' / split / name / f'{i}.png', grey)
    return tmp_path / 'pets'


def images(part) -> np.ndarray:
    return np.asarray(part.images)[part.indices]


class TestFolder:
    def test_splits_classes_and_pixels(self, folder, tmp_path):
        data = load(f'folder:{folder}', tmp_path)
        assert (data.name, data.image_shape, data.classes, data.class_names) == ('pets', (4, 6, 1), 2, ('cat', 'dog'))
        assert images(data.train)[:, 0, 0, 0].tolist() == [100, 101, 102, 110, 111, 112]
        assert images(data.test)[:, 0, 0, 0].tolist() == [200, 201, 202, 210, 211, 212]
        assert data.train.labels[data.train.indices].tolist() == [0, 0, 0, 1, 1, 1]
        assert data.notes == ()

    def test_one_folder_holds_out_a_test_split_that_no_seed_changes(self, folder, tmp_path):
        first = load(f'folder:{folder / "train"}', tmp_path, test_share=0.5)
        again = load(f'folder:{folder / "train"}', tmp_path / 'elsewhere', test_share=0.5)
        assert sorted(first.test.labels[first.test.indices].tolist()) in ([0, 0, 1], [0, 1, 1])
        assert first.test.indices.tolist() == again.test.indices.tolist()
        assert not {*first.test.indices.tolist()} & {*first.train.indices.tolist()}
        assert first.notes == (
            'train has no test split: 3 of its 6 examples are held out as one, the same for every seed',
        )

    def test_several_sizes_need_a_common_one(self, folder, tmp_path):
        save(folder / 'train' / 'cat' / 'large.png', np.zeros((8, 6), np.uint8))
        assert '2 sizes, such as 4x6 and 8x6' in refusal(f'folder:{folder}', tmp_path)
        assert '--config.data.options.resize="(4, 6)"' in refusal(f'folder:{folder}', tmp_path)
        assert load(f'folder:{folder}', tmp_path, resize=(2, 3)).image_shape == (2, 3, 1)

    def test_modes_of_images(self, folder, tmp_path):
        """16 bits become 8, transparency is laid on black, palettes become colours, and EXIF turns."""
        cats = folder / 'train' / 'cat'
        save(cats / 'a16.png', Image.fromarray(np.full((4, 6), 257 * 7, np.uint16)))
        assert images(load(f'folder:{folder}', tmp_path).train)[3, 0, 0, 0] == 7
        save(cats / 'b.png', np.dstack([np.full((4, 6, 3), 200, np.uint8), np.full((4, 6), 51, np.uint8)]))
        palette = Image.fromarray(np.full((4, 6), 1, np.uint8)).convert('P')
        palette.putpalette([0, 0, 0, 10, 20, 30])
        save(cats / 'c.png', palette)
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter
        tall = np.zeros((6, 4, 3), np.uint8)
        tall[:3] = 255
        save(cats / 'd.png', tall, exif=exif)
        data = load(f'folder:{folder}', tmp_path)
        assert data.image_shape == (4, 6, 3)
        assert 'images of 16 bits were read as 8' in data.notes
        _, _, _, sixteen, clear, colours, turned = images(data.train)[:7]
        assert sixteen[0, 0].tolist() == [7, 7, 7]
        assert clear[0, 0].tolist() == [40, 40, 40]
        assert colours[0, 0].tolist() == [10, 20, 30]
        assert turned[:, :3].max() == 0
        assert turned[:, 3:].min() == 255

    def test_what_cannot_be_read_is_named(self, folder, tmp_path):
        whole = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole, 'JPEG')
        cats = folder / 'train' / 'cat'
        (cats / 'empty.png').write_bytes(b'')
        assert f'{cats / "empty.png"} cannot be read: it is empty; replace or' in refusal(f'folder:{folder}', tmp_path)
        (cats / 'text.jpg').write_bytes(b'no image')
        (cats / 'cut.jpg').write_bytes(whole.getvalue()[:-500])
        said = refusal(f'folder:{folder}', tmp_path, resize=(4, 6))
        assert 'and 1 more such file' in said
        (cats / 'text.jpg').unlink()
        (cats / 'empty.png').unlink()
        assert f'{cats / "cut.jpg"} cannot be read: ' in refusal(f'folder:{folder}', tmp_path, resize=(4, 6))

    def test_a_class_that_is_missing_is_said(self, folder, tmp_path):
        save(folder / 'test' / 'emu' / '1.png', np.zeros((4, 6), np.uint8))
        (folder / 'train' / 'fox').mkdir()
        (folder / 'train' / 'cat' / 'notes.txt').write_text('a note')
        data = load(f'folder:{folder}', tmp_path)
        assert data.class_names == ('cat', 'dog', 'emu')
        assert set(data.notes) == {
            'train has 1 file that is not an image',
            "class 'fox' has no image in train",
            "class 'emu' is only in the test split: no model can learn it",
        }

    def test_an_empty_folder_and_one_class(self, folder, tmp_path):
        (tmp_path / 'none').mkdir()
        assert 'no folder for a class' in refusal(f'folder:{tmp_path / "none"}', tmp_path)
        save(tmp_path / 'one' / 'cat' / '1.png', np.zeros((4, 6), np.uint8))
        assert "has one class, 'cat': at least 2" in refusal(f'folder:{tmp_path / "one"}', tmp_path)

    def test_names_and_options_have_near_ones(self, folder, tmp_path):
        assert f"Did you mean '{folder}'" in refusal(f'folder:{tmp_path / "pet"}', tmp_path)
        (tmp_path / 'pets.py').touch()
        assert refusal(f'{tmp_path / "pets.csv"}', tmp_path) == f'data.name: {tmp_path / "pets.csv"} does not exist'
        assert 'is not a folder of this machine' in refusal('folder:s3://bucket/pets', tmp_path)
        assert "'resise'" in refusal(f'folder:{folder}', tmp_path, resise=(4, 6))
        assert "Did you mean 'resize'" in refusal(f'folder:{folder}', tmp_path, resise=(4, 6))
        assert 'above 0 and below 1' in refusal(f'folder:{folder}', tmp_path, test_share=1.5)
        assert 'it must be (height, width)' in refusal(f'folder:{folder}', tmp_path, resize=(4,))

    def test_the_store_is_made_once_and_mended(self, folder, tmp_path):
        load(f'folder:{folder}', tmp_path)
        [stored] = (tmp_path / 'own').glob('*/inputs.npy')
        made = stored.stat().st_mtime_ns
        sources.assemble._read.cache_clear()
        load(f'folder:{folder}', tmp_path)
        assert stored.stat().st_mtime_ns == made
        stored.write_bytes(b'torn')
        sources.assemble._read.cache_clear()
        assert images(load(f'folder:{folder}', tmp_path).train)[0, 0, 0, 0] == 100

    def test_the_place_of_the_data_does_not_count_and_their_content_does(self, folder, tmp_path):
        before = load(f'folder:{folder}', tmp_path).fingerprint
        moved = folder.rename(tmp_path / 'moved')
        assert load(f'folder:{moved}', tmp_path).fingerprint == before
        save(moved / 'test' / 'dog' / '3.png', np.zeros((4, 6), np.uint8))
        assert load(f'folder:{moved}', tmp_path).fingerprint != before


class TestArrays:
    def test_npz_of_two_splits(self, tmp_path):
        x, y = np.arange(48, dtype=np.uint8).reshape(3, 4, 4), np.array([1, 2, 1])
        np.savez(tmp_path / 'a.npz', x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
        data = load(f'{tmp_path}/a.npz', tmp_path)
        assert (data.image_shape, data.class_names) == ((4, 4, 1), ('1', '2'))
        assert (images(data.train)[..., 0] == x).all()
        assert data.test.labels[data.test.indices].tolist() == [0, 1]
        assert data.notes == ('labels go from 1 to 2: class 1 is the first',)

    def test_one_hot_labels_text_and_floats(self, tmp_path):
        x = np.linspace(-3, 5, 40).reshape(10, 4)
        np.savez(tmp_path / 'hot.npz', x=x, y=np.eye(2)[[0, 1] * 5])
        data = load(f'{tmp_path}/hot.npz', tmp_path)
        assert (data.image_shape, data.classes, data.unscaled, data.train.count, data.test.count) == (
            (4,),
            2,
            True,
            8,
            2,
        )
        np.savez(tmp_path / 'text.npz', x=x, y=np.array(['ok', 'bad'] * 5))
        assert load(f'{tmp_path}/text.npz', tmp_path).class_names == ('bad', 'ok')

    def test_npy_is_read_where_it_lies_and_streams(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 65535, (50, 6, 5, 3), np.uint16)
        np.save(tmp_path / 'x.npy', x)
        np.save(tmp_path / 'y.npy', np.arange(50) % 3)
        whole, streamed = (
            load(f'{tmp_path}/x.npy', tmp_path, memory_limit_mb=limit, labels=f'{tmp_path}/y.npy') for limit in (100, 0)
        )
        assert type(streamed.train) is not type(whole.train)
        keys = np.array([[3, 1], [4, 4]], np.int32)
        for one, other in zip(whole.train.fetch(keys), streamed.train.fetch(keys), strict=True):
            assert one.shape == other.shape
            assert (one.numpy() == other.numpy()).all()
        for one, other in zip(whole.train.moments, streamed.train.moments, strict=True):
            assert np.allclose(one, other, rtol=1e-6)
        assert whole.fingerprint == streamed.fingerprint

    def test_sample_weights_of_arrays(self, tmp_path):
        x, y, w = np.zeros((6, 4)), np.arange(6) % 2, np.arange(6.0)
        np.savez(tmp_path / 'one.npz', x=x, y=y, sample_weight=w)
        two = {'x_train': x, 'y_train': y, 'x_test': x[:2], 'y_test': y[:2], 'sample_weight_train': w[:, np.newaxis]}
        np.savez(tmp_path / 'two.npz', **two)
        for name, array in {'x': x, 'y': y, 'w': w}.items():
            np.save(tmp_path / f'{name}.npy', array)
        files = {'labels': f'{tmp_path}/y.npy', 'weights': f'{tmp_path}/w.npy'}
        one, split = (load(f'{tmp_path}/{name}.npz', tmp_path) for name in ('one', 'two'))
        for data in (one, load(f'{tmp_path}/x.npy', tmp_path, **files)):
            assert data.train.weights.tolist() == w.tolist()
        assert split.train.weights.tolist() == [*w, 1, 1]
        np.savez(tmp_path / 'bad.npz', x=x, y=y, sample_weight=w[:3])
        assert 'it must be one number for each of the 6 examples' in refusal(f'{tmp_path}/bad.npz', tmp_path)

    def test_moments_are_those_of_the_training_part(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 255, (40, 6, 5, 3), np.uint8)
        np.savez(tmp_path / 'a.npz', x=x, y=np.arange(40) % 2)
        part = load(f'{tmp_path}/a.npz', tmp_path, validation=10).train
        mean, deviation = part.moments
        assert np.allclose(mean, (x[part.indices] / 255).mean((0, 1, 2)))
        assert np.allclose(deviation, (x[part.indices] / 255).std((0, 1, 2)))

    @pytest.mark.parametrize(
        ('arrays', 'words'),
        [
            ({'a': np.zeros(3)}, 'has the arrays a: it must have x_train and y_train'),
            ({'x': np.zeros((4, 3)), 'y': np.zeros(3)}, 'has 3 labels for 4 examples'),
            ({'x': np.zeros((4, 3)), 'y': np.array([0.5, 1, 2, 3])}, 'has the label 0.5: labels must be whole'),
            ({'x': np.full((4, 3), np.nan), 'y': np.array([0, 1, 0, 1])}, 'not finite in example 0'),
            ({'x': np.zeros((4, 3, 32, 32)), 'y': np.array([0, 1, 0, 1])}, 'the channels must come last'),
            ({'x': np.zeros((3, 3)), 'y': np.array([0, 0, 1])}, "one example of class '1', and no test split"),
            ({'x': np.array([[None]], object), 'y': np.zeros(1)}, 'it holds Python objects'),
            (
                {'x_train': np.zeros((2, 3)), 'y_train': [0, 1], 'x_test': np.zeros((2, 4)), 'y_test': [0, 1]},
                'shape (3,)',
            ),
        ],
    )
    def test_what_is_refused(self, tmp_path, arrays, words):
        np.savez(tmp_path / 'bad.npz', **arrays)
        assert words in refusal(f'{tmp_path}/bad.npz', tmp_path)

    def test_a_file_that_is_none(self, tmp_path):
        (tmp_path / 'bad.npz').write_bytes(b'PK nothing')
        assert 'bad.npz cannot be read: ' in refusal(f'{tmp_path}/bad.npz', tmp_path)
        np.save(tmp_path / 'x.npy', np.zeros((2, 3)))
        assert 'name the file of their labels in data.options.labels' in refusal(f'{tmp_path}/x.npy', tmp_path)

    def test_labels_with_a_gap_are_said(self, tmp_path):
        np.savez(tmp_path / 'gap.npz', x=np.zeros((6, 3)), y=np.array([0, 0, 3, 3, 1, 1]))
        notes = load(f'{tmp_path}/gap.npz', tmp_path).notes
        assert notes[0] == 'labels go from 0 to 3, and 2 does not occur: there are 3 classes'


class TestTable:
    def table(self, tmp_path, text: str) -> str:
        (tmp_path / 't.csv').write_text(text)
        return f'{tmp_path}/t.csv'

    def test_numbers_and_a_label(self, tmp_path):
        rows = ''.join(f'{i},{i / 2},{"yes" if i % 2 else "no"}\n' for i in range(10))
        data = load(self.table(tmp_path, f'a,b,Target\n{rows}'), tmp_path)
        assert (data.image_shape, data.class_names, data.unscaled) == ((2,), ('no', 'yes'), True)
        assert images(data.train)[:, 0].tolist() == data.train.indices.tolist()

    def test_digits_as_they_are_handed_on(self, tmp_path):
        """label,pixel0,pixel1...: an image where the pixels are a square."""
        header = ','.join(['label', *(f'pixel{i}' for i in range(9))])
        rows = ''.join(','.join(map(str, [i % 2, *range(i, i + 9)])) + '\n' for i in range(10))
        data = load(self.table(tmp_path, f'{header}\n{rows}'), tmp_path)
        assert data.image_shape == (3, 3, 1)
        assert data.train.images.dtype == np.uint8
        assert data.notes[0] == 'the 9 columns are read as images of 3x3x1'
        assert load(self.table(tmp_path, f'{header}\n{rows}'), tmp_path, shape=(1, 3, 3)).image_shape == (1, 3, 3)

    def test_a_second_file_is_the_test_split(self, tmp_path):
        (tmp_path / 'more.csv').write_text('a,y\n1,0\n2,1\n')
        name = self.table(tmp_path, 'a,y\n1,0\n2,1\n3,1\n')
        data = load(name, tmp_path, test=f'{tmp_path}/more.csv')
        assert (data.train.count, data.test.count) == (3, 2)
        (tmp_path / 'more.csv').write_text('b,y\n1,0\n')
        assert 'has other columns' in refusal(name, tmp_path, test=f'{tmp_path}/more.csv')

    def test_semicolons_marks_and_no_header(self, tmp_path):
        rows = ''.join(f'{i};{i % 2}\n' for i in range(6))
        assert load(self.table(tmp_path, f'\ufeffa;y\n{rows}'), tmp_path).image_shape == (1,)
        data = load(self.table(tmp_path, rows), tmp_path, label=1)
        assert (data.train.count + data.test.count, data.classes) == (6, 2)

    @pytest.mark.parametrize('weight', ['w', 1])
    def test_a_column_of_sample_weights(self, tmp_path, weight):
        rows = ''.join(f'{i},{i / 4},{i % 2}\n' for i in range(10))
        (tmp_path / 'more.csv').write_text('a,y\n1,0\n2,1\n')
        options = {'weight': weight, 'test': f'{tmp_path}/more.csv'}
        data = load(self.table(tmp_path, f'a,w,y\n{rows}'), tmp_path, **options)
        assert data.columns == ('a',)
        assert data.train.weights.tolist() == [*np.arange(10) / 4, 1, 1]
        said = refusal(self.table(tmp_path, f'a,w,y\n1,1,0\n2,-1,1\n{rows}'), tmp_path, **options)
        assert 'row 3, column w: the sample weight is negative' in said
        assert "Did you mean 'w'?" in refusal(self.table(tmp_path, f'a,w,y\n{rows}'), tmp_path, weight='ww')

    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('a,y\n1,0\n,1\n', 'row 3, column a: the cell is empty'),
            ('a,y\n1,0\nred,1\n', "row 3, column a: 'red' is not a number"),
            ('a,y\n1,0\ninf,1\n', 'row 3, column a: the number is infinite'),
            ('a,b\n1,0\n2,1\n', 'has no columns called label, class, target, y: name the'),
            ('1,0\n2,1\n', 'has no names in its first line'),
            ('', 't.csv cannot be read: '),
            ('y\n1\n2\n', 'it must have features and a label'),
            ('a,y\n1,0\n2,1,5,6\n', 't.csv cannot be read: '),
        ],
    )
    def test_what_is_refused(self, tmp_path, text, words):
        assert words in refusal(self.table(tmp_path, text), tmp_path)

    def test_the_nearest_column(self, tmp_path):
        said = refusal(self.table(tmp_path, 'a,colour\n1,0\n2,1\n'), tmp_path, label='color')
        assert "Did you mean 'colour'" in said


def test_a_folder_is_read_without_tensorflow(folder, tmp_path):
    """The command says in a second what is wrong with data."""
    import subprocess

    code = (
        'import sys; from data_pipeline import sources; '
        f'x = sources.ensure_downloaded(sources.locate("folder:{folder}", "{tmp_path}")); '
        'assert x.train == 6 and "tensorflow" not in sys.modules, x'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
