"""Every Keras optimizer, at its default and tuned under an equal budget, on MLP and CNN: 28 variants x 3 tunings.

    python -m trainer.compare --study=configs/studies/tuned_optimizers.py
    python -m trainer.compare --study=configs/studies/tuned_optimizers.py:MLP  # one of the two models

Optimizers compared at their defaults are defaults compared. Here each gets the same number of quasi-random trials, its
settings are chosen by validation accuracy, and what is chosen is run again on a fresh seed and tested once. The result
has a third axis, `tuning`: `default` (Keras 3's own settings), `rate` (the learning rate tuned) and `all` (the other
main arguments too, with the same number of trials).

All of this is done six times, with other draws, another validation split and another seed: an interval over these
replicates is one of tuning an optimizer and training it, not of one lucky or unlucky search. Trials are stopped early by
successive halving: of eight, the best two after a sixteenth of the training go on, and the better one after a quarter is the
choice. So the trials of a variant and replicate are trained for 4.4 epochs together, less than one run of full length, and
all 252 runs and 1,344 trials of a model for 1,998 epochs, of which 738 are the search.

The search spaces. Learning rate: log-uniform over six decades, three either way of the Keras default; as wide for each,
so that shares of good learning rates compare. Coefficients b of moving averages (momentum, beta, rho): 1 - b
log-uniform, as Choi et al. 2019 (On Empirical Comparisons of Optimizers for Deep Learning) draw momentum, since
1 / (1 - b) is the number of steps remembered. Small constants: log-uniform. A batch is 128, the learning rate constant,
training 5 epochs: results are for this length.

`claims` asks again, under equal conditions, what the four papers say about optimizers at settings that they did not
tune.
"""

import ml_collections

from configs import default
from seedwise.errors import unknown

#: Keras 3's learning rates, where they are not 0.001.
DEFAULT_RATES = {'SGD': 0.01, 'ScheduleFreeAdamW': 0.0025}
DECADES = 3.0

#: Name in this study -> name in a run's config.
MODELS = {'MLP': 'mlp', 'CNN': 'cnn'}

# Scale, low, high: 'log' draws x log-uniformly, 'log_1m' draws 1 - x log-uniformly (low and high are x's own).
_AVERAGE = ('log_1m', 0.0, 0.99)
_LONG_AVERAGE = ('log_1m', 0.9, 0.9999)
_EPSILON = ('log', 1e-10, 1e-1)
_ADAM = {'beta_1': _AVERAGE, 'beta_2': _LONG_AVERAGE, 'epsilon': _EPSILON}

#: Optimizer -> search space of its other main arguments.
MAIN_ARGUMENTS: dict[str, dict[str, tuple]] = {
    'Adadelta': {'rho': ('log_1m', 0.5, 0.999), 'epsilon': _EPSILON},
    'Adafactor': {'beta_2_decay': ('linear', -1.0, -0.5), 'clip_threshold': ('log', 0.1, 10.0)},
    'Adagrad': {'initial_accumulator_value': ('log', 1e-4, 10.0), 'epsilon': _EPSILON},
    'Adam': _ADAM,
    'AdamW': _ADAM | {'weight_decay': ('log', 1e-5, 1e-1)},
    'Adamax': _ADAM,
    'Ftrl': {'initial_accumulator_value': ('log', 1e-4, 10.0), 'learning_rate_power': ('linear', -1.0, 0.0)},
    'Lamb': _ADAM,
    'Lion': {'beta_1': _AVERAGE, 'beta_2': ('log_1m', 0.9, 0.999)},
    'Muon': {'momentum': ('log_1m', 0.5, 0.99), 'adam_lr_ratio': ('log', 0.01, 10.0)},
    'Nadam': _ADAM,
    'RMSprop': {'rho': ('log_1m', 0.5, 0.999), 'momentum': _AVERAGE, 'epsilon': _EPSILON},
    'SGD': {'momentum': _AVERAGE},
    'ScheduleFreeAdamW': {'beta_1': _AVERAGE, 'beta_2': _LONG_AVERAGE},
}


