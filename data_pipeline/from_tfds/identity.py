"""Is a prepared dataset what its name says? Needs no TensorFlow.

TFDS extracts the files of a manual folder to a place that only their names decide, and several datasets have files of the
same names: what was prepared second could be the first once more. Such folders may be left from earlier versions.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

from data_pipeline.from_tfds import download, folders, known
from seedwise.errors import UserError

#: Name -> version that was measured, and its `sources.Dataset.fingerprint`, each prepared in a folder of its own.
KNOWN = {name: (row.version, row.fingerprint) for name, row in known.DATASETS.items() if row.fingerprint}

#: Records that are compared of two datasets of the same size.
_COMPARED = 100

#: Bytes that are read of a record: where a file is damaged, its length may be any number.
_LARGEST = 2**24


def really(name: str, fingerprint: str) -> str:
    """Returns the known dataset whose content is found under another dataset's name, or ''.

    A dataset of the user's own, which TFDS does not know, may be a copy of a known one.
    """
    base = download.base_name(name)
    others = [other for other, (_, content) in KNOWN.items() if content == fingerprint and other != base]
    return others[0] if others and _registered(base) else ''


def check(name: str, folder: Path, fingerprint: str) -> None:
    """Raises `UserError` if the dataset prepared in `folder` does not have the content that its name stands for."""
    base = download.base_name(name)
    again = f'delete that folder and prepare it again (python -m data_pipeline.prepare --dataset={name})'
    if other := really(name, fingerprint):
        raise UserError(
            f"{folder} does not hold '{base}' but '{other}': it was prepared from the other dataset's files, which have the "
            f'same names; {again}'
        )
    version, expected = KNOWN.get(base, ('', ''))
    if version == folder.name and expected != fingerprint:
        raise UserError(
            f"{folder} does not hold '{base}': its fingerprint is {fingerprint[:12]} and should be {expected[:12]}; "
            f'{again}, or if these are data of your own, give them a name of their own'
        )


def check_twins(name: str, folder: Path, data_dir: str) -> None:
    """Raises `UserError` if two datasets that TFDS knows hold the same examples, so that one of them is not what it says.

    For those that are not in `KNOWN`, of which `check` knows more.
    """
    base = download.base_name(name)
    if base in KNOWN:
        return
    mine = _size(name, folder)
    for other in folders.all_prepared(data_dir):
        its_name = other.relative_to(data_dir).parts[0]
        if its_name in (base, *KNOWN):
            continue
        try:
            same = _size(its_name, other) == mine and _same_records(folder, other)
        except (OSError, ValueError, UserError):  # a damaged one is reported when it is used
            continue
        if same and _registered(base) and _registered(its_name):
            raise UserError(
                f"{folder} and {other} hold the same examples, so either '{base}' or '{its_name}' was prepared from the "
                "other's files, which have the same names; delete both folders and prepare them again"
            )


def _registered(base: str) -> bool:
    import tensorflow_datasets as tfds

    return base in tfds.list_builders(with_community_datasets=False)


def _size(name: str, folder: Path) -> dict[str, tuple[list[int], int]]:
    """Returns shard lengths and bytes of each split: other examples make other PNG files."""
    return {split: (noted['shardLengths'], noted['numBytes']) for split, noted in folders.splits(name, folder).items()}


def _same_records(folder: Path, other: Path) -> bool:
    """Whether the first records of two prepared datasets are the same, whatever the order of features in them."""
    pairs = itertools.zip_longest(_first_records(folder), _first_records(other))
    return all(mine is not None and its is not None and sorted(mine) == sorted(its) for mine, its in pairs)


def _first_records(folder: Path) -> Iterator[bytes]:
    """Yields the first records of the first shard. In a file, a record is its length, 4 bytes, itself, and 4 bytes."""
    with open(min(folder.glob('*.tfrecord*')), 'rb') as file:
        for _ in range(_COMPARED):
            length = int.from_bytes(file.read(8), 'little')
            file.read(4)
            if record := file.read(min(length, _LARGEST)):
                yield record
            file.read(4)
