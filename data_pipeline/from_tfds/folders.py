"""The folders that TFDS prepared datasets in: <data_dir>/<name>[/<config>]/<version>. Needs no TensorFlow."""

import json
import re
from pathlib import Path
from typing import Any

from data_pipeline.from_tfds import download
from seedwise.errors import UserError

#: What TFDS writes last into a folder.
INFO = 'dataset_info.json'


def find(name: str, data_dir: str | Path) -> Path | None:
    """Returns the folder of a dataset's newest prepared version, or None.

    Args:
      name: as TFDS takes it: 'mnist', 'emnist/letters' or 'mnist:3.0.1'; without a config, TFDS's default one.
      data_dir: the folder that all datasets are in.

    Raises:
      UserError: the folder cannot be read.
    """
    path, _, version = name.partition(':')
    folder = Path(data_dir, path.strip('/'))
    try:
        if not path.strip('/') or not folder.is_dir():
            return None
        versions = _versions(folder)
        if not versions and (config := _default_config(folder)):
            versions = _versions(folder / config)
    except OSError as error:
        raise UserError(f'{folder} cannot be read: {error.strerror}') from error
    return next((found for found in versions if version in ('', found.name)), None)


def all_prepared(data_dir: str | Path) -> list[Path]:
    """Returns the folders of all versions, configs and datasets that are prepared in `data_dir`."""
    infos = [path for depth in ('*/*', '*/*/*') for path in Path(data_dir).glob(f'{depth}/{INFO}')]
    return sorted(path.parent for path in infos if _number(path.parent))


def splits(name: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Returns what TFDS noted about each split of a prepared dataset.

    Raises:
      UserError: the notes are damaged.
    """
    try:
        noted = {split['name']: split for split in json.loads((folder / INFO).read_text(encoding='utf-8'))['splits']}
        for split in noted.values():
            split['shardLengths'] = [int(length) for length in split.get('shardLengths', ())]
            split['numBytes'] = int(split.get('numBytes', 0))
        return noted
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(name, folder, INFO) from error


def train_count(name: str, folder: Path) -> int | None:
    """Returns the number of training examples of a prepared dataset, or None if it has no training split."""
    train = splits(name, folder).get('train')
    return sum(train['shardLengths']) if train else None


def image_shape(folder: Path) -> tuple[int, ...]:
    """Returns the shape of an image that TFDS noted for a prepared dataset, (): it is noted otherwise, or not fixed."""
    try:
        features = json.loads((folder / 'features.json').read_text(encoding='utf-8'))['featuresDict']['features']
        (image,) = (feature['image'] for feature in features.values() if 'image' in feature)
        shape = tuple(map(int, image['shape']['dimensions']))
        return shape if min(shape) > 0 else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()


def class_names(folder: Path, classes: int) -> tuple[str, ...]:
    """Returns the names of the classes as TFDS noted them, in the order of the labels; (): it did not."""
    try:
        files = [*folder.glob('*.labels.txt')]
        names = files[0].read_text(encoding='utf-8').splitlines() if len(files) == 1 else []
    except (OSError, ValueError):
        return ()
    return tuple(names) if len(names) == classes == len(set(names)) else ()


def damaged(name: str, folder: Path, file: str) -> UserError:
    """Returns the error for a prepared dataset of which a file is not as TFDS wrote it."""
    remedy = 'delete that folder and prepare it again'
    if not download.registered_files(name):  # then it is the user's own, and the folder may be all there is of it
        remedy = 'make it again from its source'
    return UserError(f"dataset '{name}' in {folder} is damaged, {file} cannot be read: {remedy}")


def _versions(folder: Path) -> list[Path]:
    """Returns the prepared versions in a folder, the newest first. Unfinished ones do not count."""
    found = [path for path in folder.iterdir() if _number(path) and (path / INFO).is_file()]
    return sorted(found, key=_number, reverse=True)


def _number(path: Path) -> tuple[int, ...]:
    return tuple(map(int, path.name.split('.'))) if re.fullmatch(r'\d+\.\d+\.\d+', path.name) else ()


def _default_config(folder: Path) -> str:
    try:
        return json.loads((folder / '.config' / 'metadata.json').read_text(encoding='utf-8'))['default_config_name']
    except (OSError, ValueError, KeyError, TypeError):
        return ''
