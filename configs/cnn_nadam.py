"""The CNN of 421,642 parameters on MNIST: Nadam, cosine learning rate, 12 epochs.

python -m trainer.main --config=configs/cnn_nadam.py

Measured on 2 CPU cores (AMD EPYC, AVX-512), MNIST, seed 0: 79 s from start to result after the imports;
test accuracy 0.9921, loss 0.0272; with --config.epochs=1 0.9856, 0.0452, 8 s.
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
