"""Optimizer and learning-rate schedule of a run: Keras names with Keras arguments.

Importing this module does not import Keras, so that a config is checked before TensorFlow starts.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from seedwise import references
from seedwise.errors import UserError, unknown

_ADAM = ('beta_1', 'beta_2', 'epsilon')

#: Keras name -> the arguments of its own (`tests/trainer/test_optimizers.py` holds it against Keras).
ARGUMENTS: dict[str, tuple[str, ...]] = {
    'Adadelta': ('rho', 'epsilon'),
    'Adafactor': ('beta_2_decay', 'epsilon_1', 'epsilon_2', 'clip_threshold', 'relative_step'),
    'Adagrad': ('initial_accumulator_value', 'epsilon'),
    'Adam': (*_ADAM, 'amsgrad'),
    'AdamW': (*_ADAM, 'amsgrad'),
    'Adamax': _ADAM,
    'Ftrl': (
        'learning_rate_power',
        'initial_accumulator_value',
        'l1_regularization_strength',
        'l2_regularization_strength',
        'l2_shrinkage_regularization_strength',
        'beta',
    ),
    'Lamb': _ADAM,
    'Lion': ('beta_1', 'beta_2'),
    'Muon': (
        *('adam_beta_1', 'adam_beta_2', 'adam_weight_decay', 'adam_lr_ratio', 'epsilon', 'momentum', 'nesterov'),
        *('muon_a', 'muon_b', 'muon_c', 'ns_steps', 'rms_rate'),
    ),
    'Nadam': _ADAM,
    'RMSprop': ('rho', 'momentum', 'epsilon', 'centered'),
    'SGD': ('momentum', 'nesterov'),
    'ScheduleFreeAdamW': (*_ADAM, 'warmup_steps'),
}

#: Arguments that every optimizer takes.
COMMON = (
    *('learning_rate', 'weight_decay', 'clipvalue', 'clipnorm', 'global_clipnorm'),
    *('use_ema', 'ema_momentum', 'ema_overwrite_frequency'),
)

SCHEDULES = ('constant', 'cosine', 'exponential', 'piecewise')


def canonical_name(name: str) -> str:
    """Returns the Keras name for `name` in any case. Raises `UserError` if there is no such optimizer."""
    for known in ARGUMENTS:
        if known.lower() == name.lower():
            return known
    raise unknown('optimizer.name', name, ARGUMENTS)


def arguments(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments that are set, by Keras name.

    Raises:
      UserError: one of them is not an argument of this optimizer.
    """
    given = {key: value for key, value in optimizer.items() if key not in ('name', 'options') and value is not None}
    if references.is_reference(optimizer['name']):
        for key in given:
            if key != 'learning_rate':
                raise UserError(
                    f'optimizer.{key} is set, but {optimizer["name"]} takes its arguments from optimizer.options'
                )
        return given
    name = canonical_name(optimizer['name'])
    for key in given:
        if key not in ARGUMENTS[name] + COMMON:
            raise unknown(f'argument of optimizer {name}', key, ARGUMENTS[name] + COMMON)
    return given


def averages(optimizer: Mapping[str, Any]) -> bool:
    """Returns whether an average of the weights is evaluated, and not the weights that are trained."""
    if references.is_reference(optimizer['name']):
        return False
    return bool(optimizer['use_ema']) or canonical_name(optimizer['name']) == 'ScheduleFreeAdamW'


