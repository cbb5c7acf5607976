"""What reading results gives: a frame with one run a row, and what was taken for what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from seedwise.errors import UserError, unknown
from trainer.metrics import GOALS, METRICS

MAX = (
    'accuracy acc top1 top5 top_1 top_5 auc roc_auc auroc f1 macro_f1 f1_score precision recall iou miou map bleu rouge r2 '
    'reward return score exact_match categorical_accuracy sparse_categorical_accuracy'
)
MIN = 'loss error err mse rmse mae nll perplexity ppl bpb wer cer ece fid brier cross_entropy seconds time latency runtime'

#: Metric names of the field -> which is better. A name in neither row has its direction stated by the user.
KNOWN_GOALS: Mapping[str, str] = {
    **dict.fromkeys(MAX.split(), 'max'),
    **dict.fromkeys(MIN.split(), 'min'),
    **{name: metric.goal for name, metric in METRICS.items()},
}

#: What may stand before or after a metric's name.
AROUND = ('train', 'training', 'val', 'valid', 'validation', 'test', 'eval', 'epoch', 'final', 'best', 'mean', 'last')


@dataclass(frozen=True)
class Results:
    """`runs`: `variant`, `seed`, `status` ('completed' or 'diverged') and a float column a metric, one run a row.

    `goals`: metric -> 'max' or 'min', in the order of the metrics, the first above all. `paired`: a seed means the same in
    every variant. `guess`: a sentence for each thing that was guessed. `source`: what kind of results they are.
    """

    runs: pd.DataFrame
    goals: Mapping[str, str]
    paired: bool
    source: str
    guess: Sequence[str] = field(default_factory=tuple)


def direction(metric: str) -> str | None:
    """Returns which is better of a metric, if a word of the table stands in its name: 'val/acc', 'test_loss'; else None."""
    words = metric.lower().replace('/', ' ').replace('.', ' ').replace('-', ' ').split()
    words = [part for word in words for part in _parts(word)]
    found = {KNOWN_GOALS[word] for word in words if word in KNOWN_GOALS}
    rest = [word for word in words if word not in KNOWN_GOALS and word not in AROUND]
    return found.pop() if len(found) == 1 and not rest else None


def _parts(word: str) -> list[str]:
    """Splits 'val_top_5' into 'val' and 'top_5': words of the table are kept whole."""
    pieces, parts = word.split('_'), []
    while pieces:
        for size in range(len(pieces), 0, -1):
            whole = '_'.join(pieces[:size])
            if whole in KNOWN_GOALS or size == 1:
                parts.append(whole)
                pieces = pieces[size:]
                break
    return parts


def goals_of(metrics: Iterable[str], stated: Mapping[str, str]) -> dict[str, str]:
    """Returns the direction of each metric: what is stated, or else what the table says.

    Raises:
      UserError: neither says it; or something is stated of a metric that does not exist.
    """
    metrics = list(metrics)
    for metric, goal in stated.items():
        if metric not in metrics:
            raise unknown('metric in --goal', metric, metrics)
        if goal not in GOALS:
            raise unknown(f'goal of {metric}', goal, GOALS)
    found = {metric: stated.get(metric) or direction(metric) for metric in metrics}
    for metric, known in found.items():
        if known is None:
            raise UserError(
                f"which is better of '{metric}' is not known: add --goal={metric}=max or --goal={metric}=min"
            )
    return {metric: goal for metric, goal in found.items() if goal}


def finish(
    frame: pd.DataFrame, metrics: Sequence[str], stated: Mapping[str, str], source: str, guess: Sequence[str]
) -> Results:
    """Returns the results of a frame with `variant`, perhaps `seed`, perhaps `status`, and the metrics as numbers.

    Raises:
      UserError: there are too few variants, a run is there twice, or nothing can be compared.
    """
    guess = list(guess)
    if frame.empty:
        raise UserError('there is no run in the results')
    frame = frame.reset_index(drop=True).assign(variant=frame['variant'].astype(str).to_numpy())
    paired = 'seed' in frame and bool(frame['seed'].notna().all())
    if paired:
        twice = frame.duplicated(['variant', 'seed'])
        if twice.any():
            row = frame[twice].iloc[0]
            where = f' (row {row["row"]})' if 'row' in frame else ''
            raise UserError(
                f"'{row['variant']}' has two runs of seed {row['seed']}{where}: name the seed's column, or drop one"
            )
        shared = frame.groupby('seed')['variant'].nunique()
        variants = frame['variant'].nunique()
        paired = variants < 2 or int((shared == variants).sum()) > 1
        if not paired:
            guess.append('The variants share fewer than two seeds: runs are compared unpaired.')
    else:
        frame['seed'] = frame.groupby('variant').cumcount()
        guess.append('There is no column of seeds: runs are compared unpaired.')
    values = frame[list(metrics)].to_numpy(float)
    lost = ~np.isfinite(values).all(1)
    if 'status' not in frame:
        frame['status'] = np.where(lost, 'diverged', 'completed')
        if lost.any():
            guess.append(
                f'{int(lost.sum())} of {len(frame)} runs have a metric that is not finite: they count as diverged.'
            )
    keep = ['variant', 'seed', 'status', *metrics]
    return Results(frame[keep], goals_of(metrics, stated), paired, source, tuple(guess))
