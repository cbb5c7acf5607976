"""784-128-10 on MNIST: plain SGD with Keras's defaults, 5 epochs.

python -m trainer.main --config=configs/mlp_sgd.py
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.optimizer.name = 'SGD'
    return config
