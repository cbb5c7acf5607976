"""Verdicts on claims: `holds`, `does not hold` or `undecided`, with the numbers and the number of seeds behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.metrics import goal_of
from trainer.compare.analysis.selection import (
    Selector,
    by_variant,
    column,
    label,
    require_axes,
    select,
    time_to_target,
)
from trainer.compare.analysis.sensitivity import Sensitivity, learning_rate_sensitivity, same_width
from trainer.compare.analysis.statistics import (
    Comparison,
    Estimate,
    compare,
    equivalence,
    estimate,
    mean_interval,
    with_holm,
)

HOLDS, FAILS, UNDECIDED = 'holds', 'does not hold', 'undecided'


@dataclass(frozen=True)
class Verdict:
    """`result` on a claim, in one `sentence`, with what it rests on. `seeds`: the fewest behind any of its numbers."""

    claim: Claim
    result: str
    sentence: str
    seeds: int
    comparisons: Sequence[Comparison] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    shares: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sensitivities: Mapping[str, Sensitivity] = field(default_factory=dict)


def verdict(claim: Claim | Mapping[str, Any], runs: pd.DataFrame, trials: pd.DataFrame | None = None) -> Verdict:
    """Returns the verdict on a claim.

    Args:
      claim: a `Claim`, or the mapping of a study file.
      runs: the finished runs, as `trainer.compare.selection` says. Rivals that have no run yet are not known of.
      trials: for `less_sensitive`: one trial a row, one column an axis, `learning_rate`, `low` and `high` (the bounds
        it was drawn from), and the metric (NaN or infinite: diverged).

    Raises:
      UserError: the claim is none, or an axis or a metric that it names is not there.
    """
    claim = claim if isinstance(claim, Claim) else parse(claim)
    source = trials if claim.kind == 'less_sensitive' else runs
    if source is None or source.empty:
        return Verdict(claim, UNDECIDED, 'There is no finished run to judge by.', 0)
    return KINDS[claim.kind](claim, select(source, claim.where))


def by_seed(claim: Claim, runs: pd.DataFrame, selector: Selector) -> pd.Series:
    """Returns the claim's metric of what `selector` addresses, by seed; infinitely bad where a run diverged."""
    chosen = select(runs, selector)
    if claim.target is None:
        values = column(chosen, claim.metric)
    else:
        values = time_to_target(chosen, claim.metric, claim.target, claim.unit)
    table = by_variant(chosen, values, claim.better)
    if claim.reduce == 'mean' or table.shape[1] < 2:
        return table.mean(axis=1)
    goal = goal_of(claim.select_by)
    scores = by_variant(chosen, column(chosen, claim.select_by), goal).mean()
    return table[scores.idxmin() if goal == 'min' else scores.idxmax()]


def _better(claim: Claim, runs: pd.DataFrame) -> Verdict:
    pair = _compare(claim, runs, claim.a, claim.b)
    if pair is None:
        return _unfinished(claim, claim.a, claim.b)
    result = {1: HOLDS, -1: FAILS, 0: UNDECIDED}[pair.sign(claim.alpha)]
    if result == FAILS and pair.superiority < 0.5:
        text = f'{pair.a} is worse than {pair.b} on {claim.what}: {_numbers(pair)}.'
    else:
        verb = {HOLDS: 'beats', FAILS: 'does not beat', UNDECIDED: 'cannot be told from'}[result]
        text = f'{pair.a} {verb} {pair.b} on {claim.what}{_by_margin(claim)}: {_numbers(pair)}.'
    if result == UNDECIDED and pair.seeds_needed is not None and pair.seeds_needed > pair.n:
        text += f' A difference of this size would take about {pair.seeds_needed} seeds to see.'
    return Verdict(claim, result, text, pair.n, (pair,), _estimates(claim, runs, claim.a, claim.b))


def _best(claim: Claim, runs: pd.DataFrame) -> Verdict:
    rivals, name = _rivals(claim, runs), label(claim.a)
    pairs = [_compare(claim, runs, claim.a, rival) for rival in rivals]
    made = with_holm([pair for pair in pairs if pair is not None])
    if not made:
        return _unfinished(claim, claim.a, *rivals)
    below = [pair for pair in made if pair.sign(claim.alpha) == -1]
    undecided = [pair.b for pair in made if pair.sign(claim.alpha) == 0]
    undecided += [label(rival) for rival, pair in zip(rivals, pairs, strict=True) if pair is None]
    if below:
        result = FAILS
        ahead = [pair.b for pair in below if pair.superiority < 0.5]
        close = [pair.b for pair in below if pair.superiority >= 0.5]
        reasons = [f'{_names(ahead)} did better'] if ahead else []
        reasons += [f'it is not ahead of {_names(close)} by {claim.margin:g}'] if close else []
        text = f'{name} is not the best on {claim.what}: {"; ".join(reasons)}.'
    else:
        result = UNDECIDED if undecided else HOLDS
        text = f'{name} beats {len(rivals) - len(undecided)} of {len(rivals)} rivals on {claim.what}{_by_margin(claim)}'
        text += f'; undecided against {_names(undecided)}.' if undecided else '.'
    seeds = min(pair.n for pair in made)
    text += f' {_family(seeds, made)}'
    return Verdict(claim, result, text, seeds, tuple(made), _estimates(claim, runs, claim.a, *rivals))


