"""Each dataset is what its name says, whatever was prepared before it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipeline import sources
from data_pipeline.from_tfds import builders, identity, prepared
from seedwise.errors import UserError
from tests.data_pipeline import odd
from tests.helpers import NO_TEST_DATA, TEST_DATA
from trainer import results

NAMES = ('mnist', 'fashion_mnist')
pytestmark = pytest.mark.skipif(
    not all((TEST_DATA / name).is_dir() for name in NAMES), reason=f'{NO_TEST_DATA}mnist/ and fashion_mnist/'
)


def prepare(name: str, data_dir: Path, files: str = '') -> sources.Dataset:
    return sources.load(sources.locate(name, str(data_dir), str(TEST_DATA / (files or name))))


@pytest.fixture(scope='module')
def of_mnist(mnist_folder) -> Path:
    """The folder of prepared MNIST."""
    return next(Path(mnist_folder, 'mnist').glob('*/dataset_info.json')).parent


@pytest.mark.slow
def test_two_datasets_whose_files_have_the_same_names_are_prepared_in_one_folder(tmp_path):
    """Next to what an earlier version left of MNIST. Slow: two data sets are prepared."""
    for file in (TEST_DATA / 'mnist').iterdir():
        left = tmp_path / 'downloads' / 'extracted' / f'GZIP.{file.name}'
        left.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, left)
    for name in NAMES:
        prepare(name, tmp_path)
    for name in NAMES:
        assert sources.load(sources.locate(name, str(tmp_path))).fingerprint == identity.KNOWN[name][1]


def test_each_is_extracted_into_an_empty_folder_of_its_own(tmp_path, monkeypatch):
    """TFDS takes an extracted file for that of the archive of the same name, whichever data set's it is."""
    found = []

    class Builder:
        def __init__(self, name, data_dir):
            self.data_dir = data_dir

        def download_and_prepare(self, download_config):
            folder = Path(download_config.extract_dir)
            found.append((folder, folder.exists()))
            (folder / 'left').mkdir(parents=True)

    monkeypatch.setattr('tensorflow_datasets.builder', Builder)
    for name in (*NAMES, NAMES[0]):
        builders.prepare(sources.locate(name, str(tmp_path), str(TEST_DATA / name)))
    assert [there for _, there in found] == [False] * 3
    assert len({folder for folder, _ in found}) == 2
    assert not any(folder.exists() for folder, _ in found)


@pytest.mark.parametrize('memory_limit_mb', [0, 4096], ids=['streamed', 'in memory'])
def test_what_was_prepared_from_the_wrong_files_is_noticed_when_it_is_read(tmp_path, monkeypatch, memory_limit_mb):
    """Of a few examples under the names of MNIST and Fashion-MNIST."""
    features = tfds.features.FeaturesDict(
        {'image': tfds.features.Image(shape=(4, 4, 1)), 'label': tfds.features.ClassLabel(num_classes=3)}
    )
    rows = odd.examples(odd.pictures(9, (4, 4, 1), 'uint8', 255), np.arange(9) % 3)
    splits = {'train': rows, 'test': rows[:3]}
    odd.write(tmp_path, 'mnist', features, splits)
    monkeypatch.setattr(identity, 'KNOWN', {})
    content = sources.load(sources.locate('mnist', str(tmp_path))).fingerprint
    wrong = odd.write(tmp_path, 'fashion_mnist', features, splits)
    monkeypatch.setattr(identity, 'KNOWN', {'mnist': ('1.0.0', content), 'fashion_mnist': ('1.0.0', '0' * 64)})
    assert sources.load(sources.locate('mnist', str(tmp_path)), memory_limit_mb=memory_limit_mb).train.count == 9
    for _ in range(2):  # the second time there is a decoded copy, or a stamp
        location = sources.locate('fashion_mnist', str(tmp_path))
        with pytest.raises(UserError) as caught, prepared.errors_explained(location):
            sources.load(location, memory_limit_mb=memory_limit_mb)
        assert f"{wrong} does not hold 'fashion_mnist' but 'mnist'" in str(caught.value)
        assert 'delete that folder and prepare it again' in str(caught.value)


def test_a_result_of_the_wrong_data_is_not_taken_for_one(tmp_path):
    dataset = {'name': 'fashion_mnist', 'fingerprint': identity.KNOWN['mnist'][1]}
    (tmp_path / 'result.json').write_text(json.dumps({'dataset': dataset}), encoding='utf-8')
    with pytest.raises(UserError, match="was trained on 'mnist' under the name 'fashion_mnist'"):
        results.read_result(tmp_path)


def test_other_content_under_a_known_name_is_noticed_and_a_copy_under_an_own_name_is_not(of_mnist):
    with pytest.raises(UserError, match='its fingerprint is 000000000000 and should be bd58c4704eea'):
        identity.check('mnist', of_mnist, '0' * 64)
    identity.check('mnist', of_mnist, identity.KNOWN['mnist'][1])
    identity.check('my_mnist', of_mnist, identity.KNOWN['mnist'][1])


def test_two_unknown_datasets_with_the_same_examples_are_noticed(of_mnist, tmp_path):
    """KMNIST's files have the names of MNIST's too, and so have those of others; their fingerprints are not known here."""
    for name in ('kmnist', 'qmnist'):
        folder = tmp_path / name / '3.0.1'
        shutil.copytree(of_mnist, folder, ignore=shutil.ignore_patterns('.*'))
    monkey = {'kmnist', 'emnist'}
    (tmp_path / 'qmnist').rename(tmp_path / 'emnist')
    for name in monkey:
        with pytest.raises(UserError, match='hold the same examples'):
            identity.check_twins(name, tmp_path / name / '3.0.1', str(tmp_path))
