"""Activations x initializers, five optimizers, and batch normalisation, on MNIST: 26 variants, 5 epochs each.

    python -m trainer.compare --study=configs/studies/pillarisetti_activations.py

The paper: Satya Krishna Saiteja Pillarisetti, "MNIST Hand Digit Recognition: Using Keras: 3 and 5 layer FFNN" (AI-Tech
Systems internship, 2019). Besides what it measures (`pillarisetti_depth_dropout`), sections 4 to 7 name activations,
weight initializers, optimizers and batch normalisation as choices that matter, with claims but without numbers.

What stands in for what is left unsaid: the two-layer network of the other study (512-128, He's normal initializer,
Adam, batches of 128), trained for 5 epochs, without dropout or batch normalisation, changed in one thing or two: the six
activations with three initializers (N(0, 0.05), Glorot's uniform and He's normal, being those that its sections 5 and
11 and their references name); no activation; all weights 0 or 1; the four other optimizers of section 6, with the
defaults of the Keras of its time (`keras_2019.py`); batch normalisation on every layer.

Keras's leaky ReLU has a slope of 0.2 for negative inputs where the paper writes 0.1; maxout takes the larger of two
maps and so has twice the weights of the others.
"""

import ml_collections

from configs import default
from configs.studies import keras_2019

ACTIVATIONS = ('sigmoid', 'tanh', 'relu', 'leaky_relu', 'maxout', 'elu')
INITIALIZERS = ('random_normal', 'glorot_uniform', 'he_normal')
OPTIMIZERS = ('Adagrad', 'RMSprop', 'SGD', 'Adadelta')

#: What the variants of a comparison have in common where they do not differ in it.
USUAL = {'activation': 'relu', 'initializer': 'he_normal', 'optimizer': 'Adam', 'batch_norm': 'none'}


def _variant(**labels: str) -> dict:
    labels = USUAL | labels
    return {
        'labels': labels,
        'overrides': {
            'model': {
                'activation': labels['activation'],
                'kernel_initializer': labels['initializer'],
                'batch_norm': labels['batch_norm'],
            },
            'optimizer': keras_2019.OPTIMIZERS[labels['optimizer']],
        },
    }


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    config.base = default.get_config()
    config.base.model.hidden = (512, 128)
    config.base.global_batch_size = 128
    config.base.epochs = 5

    config.variants = {
        **{
            f'{activation}_{initializer}': _variant(activation=activation, initializer=initializer)
            for activation in ACTIVATIONS
            for initializer in INITIALIZERS
        },
        'linear': _variant(activation='linear'),
        'relu_zeros': _variant(initializer='zeros'),
        'relu_ones': _variant(initializer='ones'),
        **{f'relu_{name}': _variant(optimizer=name) for name in OPTIMIZERS},
        'relu_batch_norm': _variant(batch_norm='every'),
    }
    config.seeds = 10

    config.paper = ml_collections.ConfigDict()
    config.paper.reference = (
        'Satya Krishna Saiteja Pillarisetti: MNIST Hand Digit Recognition: Using Keras: 3 and 5 layer FFNN. '
        'AI-Tech Systems internship, 2019.'
    )
    config.paper.table = ()

    usual = {axis: value for axis, value in USUAL.items() if axis != 'optimizer'}
    adam = 'out of all optimizers ADAM will gives low-loss compare to ADAGRAD, RMSPROP, SGD and ADADELTA'
    initializers = 'loss gradients will either be too large or too small ... if it is even able to do so at all'
    normalisation = 'if we miss batch normalization ... it gives bad performance of model'
    config.paper.claims = (
        {
            'id': 'activations_needed',
            'kind': 'better',
            'a': {'activation': ACTIVATIONS},
            'b': {'activation': 'linear'},
            'where': USUAL | {'activation': (*ACTIVATIONS, 'linear')},
            'quote': 'Activation functions are really important for a Artificial Neural Network to learn',
            'section': '4. Activation function',
            'reading': 'the six activations, on average, against none',
        },
        *(
            {
                'id': f'{initializer}_fail',
                'kind': 'fails',
                'a': {'initializer': initializer},
                'value': 0.2,
                'quote': initializers,
                'section': '5. Weight initializers in Keras',
                'reading': f'activations that {what} keep the network from learning: accuracy below 0.2 (chance: 0.1)',
            }
            for initializer, what in (('zeros', 'vanish (all weights 0)'), ('ones', 'explode (all weights 1)'))
        ),
        *(
            {
                'id': f'adam_lowest_{metric}',
                'kind': 'best',
                'a': {'optimizer': 'Adam'},
                'where': usual,
                'metric': metric,
                'quote': adam,
                'section': '6. Optimizers',
                'reading': f'by {metric.replace("_", " ")} after 5 epochs',
            }
            for metric in ('train_loss', 'test_loss')
        ),
        *(
            {
                'id': f'batch_norm_needed_{metric}',
                'kind': 'better',
                'a': {'batch_norm': 'every'},
                'b': {'batch_norm': 'none'},
                'where': USUAL | {'batch_norm': ('every', 'none')},
                'metric': metric,
                'quote': normalisation,
                'section': '7. Batch-Normalization',
                'reading': f'a worse {metric.replace("_", " ")} without it',
            }
            for metric in ('test_accuracy', 'test_loss')
        ),
    )
    return config
