"""Depth x where batch normalisation and dropout are, on MNIST: 15 variants, 20 epochs each.

    python -m trainer.compare --study=configs/studies/pillarisetti_depth_dropout.py

The paper: Satya Krishna Saiteja Pillarisetti, "MNIST Hand Digit Recognition: Using Keras: 3 and 5 layer FFNN" (AI-Tech
Systems internship, 2019). Its section 12 has a test loss for each of 15 networks, and calls those with batch
normalisation and dropout on every layer good and all others not good. Its accuracies are 0.98 in all rows.

What the paper leaves unsaid, and what stands in its place:

* The widths. Two layers: 512-128, as in the course notebook ("Keras -- MLPs on MNIST") whose imports section 11 shows;
  a seed of ours has losses of 0.063 with both on every layer and 0.105 with neither, where the paper has 0.057 and 0.1.
  Three layers: 512-256-128; five: 512-256-128-64-32, halving on.
* Initializer and batch size: He's normal and 128, as there. Adadelta: rate 1.0, the default of the time.
* The order within a layer: linear map, batch normalisation, activation, as in section 7, then dropout.

The rows with Adadelta differ from the others in two things at once, optimizer and dropout rate (0.2 for 0.5), so that
nothing follows from them about either. As in the paper there is no validation split, and the weights are the last ones.
"""

import ml_collections

from configs import default
from configs.studies import keras_2019

HIDDEN = {'2': (512, 128), '3': (512, 256, 128), '5': (512, 256, 128, 64, 32)}

# layers: test loss with batch normalisation and dropout on the layers named, in the order of REGULARISATION.
TABLE = {
    '2': (0.057, 0.1, 0.062, 0.054, 0.093),
    '3': (0.05, 0.091, 0.059, 0.058, 0.066),
    '5': (0.066, 0.088, 0.064, 0.085, 0.086),
}


def _on(layers: str, rate: float = 0.5) -> dict:
    return {'model': {'batch_norm': layers, 'dropout': layers, 'dropout_rate': rate}}


REGULARISATION = {
    'every': _on('every'),
    'none': _on('none'),
    'every_Adadelta': _on('every', 0.2) | {'optimizer': keras_2019.OPTIMIZERS['Adadelta']},
    'first': _on('first'),
    'last': _on('last'),
}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    config.base = default.get_config()
    config.base.model.kernel_initializer = 'he_normal'
    config.base.optimizer.name = 'Adam'
    config.base.optimizer.learning_rate = 0.001
    config.base.global_batch_size = 128
    config.base.epochs = 20

    config.axes = {
        'layers': {name: {'model': {'hidden': hidden}} for name, hidden in HIDDEN.items()},
        'regularisation': REGULARISATION,
    }
    config.seeds = 10

    config.paper = ml_collections.ConfigDict()
    config.paper.reference = (
        'Satya Krishna Saiteja Pillarisetti: MNIST Hand Digit Recognition: Using Keras: 3 and 5 layer FFNN. '
        'AI-Tech Systems internship, 2019.'
    )
    config.paper.table = tuple(
        {'variant': {'layers': layers, 'regularisation': name}, 'test_accuracy': 0.98, 'test_loss': loss}
        for layers, row in TABLE.items()
        for name, loss in zip(REGULARISATION, row, strict=True)
    )

    every = 'using batch normalization and dropout at every layer gives good model performance'
    without = 'with-out using batch normalization and dropout we got more test loss than train'
    config.paper.claims = (
        *(
            {
                'id': f'every_best_of_{layers}_layers',
                'kind': 'best',
                'a': {'regularisation': 'every'},
                'where': {'layers': layers},
                'metric': 'test_loss',
                'quote': 'Test_performance: Every good, all others Not-good',
                'section': '12. Test Evaluation',
                'reading': f'the lowest test loss of the five networks with {layers} layers',
            }
            for layers in HIDDEN
        ),
        {
            'id': 'every_layer_loss',
            'kind': 'better',
            'a': {'regularisation': 'every'},
            'b': {'regularisation': 'none'},
            'metric': 'test_loss',
            'quote': every,
            'section': '9. BatchNormalization and Dropout Performance',
            'reading': 'a lower test loss than without, averaged over the three depths',
        },
        {
            'id': 'every_layer_accuracy',
            'kind': 'better',
            'a': {'regularisation': 'every'},
            'b': {'regularisation': 'none'},
            'quote': every,
            'section': '9. BatchNormalization and Dropout Performance',
            'reading': 'a higher test accuracy than without, averaged over the three depths',
        },
        {
            'id': 'overfitting_without',
            'kind': 'at_least',
            'a': {'regularisation': 'none'},
            'metric': 'train_loss - test_loss',
            'goal': 'min',
            'value': 0.0,
            'quote': without,
            'section': '9. BatchNormalization and Dropout Performance',
            'reading': "the last epoch's training loss is below the test loss",
        },
        {
            'id': 'less_overfitting_with',
            'kind': 'better',
            'a': {'regularisation': 'every'},
            'b': {'regularisation': 'none'},
            'metric': 'test_loss - train_loss',
            'goal': 'min',
            'quote': f'{without} it seems bad performance so {every}',
            'section': '9. BatchNormalization and Dropout Performance',
            'reading': 'less distance of test from training loss (which is taken with dropout on, as Keras prints it)',
        },
    )
    return config
