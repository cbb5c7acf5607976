"""99% on MNIST in a few seconds: a small strided CNN, Adam, one epoch with warm-up and cosine learning rate.

python -m trainer.main --config=configs/cnn_99_fast.py
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.model.name = 'configs.networks.strided:network'
    config.model.options = {'widths': (16, 16, 32, 32)}
    config.optimizer.name = 'Adam'
    config.optimizer.learning_rate = 0.02
    config.schedule.name = 'cosine'
    config.schedule.warmup_steps = 100
    config.epochs = 2
    return config
