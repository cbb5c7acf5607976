"""Verdicts on claims: `holds`, `does not hold` or `undecided`, with the numbers and the number of seeds behind it.

Every judge works out two p-values, of "the claim does not hold" and of "the claim holds", both at the two-sided level:
a claim holds if the first is below `claim.alpha`, and does not hold if the second is. So the chance that a claim is decided
wrongly is at most `claim.alpha`, whichever way it is; by the anytime rule, however often one looks. Claims of one study are
judged each at its own level; the share of false ones among those decided is controlled by `q_value` (Benjamini & Hochberg
1995).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.claims.evidence import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Verdict,
    by_seed,
    compare_selected,
    compare_values,
    decided,
    estimates_of,
    estimates_of_values,
    flips_of,
    is_same,
    needed,
    new_examples,
    numbers,
    of_pair,
    one_sided,
    p_words,
    rivals_of,
    settings_of,
    unfinished,
    why_stuck,
)
from trainer.compare.analysis.claims.selection import (
    TRAINED_AS,
    apart,
    column,
    label,
    select,
)
from trainer.compare.analysis.comparisons import Comparison, above, with_holm
from trainer.compare.analysis.metrics import range_of
from trainer.compare.analysis.rules import FIXED, RULES
from trainer.compare.analysis.statistics import (
    cut,
    false_discovery_rate,
    holm,
    partial_conjunction,
    sd_of,
)
from trainer.compare.analysis.tuning.sensitivity import learning_rate_sensitivity, same_width
from trainer.compare.analysis.words import count, listed, p_value, signed


def verdicts(
    claims: Sequence[Claim | Mapping[str, Any]],
    runs: pd.DataFrame,
    trials: pd.DataFrame | None = None,
    margins: Mapping[str, float] | None = None,
    rule: str = FIXED,
) -> list[Verdict]:
    """Returns the verdicts on the claims of one study, with their q-values. Arguments and errors: as `verdict`."""
    made = [verdict(claim, runs, trials, margins, rule) for claim in claims]
    q_values = false_discovery_rate([one.p_value for one in made])
    return [replace(one, q_value=q) for one, q in zip(made, q_values, strict=True)]


def verdict(
    claim: Claim | Mapping[str, Any],
    runs: pd.DataFrame,
    trials: pd.DataFrame | None = None,
    margins: Mapping[str, float] | None = None,
    rule: str = FIXED,
) -> Verdict:
    """Returns the verdict on a claim.

    Args:
      claim: a `Claim`, or the mapping of a study file.
      runs: the finished runs, as `trainer.compare.analysis.claims.selection` says. Rivals without a finished run are
        left out.
      trials: for `less_sensitive`: one trial a row, one column an axis, `learning_rate`, `low` and `high` (the bounds
        it was drawn from), and the metric (NaN or infinite: diverged).
      margins: of each metric the largest difference that does not matter.
      rule: of `rules.RULES`. Trials are no seeds: their number is fixed by either rule.

    Raises:
      UserError: the claim is malformed, or an axis or a metric that it names does not exist.
    """
    claim = claim if isinstance(claim, Claim) else parse(claim)
    source = trials if claim.kind == 'less_sensitive' else runs
    if source is None or source.empty:
        return Verdict(claim, UNDECIDED, 'There is no finished run to judge by.', 0)
    margin = (margins or {}).get(claim.metric, 0.0) if claim.target is None else 0.0
    return KINDS[claim.kind](claim, select(source, claim.where), margin, rule)


def _better(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the t test of the paired differences against `claim.margin`; times to a target by the sign-flip test."""
    runs = apart(runs, claim.a, claim.b)
    pair = compare_selected(claim, runs, claim.a, claim.b, rule)
    if pair is None:
        return unfinished(claim, claim.a, claim.b)
    over, under = one_sided(claim, pair)
    result, p = decided(claim, 2 * over, 2 * under)
    words, where = numbers(pair, p), f'on {claim.what}{_by_margin(claim)}'
    if result == HOLDS:
        text = f'{pair.a} beats {pair.b} {where}: {words}.'
    elif result == FAILS and not claim.margin:
        text = f'{pair.a} is worse than {pair.b} {where}: {words}.'
    elif result == FAILS:
        text = f'{pair.a} does not beat {pair.b} {where}: {words}.'
    else:
        text = f'Whether {pair.a} beats {pair.b} {where} is undecided: {words}.'
    same = is_same(pair, margin, claim)
    if same:
        text += f' The two are practically the same: the interval lies within ±{margin:g}.'
    seeds = pair.seeds_at(claim.alpha) if result == UNDECIDED else None
    if seeds is not None and seeds > pair.n:
        text += f' If the difference is what it seems, it takes about {seeds:,} seeds to see.'
    new = new_examples(claim, runs, claim.a, claim.b)
    if new:
        text += f' Over seeds and new examples: [{signed(new.low)}, {signed(new.high)}].'
    if pair.carried_by is not None and result != UNDECIDED:
        text += f' Seed {pair.carried_by} alone makes up more than half of the spread.'
    return replace(
        of_pair(claim, runs, pair, result, p, text, open_=not same),
        new_examples=new,
        flips=flips_of(runs, claim.a, claim.b) if new else None,
    )


