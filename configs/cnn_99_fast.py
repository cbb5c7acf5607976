"""99% on MNIST in 17 s: a small strided CNN, Adam, 640 steps with warm-up and cosine learning rate.

python -m trainer.main --config=configs/cnn_99_fast.py

Measured on 2 CPU cores (AMD EPYC, AVX2 without AVX-512), MNIST: test accuracy 0.9906 [0.9902, 0.9909], the mean of seeds
0 to 9 with its 95% interval over seeds; 17 s from a cold shell to the result. Widths, kernels, strides, learning rate and
steps were chosen among nine combinations by the accuracy on 10,000 examples for validation, 3 seeds each.
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
