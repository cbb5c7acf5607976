"""Two optimizers on a table of measurements.

python -m trainer.compare --study=examples/own_data.py:TABLE.csv

TABLE.csv has columns of numbers, and the class in a column `label`. Without it, 178 wines of 3 cultivars by 13 measurements
(Aeberhard et al. 1992, bundled with scikit-learn) are written to runs/wine.csv, and are used. A fifth of the rows is held
out as the test split. 13-128-3, 20 epochs, 5 seeds.
"""

from pathlib import Path

import ml_collections

from configs import default


def get_config(table=''):
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name = str(table or wine_as_csv())
    config.base.data.options = {'label': 'label'}
    config.base.global_batch_size = 16
    config.base.epochs = 20
    config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}
    config.seeds = 5
    adam, sgd = ({'optimizer': name} for name in ('Adam', 'SGD'))
    config.claims = ({'id': 'adam', 'kind': 'better', 'metric': 'test_loss', 'a': adam, 'b': sgd},)
    return config


def wine_as_csv():
    """Writes the wines as a table, and returns its path."""
    from sklearn.datasets import load_wine

    file = Path('runs', 'wine.csv')
    if not file.exists():
        wine = load_wine(as_frame=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        wine.data.assign(label=wine.target_names[wine.target]).to_csv(file, index=False)
    return file
