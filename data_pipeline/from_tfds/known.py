"""The datasets that this project knows by name. Any other TFDS dataset of images works as well."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """`title`: how the name is written. `version`, `fingerprint`: of TFDS's dataset, as measured (`identity.py`).

    `dark`: its images have a black background. As measured: the median of an image's outermost pixels is above 127 in 2 of
    the 70,000 of Fashion-MNIST, and in none of MNIST and digits.
    """

    title: str
    version: str = ''
    fingerprint: str = ''
    dark: bool = False


DATASETS: Mapping[str, Known] = {
    'digits': Known('digits', dark=True),
    'mnist': Known('MNIST', '3.0.1', 'bd58c4704eea5663d1e60918ceccceebe201a1af6e8a8ebe8c86a631515c2c48', dark=True),
    'fashion_mnist': Known(
        'Fashion-MNIST', '3.0.1', '75ab27f0b83cfe1cad20ff708b625ddfd9b706c62a4731a003165d0591216eda', dark=True
    ),
    'kmnist': Known('KMNIST'),
    'emnist': Known('EMNIST'),
    'cifar10': Known('CIFAR-10'),
    'cifar100': Known('CIFAR-100'),
}


def title(name: str) -> str:
    """Returns how a dataset's name is written: 'MNIST' for 'mnist'; an unknown name as it is."""
    return DATASETS[name].title if name in DATASETS else name
