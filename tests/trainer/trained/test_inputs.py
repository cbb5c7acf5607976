"""What a user names becomes inputs as in training, or is refused with its name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipeline.own import folder
from seedwise.errors import UserError
from trainer.trained.finished import Finished
from trainer.trained.inputs import gather

NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


def a_run(shape=(28, 28, 1), dtype='uint8', **fields) -> Finished:
    known = {'unscaled': False, 'class_names': ('a', 'b'), 'columns': (), 'moments': None, 'dataset': 'mine'}
    config = {'data': {'options': {}}, 'model': {'name': 'mlp'}}
    return Finished(Path('run'), config, shape=shape, dtype=dtype, **known | fields)


def read(run: Finished, *paths, **options) -> np.ndarray:
    return np.concatenate([*gather([*map(str, paths)], run, **options).batches(2)])


@pytest.fixture
def pictures(tmp_path):
    """Images of every kind, in the folder of a class."""
    place = tmp_path / 'pictures' / 'class'
    place.mkdir(parents=True)
    colours = Image.fromarray(NOISE)
    exif = Image.Exif()
    exif[0x0112] = 6
    colours.save(place / 'a.png')
    colours.save(place / 'b.jpg', exif=exif)
    colours.convert('P').save(place / 'c.gif')
    Image.fromarray(NOISE[..., 0]).save(place / 'd.bmp')
    Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257).save(place / 'e.png')
    Image.fromarray(np.dstack([NOISE, NOISE[..., :1]])).save(place / 'f.webp', lossless=True)
    return place


@pytest.mark.parametrize('channels', [1, 3])
def test_images_become_what_training_made_of_them(pictures, channels):
    kept = []

    def make(shape, dtype):
        kept.append(np.zeros(shape, dtype))
        return kept[0]

    folder.read(pictures.parent, make, resize=(28, 20), channels=channels)
    run = a_run((28, 20, channels))
    assert np.array_equal(read(run, pictures), kept[0])
    assert np.array_equal(read(run, *sorted(pictures.iterdir())), kept[0])
    assert np.array_equal(read(run, pictures, invert=True), 255 - kept[0])
    colour = {1: '4 made grey', 3: '2 made colour, of grey'}[channels]
    assert gather([str(pictures)], run).notes == [
        '6 images: 6 resized to 28x20 (bilinear, without regard to proportions); 1 turned as the EXIF orientation says; '
        f'{colour}; 1 read as 8 bits, of more; 1 laid on black where transparent'
    ]


def test_an_image_of_the_right_form_is_handed_on_as_it_is(tmp_path):
    pixels = NOISE[:28, :28, 0]
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    inputs = gather([str(tmp_path / 'a.png')], a_run())
    assert inputs.notes == []
    assert np.array_equal(next(inputs.batches(9)), pixels[None, ..., None])


def test_bright_backgrounds_are_counted(tmp_path):
    for name, level in (('paper', 250), ('mnist', 0)):
        pixels = np.full((28, 28), level, np.uint8)
        pixels[10:18, 10:18] = 255 - level
        Image.fromarray(pixels).save(tmp_path / f'{name}.png')
    for invert in (False, True):
        inputs = gather([str(tmp_path)], a_run(), invert=invert)
        _ = [*inputs.batches(9)]
        assert inputs.bright == 1


@pytest.mark.parametrize(
    ('array', 'expected'),
    [
        (NOISE[None, :28, :28, :1], NOISE[None, :28, :28, :1]),
        (NOISE[:28, :28, 0], NOISE[None, :28, :28, :1]),
        (NOISE[:28, :28, :1].astype(np.int64), NOISE[None, :28, :28, :1]),
        (NOISE[None, :28, :28, 0].astype(np.uint16) * 257, NOISE[None, :28, :28, :1] / np.float32(255)),
        (NOISE[None, :28, :28, 0] / 255, (NOISE[None, :28, :28, :1] / 255).astype(np.float32)),
    ],
)
def test_arrays_become_what_training_makes_of_their_type(tmp_path, array, expected):
    np.save(tmp_path / 'x.npy', array)
    np.savez(tmp_path / 'x.npz', x=array, y=np.zeros(1))
    for name in ('x.npy', 'x.npz'):
        found = read(a_run(), tmp_path / name)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert gather([str(tmp_path / 'x.npy')], a_run()).names == [f'{tmp_path}/x.npy[0]']


def test_numbers_of_a_run_that_was_not_scaled_stay(tmp_path):
    np.save(tmp_path / 'x.npy', np.array([[1, 200], [3, 4]]))
    assert read(a_run((2,), 'float32', unscaled=True), tmp_path / 'x.npy').tolist() == [[1, 200], [3, 4]]


def test_rows_of_a_table_are_taken_by_the_names_of_their_columns(tmp_path):
    run = a_run((2,), 'float32', columns=('long', 'wide'))
    (tmp_path / 'x.csv').write_text('wide,label,long\n1,a,2\n3,b,4\n')
    assert read(run, tmp_path / 'x.csv').tolist() == [[2, 1], [4, 3]]
    run.config['data']['options'] = {'label': 'kind', 'weight': 'w'}  # neither is an input
    (tmp_path / 'more.csv').write_text('wide,kind,long,w\n1,a,2,0.5\n')
    assert read(run, tmp_path / 'more.csv').tolist() == [[2, 1]]
    run.config['data']['options']['weight'] = 3  # by its place
    assert read(run, tmp_path / 'more.csv').tolist() == [[2, 1]]
    (tmp_path / 'plain.csv').write_text('1,2\n3,4\n')
    assert read(a_run((2,), 'float32'), tmp_path / 'plain.csv').tolist() == [[1, 2], [3, 4]]


ROWS = a_run((2,), 'float32', columns=('long', 'wide'))


@pytest.mark.parametrize(
    ('name', 'content', 'run', 'said'),
    [
        ('a.png', b'', a_run(), 'a.png cannot be read: it is empty'),
        ('a.png', b'nothing', a_run(), 'a.png cannot be read: it is not an image'),
        ('a.png', b'%!PS-Adobe-3.0 EPSF-3.0\n', a_run(), 'a.png cannot be read: it is not an image'),
        ('a.txt', b'nothing', a_run(), 'a.txt cannot be read: it is not an image; an input is an image'),
        ('x.npy', b'nothing', a_run(), 'x.npy cannot be read'),
        ('x.npz', b'nothing', a_run(), 'x.npz cannot be read'),
        ('x.npy', np.zeros((2, 28, 28, 3), np.uint8), a_run(), r'must be \[n, 28, 28, 1\], .* takes images of 28x28x1'),
        ('x.npy', np.zeros((2, 3)), ROWS, r'the shape \(2, 3\): it must be \[n, 2\], .* takes rows of 2 features'),
        ('x.npy', np.zeros((0, 2)), ROWS, r'the shape \(0, 2\)'),
        ('x.npy', np.array([[1, np.nan]]), ROWS, 'not finite in example 0'),
        ('x.npy', np.array([['a', 'b']]), ROWS, 'it must hold numbers'),
        ('x.npy', np.array([[{}, {}]]), ROWS, 'it holds Python objects'),
        ('x.npy', np.full((28, 28), 7.0), a_run(), 'numbers from 7 to 7: .* was trained on numbers in'),
        ('x.npy', np.full((28, 28), -1), a_run(), 'pixels must be from 0 to 255'),
        ('x.csv', b'long\n1\n', ROWS, 'lacks wide: .* was trained on the 2 columns long, wide'),
        ('x.csv', b'long,wide,high\n1,2,3\n', ROWS, 'has high too'),
        ('x.csv', b'long,wide\n1,\n', ROWS, 'row 2, column wide: the cell is empty'),
        ('x.csv', b'long,wide\n1,b\n', ROWS, "row 2, column wide: 'b' is not a number"),
        ('x.csv', b'1,2,3\n', a_run((2,), 'float32'), 'has 3 columns: .* takes 2, rows of 2 features'),
        ('a.png', 'image', ROWS, 'is an image, and the run in run takes rows of 2 features: give a .npy file'),
        ('a.png', 'image', a_run((28, 28, 4)), 'is an image, and the run in run takes images of 28x28x4'),
        (
            'a.png',
            'image',
            a_run(unscaled=True),
            r'takes images of 28x28x1, of numbers as they are \(not in \[0, 1\]\)',
        ),
        ('a.png', 'torn', a_run(), 'a.png cannot be read: .*truncated'),
    ],
)
def test_what_is_no_input_is_named_in_one_line(tmp_path, name, content, run, said):
    file = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(file, content)
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        Image.fromarray(NOISE).save(file)
        if content == 'torn':
            file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match=said) as error:
        read(run, file)
    assert '\n' not in str(error.value)


def test_a_name_that_does_not_exist_and_an_empty_folder(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / 'seven.png')
    with pytest.raises(UserError, match=r"Did you mean '.*/seven.png'\?"):
        gather([f'{tmp_path}/sevn.png'], a_run())
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='empty has no image: accepted are .bmp'):
        gather([f'{tmp_path}/empty'], a_run())
    with pytest.raises(UserError, match='--invert is for images: the run in run takes rows of 2 features'):
        gather([f'{tmp_path}/seven.png'], ROWS, invert=True)
