"""Optimizer and learning-rate schedule of a run: Keras names with Keras arguments.

Importing this module does not import Keras, so that a config is checked before TensorFlow starts.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from configs import default
from seedwise import references
from seedwise.commands import KINDS
from seedwise.errors import UserError, unknown
from seedwise.references import running


class Argument(NamedTuple):
    """`rule`: what its values must be, in words; `holds`: whether a finite one is that."""

    kind: type
    rule: str
    holds: Callable[[Any], bool]


_FLAG = Argument(bool, KINDS[bool], lambda value: True)
_ANY = Argument(float, 'finite', lambda value: True)
_SHARE = Argument(float, 'from 0 to 1', lambda value: 0 <= value <= 1)
_BELOW_ONE = Argument(float, 'at least 0 and below 1', lambda value: 0 <= value < 1)
_INSIDE = Argument(float, 'above 0 and below 1', lambda value: 0 < value < 1)
_POSITIVE = Argument(float, 'above 0', lambda value: value > 0)
_NOT_NEGATIVE = Argument(float, 'at least 0', lambda value: value >= 0)
_NOT_POSITIVE = Argument(float, 'at most 0', lambda value: value <= 0)
_ADAM = {'beta_1': _BELOW_ONE, 'beta_2': _BELOW_ONE, 'epsilon': _NOT_NEGATIVE}

#: Keras name -> the arguments of its own (`tests/trainer/test_models.py` holds it against Keras).
ARGUMENTS: dict[str, dict[str, Argument]] = {
    'Adadelta': {'rho': _SHARE, 'epsilon': _NOT_NEGATIVE},
    'Adafactor': {
        'beta_2_decay': _NOT_POSITIVE,
        'epsilon_1': _NOT_NEGATIVE,
        'epsilon_2': _NOT_NEGATIVE,
        'clip_threshold': _POSITIVE,
        'relative_step': _FLAG,
    },
    'Adagrad': {'initial_accumulator_value': _NOT_NEGATIVE, 'epsilon': _NOT_NEGATIVE},
    'Adam': _ADAM | {'amsgrad': _FLAG},
    'AdamW': _ADAM | {'amsgrad': _FLAG},
    'Adamax': _ADAM,
    'Ftrl': {
        'learning_rate_power': _NOT_POSITIVE,
        'initial_accumulator_value': _NOT_NEGATIVE,
        'l1_regularization_strength': _NOT_NEGATIVE,
        'l2_regularization_strength': _NOT_NEGATIVE,
        'l2_shrinkage_regularization_strength': _NOT_NEGATIVE,
        'beta': _NOT_NEGATIVE,
    },
    'Lamb': _ADAM,
    'Lion': {'beta_1': _INSIDE, 'beta_2': _BELOW_ONE},
    'Muon': {
        'adam_beta_1': _BELOW_ONE,
        'adam_beta_2': _BELOW_ONE,
        'adam_weight_decay': _NOT_NEGATIVE,
        'adam_lr_ratio': _NOT_NEGATIVE,
        'epsilon': _NOT_NEGATIVE,
        'momentum': _SHARE,
        'nesterov': _FLAG,
        'muon_a': _ANY,
        'muon_b': _ANY,
        'muon_c': _ANY,
        'ns_steps': Argument(int, 'from 1 to 100', lambda value: 1 <= value <= 100),
        'rms_rate': _NOT_NEGATIVE,
    },
    'Nadam': _ADAM,
    'RMSprop': {'rho': _SHARE, 'momentum': _SHARE, 'epsilon': _NOT_NEGATIVE, 'centered': _FLAG},
    'SGD': {'momentum': _SHARE, 'nesterov': _FLAG},
    'ScheduleFreeAdamW': _ADAM
    | {
        'beta_1': _INSIDE,
        'warmup_steps': Argument(int, 'from 0 to 1,000,000,000', lambda value: 0 <= value <= 10**9),
    },
}

#: Argument of an optimizer's own -> its type.
TYPES = {name: argument.kind for own in ARGUMENTS.values() for name, argument in own.items()}

#: The same as a config may have them, next to `optimizer.options`.
FIELDS = {f'optimizer.{name}': kind for name, kind in TYPES.items()}

#: Arguments that every optimizer takes: fields of a config.
COMMON = tuple(field for field in default.get_config().optimizer if field not in ('name', 'options'))

SCHEDULES = ('constant', 'cosine', 'exponential', 'piecewise')


def canonical_name(name: str) -> str:
    """Returns the Keras name for `name` in any case. Raises `UserError` if there is no such optimizer."""
    for known in ARGUMENTS:
        if known.lower() == name.lower():
            return known
    raise unknown('optimizer.name', name, ARGUMENTS)


def is_own(optimizer: Mapping[str, Any]) -> bool:
    """Returns whether the optimizer is the user's, FILE.py:NAME."""
    return isinstance(optimizer.get('name'), str) and references.is_reference(optimizer['name'])


