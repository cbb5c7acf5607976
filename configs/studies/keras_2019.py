"""Optimizers with the defaults of Keras 2.2 to 2.3 (2018 and 2019), which the papers used and Keras 3 changed.

Not a study: what studies share. Learning rates today: Adadelta, Adagrad, Adamax and Nadam 0.001; Adagrad's accumulator
now starts at 0.1. The others are as they were, and are written out so that they stay so.
"""

OPTIMIZERS: dict[str, dict] = {
    'Adadelta': {'name': 'Adadelta', 'learning_rate': 1.0},
    'Adagrad': {'name': 'Adagrad', 'learning_rate': 0.01, 'initial_accumulator_value': 0.0},
    'Adam': {'name': 'Adam', 'learning_rate': 0.001},
    'Adamax': {'name': 'Adamax', 'learning_rate': 0.002},
    'Nadam': {'name': 'Nadam', 'learning_rate': 0.002},
    'RMSprop': {'name': 'RMSprop', 'learning_rate': 0.001},
    'SGD': {'name': 'SGD', 'learning_rate': 0.01},
}
