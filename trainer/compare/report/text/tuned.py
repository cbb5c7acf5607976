"""What a report says of tuning: how settings were searched for, what intervals cover, what it took, what was chosen."""

from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import pandas as pd

from trainer.compare.analysis.metrics import goal_of
from trainer.compare.analysis.tuning.replicates import replicate_of
from trainer.compare.analysis.words import count, listed
from trainer.compare.report.layout import Layout, name_of
from trainer.compare.report.tables import number
from trainer.compare.report.text.reproduce import short

#: Sampler -> how its trials are called.
KINDS = {
    'halton': 'quasi-random trials',
    'tpe': 'trials drawn by Optuna’s TPE',
    'cmaes': 'trials drawn by Optuna’s CMA-ES',
}


def unit(study: ml_collections.ConfigDict) -> str:
    """Returns what the intervals of a study are over: 'seed', or 'replicate'."""
    return 'replicate' if replicate_of(study) else 'seed'


def replicates_words(study: ml_collections.ConfigDict) -> str:
    """Returns '3 replicates of 2 seeds'; '' for a study without them."""
    of = replicate_of(study)
    n = len(set(of.values()))
    each = len(of) // n if n else 0
    return f'{count(n, "replicate")} of {count(each, "seed")}' if n else ''


def sentences(study: ml_collections.ConfigDict) -> list[str]:
    """Returns how settings were searched for and what the intervals cover; []: nothing was tuned."""
    tune = study.get('tune')
    if not tune:
        return []
    kind = KINDS.get(tune.get('sampler', 'halton'), 'trials')
    metric = tune.metric.replace('_', ' ')
    found = [
        f'{tune.trials} {kind} for each, judged by {metric}; what was chosen was then run again on the seeds above.'
    ]
    halving = tune.get('halving')
    if halving:
        shares = listed([f'1/{halving.eta**k}' for k in reversed(range(1, halving.rungs))])
        found.append(
            f'Successive halving: trials pause after {shares} of the training, and the best 1/{halving.eta} of them go on; '
            'one that is left alone is the choice. The charts of trials show them at the first pause, which all reach.'
        )
    words = replicates_words(study)
    if words:
        found.append(
            f'The whole search was done again in each of {words}, with other draws and another validation split, the same '
            'split for all its trials. Each replicate counts once, as the mean over its own seeds, and what is called a '
            'seed in verdicts is a replicate. So the intervals of tuned variants include the variation of the search and of '
            'its split; they are t intervals over replicates.'
        )
    else:
        found.append('The intervals do not include the variation of the search itself: there was one search for each.')
    return found


def examples(trials: pd.DataFrame | None, layout: Layout) -> pd.DataFrame:
    """Returns how many examples the trials of each tuned variant were granted and have seen, all replicates together.

    Columns: the axes, `variant`, `trials`, `examples_granted`, `examples_seen`. Empty where that was not recorded.
    """
    if trials is None or 'examples_seen' not in trials:
        return pd.DataFrame()
    axes = dict.fromkeys([*(axis for axis in layout.axes if axis in trials), 'variant'])
    groups = trials.groupby([*axes], sort=False)
    sums = groups[['examples_granted', 'examples_seen']].sum().astype(int)
    return groups.size().rename('trials').to_frame().join(sums).reset_index()


def budget_words(found: pd.DataFrame) -> str:
    """Returns the budgets of a study's tuned variants in a sentence; '': not recorded."""
    if found.empty:
        return ''
    low, high = found['examples_granted'].min(), found['examples_granted'].max()
    same = f'the same {low:,} for each' if low == high else f'from {low:,} to {high:,}, NOT the same for all'
    least = int(found['examples_seen'].min())
    used = (
        'All were used.' if least == high == low else f'Trials that diverged left some unused: {least:,} at the least.'
    )
    return f'Budget of a tuned variant, in examples that its trials are trained on: {same}. {used}'


def as_data(study: ml_collections.ConfigDict, found: pd.DataFrame) -> dict[str, Any]:
    """Returns `tuning` of claims.json; {} where no budget was recorded."""
    if found.empty:
        return {}
    of = replicate_of(study)
    halving = study.tune.get('halving')
    names = found['variant']
    return {
        'replicates': len(set(of.values())) or 1,
        'interval_over': unit(study),
        'trials': study.tune.trials,
        'sampler': study.tune.get('sampler', 'halton'),
        'halving': dict(halving) if halving else None,
        'examples_granted': dict(zip(names, found['examples_granted'].tolist(), strict=True)),
        'examples_seen': dict(zip(names, found['examples_seen'].tolist(), strict=True)),
    }


def with_examples(table: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Returns the table of results with a column `tuning_examples`: granted to the trials of each row; 0: not tuned."""
    if found.empty:
        return table
    axes = [axis for axis in found if axis in table]
    granted = found.set_index(axes)['examples_granted'].to_dict()
    keys = table[axes].itertuples(index=False, name=None)
    return table.assign(tuning_examples=[granted.get(key if len(axes) > 1 else key[0], 0) for key in keys])


def chosen(trials: pd.DataFrame, layout: Layout, metric: str) -> pd.DataFrame:
    """Returns what tuning chose, as it is printed: the best trial of each variant and replicate, and its settings."""
    axes = [axis for axis in layout.axes if axis in trials]
    replicated = 'replicate' in trials and trials['replicate'].nunique() > 1
    by = [*axes, 'replicate'] if replicated else axes
    rows = []
    for key, group in trials.groupby(by, sort=False):
        row = {axis.replace('_', ' '): name_of(axis, value) for axis, value in zip(axes, key, strict=False)}
        row |= {'replicate': str(key[-1])} if replicated else {}
        best = _best(group, metric)
        # Of a search by rungs some may still be under way, or only those that went on have diverged.
        none = 'none chosen' if 'chosen' in group and (group['status'] != 'diverged').any() else 'all diverged'
        row |= {'trials': str(len(group)), metric.replace('_', ' '): none, 'settings': ''}
        if best is not None:
            fields = [c for c in trials if '.' in str(c) and pd.notna(best[c])] or ['learning_rate']
            settings = ', '.join(f'{short(path)} {best[path]:.3g}' for path in fields)
            value = best.get('at_end', best[metric])
            row |= {metric.replace('_', ' '): number(value), 'settings': settings.replace('_', ' ')}
        rows.append(row)
    return pd.DataFrame(rows)


def _best(group: pd.DataFrame, metric: str) -> Mapping[str, Any] | None:
    if 'chosen' in group:
        own = group[group['chosen'].astype(str) == 'True']  # as it is, or read from a file
        return own.iloc[0] if len(own) else None
    sign = 1 if goal_of(metric) == 'max' else -1
    values = (sign * group[metric].astype(float)).replace([np.inf, -np.inf], np.nan)
    return group.loc[values.idxmax()] if values.notna().any() else None