def settled(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the section of a config with all arguments of `TYPES` in `options`, where a config may have them next to it.

    Raises:
      UserError: an argument is there twice, with two values.
    """
    given, own = optimizer.get('options') or {}, is_own(optimizer)
    options = {key: value for key, value in given.items() if own or value is not None}
    for key, value in optimizer.items():
        if key in TYPES and value is not None and options.setdefault(key, value) != value:
            raise UserError(f'optimizer.{key} is {value!r}, and optimizer.options.{key} is {options[key]!r}: give one')
    return {key: value for key, value in optimizer.items() if key not in TYPES} | {'options': options}


def as_fields(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the section in the form that hashes are of: a field for each argument, None where it is not given.

    Configs were written like this before they had `options`, and no hash has changed since.
    """
    section: dict[str, Any] = {**dict.fromkeys(TYPES), **settled(optimizer)}
    return section if is_own(optimizer) else section | section['options'] | {'options': {}}


def arguments(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments that the section of a config gives to an optimizer of Keras, by name.

    Raises:
      UserError: the optimizer does not take one of them, or not this value of it.
    """
    optimizer = settled(optimizer)
    given = {key: optimizer[key] for key in COMMON if optimizer.get(key) is not None}
    if is_own(optimizer):
        for key in given:
            if key != 'learning_rate':
                raise UserError(
                    f'optimizer.{key} is set, but {optimizer["name"]} takes its arguments from optimizer.options'
                )
        return given
    name = canonical_name(optimizer['name'])
    takes = ARGUMENTS[name]
    for key, value in optimizer['options'].items():
        if key in COMMON:
            raise UserError(f'optimizer.options.{key} is set: what every optimizer takes is a field, optimizer.{key}')
        if key not in takes:
            raise unknown(f'argument of optimizer {name}', key, (*takes, *COMMON))
        (kind, rule, holds), found = takes[key], type(value)
        if found is not kind:
            raise UserError(f'optimizer.options.{key} is {value!r}: it must be {KINDS[kind]}')
        if not (abs(value) < math.inf and holds(value)):
            raise UserError(f'optimizer.options.{key} is {value}: for {name} it must be {rule}')
    return given | dict(optimizer['options'])


def averages(optimizer: Mapping[str, Any]) -> bool:
    """Returns whether an average of the weights is evaluated, and not the weights that are trained."""
    if is_own(optimizer):
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
    function, options = running.load(reference), dict(schedule['options'])

    def factor(progress):
        found = running.call(function, reference.file, progress, **options)
        try:
            found = ops.convert_to_tensor(found)
            found = found if any(kind in str(found.dtype) for kind in ('float', 'int')) else None
        except (TypeError, ValueError):
            found = None
        if found is None or len(found.shape):
            what = 'no number' if found is None else f'the shape {tuple(found.shape)}'
            raise UserError(
                f'{reference} returned {what}: it must return one number, the factor of the base learning rate'
            )
        return found

    factor(ops.convert_to_tensor(0.5))
    return factor


def build(
    optimizer: Mapping[str, Any], schedule: Mapping[str, Any], total_steps: int, warmup_steps: int, precision: str
):
    """Returns the Keras optimizer of a run; under mixed_float16 inside a dynamic loss scaler."""
    import keras

    make = _from_file if is_own(optimizer) else _of_keras
    built = make(optimizer, schedule, total_steps, warmup_steps)
    return keras.optimizers.LossScaleOptimizer(built) if precision == 'mixed_float16' else built


def _of_keras(optimizer: Mapping[str, Any], schedule: Mapping[str, Any], total_steps: int, warmup_steps: int):
    import keras

    cls = getattr(keras.optimizers, canonical_name(optimizer['name']), None)
    if cls is None:
        raise UserError(f"optimizer '{optimizer['name']}' is not in the installed Keras {keras.__version__}")
    if cls.__name__ == 'ScheduleFreeAdamW':
        from trainer.optimizers.schedule_free import ScheduleFreeAdamW as cls
    given = arguments(optimizer)
    base = given.pop('learning_rate', None)
    if base is None:
        base = default_learning_rate(cls)
    return cls(learning_rate=build_schedule(schedule, base, total_steps, warmup_steps), **given)


def _from_file(optimizer: Mapping[str, Any], schedule: Mapping[str, Any], total_steps: int, warmup_steps: int):
    import keras

    reference = references.parse(optimizer['name'], 'optimizer.name')
    make = running.load(reference)
    base = optimizer['learning_rate']
    if base is None:
        try:
            base = default_learning_rate(make)
        except (KeyError, ValueError):
            base = None
        if not isinstance(base, int | float):
            raise UserError(f'{reference} has no default learning_rate: set optimizer.learning_rate')
    rate = build_schedule(schedule, float(base), total_steps, warmup_steps)
    built = running.call(make, reference.file, learning_rate=rate, **dict(optimizer['options']))
    if not isinstance(built, keras.optimizers.Optimizer):
        raise UserError(f'{reference} made {type(built).__name__}: it must make a Keras optimizer')
    if isinstance(built, keras.optimizers.LossScaleOptimizer):
        raise UserError(
            f'{reference} made a LossScaleOptimizer: return the optimizer inside of it, and set '
            '--config.precision=mixed_float16, which scales the loss'
        )
    kind, base_kind = type(built), keras.optimizers.Optimizer
    if kind.update_step is base_kind.update_step and kind.apply is base_kind.apply:
        raise UserError(f'{reference} has no update_step(gradient, variable, learning_rate)')
    return built


def default_learning_rate(cls) -> float:
    """Returns the learning rate that a Keras optimizer class takes when none is given."""
    function = cls.__init__ if inspect.isclass(cls) else cls
    return inspect.signature(function).parameters['learning_rate'].default
