"""Prepared datasets of any form, as users make them: small, fast, and also such as TFDS's own builders refuse to write."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write(
    data_dir: Path,
    name: str,
    features: Any,
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    written_as: Any = None,
    keys: tuple[str, ...] = ('image', 'label'),
) -> Path:
    """Writes a dataset as TFDS leaves it, and returns its folder.

    Args:
      data_dir: the folder that all datasets are in.
      name: of the dataset.
      features: the `tfds.features.FeaturesDict` that its notes are to declare.
      splits: name -> examples.
      written_as: features that the examples are encoded with, if those are others than declared.
      keys: the supervised keys; (): none.
    """
    import tensorflow as tf

    folder = data_dir / name / '1.0.0'
    folder.mkdir(parents=True)
    features.save_config(str(folder))
    noted = []
    for split, examples in splits.items():
        records = [(written_as or features).serialize_example(dict(example)) for example in examples]
        with tf.io.TFRecordWriter(str(folder / f'{name}-{split}.tfrecord-00000-of-00001')) as writer:
            for record in records:
                writer.write(record)
        noted.append(
            {
                'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
                'name': split,
                'numBytes': str(sum(map(len, records))),
                'shardLengths': [str(len(records))],
            }
        )
    info = {'fileFormat': 'tfrecord', 'name': name, 'splits': noted, 'version': '1.0.0'}
    if keys:
        info['supervisedKeys'] = {'tuple': {'items': [{'featureKey': key} for key in keys]}}
    (folder / 'dataset_info.json').write_text(json.dumps(info))
    return folder


def pictures(count: int, shape: tuple[int, ...], dtype: str, top: float, *, seed: int = 0) -> np.ndarray:
    """Returns images [count, *shape] with pixels from 0 to `top`, both of which are in each image."""
    images = (np.random.default_rng(seed).random((count, *shape)) * top).astype(dtype)
    images.reshape(count, -1)[:, :2] = 0, top
    return images


def examples(images: Sequence[Any], labels: Sequence[Any]) -> list[dict[str, Any]]:
    return [{'image': image, 'label': label} for image, label in zip(images, labels, strict=True)]
