"""The CNN of 421,642 parameters on MNIST: Adam with Keras's defaults, 5 epochs.

python -m trainer.main --config=configs/cnn_adam.py

Measured on 2 CPU cores (AMD EPYC, AVX-512), MNIST, seed 0: 35 s from start to result after the imports;
test accuracy 0.9901, loss 0.0286.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.model.name = 'cnn'
    config.optimizer.name = 'Adam'
    config.data.validation = 5000
    return config