def build_schedule(schedule: Mapping[str, Any], base: float, total_steps: int, warmup_steps: int):
    """Returns the learning rate as a Keras schedule, or as `base` itself where it is constant.

    With w warm-up steps of t in all, step s (from 0) has the rate

    * s < w: base * (s + 1) / w (linear; Goyal et al. 2017, section 2.2),
    * then, with p = (s - w) / (t - w): `constant` base; `cosine` base * (f + (1 - f) * (1 + cos(pi p)) / 2)
      (Loshchilov & Hutter 2017, eq. 5, one period); `exponential` base * decay_rate^p; `piecewise` base times the factor
      of the last boundary at or below s / t; a function from a file base times what it returns for p.

    Raises:
      UserError: such a function raises, or does not return one number.
    """
    if schedule['name'] == 'constant' and not warmup_steps:
        return base
    import keras
    from keras import ops

    own = _own_factor(schedule) if references.is_reference(schedule['name']) else None

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            step = ops.cast(step, keras.config.floatx())
            progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
            progress = ops.clip(progress, 0.0, 1.0)
            if own:
                rate = base * ops.cast(own(progress), step.dtype)
            elif schedule['name'] == 'cosine':
                final = schedule['final_fraction']
                rate = base * (final + (1 - final) * 0.5 * (1 + ops.cos(math.pi * progress)))
            elif schedule['name'] == 'exponential':
                rate = base * ops.power(schedule['decay_rate'], progress)
            elif schedule['name'] == 'piecewise':
                rate = base * ops.ones_like(step)
                for boundary, factor in zip(schedule['boundaries'], schedule['factors'], strict=True):
                    rate = ops.where(step >= boundary * total_steps, base * factor, rate)
            else:
                rate = base * ops.ones_like(step)
            if warmup_steps:
                rate = ops.where(step < warmup_steps, base * (step + 1) / warmup_steps, rate)
            return rate

        def get_config(self):
            return dict(schedule) | {'base': base, 'total_steps': total_steps, 'warmup_steps': warmup_steps}

    return Schedule()


def _own_factor(schedule: Mapping[str, Any]) -> Callable:
    """Returns a user's function of progress, a float tensor of shape [] in [0, 1]."""
    from keras import ops

    reference = references.parse(schedule['name'], 'schedule.name')
    function, options = references.load(reference), dict(schedule['options'])

    def factor(progress):
        found = references.call(function, progress, file=reference.file, **options)
        try:
            found = ops.convert_to_tensor(found)
        except (TypeError, ValueError):
            found = None
        if found is None or len(found.shape):
            what = 'no number' if found is None else f'the shape {tuple(found.shape)}'
            raise UserError(
                f'{reference.file}: {reference.name} returned {what}: it must return one number, the factor of the base '
                'learning rate'
            )
        return found

    factor(ops.convert_to_tensor(0.5))
    return factor


def build(
    optimizer: Mapping[str, Any], schedule: Mapping[str, Any], total_steps: int, warmup_steps: int, precision: str
):
    """Returns the Keras optimizer of a run; under mixed_float16 inside a dynamic loss scaler."""
    import keras

    if references.is_reference(optimizer['name']):
        built = _from_file(optimizer, schedule, total_steps, warmup_steps)
        return keras.optimizers.LossScaleOptimizer(built) if precision == 'mixed_float16' else built
    cls = getattr(keras.optimizers, canonical_name(optimizer['name']), None)
    if cls is None:
        raise UserError(f"optimizer '{optimizer['name']}' is not in the installed Keras {keras.__version__}")
    if cls.__name__ == 'ScheduleFreeAdamW':
        from trainer.schedule_free import ScheduleFreeAdamW as cls
    given = arguments(optimizer)
    base = given.pop('learning_rate', None)
    if base is None:
        base = default_learning_rate(cls)
    built = cls(learning_rate=build_schedule(schedule, base, total_steps, warmup_steps), **given)
    if precision == 'mixed_float16':
        return keras.optimizers.LossScaleOptimizer(built)
    return built


def _from_file(optimizer: Mapping[str, Any], schedule: Mapping[str, Any], total_steps: int, warmup_steps: int):
    import keras

    reference = references.parse(optimizer['name'], 'optimizer.name')
    make = references.load(reference)
    base = optimizer['learning_rate']
    if base is None:
        try:
            base = default_learning_rate(make)
        except (KeyError, ValueError):
            base = None
        if not isinstance(base, int | float):
            raise UserError(
                f'{reference.file}: {reference.name} has no default learning_rate: set optimizer.learning_rate'
            )
    rate = build_schedule(schedule, float(base), total_steps, warmup_steps)
    built = references.call(make, file=reference.file, learning_rate=rate, **dict(optimizer['options']))
    if not isinstance(built, keras.optimizers.Optimizer):
        raise UserError(
            f'{reference.file}: {reference.name} made {type(built).__name__}: it must make a Keras optimizer'
        )
    return built


def default_learning_rate(cls) -> float:
    """Returns the learning rate that a Keras optimizer class takes when none is given."""
    import inspect

    function = cls.__init__ if inspect.isclass(cls) else cls
    return inspect.signature(function).parameters['learning_rate'].default
