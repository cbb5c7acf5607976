"""The "other options to explore": learning rate x neurons x batch size on MNIST, 36 variants, 2 epochs each.

    python -m trainer.compare --study=configs/studies/patna_options.py

The paper: "Keras: Handwritten Digit Recognition using MNIST Dataset", slides, IIT Patna, 31 January 2018. After the
steps of `patna_simple_network` it lists three options without exploring them, and concludes that a good classifier
takes "lot of experimentation and testing to get the optimal structure and parameters". This study explores them, on the
simple network of the slides (one hidden layer, N(0, 0.05) initializer, ReLU, Adam, 2 epochs).

The slides name no values. Chosen are, around theirs (0.001, 784, and a batch of 200, see `patna_simple_network`): rates
0.0001 to 0.1 by factors of 10, a quarter and twice the neurons, and batches of 50 and 800. They are crossed, since the
best learning rate depends on the batch size.

Unlike the slides this study selects, so it holds out 10,000 training examples for validation; 50,000 remain.
"""

import ml_collections

from configs import default

RATES = {'1e-4': 1e-4, '1e-3': 1e-3, '1e-2': 1e-2, '1e-1': 1e-1}
NEURONS = (196, 784, 1568)
BATCHES = (50, 200, 800)

#: What the slides have; where learning rate, neurons and batch size are not the option in question, they stay so.
SLIDES = {'learning_rate': '1e-3', 'neurons': '784', 'batch': '200'}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    config.base = default.get_config()
    config.base.data.validation = 10000
    config.base.model.kernel_initializer = 'random_normal'
    config.base.optimizer.name = 'Adam'
    config.base.epochs = 2

    config.axes = {
        'learning_rate': {name: {'optimizer': {'learning_rate': rate}} for name, rate in RATES.items()},
        'neurons': {str(n): {'model': {'hidden': (n,)}} for n in NEURONS},
        'batch': {str(n): {'global_batch_size': n} for n in BATCHES},
    }
    config.seeds = 10

    config.paper = ml_collections.ConfigDict()
    config.paper.reference = (
        'Keras: Handwritten Digit Recognition using MNIST Dataset. Slides, IIT Patna, 31 January 2018.'
    )
    config.paper.table = ()
    options = {
        'learning_rate': ('different learning rate for optimizer', tuple(RATES)),
        'neurons': ('number of neurons in hidden layer', tuple(map(str, NEURONS))),
        'batch': ('batch size', tuple(map(str, BATCHES))),
    }
    config.paper.claims = (
        *(
            {
                'id': f'other_{axis}_improves',
                'kind': 'better',
                'a': {axis: tuple(value for value in values if value != SLIDES[axis])},
                'b': {axis: SLIDES[axis]},
                'where': {other: value for other, value in SLIDES.items() if other != axis},
                'reduce': 'best',
                'quote': f'other options to explore: {quote}',
                'section': 'other options to explore',
                'reading': 'the best other value by validation loss has a higher test accuracy, the rest unchanged',
            }
            for axis, (quote, values) in options.items()
        ),
        {
            'id': 'experimentation_improves',
            'kind': 'better',
            'a': {},
            'b': SLIDES,
            'reduce': 'best',
            'quote': 'lot of experimentation and testing to get the optimal structure and parameters',
            'section': 'steps to follow to make an efficient image classifier?',
            'reading': 'the best of all 36 by validation loss has a higher test accuracy than the slides have',
        },
    )
    return config
