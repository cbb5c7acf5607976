"""Variants that compute the same thing: a seed of one of them is a seed of all.

A study's `checks` say which axes make no difference, such as three losses that are the same function of the weights. Where
the runs confirm it, the claims of a study by rounds need more seeds of one such variant alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trainer.compare.analysis.claims import parse
from trainer.compare.analysis.claims.selection import SEEDS_FROM, TRAINED_AS
from trainer.compare.analysis.claims.verdicts import FAILS, HOLDS, Verdict, verdicts
from trainer.compare.analysis.rules import ANYTIME


def axes(study: Mapping[str, Any], judged: Sequence[Verdict]) -> list[str]:
    """Returns the axes whose values compute the same thing: the study's checks say so, and the runs do not refute it."""
    refuted = {axis for check in judged if check.result == FAILS for axis in check.claim.a}
    return [axis for axis in _said(study) if axis not in refuted]


def filled(study: Mapping[str, Any], runs: pd.DataFrame, margins: Mapping[str, float], rule: str) -> pd.DataFrame:
    """Returns the runs that claims are judged by.

    By the anytime rule, with which variants have different numbers of seeds, a run stands for all variants that compute the
    same thing: those that differ in axes of which each check of the study holds, by the seeds that there are. It is
    repeated under their names; columns say which variant was trained, and which one gets the seeds that they are short of
    (`selection.TRAINED_AS`, `SEEDS_FROM`).

    Args:
      study: the study; its axes are columns of the runs.
      runs: the finished runs.
      margins: of each metric the largest difference that does not matter.
      rule: of `rules.RULES`.
    """
    same = _shown(study, runs, margins, rule) if rule == ANYTIME and len(runs) else []
    variants = runs.drop_duplicates('variant')
    if not same:
        return runs
    rest = [axis for axis in dict.fromkeys((*study['axes'], 'tuning')) if axis in runs and axis not in same]
    first: dict[str, str] = {}
    missing, known = [], runs.assign(**{TRAINED_AS: runs['variant']})
    for _, group in variants.groupby(rest or [True] * len(variants), sort=False):
        own = known[known['variant'].isin(group['variant'])]
        by_seed = own.drop_duplicates('seed')
        for row in group.to_dict('records'):
            first[row['variant']] = str(group['variant'].iloc[0])
            have = own.loc[own['variant'] == row['variant'], 'seed']
            missing.append(
                by_seed[~by_seed['seed'].isin(have)].assign(**{axis: row[axis] for axis in ('variant', *same)})
            )
    filled = pd.concat([known, *missing], ignore_index=True)
    return filled.assign(**{SEEDS_FROM: filled['variant'].map(first)})


def _shown(study: Mapping[str, Any], runs: pd.DataFrame, margins: Mapping[str, float], rule: str) -> list[str]:
    judged = verdicts(study.get('checks', ()), runs, None, margins, rule)
    open_ = {axis for check in judged if check.result != HOLDS for axis in check.claim.a}
    return [axis for axis in _said(study) if axis not in open_]


def _said(study: Mapping[str, Any]) -> list[str]:
    """Returns the axes of which checks compare every value, in all settings; none of a study that lists its variants."""
    compared: dict[str, set[str]] = {}
    for check in map(parse, study.get('checks', ())):
        one_axis = isinstance(check.b, Mapping) and len(check.a) == 1 and check.a.keys() == check.b.keys()
        if check.kind == 'equal' and one_axis and not check.where:
            for axis, value in (*check.a.items(), *check.b.items()):
                compared.setdefault(axis, set()).update(value if isinstance(value, tuple | list) else [value])
    axes = study.get('axes') or {}
    return [axis for axis, values in compared.items() if axis in axes and values >= {*axes[axis]}]
