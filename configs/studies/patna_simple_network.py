"""A perceptron improved step by step on MNIST: 6 variants, 2 epochs each (the last: 20).

    python -m trainer.compare --study=configs/studies/patna_simple_network.py

The paper: "Keras: Handwritten Digit Recognition using MNIST Dataset", slides, IIT Patna, 31 January 2018. Its terminal
pictures show a simple network (784-784-10, 623,290 parameters), one and two hidden layers more (1,238,730 and 1,854,170
parameters), a dropout layer, another optimizer, and more epochs, each under the heading "Improving Performance".

What the slides leave unsaid, and what stands in its place:

* The batch size: 200, the closest of 32, 64, 100, 128 and 200 to the first picture (a seed of ours: training loss 0.277
  and 0.109, test accuracy 0.9605 and 0.9709; the picture: 0.274 and 0.108, 0.9601 and 0.9707).
* The initializer is "normal": N(0, 0.05), Keras's. Activation ReLU, softmax, Adam at its default, as the slides say.
* The dropout rate: 0.2, for it changed next to nothing. Dropout is behind the last hidden layer, as printed.
* The other optimizer: SGD at its default, 0.01, which starts as slowly (a seed of ours: training loss 0.978 and 0.421,
  the picture: 1.035 and 0.442).
* The picture of one more hidden layer has lost its numbers, that of two more its accuracies, and that of 20 epochs
  epochs 4 to 6.

The slides give the test set to Keras as validation data, and so open it after each epoch. So does this study
(`test_every_evaluation`), to have the same curves; nothing is selected by them.
"""

import ml_collections

from configs import default

LAST_DROPOUT: dict = {'dropout': 'last', 'dropout_rate': 0.2}
THREE_HIDDEN: dict = {'hidden': (784, 784, 784)}
SGD = {'name': 'SGD', 'learning_rate': 0.01}

# epoch: training loss and accuracy, test loss and accuracy.
CURVE_20_EPOCHS = {
    1: (1.0537, 0.7378, 0.4933, 0.8815),
    2: (0.4407, 0.8813, 0.3505, 0.9054),
    3: (0.3512, 0.9016, 0.3008, 0.9187),
    7: (0.2415, 0.9314, 0.2227, 0.9377),
    8: (0.2280, 0.9348, 0.2114, 0.9404),
    9: (0.2150, 0.9386, 0.2007, 0.9428),
    10: (0.2036, 0.9420, 0.1931, 0.9454),
    11: (0.1934, 0.9446, 0.1835, 0.9477),
    12: (0.1845, 0.9476, 0.1775, 0.9497),
    13: (0.1757, 0.9500, 0.1714, 0.9508),
    14: (0.1689, 0.9516, 0.1649, 0.9525),
    15: (0.1614, 0.9541, 0.1584, 0.9532),
    16: (0.1546, 0.9556, 0.1549, 0.9547),
    17: (0.1484, 0.9583, 0.1491, 0.9564),
    18: (0.1429, 0.9593, 0.1455, 0.9565),
    19: (0.1373, 0.9611, 0.1412, 0.9579),
    20: (0.1324, 0.9623, 0.1381, 0.9583),
}

CURVES: dict[str, dict[int, tuple]] = {
    'simple': {1: (0.2744, 0.9221, 0.1356, 0.9601), 2: (0.1078, 0.9688, 0.0957, 0.9707)},
    'hidden_3': {1: (0.1999, 0.9388, 0.0950, None), 2: (0.0751, 0.9770, 0.0914, None)},
    'dropout': {1: (0.2014, 0.9386, 0.1017, 0.9697), 2: (0.0771, 0.9760, 0.0811, 0.9740)},
    'SGD': {1: (1.0352, 0.7382, 0.4882, 0.8791), 2: (0.4422, 0.8784, 0.3497, 0.9052)},
    'SGD_20_epochs': CURVE_20_EPOCHS,
}

METRICS = ('train_loss', 'train_accuracy', 'test_loss', 'test_accuracy')


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    config.base = default.get_config()
    config.base.model.hidden = (784,)
    config.base.model.kernel_initializer = 'random_normal'
    config.base.optimizer.name = 'Adam'
    config.base.optimizer.learning_rate = 0.001
    config.base.global_batch_size = 200
    config.base.epochs = 2
    config.base.test_every_evaluation = True

    config.axes = {
        'step': {
            'simple': {},
            'hidden_2': {'model': {'hidden': (784, 784)}},
            'hidden_3': {'model': THREE_HIDDEN},
            'dropout': {'model': THREE_HIDDEN | LAST_DROPOUT},
            'SGD': {'model': THREE_HIDDEN | LAST_DROPOUT, 'optimizer': SGD},
            'SGD_20_epochs': {'model': THREE_HIDDEN | LAST_DROPOUT, 'optimizer': SGD, 'epochs': 20},
        }
    }
    config.seeds = 10

    config.paper = ml_collections.ConfigDict()
    config.paper.reference = (
        'Keras: Handwritten Digit Recognition using MNIST Dataset. Slides, IIT Patna, 31 January 2018.'
    )
    config.paper.table = (
        {'variant': {'step': 'simple'}, 'test_accuracy': 0.9707, 'test_loss': 0.0957},
        {'variant': {'step': 'hidden_3'}, 'test_loss': 0.0914},
        {'variant': {'step': 'dropout'}, 'test_accuracy': 0.9740, 'test_loss': 0.0811},
        {'variant': {'step': 'SGD'}, 'test_accuracy': 0.9052, 'test_loss': 0.3497},
        {'variant': {'step': 'SGD_20_epochs'}, 'test_accuracy': 0.9583, 'test_loss': 0.1381},
    )
    config.paper.curves = tuple(
        {'variant': {'step': step}, 'metric': metric, 'epochs': tuple(curve), 'values': values}
        for step, curve in CURVES.items()
        for metric, values in zip(METRICS, zip(*curve.values(), strict=True), strict=True)
        if None not in values
    )

    def improves(
        claim: str, step: str, over: str, heading: str, metric: str = 'test_accuracy', reading: str = '', **rest: str
    ) -> dict:
        return rest | {
            'id': claim,
            'kind': 'better',
            'a': {'step': step},
            'b': {'step': over},
            'metric': metric,
            'quote': heading,
            'section': 'Improving Performance of Simple Network',
            'reading': reading or f'a higher test accuracy than {over.replace("_", " ")}',
        }

    more_layers, dropout = (
        'Improving Performance: additional hidden layers',
        'Improving Performance: introducing dropout',
    )
    optimizer = 'Improving Performance: using different optimizers'
    epochs = 'Improving Performance: training for more number of epochs'
    config.paper.claims = (
        improves('one_hidden_layer_more', 'hidden_2', 'simple', more_layers),
        improves('two_hidden_layers_more', 'hidden_3', 'simple', more_layers),
        improves('third_hidden_layer', 'hidden_3', 'hidden_2', more_layers),
        improves('dropout', 'dropout', 'hidden_3', dropout),
        improves('dropout_loss', 'dropout', 'hidden_3', dropout, 'test_loss', 'a lower test loss than without'),
        improves(
            'dropout_prevents_overfitting',
            'dropout',
            'hidden_3',
            'prevent overfitting',
            'test_loss - train_loss',
            'less distance of test from training loss (which is taken with dropout on, as Keras prints it)',
            goal='min',
        ),
        improves('other_optimizer', 'SGD', 'dropout', optimizer),
        improves('more_epochs', 'SGD_20_epochs', 'SGD', epochs),
        improves('all_steps_together', 'SGD_20_epochs', 'simple', epochs),
    )
    return config
