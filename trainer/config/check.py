"""Is this config one that can be run? Answered before TensorFlow is imported, in one line."""

import functools
import itertools
import math
from collections.abc import Callable, Collection, Mapping

import ml_collections

from configs import default
from configs.default import OPTIONAL_PAIRS, PAIRS
from data_pipeline import sources
from data_pipeline.own import names
from seedwise import references
from seedwise.commands import KINDS, unknown_field
from seedwise.dotted import get, is_option, types
from seedwise.errors import UserError, unknown
from trainer import losses, metrics, models, optimizers
from trainer.cluster import Cluster
from trainer.machine.hardware import has_gpu

NORMALIZE = ('auto', 'none', 'standard')
STRATEGIES = ('auto', 'one_device', 'mirrored', 'multi_worker', 'tpu')
PRECISIONS = ('float32', 'float64', 'mixed_bfloat16', 'mixed_float16')
CLIPS = ('clipvalue', 'clipnorm', 'global_clipnorm')

#: A number beyond these is a typing mistake: the run would never end, or fill the memory.
MOST_STEPS = 10**9
MOST_CALLS = 10**7
MOST_UNITS = 10**6
MOST_WEIGHTS = 10**9


def check(config: ml_collections.ConfigDict) -> None:
    """Raises `UserError` at the first field whose value cannot be run."""
    _check_schema(config)
    own = references.of_config(config)
    _check_own_code(config, own)
    _check_names(config, own)
    optimizers.arguments(config.optimizer)
    for path, rule, holds in _NUMBERS:
        value = get(config, path)
        if value is not None and not (abs(value) < math.inf and holds(value)):
            raise UserError(f'{path} is {value}: it must be {rule}')
    _check_widths(config.model)
    _check_class_weights(config.loss.class_weights)
    _check_pairs(config)
    _check_together(config)


def check_cluster(config: ml_collections.ConfigDict, cluster: Cluster | None) -> None:
    """Raises `UserError` if the workers of `cluster` cannot run `config`."""
    if cluster is None:
        if config.strategy == 'multi_worker':
            raise UserError(
                'strategy multi_worker needs a cluster: set TF_CONFIG, or start with python -m launch local --workers=2'
            )
        return
    workers = len(cluster.addresses)
    if config.jit == 'on' and workers > 1 and not has_gpu():
        raise jit_needs_one_device()
    if config.strategy in ('one_device', 'mirrored') and workers > 1:
        raise UserError(f'strategy {config.strategy} is for one worker, but there is a cluster: {cluster}; use auto')
    if config.replicas % workers:
        raise UserError(f'replicas is {config.replicas}: it must be a multiple of the {workers} workers')
    check_batch(config, workers)


def check_data(config: ml_collections.ConfigDict, location: sources.Location) -> None:
    """Raises `UserError` if the config cannot be trained on the data, as far as they are known before they are read."""
    if location.train is not None:
        sources.check_validation(location.name, location.train, config.data.validation)
    check_images(config, location.name, location.image_shape)


def check_images(config: ml_collections.ConfigDict, name: str, shape: tuple[int, ...]) -> None:
    """Raises `UserError` if the config needs other examples than those of dataset `name`, of this shape; (): not known."""
    models.check_shape(config.model.name, config.model.options, name, shape)
    if len(shape) == 3:
        side = min(shape[:2])
        for field, most in (('crop', side - 1), ('cutout', side)):
            if config.data.augment[field] > most:
                raise UserError(
                    f"data.augment.{field} is {config.data.augment[field]}: the images of '{name}' are "
                    f'{shape[0]}x{shape[1]}, so at most {most}'
                )
    if len(shape) != 1:
        return
    features = f"is for images, and the examples of '{name}' have {shape[0]:,} features"
    for field, value in config.data.augment.items():
        if value and field != 'mixup':
            raise UserError(f'data.augment.{field} {features}: set it to {default.get_config().data.augment[field]!r}')


def check_length(config: ml_collections.ConfigDict, total_steps: int) -> None:
    """Raises `UserError` if a run has so many steps that it would never end; the number is known once the dataset is."""
    if total_steps > MOST_STEPS:
        raise UserError(f'epochs {config.epochs:,} are {total_steps:,} steps here: at most {MOST_STEPS:,} are possible')
    call = min(config.steps_per_call, config.eval_every_steps or config.steps_per_call)
    if total_steps // call > MOST_CALLS:
        raise UserError(
            f'{total_steps:,} steps in calls of {call} (steps_per_call, eval_every_steps) are {total_steps // call:,} '
            f'calls: at most {MOST_CALLS:,} are possible'
        )


