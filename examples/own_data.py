"""Optimizers on data of one's own: python -m trainer.compare --study=examples/own_data.py

178 wines of 3 cultivars by 13 measurements (Aeberhard et al. 1992, bundled with scikit-learn): 36 are held out as the test
split. 13-128-3, 20 epochs, 5 seeds.
"""

import ml_collections
import sklearn.datasets

from configs import default


def wine(data_dir):
    """Returns the training split alone, inputs float64 [178, 13] and labels [178]: the test split is drawn from it."""
    del data_dir  # the folder of all datasets, for functions that read files
    return {'train': sklearn.datasets.load_wine(return_X_y=True)}


def get_config():
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name = f'{__file__}:wine'
    config.base.global_batch_size = 16
    config.base.epochs = 20
    config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}
    config.seeds = 5
    adam, sgd = ({'optimizer': name} for name in ('Adam', 'SGD'))
    config.claims = ({'id': 'adam', 'kind': 'better', 'metric': 'test_loss', 'a': adam, 'b': sgd},)
    return config
