"""An own optimizer against Adam, on a model of one's own: python -m trainer.compare --study=examples/own_optimizer.py

`Signum` takes the sign of the momentum (Bernstein et al. 2018, signSGD). 784-64-10 with dropout, 2 epochs of the bundled
digits, 5 seeds.
"""

import keras
import ml_collections
from keras import ops

from configs import default


class Signum(keras.optimizers.Optimizer):
    """w <- w - learning_rate * sign(m), with m <- beta * m + (1 - beta) * gradient."""

    def __init__(self, learning_rate=0.001, beta=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta = beta

    def build(self, variables):
        super().build(variables)
        self._momenta = [self.add_variable_from_reference(variable, 'momentum') for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        momentum = self._momenta[self._get_variable_index(variable)]
        self.assign(momentum, self.beta * momentum + (1 - self.beta) * gradient)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * ops.sign(momentum))


def network(image_shape, classes, width=64, rate=0.1):
    """A function of (image_shape, classes) and options of your own, which returns logits."""
    return keras.Sequential(
        [
            keras.Input(image_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(width, activation='relu'),
            keras.layers.Dropout(rate),
            keras.layers.Dense(classes),
        ]
    )


def get_config():
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name = 'digits'
    config.base.epochs = 2
    config.base.model.name = f'{__file__}:network'
    config.axes = {
        'optimizer': {
            'Adam': {'optimizer': {'name': 'Adam'}},
            'Signum': {'optimizer': {'name': f'{__file__}:Signum', 'options': {'beta': 0.9}}},
        }
    }
    config.seeds = 5
    config.claims = ({'id': 'signum', 'kind': 'better', 'a': {'optimizer': 'Signum'}, 'b': {'optimizer': 'Adam'}},)
    return config
