"""Datasets that Hugging Face's library saved to disk."""

import io

import numpy as np
import pytest
from PIL import Image

from data_pipeline.own import huggingface
from seedwise.errors import UserError
from trainer.results import config_hash

datasets = pytest.importorskip('datasets', reason='the library datasets is not installed')


def png(array) -> dict:
    file = io.BytesIO()
    Image.fromarray(array).save(file, 'png')
    return {'bytes': file.getvalue(), 'path': None}


def saved(folder, labels=(0, 1, 2), size=4, names=('cat', 'dog', 'owl'), image='image', broken=False):
    pixels = [np.full((size, size, 3), 40 * (i + 1), np.uint8) for i in range(len(labels))]
    cells = [png(one) for one in pixels]
    if broken:
        cells[1] = {'bytes': b'not a picture', 'path': None}
    features = datasets.Features({image: datasets.Image(), 'label': datasets.ClassLabel(names=list(names))})
    made = datasets.Dataset.from_dict({image: cells, 'label': list(labels)}, features=features)
    datasets.DatasetDict({'train': made, 'test': made.select([0])}).save_to_disk(str(folder))
    return folder


def test_images_and_names_of_classes(tmp_path):
    raw = huggingface.read(saved(tmp_path / 'set'), np.empty)
    assert raw.inputs.shape == (4, 4, 4, 3)
    assert raw.inputs[:, 0, 0, 0].tolist() == [40, 80, 120, 40]
    assert raw.labels.tolist() == ['cat', 'dog', 'owl', 'cat']
    assert raw.train == 3


def test_one_split_and_named_columns(tmp_path):
    folder = saved(tmp_path / 'set', image='photo')
    one = datasets.load_from_disk(str(folder))['train']
    one.save_to_disk(str(tmp_path / 'one'))
    raw = huggingface.read(tmp_path / 'one', np.empty, image='photo', resize=(2, 3), channels=3)
    assert (raw.inputs.shape, raw.train) == ((3, 2, 3, 3), None)
    with pytest.raises(UserError, match=r"unknown column in data.options.image 'foto': .* Did you mean 'photo'"):
        huggingface.read(tmp_path / 'one', np.empty, image='foto')


def test_what_is_wrong_is_one_line(tmp_path):
    with pytest.raises(UserError, match='cannot be read: it is not an image'):
        huggingface.read(saved(tmp_path / 'broken', broken=True), np.empty)
    with pytest.raises(UserError, match=r'row 2 of .* has no label: its label is -1'):
        huggingface.read(saved(tmp_path / 'unlabelled', labels=(0, 1, -1)), np.empty)
    (tmp_path / 'other').mkdir()
    with pytest.raises(UserError, match='cannot be read as a dataset that save_to_disk wrote'):
        huggingface.read(tmp_path / 'other', np.empty)


def test_the_hash_counts_the_content(tmp_path):
    from configs import default
    from trainer.config.check import check

    def hashed(folder):
        config = default.get_config()
        config.data.name = f'huggingface:{folder}'
        check(config)
        return config_hash(config)

    same = saved(tmp_path / 'a'), saved(tmp_path / 'b')
    assert hashed(same[0]) != hashed(saved(tmp_path / 'c', labels=(1, 1, 2)))
    assert hashed(same[0]) == hashed(same[0])
