"""Which direction of a metric is better: stated in a table or in a claim, never guessed from a name. And its range."""

from collections.abc import Mapping

from seedwise.errors import UserError, unknown
from trainer.compare.analysis.statistics import UNBOUNDED
from trainer.metrics import ALWAYS, GOALS, METRICS

#: Column of results -> which is better. Columns that are neither good nor bad by themselves are not in it: `parameters`.
DIRECTIONS: Mapping[str, str] = {
    **{f'train_{name}': METRICS[name].goal for name in ALWAYS},
    **{f'{split}_{name}': metric.goal for split in ('validation', 'test') for name, metric in METRICS.items()},
    **{f'seconds_{part}': 'min' for part in ('total', 'training', 'evaluation', 'startup')},
    'peak_memory_bytes': 'min',
}

#: Column of results, as ours or Keras's, or name of a metric -> the smallest and the largest value that it can take.
RANGES: Mapping[str, tuple[float, float]] = {
    f'{split}{name}': (metric.low, metric.high)
    for split in ('', 'train_', 'training_', 'val_', 'valid_', 'validation_', 'test_', 'eval_')
    for name, metric in ({**METRICS, 'acc': METRICS['accuracy']}).items()
}


def range_of(metric: str) -> tuple[float, float]:
    """Returns the smallest and the largest value that a metric can take, infinite where none is known."""
    return RANGES.get(metric.lower().replace('/', '_'), UNBOUNDED)


def goal_of(metric: str, stated: str | None = None) -> str:
    """Returns which is better of a metric, 'max' or 'min': what is stated, or else what the table says of the column.

    Raises:
      UserError: another word is stated, or the metric is not in the table and nothing is stated.
    """
    if stated:
        if stated not in GOALS:
            raise unknown(f'goal of {metric}', stated, GOALS)
        return stated
    if metric not in DIRECTIONS:
        raise UserError(
            f"which is better of '{metric}' is not known: state goal='max' (higher is better) or 'min' (lower is better)"
        )
    return DIRECTIONS[metric]