def _rivals(claim: Claim, runs: pd.DataFrame) -> list[Selector]:
    if claim.b is not None:
        return [claim.b] if isinstance(claim.b, Mapping) else list(claim.b)
    require_axes(runs, claim.a)
    combinations = runs[list(claim.a)].drop_duplicates()
    return list(combinations.drop(index=select(combinations, claim.a).index).to_dict('records'))


def _mostly(claim: Claim, runs: pd.DataFrame) -> Verdict:
    require_axes(runs, claim.matched)
    both = pd.concat([select(runs, claim.a), select(runs, claim.b)])
    settings = both[list(claim.matched)].drop_duplicates().sort_values(list(claim.matched)).to_dict('records')
    pairs = [_compare(claim, select(runs, setting), claim.a, claim.b, f' ({label(setting)})') for setting in settings]
    made = with_holm([pair for pair in pairs if pair is not None])
    if not made:
        return _unfinished(claim, claim.a, claim.b)
    signs = [pair.sign(claim.alpha) for pair in made]
    won, lost, n = signs.count(1), signs.count(-1), len(settings)
    # What is undecided may yet turn out either way: the claim is decided once that can no longer change it.
    result = HOLDS if 2 * won > n else FAILS if 2 * (n - lost) <= n else UNDECIDED
    seeds = min(pair.n for pair in made)
    text = (
        f'{label(claim.a)} beats {label(claim.b)} on {claim.what}{_by_margin(claim)} in {won} of {n} settings, does '
        f'not in {lost}, and {n - won - lost} are undecided. {_family(seeds, made)}'
    )
    return Verdict(claim, result, text, seeds, tuple(made))


def _equal(claim: Claim, runs: pd.DataFrame) -> Verdict:
    pair = _compare(claim, runs, claim.a, claim.b)
    if pair is None:
        return _unfinished(claim, claim.a, claim.b)
    a, b = by_seed(claim, runs, claim.a), by_seed(claim, runs, claim.b)
    p = equivalence(a.sub(b).dropna().to_numpy(float), claim.margin)
    if p is not None and p < claim.alpha:
        result, verb = HOLDS, 'differ by less than'
    elif pair.low is not None and pair.high is not None and (pair.low >= claim.margin or pair.high <= -claim.margin):
        result, verb = FAILS, 'differ by more than'
    else:
        result, verb = UNDECIDED, 'may differ by less or more than'
    text = f'{pair.a} and {pair.b} {verb} {claim.margin:g} on {claim.what}: {_numbers(pair, p)}.'
    return Verdict(claim, result, text, pair.n, (pair,), _estimates(claim, runs, claim.a, claim.b))


def _at_least(claim: Claim, runs: pd.DataFrame) -> Verdict:
    assert claim.value is not None
    values = by_seed(claim, runs, claim.a)
    if values.empty:
        return _unfinished(claim, claim.a)
    name, estimates = label(claim.a), _estimates(claim, runs, claim.a)
    failed = int((~np.isfinite(values)).sum())
    if failed:
        result = FAILS if 2 * failed > len(values) else UNDECIDED
        text = f'{name} failed on {failed} of {_seeds(len(values))}: it has no mean {claim.what}.'
        return Verdict(claim, result, text, len(values), (), estimates)
    low, high = mean_interval(values.to_numpy(float))
    result, interval = UNDECIDED, ''
    if low is not None and high is not None:
        interval = f' [{low:.4g}, {high:.4g}]'
        worst, best = (low, high) if claim.better == 'max' else (-high, -low)
        value = claim.value if claim.better == 'max' else -claim.value
        result = HOLDS if worst >= value else FAILS if best < value else UNDECIDED
    bound = 'more' if claim.better == 'max' else 'less'
    text = f'Mean {claim.what} of {name}: {values.mean():.4g}{interval} over {_seeds(len(values))}'
    return Verdict(claim, result, f'{text}; claimed: {claim.value:g} or {bound}.', len(values), (), estimates)


