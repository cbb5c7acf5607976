"""The CNN of 421,642 parameters on MNIST: Nadam, cosine learning rate, 12 epochs.

python -m trainer.main --config=configs/cnn_nadam.py
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.model.name = 'cnn'
    config.optimizer.name = 'Nadam'
    config.optimizer.learning_rate = 0.002
    config.schedule.name = 'cosine'
    config.data.validation = 5000
    config.epochs = 12
    return config