@functools.cache
def _schema() -> tuple[dict[str, type], frozenset[str]]:
    """Returns the types of the fields of `configs.default`, and the paths that may be None."""
    schema = default.get_config()
    required = types(schema)
    pairs = {path for pair in PAIRS for path in pair}
    return required, frozenset(path for path in required if path in pairs or get(schema, path) is None)


def _check_schema(config: ml_collections.ConfigDict) -> None:
    """Fields and their types are those of `configs.default`: a config file could have added others."""
    given = check_complete(config)
    required, optional = _schema()
    for path, kind in required.items():
        value = get(config, path)
        may_be_none = path in optional
        if not (
            isinstance(value, kind) and isinstance(value, bool) == (kind is bool) or (value is None and may_be_none)
        ):
            raise UserError(f'{path} is {value!r}: it must be {KINDS[kind]}{" or None" * may_be_none}')
    known = required | optimizers.FIELDS
    for path in given:
        if not is_option(path) and path not in known:
            raise unknown_field('field', path, known)


def check_complete(config: ml_collections.ConfigDict) -> dict[str, type]:
    """Returns the types of a config's fields; raises `UserError` if one of `configs.default`, or a section of options, is
    missing."""
    given = types(config)
    missing = [path for path in _schema()[0] if path not in given]
    if missing:
        raise UserError(
            f'the config lacks {", ".join(missing[:3])}{", ..." * (len(missing) > 3)}: it must start from '
            'configs.default.get_config() (a study is for python -m trainer.compare --study)'
        )
    for path in (*(f'{field.removesuffix("name")}options' for field in references.FIELDS), 'metric_options'):
        section, _, key = path.rpartition('.')
        value = get(config, section).get(key)
        if not isinstance(value, ml_collections.ConfigDict):
            raise UserError(f'{path} is {value!r}: it must be a section, which is empty if there are no options')
    return given


def _check_own_code(config: ml_collections.ConfigDict, own: Mapping[str, references.Reference]) -> None:
    """What is named in the user's files is there and takes the options; what is not from a file has no options."""
    for path in own.keys() & references.FIELDS.keys():
        options = get(config, path.removesuffix('.name')).options
        references.check(own[path], path, references.FIELDS[path], options)
    metrics.check(config.metrics, config.metric_options)
    for path in references.FIELDS:
        where = path.removesuffix('.name')
        section = get(config, where)
        if path in own or not section.options or path in ('model.name', 'optimizer.name'):
            continue
        if not (path == 'data.name' and names.kind_of(section.name)):
            what = 'your own data' if path == 'data.name' else 'FILE.py:NAME'
            raise UserError(f"{where}.options are for {what}, and {path} is '{section.name}'")


#: Field -> the names that it may have, besides that of a user's own code.
_NAMES: Mapping[str, Collection[str]] = {
    'data.normalize': NORMALIZE,
    'data.augment.name': ('', 'FILE.py:NAME'),
    'model.activation': models.ACTIVATIONS,
    'model.kernel_initializer': models.INITIALIZERS,
    'model.batch_norm': models.WHERE,
    'model.dropout': models.WHERE,
    'loss.name': losses.LOSSES,
    'schedule.name': optimizers.SCHEDULES,
    'strategy': STRATEGIES,
    'precision': PRECISIONS,
    'jit': ('auto', 'on', 'off'),
    'data.fallback': ('', 'digits'),
}


def _check_names(config: ml_collections.ConfigDict, own: Mapping[str, references.Reference]) -> None:
    """Every name is in its table, or is that of a user's own code."""
    if 'model.name' not in own:
        models.check_name(config.model.name, config.model.options)
    if names.kind_of(config.data.name) in names.FILED:
        names.check(config.data.name, config.data.options)
    for path, accepted in _NAMES.items():
        if path not in own and get(config, path) not in accepted:
            raise unknown(path, get(config, path), accepted)
    if config.monitor not in (measured := metrics.measured(config.metrics)):
        if config.monitor in metrics.METRICS:
            raise UserError(
                f"monitor is '{config.monitor}', which is not measured: add it to metrics, {config.metrics}"
            )
        raise unknown('monitor', config.monitor, measured)