def _fails(claim: Claim, runs: pd.DataFrame) -> Verdict:
    assert claim.value is not None
    chosen = select(runs, claim.a)
    if chosen.empty:
        return _unfinished(claim, claim.a)
    failed = (chosen['status'] == 'diverged') | (column(chosen, claim.metric) < claim.value)
    counts = failed.groupby(chosen['variant']).agg(['sum', 'count'])
    shares = {str(variant): (int(row['sum']), int(row['count'])) for variant, row in counts.iterrows()}
    # 'any' asks once for each variant: Bonferroni's level, so that chance alone does not answer it.
    alpha = claim.alpha / (len(shares) if claim.quantifier == 'any' else 1)
    intervals = [proportion_confint(k, n, alpha, method='wilson') for k, n in shares.values()]
    every = any if claim.quantifier == 'any' else all
    if every(low > 0.5 for low, _ in intervals):
        result = HOLDS
    else:
        result = UNDECIDED if every(high >= 0.5 for _, high in intervals) else FAILS
    k, n = sum(k for k, _ in shares.values()), sum(n for _, n in shares.values())
    text = f'{k} of {n} runs of {label(claim.a)} diverged or stayed below {claim.what} {claim.value:g}'
    if k and len(shares) > 1:
        worst = max(shares, key=lambda variant: shares[variant][0] / shares[variant][1])
        text += f'; at worst {shares[worst][0]} of {shares[worst][1]}, with {worst}'
    return Verdict(claim, result, f'{text}.', min(n for _, n in shares.values()), shares=shares)


def _less_sensitive(claim: Claim, trials: pd.DataFrame) -> Verdict:
    found = []
    for selector in (claim.a, claim.b):
        chosen = select(trials, selector)
        values = column(chosen, claim.metric)
        if not np.isfinite(values).any():
            return _unfinished(claim, selector)
        bounds = float(chosen['low'].min()), float(chosen['high'].max())
        rates = chosen['learning_rate'].tolist()
        found.append(learning_rate_sensitivity(rates, values.tolist(), bounds, tolerance=claim.margin, goal=claim.better))
    a, b = found
    p = same_width(a, b)
    result = UNDECIDED if p >= claim.alpha else HOLDS if a.width > b.width else FAILS
    text = (
        f'Of {a.decades:.2g} decades of learning rates, {a.width:.2g} are within {claim.margin:g} of the best '
        f'{claim.what} for {label(claim.a)} ({a.good} of {a.trials} trials) and {b.width:.2g} for {label(claim.b)} '
        f'({b.good} of {b.trials}); {_p_value(p)}, one seed a trial.'
    )
    return Verdict(claim, result, text, 1, sensitivities={label(claim.a): a, label(claim.b): b})


def _compare(claim: Claim, runs: pd.DataFrame, a: Selector, b: Selector, setting: str = '') -> Comparison | None:
    left, right = by_seed(claim, runs, a), by_seed(claim, runs, b)
    if left.index.intersection(right.index).empty:
        return None
    margin = 0.0 if claim.kind == 'equal' else claim.margin
    return compare(left, right, goal=claim.better, margin=margin, names=(label(a) + setting, label(b) + setting))


def _estimates(claim: Claim, runs: pd.DataFrame, *selectors: Selector) -> dict[str, Estimate]:
    """Means of what can be averaged: seeds on which a run diverged or never reached the target are left out."""
    values = {label(selector): by_seed(claim, runs, selector) for selector in selectors}
    finite = {name: row[np.isfinite(row)] for name, row in values.items()}
    return {name: estimate(row) for name, row in finite.items() if len(row)}


def _unfinished(claim: Claim, *selectors: Selector) -> Verdict:
    return Verdict(claim, UNDECIDED, f'No seed has finished for {_names([label(s) for s in selectors])}.', 0)


def _by_margin(claim: Claim) -> str:
    return f' by more than {claim.margin:g}' if claim.margin else ''


def _numbers(pair: Comparison, p: float | None = None) -> str:
    parts = [f'better on {pair.wins} of {_seeds(pair.n)}' + (f' and equal on {pair.ties}' if pair.ties else '')]
    if pair.infinite:
        parts.append(f'one of the two failed on {pair.infinite}')
    elif pair.advantage is not None:
        interval = '' if pair.low is None or pair.high is None else f' [{_signed(pair.low)}, {_signed(pair.high)}]'
        parts.append(f'mean advantage {_signed(pair.advantage)}{interval}')
    p = pair.p_value if p is None else p
    return ', '.join([*parts, *([] if p is None else [_p_value(p)])])


def _signed(value: float) -> str:
    # Differences that cancel leave 1e-17, which is no advantage of anybody.
    return f'{round(value, 9) + 0.0:+.3g}'


def _p_value(p: float) -> str:
    return f'p = {p:.2g}' if p >= 1e-4 else 'p < 0.0001'


def _family(seeds: int, comparisons: Sequence[Comparison]) -> str:
    return f'{_seeds(seeds).capitalize()}, Holm-corrected over {len(comparisons)} comparisons.'


def _names(names: Sequence[str], most: int = 4) -> str:
    shown = list(names[:most]) + ([f'{len(names) - most} more'] if len(names) > most else [])
    return ' and '.join(filter(None, [', '.join(shown[:-1]), *shown[-1:]]))


def _seeds(n: int) -> str:
    return f'{n} seed' if n == 1 else f'{n} seeds'


KINDS: dict[str, Callable[[Claim, pd.DataFrame], Verdict]] = {
    'at_least': _at_least,
    'best': _best,
    'better': _better,
    'equal': _equal,
    'fails': _fails,
    'faster': _better,
    'less_sensitive': _less_sensitive,
    'mostly': _mostly,
}
