"""Is this config one that can be run? Answered before TensorFlow is imported, in one line."""

import math
from collections.abc import Callable

import ml_collections

from configs.commands import get
from configs.default import OPTIONAL_PAIRS, PAIRS
from configs.errors import UserError, unknown
from trainer import models, optimizers
from trainer.losses import LOSSES

STRATEGIES = ('auto', 'one_device', 'mirrored', 'multi_worker', 'tpu')
PRECISIONS = ('float32', 'float64', 'mixed_bfloat16', 'mixed_float16')

#: Beyond these a number is a slip of the pen: it would run for ever or fill the memory.
MOST_STEPS = 10**9
MOST_UNITS = 10**6


def check(config: ml_collections.ConfigDict) -> None:
    """Raises `UserError` at the first field whose value cannot be run."""
    for path, accepted in {
        'model.name': models.MODELS,
        'model.activation': models.ACTIVATIONS,
        'model.kernel_initializer': models.INITIALIZERS,
        'model.batch_norm': models.WHERE,
        'model.dropout': models.WHERE,
        'loss.name': LOSSES,
        'schedule.name': optimizers.SCHEDULES,
        'strategy': STRATEGIES,
        'precision': PRECISIONS,
        'jit': ('auto', 'on', 'off'),
        'data.fallback': ('', 'digits'),
    }.items():
        if get(config, path) not in accepted:
            raise unknown(path, get(config, path), accepted)
    optimizers.arguments(config.optimizer)

    for path, rule, holds in _NUMBERS:
        value = get(config, path)
        if value is not None and not (math.isfinite(value) and holds(value)):
            raise UserError(f'{path} is {value}: it must be {rule}')
    for path in ('model.hidden', 'model.filters'):
        for value in get(config, path):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_UNITS:
                raise UserError(f'{path} holds {value!r}: each must be a whole number from 1 to {MOST_UNITS:,}')

    for pair in PAIRS:
        if sum(get(config, path) is not None for path in pair) != 1:
            values = ' and '.join(f'{path} {get(config, path)}' for path in pair)
            raise UserError(f'exactly one of {" and ".join(pair)} is wanted: the config gives {values}')
    for pair in OPTIONAL_PAIRS:
        if all(get(config, path) is not None for path in pair):
            raise UserError(f'at most one of {" and ".join(pair)} is wanted')
    _check_together(config)


def _check_together(config: ml_collections.ConfigDict) -> None:
    """Rules that span several fields."""
    clips = [name for name in ('clipvalue', 'clipnorm', 'global_clipnorm') if config.optimizer[name] is not None]
    if len(clips) > 1:
        raise UserError(f'at most one of optimizer.clipvalue, .clipnorm, .global_clipnorm: the config gives {clips}')
    if config.replicas and config.global_batch_size % config.replicas:
        raise batch_not_divisible(config.global_batch_size, config.replicas)
    if config.strategy == 'one_device' and config.replicas > 1:
        raise UserError(f'strategy one_device has one replica: replicas is {config.replicas}; accepted are 0 and 1')
    if config.early_stopping_patience and not config.data.validation:
        raise UserError('early_stopping_patience watches the validation loss: it needs data.validation > 0')
    schedule = config.schedule
    if schedule.name == 'piecewise':
        inside = all(isinstance(b, int | float) and 0 < b < 1 for b in schedule.boundaries)
        if not inside or list(schedule.boundaries) != sorted(set(schedule.boundaries)):
            raise UserError(f'schedule.boundaries is {schedule.boundaries}: rising fractions of training in (0, 1)')
        if len(schedule.factors) != len(schedule.boundaries):
            raise UserError(f'schedule.factors {schedule.factors} must be as many as boundaries {schedule.boundaries}')
        if not all(isinstance(f, int | float) and f >= 0 for f in schedule.factors):
            raise UserError(f'schedule.factors is {schedule.factors}: each must be a number of at least 0')
    if config.model.name == 'mlp' and not config.model.hidden:
        for path in ('batch_norm', 'dropout'):
            if config.model[path] != 'none':
                raise UserError(
                    f'model.{path} is {config.model[path]!r}, but model.hidden is (): there is no hidden layer'
                )