def _check_pairs(config: ml_collections.ConfigDict) -> None:
    """Of fields that say the same thing in two units, one is given; of some, none may be."""
    for pair in PAIRS + OPTIONAL_PAIRS:
        given = sum(get(config, path) is not None for path in pair)
        fields, values = ' and '.join(pair), ' and '.join(f'{path} {get(config, path)}' for path in pair)
        if given > 1 and pair in OPTIONAL_PAIRS:
            raise UserError(f'at most one of {fields} may be set: the config sets {values}')
        if given != 1 and pair in PAIRS:
            raise UserError(f'exactly one of {fields} must be set: the config sets {values}')


def _check_widths(model: ml_collections.ConfigDict) -> None:
    for path in ('hidden', 'filters'):
        for value in model[path]:
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_UNITS:
                raise UserError(f'model.{path} holds {value!r}: each must be a whole number from 1 to {MOST_UNITS:,}')
        area = model.kernel_size**2 if path == 'filters' else 1
        for units, more in itertools.pairwise(model[path]):
            if units * more * area > MOST_WEIGHTS:
                raise UserError(
                    f'model.{path} has {units:,} before {more:,}: that makes {units * more * area:,} weights, '
                    f'and a layer may have {MOST_WEIGHTS:,}'
                )
    if models.has_options(model.name):
        return
    if not model.hidden and (model.name == 'mlp' or not model.filters):
        for path in ('batch_norm', 'dropout'):
            if model[path] != 'none':
                raise UserError(f"model.{path} is '{model[path]}', but the model has no hidden layer: accepted is none")


def _check_class_weights(weights: tuple) -> None:
    if weights in ((), (losses.BALANCED,)):
        return
    numbers = all(isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w < math.inf for w in weights)
    if not numbers or not any(weights):
        near = [weight for weight in weights if isinstance(weight, str)]
        if len(weights) == len(near) == 1:
            raise unknown('loss.class_weights', near[0], (losses.BALANCED, '()', '(1.0, 2.5, 1.0)'))
        raise UserError(
            f"loss.class_weights is {weights}: it must be (), ('{losses.BALANCED}',), or a number of at least 0 for each "
            'class, not all 0'
        )


def check_classes(config: ml_collections.ConfigDict, name: str, classes: int) -> None:
    """Raises `UserError` if the config has weights for another number of classes than dataset `name` has."""
    weights = config.loss.class_weights
    if weights not in ((), (losses.BALANCED,)) and len(weights) != classes:
        raise UserError(
            f"loss.class_weights has {len(weights)} numbers, and '{name}' has {classes} classes: one a class"
        )


def jit_needs_one_device() -> UserError:
    """Returns the error for XLA where TensorFlow cannot compile a replica's step."""
    return UserError(
        "jit is 'on', but on CPUs XLA compiles the step of one device only: use --config.jit=auto or "
        '--config.strategy=one_device'
    )


def _check_together(config: ml_collections.ConfigDict) -> None:
    """Rules that span several fields."""
    clips = [name for name in CLIPS if config.optimizer[name] is not None]
    if len(clips) > 1:
        raise UserError(
            f'at most one of optimizer.{", ".join(CLIPS)} may be set: the config sets {" and ".join(clips)}'
        )
    check_batch(config, config.replicas or 1)
    if config.strategy == 'one_device' and config.replicas > 1:
        raise UserError(f'strategy one_device has one replica: replicas is {config.replicas}; accepted are 0 and 1')
    if config.early_stopping_patience and not config.data.validation:
        raise UserError(
            f'early_stopping_patience watches the validation {config.monitor}: it needs data.validation > 0'
        )
    several = config.replicas > 1 or config.strategy in ('mirrored', 'multi_worker')
    if config.jit == 'on' and several and not has_gpu():
        raise jit_needs_one_device()
    if config.jit == 'on' and config.model.name == 'cnn' and config.model.filters and config.strategy != 'tpu':
        raise UserError(
            "jit is 'on', but XLA has no deterministic gradient of max pooling, which model.name 'cnn' has: use "
            '--config.jit=auto'
        )
    if config.optimizer.use_ema and optimizers.canonical_name(config.optimizer.name) == 'ScheduleFreeAdamW':
        raise UserError('optimizer.use_ema is for other optimizers: ScheduleFreeAdamW averages its weights itself')
    schedule = config.schedule
    if schedule.name == 'piecewise':
        inside = all(isinstance(b, int | float) and 0 < b < 1 for b in schedule.boundaries)
        if not inside or list(schedule.boundaries) != sorted(set(schedule.boundaries)):
            raise UserError(
                f'schedule.boundaries is {schedule.boundaries}: it must be rising fractions of training, each above 0 and '
                'below 1, such as (0.5, 0.75)'
            )
        if not all(isinstance(f, int | float) and 0 <= f < math.inf for f in schedule.factors):
            raise UserError(f'schedule.factors is {schedule.factors}: each must be a number of at least 0')
        if len(schedule.factors) != len(schedule.boundaries):
            raise UserError(
                f'schedule.factors is {schedule.factors}: it must be as many as schedule.boundaries, {schedule.boundaries}'
            )


