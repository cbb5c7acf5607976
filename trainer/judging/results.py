"""What reading results gives: a frame with one run a row, and what was taken for what."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from seedwise.errors import UserError, unknown
from trainer.compare.analysis.words import count, listed
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

#: Words for a run that ended by itself, and for one of which the loss was no longer finite, in a column `status`.
ENDED = ('completed', 'complete', 'finished', 'success', 'succeeded', 'ok', 'done')
DIVERGED = ('diverged', 'nan')

#: Metrics that say what a run took: they rank only if they are named, or alone.
COSTS = ('seconds', 'time', 'latency', 'runtime')

#: Metrics that are shares, which some state in per cent.
SHARES = (
    *(name for name in MAX.split() if name not in ('bleu', 'rouge', 'r2', 'reward', 'return', 'score')),
    *('error', 'err', 'wer', 'cer', 'ece'),
    *(name for name, metric in METRICS.items() if (metric.low, metric.high) == (0.0, 1.0)),
)

#: The largest number whose square floating point holds, with room to spare.
LARGEST = 1e100

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
    """Returns which is better of a metric, if a word of the table stands in its name: 'val/acc', 'test_loss'; else None.

    Of '-loss', whose sign may be turned round, nothing is known.
    """
    if re.search(r'(^|[/ ])-', metric):
        return None
    words = _words(metric)
    found = {KNOWN_GOALS[word] for word in words if word in KNOWN_GOALS}
    rest = [word for word in words if word not in KNOWN_GOALS and word not in AROUND]
    return found.pop() if len(found) == 1 and not rest else None


def is_share(metric: str) -> bool:
    """Returns whether a metric is a share, between 0 and 1 or in per cent, by its name."""
    return direction(metric) is not None and any(word in SHARES for word in _words(metric))


def _words(metric: str) -> list[str]:
    words = metric.lower().replace('/', ' ').replace('.', ' ').replace('-', ' ').split()
    return [part for word in words for part in _parts(word)]


def is_cost(metric: str) -> bool:
    """Returns whether a metric is of the time that a run took, and not of its result."""
    return any(word in COSTS for word in re.split(r'[/._ -]', metric.lower()))


def in_order(metrics: Iterable[str]) -> list[str]:
    """Returns guessed metrics, those of training and then those of time last: the first one ranks the variants."""
    return sorted(metrics, key=lambda metric: (is_cost(metric), bool(re.match(r'train(ing)?[/._ -]', metric.lower()))))


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
                f"which is better of '{metric}' is not known: add --goal={shlex.quote(metric)}=max or "
                f'--goal={shlex.quote(metric)}=min'
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
    guess += _alike(frame['variant'].unique())
    frame, paired = _paired(frame, guess)
    lost = ~np.isfinite(frame[list(metrics)].to_numpy(float)).all(1)
    said = _diverged(frame) if 'status' in frame else np.zeros(len(frame), bool)
    if (lost & ~said).any():
        guess.append(
            f'{_have(int((lost & ~said).sum()), len(frame))} a metric that is not finite, which counts as diverged.'
        )
    for metric in metrics:
        large = np.abs(frame[metric].to_numpy(float))
        if (large[np.isfinite(large)] > LARGEST).any():
            raise UserError(
                f"'{metric}' has values above {LARGEST:g}: mark runs that diverged with nan, or with a status"
            )
    frame['status'] = np.where(lost | said, 'diverged', 'completed')
    guess += filter(None, (_other_unit(frame[frame['status'] == 'completed'], metric) for metric in metrics))
    keep = ['variant', 'seed', 'status', *metrics]
    return Results(frame[keep], goals_of(metrics, stated), paired, source, tuple(guess))


def _paired(frame: pd.DataFrame, guess: list[str]) -> tuple[pd.DataFrame, bool]:
    """Returns runs with a seed each, and whether a seed means the same in every variant.

    Raises:
      UserError: a run is there twice.
    """
    if 'seed' in frame:
        frame['seed'] = plain_seeds(frame['seed'])
        none = frame['seed'].isna()
    if 'seed' not in frame or none.any():
        some = 'seed' in frame and not none.all()
        frame['seed'] = frame.groupby('variant').cumcount()
        what = 'The names of some runs have no seed' if some else 'There is no column of seeds'
        guess.append(f'{what}: runs are compared unpaired.')
        return frame, False
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
    alone = int((~frame['seed'].isin(shared.index[shared == variants])).sum())
    if paired and alone and variants == 2:
        guess.append(
            f'{_have(alone, len(frame))} no partner of the same seed: counted in the mean of the variant, and not in the '
            'comparison.'
        )
    elif paired and alone:
        guess.append('Not all variants have the same seeds: two are compared on those that both have.')
    if not paired:
        guess.append('The variants share fewer than two seeds: runs are compared unpaired.')
    return frame, paired


def _alike(variants: Iterable[str]) -> list[str]:
    """Returns a sentence if the names of two variants differ in case, blanks, - and _ alone."""
    seen: dict[str, str] = {}
    for name in variants:
        other = seen.setdefault(re.sub(r'[\s_-]', '', name).casefold(), name)
        if other != name:
            return [f"'{other}' and '{name}' are two variants: if they are one, give them one name."]
    return []


def _have(some: int, every: int) -> str:
    return f'{some} of {count(every, "run")} {"has" if some == 1 else "have"}'


def plain_seeds(seeds: pd.Series) -> pd.Series:
    """Returns seeds as integers if all are whole numbers ('0 ' and 0.0 are 0), and otherwise as words without spaces."""
    words = {seed: str(seed).strip() for seed in seeds.unique() if not pd.isna(seed)}
    whole = {seed: int(word.split('.')[0]) for seed, word in words.items() if re.fullmatch(r'[+-]?\d+(\.0*)?', word)}
    if len(whole) == len(words):
        return seeds.map(whole)
    return seeds.map({seed: str(whole.get(seed, word)) for seed, word in words.items()})


def _diverged(frame: pd.DataFrame) -> np.ndarray:
    """Returns which runs diverged, by the words of a column `status`.

    Raises:
      UserError: it says something else of a run.
    """
    words = frame['status'].astype(str).str.strip().str.lower()
    other = ~words.isin((*ENDED, *DIVERGED))
    if other.any():
        where = f'row {frame["row"][other].iloc[0]}, ' if 'row' in frame else ''
        held = str(frame['status'][other].iloc[0])[:40]
        raise UserError(
            f"{where}column 'status' holds {held!r}: accepted are completed, finished or diverged; leave out "
            'runs that did not end by themselves, or rename the column'
        )
    return words.isin(DIVERGED).to_numpy()


def _other_unit(done: pd.DataFrame, metric: str) -> str:
    """Returns a warning if a share, such as an accuracy, looks like per cent in some runs alone; '' otherwise."""
    if not is_share(metric) or done.empty:
        return ''
    ends = done.groupby('variant', sort=False)[metric].agg(['min', 'max'])
    low, high = ends['min'].min(), ends['max'].max()
    if not low <= 1 < high or high < 20 * low:  # errors of 0.9 and 1.1 are in one unit
        return ''
    above, below, mixed = (
        ends.index[side].tolist()
        for side in (ends['min'] > 1, ends['max'] <= 1, (ends['min'] <= 1) & (ends['max'] > 1))
    )
    if mixed:
        return f'{metric} is above 1 in some runs of {listed(mixed, 3)} and at most 1 in others: are all in one unit?'
    return f'{metric} is above 1 for {listed(above, 3)} and at most 1 for {listed(below, 3)}: are all in one unit?'
