"""Replicates of tuning: each has search draws, a validation split and fresh seeds of its own, and counts once.

A setting that one search has chosen is run on fresh seeds. These seeds have the setting in common, and with it the luck
of the search: an interval over them leaves the variance of the search out, and is too narrow for what the variant is worth
when it is tuned. So the unit is the replicate: of its seeds the mean is taken, and everything else goes by these means,
which are independent. This is the ideal estimator of Bouthillier et al. 2021 (Accounting for Variance in Machine Learning
Benchmarks), which tunes again for each number; intervals are Student's t with as many degrees of freedom as there are
replicates, less one. Variants are paired by replicate: they have the same splits and the same seeds.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

#: Columns that are averaged, by how they begin.
AVERAGED = ('test_', 'validation_', 'train_', 'seconds_', 'steps', 'parameters', 'peak_memory_')


def replicate_of(study: Mapping[str, Any]) -> dict[int, int]:
    """Returns seed -> replicate of a study, its seeds in turn; {}: it has no replicates, or one."""
    replicates = (study.get('tune') or {}).get('replicates') or 1
    seeds = study.get('seeds', ())
    seeds = range(seeds) if isinstance(seeds, int) else seeds
    several = isinstance(replicates, int) and replicates > 1
    return {seed: i % replicates for i, seed in enumerate(seeds)} if several else {}


def several_seeds(of: Mapping[int, int]) -> bool:
    """Returns whether some replicate has more than one seed, so that means count and not runs; `of`: seed -> replicate."""
    return len(set(of.values())) < len(of)


def by_replicate(runs: pd.DataFrame, of: Mapping[int, int]) -> pd.DataFrame:
    """Returns the runs with one row for each variant and replicate, and the replicate as `seed`.

    Where each replicate has one seed, the runs are what is returned. A replicate of which a run diverged counts as
    diverged.

    Args:
      runs: one run a row, as `selection` says.
      of: seed -> replicate; {}: there are no replicates.
    """
    if runs.empty or not several_seeds(of):
        return runs
    keyed = runs.assign(seed=runs['seed'].map(of)).dropna(subset=['seed'])
    groups = keyed.astype({'seed': int}).groupby(['variant', 'seed'], sort=False)
    return pd.DataFrame([_mean(group) for _, group in groups])


def _mean(group: pd.DataFrame) -> dict[str, Any]:
    row = group.iloc[0].to_dict()
    if (group['status'] == 'diverged').any():
        row['status'] = 'diverged'
    for column in group:
        values = group[column].tolist()
        if column == 'history':
            row[column] = [means_of(entries) for entries in zip(*values, strict=False)]
        elif all(isinstance(value, np.ndarray) for value in values):
            row[column] = np.mean(np.stack(values), axis=0)
        elif str(column).startswith(AVERAGED):
            known = pd.to_numeric(group[column], errors='coerce')
            row[column] = float(known.mean()) if known.notna().all() else None
    return row


def means_of(entries: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    """Returns the means of evaluations that were made at the same time."""
    return {
        key: float(np.mean([entry[key] for entry in entries]))
        if all(isinstance(entry.get(key), int | float) for entry in entries)
        else value
        for key, value in entries[0].items()
    }