def batch_not_divisible(batch: int, replicas: int) -> UserError:
    """The error for a global batch that cannot be split evenly."""
    low, high = batch // replicas * replicas, -(-batch // replicas) * replicas
    nearest = f'{high}' if low == 0 else f'{low} or {high}'
    return UserError(f'global_batch_size {batch} is not divisible by {replicas} replicas: the nearest is {nearest}')


def _between(low: float, high: float) -> Callable[[float], bool]:
    return lambda value: low <= value <= high


def _below_one(value: float) -> bool:
    return 0 <= value < 1


def _positive(value: float) -> bool:
    return value > 0


def _not_negative(value: float) -> bool:
    return value >= 0


_STEPS = f'from 1 to {MOST_STEPS:,}'
_NUMBERS: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
    ('seed', 'from 0 to 2^31 - 1', _between(0, 2**31 - 1)),
    ('epochs', 'from 0 to 1,000,000', _between(0, 10**6)),
    ('steps', f'from 0 to {MOST_STEPS:,}', _between(0, MOST_STEPS)),
    ('eval_every_epochs', _STEPS, _between(1, MOST_STEPS)),
    ('eval_every_steps', _STEPS, _between(1, MOST_STEPS)),
    ('global_batch_size', 'from 1 to 1,000,000', _between(1, 10**6)),
    ('steps_per_call', 'from 1 to 10,000', _between(1, 10**4)),
    ('replicas', 'from 0 (one for each device) to 4,096', _between(0, 4096)),
    ('threads', 'from 0 (all cores) to 1,024', _between(0, 1024)),
    ('early_stopping_patience', 'at least 0', _not_negative),
    ('data.validation', 'at least 0', _not_negative),
    ('data.memory_limit_mb', 'at least 0', _not_negative),
    ('data.augment.shift', 'at least 0 pixels', _not_negative),
    ('data.augment.rotate', 'from 0 to 180 degrees', _between(0, 180)),
    ('data.augment.zoom', 'at least 0 and below 1', _below_one),
    ('model.kernel_size', 'from 1 to 100', _between(1, 100)),
    ('model.dropout_rate', 'at least 0 and below 1', _below_one),
    ('loss.label_smoothing', 'at least 0 and below 1', _below_one),
    ('optimizer.learning_rate', 'above 0 and at most 1,000,000', lambda value: 0 < value <= 10**6),
    ('optimizer.clipvalue', 'above 0', _positive),
    ('optimizer.clipnorm', 'above 0', _positive),
    ('optimizer.global_clipnorm', 'above 0', _positive),
    ('optimizer.weight_decay', 'at least 0', _not_negative),
    ('optimizer.momentum', 'from 0 to 1', _between(0, 1)),
    ('optimizer.rho', 'from 0 to 1', _between(0, 1)),
    ('optimizer.beta_1', 'at least 0 and below 1', _below_one),
    ('optimizer.beta_2', 'at least 0 and below 1', _below_one),
    ('optimizer.epsilon', 'at least 0', _not_negative),
    ('optimizer.ema_momentum', 'from 0 to 1', _between(0, 1)),
    ('optimizer.ema_overwrite_frequency', 'at least 1 step', lambda value: value >= 1),
    ('schedule.warmup_steps', f'from 0 to {MOST_STEPS:,}', _between(0, MOST_STEPS)),
    ('schedule.warmup_epochs', 'from 0 to 1,000,000', _between(0, 10**6)),
    ('schedule.final_fraction', 'at least 0', _not_negative),
    ('schedule.decay_rate', 'above 0', _positive),
    ('checkpoint.every_steps', 'at least 0', _not_negative),
    ('checkpoint.every_seconds', 'at least 0', _not_negative),
    ('checkpoint.keep', 'from 1 to 1,000', _between(1, 1000)),
    ('tensorboard.profile_steps', 'at least 0', _not_negative),
)
