"""784-128-10 on MNIST: Adam with Keras's defaults, 5 epochs.

python -m trainer.main --config=configs/mlp_adam.py

Measured on 2 CPU cores (AMD EPYC, AVX-512), MNIST, seed 0: 1.8 s from start to result after the imports;
test accuracy 0.9743, loss 0.0856.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.optimizer.name = 'Adam'
    return config