def get_config(models: str = 'MLP,CNN') -> ml_collections.ConfigDict:
    """Returns the study. `models`: which of MODELS, with commas between."""
    chosen = models.split(',')
    for name in chosen:
        if name not in MODELS:
            raise unknown('model of tuned_optimizers', name, MODELS)

    config = ml_collections.ConfigDict()

    config.base = default.get_config()
    config.base.data.validation = 10000
    config.base.global_batch_size = 128
    config.base.epochs = 5
    # Trials of tier `all` differ in numbers that are compiled into the step. XLA takes longer to compile a step (2 s on one
    # core of a busy x86 CPU, without it 0.6 s) than it saves in a run of an MLP; in one of a CNN it saves nothing on a CPU.
    config.base.jit = 'off'

    config.axes = {
        'optimizer': {name: {'optimizer': {'name': name}} for name in MAIN_ARGUMENTS},
        'model': {name: {'model': {'name': MODELS[name]}} for name in chosen},
    }
    # Of the runs that are compared, one for each replicate; the trials have seeds of their own.
    config.seeds = 6

    config.tune = ml_collections.ConfigDict()
    # Searches of each optimizer, model and tier, and trials of each search: the same for all.
    config.tune.replicates = 6
    config.tune.trials = 8
    # How trials are drawn: quasi-random, or by Optuna's 'tpe' or 'cmaes'.
    config.tune.sampler = 'halton'
    # Trials are judged after 1/16 and 1/4 of the training, and at its end if two are left; the best 1/4 go on.
    config.tune.halving = {'eta': 4, 'rungs': 3}
    # What a trial is judged by: validation accuracy, or validation loss (the lower).
    config.tune.metric = 'validation_accuracy'
    # Tier -> optimizer -> where its trials are drawn from; the nesting is that of a run's config.
    config.tune.tiers = {'rate': {}, 'all': {}}
    for name in MAIN_ARGUMENTS:
        centre = DEFAULT_RATES.get(name, 0.001)
        rate = {'learning_rate': ('log', centre * 10**-DECADES, centre * 10**DECADES)}
        config.tune.tiers['rate'][name] = {'optimizer': rate}
        config.tune.tiers['all'][name] = {'optimizer': rate | MAIN_ARGUMENTS[name]}

    raj = 'Raj: Implementing hand-written digit recognition in Keras (2019)'
    pillarisetti = 'Pillarisetti: MNIST Hand Digit Recognition: Using Keras (2019)'
    behal = 'Behal: Hand Written Digit Recognition using Keras (2019)'
    ranjbar = 'Ranjbar: report on handwritten digit recognition with CNN and MLP'
    tuned = 'with every learning rate tuned'
    claims: tuple[dict, ...] = (
        {
            'id': 'nadam_best',
            'kind': 'best',
            'a': {'optimizer': 'Nadam'},
            'b': _optimizers('Adadelta', 'Adagrad', 'Adam', 'Adamax', 'RMSprop', 'SGD'),
            'quote': 'The best Optimizer for Hand written digit image identification in Keras is Nadam.',
            'section': raj,
            'reading': f'among its seven optimizers, by test accuracy, {tuned}',
        },
        {
            'id': 'adam_lowest_loss',
            'kind': 'best',
            'a': {'optimizer': 'Adam'},
            'b': _optimizers('Adagrad', 'RMSprop', 'SGD', 'Adadelta'),
            'metric': 'test_loss',
            'quote': 'out of all optimizers ADAM will gives low-loss compare to ADAGRAD, RMSPROP, SGD and ADADELTA',
            'section': pillarisetti,
            'reading': f'by test loss, {tuned}',
        },
        *(
            {
                'id': f'{name.lower()}_good',
                'kind': 'best',
                'a': {'optimizer': name},
                'b': _optimizers('Nadam', 'Adadelta'),
                'quote': 'SGD and ADAM optimizers are giving good results in comparison to other optimizer.',
                'section': behal,
                'reading': f'{name} is better than both Nadam and Adadelta by test accuracy, {tuned}',
            }
            for name in ('SGD', 'Adam')
        ),
        {
            'id': 'adam_better_than_sgd',
            'kind': 'better',
            'a': {'optimizer': 'Adam'},
            'b': {'optimizer': 'SGD'},
            'quote': 'Adam is better and faster',
            'section': ranjbar,
            'reading': f'by test accuracy, {tuned}',
        },
        {
            'id': 'adam_faster_than_sgd',
            'kind': 'faster',
            'a': {'optimizer': 'Adam'},
            'b': {'optimizer': 'SGD'},
            'metric': 'validation_accuracy',
            'target': 0.96,
            'quote': 'Adam is better and faster',
            'section': ranjbar,
            'reading': f'fewer epochs to a validation accuracy of 0.96, {tuned}',
        },
        {
            'id': 'adamax_less_sensitive_than_sgd',
            'kind': 'less_sensitive',
            'a': {'optimizer': 'Adamax'},
            'b': {'optimizer': 'SGD'},
            'metric': 'validation_accuracy',
            'margin': 0.01,
            'quote': 'In contrast to the SGD, AdaMax offers the important advantage of being much less sensitive to '
            'the choice of the hyper-parameters.',
            'section': raj,
            'reading': 'a larger share of learning rates within 0.01 of its best validation accuracy, after a sixteenth of '
            'the training',
        },
    )
    config.claims = tuple(
        claim | {'id': f'{claim["id"]}_{model.lower()}', 'where': {'tuning': 'rate', 'model': model}}
        for model in chosen
        for claim in claims
    )
    return config


def _optimizers(*names: str) -> tuple[dict[str, str], ...]:
    return tuple({'optimizer': name} for name in names)
