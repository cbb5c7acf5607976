"""784-512-512-10 on MNIST, batch normalisation and dropout on every hidden layer: Adam, cosine rate, 20 epochs.

python -m trainer.main --config=configs/mlp_dropout.py

Measured on 2 CPU cores (AMD EPYC, AVX-512), MNIST, seed 0: 21 s from start to result after the imports;
test accuracy 0.9845, loss 0.0542.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.model.hidden = (512, 512)
    config.model.batch_norm = 'every'
    config.model.dropout = 'every'
    config.model.dropout_rate = 0.2
    config.optimizer.name = 'Adam'
    config.schedule.name = 'cosine'
    config.data.validation = 5000
    config.epochs = 20
    return config
