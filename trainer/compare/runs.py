"""The finished runs of a study as frames, with the columns that statistics, verdicts and the report go by."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ml_collections
import pandas as pd

from seedwise.dotted import get
from seedwise.errors import UserError
from trainer.compare.grid import RunSpec
from trainer.compare.tuning.check import OPTIONAL
from trainer.compare.tuning.search import Search, up_to
from trainer.compare.tuning.space import RATE, bounds
from trainer.metrics import ALWAYS
from trainer.results import FOR_PREDICTION, best_of, metrics_of, read_correct


def read(specs: Iterable[RunSpec], *, correct: bool = True) -> tuple[pd.DataFrame, int]:
    """Returns the finished runs, one a row, and how many are not finished.

    Columns: `variant`, an axis each, `seed`, `status`; `test_*` of each metric; `validation_*` of the weights that
    were tested; `train_*` of the last evaluation; and `history`, `seconds_*` and the rest of result.json by its names;
    `test_correct`, which test examples the run got right (bool, shape [test examples]).
    Without a value: None. `correct`: whether to read `test_correct`.

    Raises:
      UserError: a result is damaged, is another config's, or was made on another dataset than the others.
    """
    rows, unfinished = [], 0
    for spec in specs:
        row = row_of(spec, correct=correct)
        unfinished += row is None
        if row:
            rows.append(row)
    return frame_of(rows), unfinished


def row_of(spec: RunSpec, *, correct: bool = True) -> dict[str, Any] | None:
    """Returns a row of `read`; None: the run is not finished. Arguments and errors: as `read`."""
    result = spec.result()
    if result is None:
        return None
    row = dict(spec.variant.labels) | {'variant': spec.variant.name, 'seed': spec.seed} | _metrics(result)
    right = read_correct(spec.workdir, result['test']['examples'] or 0) if correct and result['test'] else None
    return row | {'test_correct': right}


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns rows of `row_of` as a frame. Raises `UserError` if they are on different data."""
    _check_one_dataset(rows)
    return pd.DataFrame(rows)


def read_trials(
    study: ml_collections.ConfigDict, specs: Iterable[RunSpec], searches: Iterable[Search] = ()
) -> pd.DataFrame:
    """Returns the finished trials, one a row: as `read`, with `learning_rate`, its bounds `low` and `high`, and all that
    was drawn, under dotted paths. A diverged trial has no metrics.

    Of `searches`, in a study with replicates, halving or a sampler that learns, also: `replicate`; `rung`, the share of
    the training that the trial has come to; `chosen`, whether its setting was; `at_end`, `tune.metric` after that share,
    while the metrics are those at the first rung, which all trials have; `examples_granted` and `examples_seen`, how many
    it could train on, repetitions included, and did.
    """
    rows: list[dict[str, Any]] = []
    chosen = {search: search.chosen() for search in searches if {*study.tune.keys()} & {*OPTIONAL}}
    search_of = {spec: search for search in chosen for spec in search.trials()}
    for spec in specs:
        result = spec.result()
        if result is None:
            continue
        low, high = bounds(study, spec, RATE) or (None, None)
        rate = {'learning_rate': get(spec.config, RATE), 'low': low, 'high': high}
        row = dict(spec.variant.labels) | {'variant': spec.variant.name, 'seed': spec.seed} | _metrics(result)
        if search := search_of.get(spec):
            best = chosen[search]
            row |= _of_rungs(spec, result, study.tune.metric)
            row |= {'replicate': search.replicate, 'chosen': best is not None and best.workdir == spec.workdir}
        rows.append(row | rate | dict(spec.drawn or {}))
    _check_one_dataset(rows)
    return pd.DataFrame(rows)


def _of_rungs(spec: RunSpec, result: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """How far a trial has come and on how many examples, and its metrics at the first rung."""
    config, history, train = spec.config, result['history'], result['dataset']['train']
    batch = config.global_batch_size
    steps = config.steps if config.steps is not None else math.ceil(config.epochs * train / batch)
    first = {}
    if spec.rungs and any('rung' in row for row in history):
        first = _metrics({**result, 'status': 'paused', 'history': up_to(history, spec.rungs[0])})
    diverged = result['status'] == 'diverged'
    return {
        **{column: value for column, value in first.items() if column.startswith(('validation_', 'train_'))},
        'rung': max((row.get('rung', 0.0) for row in history), default=0.0) if diverged else spec.until,
        'at_end': None if diverged else best_of(result)[metric],
        'examples_granted': math.ceil(spec.until * steps) * batch,
        'examples_seen': result['steps'] * batch,
    }


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    last, best, names = (result['history'] or [{}])[-1], best_of(result), metrics_of(result)
    if result['status'] == 'diverged':
        last = best = {}
    kept = ('status', 'history', 'parameters', 'steps', 'versions', 'host', 'git_revision', 'config_hash')
    return (
        {f'test_{name}': result['test'].get(name) for name in names}
        | {f'validation_{name}': best.get(f'validation_{name}') for name in names}
        | {f'train_{name}': last.get(f'train_{name}') for name in ALWAYS}
        | {f'seconds_{name}': value for name, value in result['seconds'].items()}
        | {name: result.get(name) for name in kept}
        | {'peak_memory_bytes': result.get('resources', {}).get('peak_memory_bytes')}
        | {'dataset': {key: value for key, value in result['dataset'].items() if key not in FOR_PREDICTION}}
        | {'weights_sha256': result['weights_sha256']}
    )


def _check_one_dataset(rows: Iterable[Mapping[str, Any]]) -> None:
    """Numbers of different datasets are never put side by side."""
    first: dict[str, Any] = {}
    for row in rows:
        other = first.setdefault('row', row)
        if any(row['dataset'][key] != other['dataset'][key] for key in ('name', 'fingerprint')):
            (a, b) = (
                f"'{r['variant']}', seed {r['seed']}, on {r['dataset']['name']} {r['dataset']['fingerprint'][:8]}"
                for r in (other, row)
            )
            raise UserError(f'the runs are on different data, which does not compare: {a}, and {b}')
