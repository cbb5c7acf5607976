"""A residual network against a plain one, on a folder of images.

python -m trainer.compare --study=examples/own_images.py:FOLDER

FOLDER has a folder for each class (or `train` and `test` that have). Without it, the bundled digits are written as PNG
files into runs/digits_images, and are used.
"""

from pathlib import Path

import ml_collections

from configs import default


def get_config(folder=''):
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name = f'folder:{folder or digits_as_files()}'
    config.base.data.options = {'resize': (32, 32)} if folder else {}
    config.base.data.normalize = 'standard'
    config.base.data.augment.crop = 4 if folder else 1
    config.base.optimizer.learning_rate = 0.003
    config.base.schedule.name = 'cosine'
    config.base.epochs = 10
    config.axes = {
        'model': {
            'ResNet-8': {'model': {'name': 'resnet', 'options': {'depth': 8, 'filters': 16}}},
            'CNN': {'model': {'name': 'cnn', 'filters': (16, 32)}},
        }
    }
    config.seeds = 5
    config.claims = (
        {
            'id': 'resnet_wins',
            'kind': 'better',
            'quote': 'The residual network is more accurate.',
            'a': {'model': 'ResNet-8'},
            'b': {'model': 'CNN'},
        },
    )
    return config


def digits_as_files():
    """Writes the digits as <digit>/<number>.png, and returns their folder."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = Path('runs', 'digits_images')
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / str(label) / f'{number:04}.png'
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 255 / 16).astype('uint8')).save(file)
    return folder
