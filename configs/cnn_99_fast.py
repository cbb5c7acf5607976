"""99% on MNIST in half a minute: a small strided CNN, Adam, two epochs with warm-up and cosine learning rate.

python -m trainer.main --config=configs/cnn_99_fast.py

Measured on 2 CPU cores (AMD EPYC, AVX2 without AVX-512), MNIST: test accuracy 0.9919 [0.9915, 0.9923], the mean of seeds
0 to 9 with its 95% interval over seeds; 28 s from a cold shell to the result. Widths, learning rate and epochs were chosen
among eight combinations by the accuracy on 10,000 examples for validation, 3 seeds each.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.model.name = 'configs.networks.strided:network'
    config.model.options = {'widths': (8, 16, 32, 32)}
    config.optimizer.name = 'Adam'
    config.optimizer.learning_rate = 0.02
    config.schedule.name = 'cosine'
    config.schedule.warmup_steps = 100
    config.epochs, config.steps = None, 640
    return config