def check_batch(config: ml_collections.ConfigDict, replicas: int) -> None:
    """Raises `UserError` if a global batch cannot be split evenly among the replicas; with mixup, into pairs."""
    batch = config.global_batch_size
    divisor = 2 * replicas if config.data.augment.mixup else replicas
    if batch % divisor == 0:
        return
    low, high = batch // divisor * divisor, math.ceil(batch / divisor) * divisor
    nearest = f'{high}' if low == 0 else f'{low} or {high}'
    by = f'{replicas} replicas'
    if config.data.augment.mixup:
        by = f'2 x {by}' if replicas > 1 else '2'
        by += ', and data.augment.mixup mixes pairs of examples within each replica'
    raise UserError(f'global_batch_size {batch} is not divisible by {by}: the nearest is {nearest}')


def _between(low: float, high: float) -> Callable[[float], bool]:
    return lambda value: low <= value <= high


def _below_one(value: float) -> bool:
    return 0 <= value < 1


def _positive(value: float) -> bool:
    return value > 0


def _not_negative(value: float) -> bool:
    return value >= 0


_STEPS = f'from 1 to {MOST_STEPS:,}'
#: Every field that is a number, what it may be, and whether it is (that it is finite goes without saying).
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
    ('data.augment.shift', 'from 0 to 1,000 pixels', _between(0, 1000)),
    ('data.augment.rotate', 'from 0 to 180 degrees', _between(0, 180)),
    ('data.augment.zoom', 'at least 0 and below 1', _below_one),
    ('data.augment.crop', 'from 0 to 1,000 pixels', _between(0, 1000)),
    ('data.augment.cutout', 'from 0 to 1,000 pixels', _between(0, 1000)),
    ('data.augment.mixup', '0 (off), or from 0.001 to 1,000', lambda value: value == 0 or 0.001 <= value <= 1000),
    ('model.kernel_size', 'from 1 to 100', _between(1, 100)),
    ('model.dropout_rate', 'at least 0 and below 1', _below_one),
    ('loss.label_smoothing', 'at least 0 and below 1', _below_one),
    ('optimizer.learning_rate', 'above 0 and at most 1,000,000', lambda value: 0 < value <= 10**6),
    ('optimizer.clipvalue', 'above 0', _positive),
    ('optimizer.clipnorm', 'above 0', _positive),
    ('optimizer.global_clipnorm', 'above 0', _positive),
    ('optimizer.weight_decay', 'at least 0', _not_negative),
    ('optimizer.ema_momentum', 'from 0 to 1', _between(0, 1)),
    ('optimizer.ema_overwrite_frequency', _STEPS, _between(1, MOST_STEPS)),
    ('schedule.warmup_steps', f'from 0 to {MOST_STEPS:,}', _between(0, MOST_STEPS)),
    ('schedule.warmup_epochs', 'from 0 to 1,000,000', _between(0, 10**6)),
    ('schedule.final_fraction', 'at least 0', _not_negative),
    ('schedule.decay_rate', 'above 0', _positive),
    ('checkpoint.every_steps', 'at least 0', _not_negative),
    ('checkpoint.every_seconds', 'at least 0', _not_negative),
    ('checkpoint.keep', 'from 1 to 1,000', _between(1, 1000)),
    ('tensorboard.profile_steps', 'at least 0', _not_negative),
)
