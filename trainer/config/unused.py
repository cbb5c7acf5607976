"""Options that have no effect in their combination: reported once, before training."""

from collections.abc import Callable, Mapping
from typing import Any

from configs import default
from data_pipeline.own.names import kind_of
from seedwise import dotted, references
from trainer import models


def _not(path: str, *values: str) -> Callable[[Any], bool]:
    return lambda config: dotted.get(config, path) not in values


#: Variants of a study that a line names at most.
MOST_NAMED = 3

#: (fields, when they have no effect, why). A field counts if it differs from its default in configs/default.py.
RULES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ('optimizer.ema_momentum', 'optimizer.ema_overwrite_frequency'),
        lambda config: not config.optimizer.use_ema,
        'optimizer.use_ema is not set',
    ),
    (
        ('optimizer.options.nesterov',),
        lambda config: not config.optimizer.options.get('momentum') and config.optimizer.name.lower() == 'sgd',
        'optimizer.options.momentum is 0',
    ),
    (('model.dropout_rate',), lambda config: config.model.dropout == 'none', "model.dropout is 'none'"),
    (('model.filters', 'model.kernel_size'), lambda config: config.model.name == 'mlp', "model.name is not 'cnn'"),
    (('monitor',), lambda config: not config.data.validation, 'data.validation is 0'),
    (
        ('loss.label_smoothing',),
        lambda config: references.is_reference(config.loss.name),
        'the loss is from a file',
    ),
    (
        tuple(f'model.{field}' for field in default.get_config().model if field not in ('name', 'options')),
        lambda config: models.has_options(config.model.name),
        "such a model has model.options, and only 'mlp' and 'cnn' have fields",
    ),
    (('schedule.final_fraction',), _not('schedule.name', 'cosine'), "schedule.name is not 'cosine'"),
    (('schedule.decay_rate',), _not('schedule.name', 'exponential'), "schedule.name is not 'exponential'"),
    (
        ('schedule.boundaries', 'schedule.factors'),
        _not('schedule.name', 'piecewise'),
        "schedule.name is not 'piecewise'",
    ),
    (
        ('model.activation',),
        lambda config: (
            not (config.model.hidden or models.has_options(config.model.name))
            and (config.model.name == 'mlp' or not config.model.filters)
        ),
        'the model has no hidden layer',
    ),
    (
        ('data.manual_dir', 'data.memory_limit_mb'),
        lambda config: config.data.name == 'digits',
        "data.name is 'digits', which is bundled",
    ),
    (
        ('data.manual_dir',),
        lambda config: bool(kind_of(config.data.name)),
        'the data are your own',
    ),
    (('tpu',), _not('strategy', 'auto', 'tpu'), "strategy is neither 'auto' nor 'tpu'"),
    (('threads',), lambda config: config.strategy == 'tpu', "strategy is 'tpu'"),
    (
        ('tensorboard.hparams', 'tensorboard.images', 'tensorboard.profile_steps'),
        lambda config: config.tensorboard.enabled is False,
        'tensorboard.enabled is false',
    ),
)


def unused(config) -> dict[str, str]:
    """Returns the fields of a checked config that have no effect in it, with the reason.

    Fields at their default are left out: they are in every config.
    """
    given, plain = dict(dotted.flatten(config)), dict(dotted.flatten(default.get_config()))
    return {
        path: reason
        for fields, applies, reason in RULES
        for path in fields
        if given.get(path) != plain.get(path) and applies(config)
    }


def warnings(configs: Mapping[str, Any]) -> list[str]:
    """Returns a line for each field that has no effect, with the names of the configs if not all are concerned.

    Args:
      configs: name -> checked config; one run, or the variants of a study.
    """
    concerned: dict[tuple[str, str], list[str]] = {}
    for name, config in configs.items():
        for found in unused(config).items():
            concerned.setdefault(found, []).append(name)
    lines = []
    for (path, reason), names in concerned.items():
        more = f' and {len(names) - MOST_NAMED} more' if len(names) > MOST_NAMED else ''
        where = f' in {", ".join(names[:MOST_NAMED])}{more}' if len(names) < len(configs) else ''
        lines.append(f'{path} has no effect{where}: {reason}')
    return lines