def _best(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """To hold, every rival must be beaten, each at the level (intersection-union test, Berger 1982).

    Not to hold, some rival must not be beaten, Holm-corrected over the rivals.
    """
    rivals, name = rivals_of(claim, runs), label(claim.a)
    ours, *theirs = [by_seed(claim, runs, selector) for selector in (claim.a, *rivals)]
    pairs = []
    for rival, other in zip(rivals, theirs, strict=True):
        own = apart(runs, claim.a, rival)
        both = (ours, other) if own is runs else (by_seed(claim, own, claim.a), by_seed(claim, own, rival))
        pairs.append(compare_values(claim, *both, (name, label(rival)), rule))
    made = with_holm([pair for pair in pairs if pair is not None])
    if not made:
        return unfinished(claim, claim.a, *rivals)
    sides = [one_sided(claim, pair) for pair in made]
    over, under = [2 * p for p, _ in sides], holm([2 * p for _, p in sides])
    missing = [label(rival) for rival, pair in zip(rivals, pairs, strict=True) if pair is None]
    result, p = decided(claim, 1.0 if missing else max(over), min(q for q in under if q is not None))
    below = [pair for pair, q in zip(made, under, strict=True) if q is not None and q < claim.alpha]
    if result == FAILS:
        ahead = [pair.b for pair in below if pair.advantage is None or pair.advantage < 0]
        close = [pair.b for pair in below if pair.b not in ahead]
        reasons = [f'{listed(ahead, 4)} did better'] if ahead else []
        reasons += [f'it is not ahead of {listed(close, 4)} by {claim.margin:g}'] if close else []
        text = f'{name} is not the best on {claim.what}: {"; ".join(reasons)}.'
    else:
        # That all are beaten needs no correction; that some are does.
        shown = over if result == HOLDS else holm(over)
        undecided = [pair.b for pair, q in zip(made, shown, strict=True) if q is None or q >= claim.alpha] + missing
        text = f'{name} beats {len(rivals) - len(undecided)} of {count(len(rivals), "rival")} on {claim.what}'
        text += f'{_by_margin(claim)}{f"; undecided against {listed(undecided, 4)}" if undecided else ""}.'
    seeds = min(pair.n for pair in made)
    text += f' {count(seeds, "seed").capitalize()}.'
    open_: list[str] = []
    reasons = [f'No seed has finished for {listed(missing, 4)}.'] if missing and result == UNDECIDED else []
    if result == UNDECIDED:
        beaten = dict(zip([pair.b for pair in made], [q < claim.alpha for q in over], strict=True))
        for rival, pair in zip(rivals, pairs, strict=True):
            why = why_stuck(pair, runs, claim.a, rival) if pair else ''
            if why:
                reasons.append(why)
            elif pair and not (beaten[pair.b] or is_same(pair, margin, claim)):
                open_ += needed(runs, claim.a, rival)
    return Verdict(
        claim,
        result,
        text,
        seeds,
        p,
        None,
        tuple(made),
        estimates_of_values(claim, {name: ours} | dict(zip(map(label, rivals), theirs, strict=True))),
        waits_for=tuple(dict.fromkeys(open_)),
        stuck=' '.join(dict.fromkeys(reasons)),
    )


def _mostly(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By partial conjunction: that a wins in more than half of the settings, or that it does not in half or more."""
    settings = settings_of(claim, runs)
    pairs = [
        compare_selected(claim, select(runs, setting), claim.a, claim.b, rule, f' ({label(setting)})')
        for setting in settings
    ]
    made = with_holm([pair for pair in pairs if pair is not None])
    if not made:
        return unfinished(claim, claim.a, claim.b)
    # A setting that is not there yet may turn out either way: it speaks for neither side.
    sides = [one_sided(claim, pair) if pair else (1.0, 1.0) for pair in _filled(pairs, made)]
    n, most = len(settings), len(settings) // 2 + 1
    result, p = decided(
        claim,
        2 * partial_conjunction([over for over, _ in sides], most),
        2 * partial_conjunction([under for _, under in sides], n - most + 1),
    )
    signs = [pair.sign(claim.alpha) for pair in made]
    won, lost = signs.count(1), signs.count(-1)
    seeds = min(pair.n for pair in made)
    verb = {HOLDS: 'beats', FAILS: 'does not beat', UNDECIDED: 'may or may not beat'}[result]
    text = (
        f'{label(claim.a)} {verb} {label(claim.b)} on {claim.what}{_by_margin(claim)} in most of {n} settings: taken one '
        f'by one (Holm-corrected) it does in {won}, does not in {lost}, and {n - won - lost} are undecided; '
        f'{p_words(p)}, {count(seeds, "seed")}.'
    )
    reasons = [
        why_stuck(pair, select(runs, setting), claim.a, claim.b)
        if pair
        else 'No seed has finished in one of the settings.'
        for setting, pair in zip(settings, pairs, strict=True)
    ]
    open_ = [
        name
        for setting, pair, why in zip(settings, _filled(pairs, made), reasons, strict=True)
        if pair and not (pair.sign(claim.alpha) or is_same(pair, margin, claim) or why)
        for name in needed(select(runs, setting), claim.a, claim.b)
    ]
    waits_for = tuple(dict.fromkeys(open_)) if result == UNDECIDED else ()
    stuck = ' '.join(dict.fromkeys(filter(None, reasons))) if result == UNDECIDED else ''
    return Verdict(claim, result, text, seeds, p, None, tuple(made), waits_for=waits_for, stuck=stuck)


def _filled(pairs: Sequence[Comparison | None], made: Sequence[Comparison]) -> list[Comparison | None]:
    rest = iter(made)
    return [None if pair is None else next(rest) for pair in pairs]


def _equal(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the t interval of the difference: within the margin on both sides, or outside of it on one."""
    pair = compare_selected(claim, runs, claim.a, claim.b, rule)
    if pair is None:
        return unfinished(claim, claim.a, claim.b)
    seen, pair = pair, replace(pair, margin=claim.margin)
    within = pair.p_within(claim.margin)
    outside = [p for p in (pair.p_above(claim.margin), pair.p_below(-claim.margin)) if p is not None]
    result, p = decided(claim, 1.0 if within is None else 2 * within, 2 * min(outside, default=1.0))
    verb = {HOLDS: 'differ by less than', FAILS: 'differ by more than', UNDECIDED: 'may differ by less or more than'}
    text = f'{pair.a} and {pair.b} {verb[result]} {claim.margin:g} on {claim.what}: {numbers(seen, p)}.'
    return of_pair(claim, runs, pair, result, p, text)


def _at_least(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the t test of the mean against `claim.value`; a variant of which runs diverge has no mean."""
    assert claim.value is not None
    values = by_seed(claim, runs, claim.a)
    if values.empty:
        return unfinished(claim, claim.a)
    name, estimates = label(claim.a), estimates_of(claim, runs, claim.a)
    failed, n = int((~np.isfinite(values)).sum()), len(values)
    if failed:
        p = min(1.0, 2 * float(RULES[rule].p_share(failed, n, 0.5)))
        result, p = decided(claim, 1.0, p)
        text = f'{name} diverged on {failed} of {count(n, "seed")}: it has no mean {claim.what}.'
        stuck = f'{name} diverges, and more seeds would not give it a mean.' if 2 * failed <= n else ''
        waits_for = needed(runs, claim.a) if result == UNDECIDED and not stuck else ()
        return Verdict(
            claim,
            result,
            text,
            n,
            p,
            None,
            (),
            estimates,
            waits_for=waits_for,
            stuck=stuck if result == UNDECIDED else '',
        )
    sign = 1.0 if claim.better == 'max' else -1.0
    x = values.to_numpy(float)
    interval, over, under = '', 1.0, 1.0
    if n > 1:
        mean, se = float(x.mean()), sd_of(x) / np.sqrt(n)
        reach = RULES[rule].reach(n - 1.0, 1 - claim.alpha) * se if se else 0.0
        if np.isfinite(reach) and (se or 2 * RULES[rule].p_mean(np.inf, n - 1.0) < claim.alpha):
            low, high = cut(mean - reach, mean + reach, x.min(), x.max(), range_of(claim.metric))
            interval = f' [{low:.4g}, {high:.4g}]'
        over = float(above(sign * mean, se, n - 1, 0, 0, sign * claim.value, rule=rule))
        under = float(above(-sign * mean, se, n - 1, 0, 0, -sign * claim.value, rule=rule))
    result, p = decided(claim, 2 * over, 2 * under)
    bound = 'more' if claim.better == 'max' else 'less'
    text = f'Mean {claim.what} of {name}: {values.mean():.4g}{interval} over {count(n, "seed")}'
    text += f'; claimed: {claim.value:g} or {bound}.'
    waits_for = needed(runs, claim.a) if result == UNDECIDED else ()
    return Verdict(claim, result, text, n, p, None, (), estimates, waits_for=waits_for)


def _fails(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the exact binomial test of each variant against a half.

    A claim about all variants must be shown of each at the level; a claim about at least one, of one after
    Bonferroni's correction. `all` fails by the second, `any` by the first.
    """
    assert claim.value is not None
    chosen = select(runs, claim.a)
    if chosen.empty:
        return unfinished(claim, claim.a)
    values = column(chosen, claim.metric)
    low, side = claim.better == 'max', 'below' if claim.better == 'max' else 'above'
    failed = (chosen['status'] == 'diverged') | (values < claim.value if low else values > claim.value)
    counts = failed.groupby(chosen['variant']).agg(['sum', 'count'])
    shares = {str(variant): (int(row['sum']), int(row['count'])) for variant, row in counts.iterrows()}
    p_share = RULES[rule].p_share
    most = [2 * float(p_share(k, n, 0.5)) for k, n in shares.values()]
    few = [2 * float(p_share(n - k, n, 0.5)) for k, n in shares.values()]
    of_one = lambda p: min(1.0, min(p) * len(p))  # noqa: E731
    if claim.quantifier == 'any':
        result, p = decided(claim, of_one(most), max(few))
    else:
        result, p = decided(claim, max(most), of_one(few))
    trained = ~chosen.duplicated([TRAINED_AS, 'seed']) if TRAINED_AS in chosen else failed == failed
    k, n = int(failed[trained].sum()), int(trained.sum())
    text = f'{k} of {n} runs of {label(claim.a)} diverged or stayed {side} {claim.what} {claim.value:g}'
    if k and len(shares) > 1:
        worst = max(shares, key=lambda variant: shares[variant][0] / shares[variant][1])
        text += f'; at worst {shares[worst][0]} of {shares[worst][1]}, with {worst}'
    shown = few if claim.quantifier == 'any' else most
    open_ = [name for name, q in zip(shares, shown, strict=True) if q >= claim.alpha] if result == UNDECIDED else []
    waits_for = needed(chosen[chosen['variant'].isin(open_)], {})
    return Verdict(
        claim,
        result,
        f'{text}; {p_words(p)}.',
        min(n for _, n in shares.values()),
        p,
        shares=shares,
        waits_for=waits_for,
    )


def _less_sensitive(claim: Claim, trials: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the shares of good learning rates among the trials (`sensitivity.same_width`)."""
    found = []
    for selector in (claim.a, claim.b):
        chosen = select(trials, selector)
        values = column(chosen, claim.metric)
        if not np.isfinite(values).any():
            return unfinished(claim, selector)
        bounds = float(chosen['low'].min()), float(chosen['high'].max())
        rates = chosen['learning_rate'].tolist()
        found.append(
            learning_rate_sensitivity(rates, values.tolist(), bounds, tolerance=claim.margin, goal=claim.better)
        )
    a, b = found
    p = same_width(a, b)
    result = UNDECIDED if p >= claim.alpha else HOLDS if a.width > b.width else FAILS
    text = (
        f'Of {a.decades:.2g} decades of learning rates, {a.width:.2g} are within {claim.margin:g} of the best '
        f'{claim.what} for {label(claim.a)} ({a.good} of {a.trials} trials) and {b.width:.2g} for {label(claim.b)} '
        f'({b.good} of {b.trials}); {p_value(p)}, one seed a trial.'
    )
    return Verdict(claim, result, text, 1, p, sensitivities={label(claim.a): a, label(claim.b): b})


def _by_margin(claim: Claim) -> str:
    return f' by more than {claim.margin:g}' if claim.margin else ''


KINDS: dict[str, Callable[[Claim, pd.DataFrame, float, str], Verdict]] = {
    'at_least': _at_least,
    'best': _best,
    'better': _better,
    'equal': _equal,
    'fails': _fails,
    'faster': _better,
    'less_sensitive': _less_sensitive,
    'mostly': _mostly,
}
