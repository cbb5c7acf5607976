"""Verdicts on claims: `holds`, `does not hold` or `undecided`, with the numbers and the number of seeds behind it.

Every judge works out two p-values, of "the claim does not hold" and of "the claim holds", both at the two-sided level:
a claim holds if the first is below `claim.alpha`, and does not hold if the second is. So the chance that a claim is decided
wrongly is at most `claim.alpha`, whichever way it is; by the anytime rule, however often one looks. Claims of one study are
judged each at its own level; the share of false ones among those decided is controlled by `q_value` (Benjamini & Hochberg
1995).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.comparisons import SAME, Comparison, above, compare, with_holm
from trainer.compare.analysis.examples import Crossed, Flips, crossed, flips
from trainer.compare.analysis.metrics import goal_of, range_of
from trainer.compare.analysis.rules import ANYTIME, FIXED, RULES
from trainer.compare.analysis.selection import (
    SEEDS_FROM,
    TRAINED_AS,
    Selector,
    alike,
    apart,
    by_variant,
    column,
    horizon,
    label,
    pivot,
    require_axes,
    select,
    time_to_target,
)
from trainer.compare.analysis.sensitivity import Sensitivity, learning_rate_sensitivity, same_width
from trainer.compare.analysis.statistics import (
    UNBOUNDED,
    Estimate,
    cut,
    estimate,
    false_discovery_rate,
    holm,
    partial_conjunction,
    sd_of,
)
from trainer.compare.analysis.words import count, listed, p_value, signed

HOLDS, FAILS, UNDECIDED = 'holds', 'does not hold', 'undecided'

#: The metric that test examples make up, and the column with what each run got right (bool, shape [examples]).
OF_EXAMPLES, CORRECT = 'test_accuracy', 'test_correct'

#: After so many seeds that tell two variants apart in nothing, more are not expected to.
TELLING = 5


@dataclass(frozen=True)
class Verdict:
    """`result` on a claim, in one `sentence`, with what it rests on.

    `seeds`: the fewest behind any of its numbers. `p_value`: the smaller of the two that the module's docstring speaks of;
    `q_value`: after Benjamini and Hochberg's correction over all claims of the study. `new_examples`: the advantage with
    its interval over seeds and examples, and `flips`: on which share of examples just one of two variants is right, where
    it is known which examples each run got right. `waits_for`: variants of which more seeds may decide an undecided claim;
    none where the variants are practically the same, or where no number of seeds would decide it, which `stuck` explains.
    """

    claim: Claim
    result: str
    sentence: str
    seeds: int
    p_value: float | None = None
    q_value: float | None = None
    comparisons: Sequence[Comparison] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    shares: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sensitivities: Mapping[str, Sensitivity] = field(default_factory=dict)
    new_examples: Crossed | None = None
    flips: Flips | None = None
    waits_for: Sequence[str] = ()
    stuck: str = ''


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
      runs: the finished runs, as `trainer.compare.analysis.selection` says. Rivals without a finished run are left out.
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


def by_seed(claim: Claim, runs: pd.DataFrame, selector: Selector) -> pd.Series:
    """Returns the claim's metric of what `selector` addresses, by seed; infinitely bad where a run diverged.

    A target that was never reached counts as reached at the end of the longest run: the restricted mean time.
    """
    chosen = select(runs, selector)
    if claim.target is None:
        table = by_variant(chosen, column(chosen, claim.metric), claim.better)
    else:
        times = time_to_target(chosen, claim.metric, claim.target, claim.unit, claim.goal)
        table = pivot(chosen, times.clip(upper=horizon(runs, claim.unit)))
    if claim.reduce == 'mean' or table.shape[1] < 2:
        return table.mean(axis=1)
    goal = goal_of(claim.select_by)
    scores = by_variant(chosen, column(chosen, claim.select_by), goal).reindex_like(table)
    # Chosen on the other seeds: chosen on all, the winner's luck would be part of its result.
    others = scores.sum() - scores if len(scores) > 1 else scores
    best = others.idxmin(axis=1) if goal == 'min' else others.idxmax(axis=1)
    return pd.Series([table.loc[seed, best[seed]] for seed in table.index], table.index)


def _better(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the t test of the paired differences against `claim.margin`; times to a target by the sign-flip test."""
    runs = apart(runs, claim.a, claim.b)
    pair = _compare(claim, runs, claim.a, claim.b, rule)
    if pair is None:
        return _unfinished(claim, claim.a, claim.b)
    over, under = _one_sided(claim, pair)
    result, p = _decided(claim, 2 * over, 2 * under)
    numbers, where = _numbers(pair, p), f'on {claim.what}{_by_margin(claim)}'
    if result == HOLDS:
        text = f'{pair.a} beats {pair.b} {where}: {numbers}.'
    elif result == FAILS and not claim.margin:
        text = f'{pair.a} is worse than {pair.b} {where}: {numbers}.'
    elif result == FAILS:
        text = f'{pair.a} does not beat {pair.b} {where}: {numbers}.'
    else:
        text = f'Whether {pair.a} beats {pair.b} {where} is undecided: {numbers}.'
    same = _is_same(pair, margin, claim)
    if same:
        text += f' The two are practically the same: the interval lies within ±{margin:g}.'
    if result == UNDECIDED and pair.seeds_needed is not None and pair.seeds_needed > pair.n:
        text += f' A difference of this size takes about {pair.seeds_needed:,} seeds to see.'
    new = _new_examples(claim, runs, claim.a, claim.b)
    if new:
        text += f' Over seeds and new examples: [{signed(new.low)}, {signed(new.high)}].'
    if pair.carried_by is not None and result != UNDECIDED:
        text += f' Seed {pair.carried_by} alone makes up more than half of the spread.'
    return replace(
        _of_pair(claim, runs, pair, result, p, text, open_=not same),
        new_examples=new,
        flips=_flips(runs, claim.a, claim.b) if new else None,
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
        pairs.append(_compare_values(claim, *both, (name, label(rival)), rule))
    made = with_holm([pair for pair in pairs if pair is not None])
    if not made:
        return _unfinished(claim, claim.a, *rivals)
    sides = [_one_sided(claim, pair) for pair in made]
    over, under = [2 * p for p, _ in sides], holm([2 * p for _, p in sides])
    missing = [label(rival) for rival, pair in zip(rivals, pairs, strict=True) if pair is None]
    result, p = _decided(claim, 1.0 if missing else max(over), min(q for q in under if q is not None))
    below = [pair for pair, q in zip(made, under, strict=True) if q is not None and q < claim.alpha]
    if result == FAILS:
        ahead = [pair.b for pair in below if pair.advantage is None or pair.advantage < 0]
        close = [pair.b for pair in below if pair.b not in ahead]
        reasons = [f'{listed(ahead, 4)} did better'] if ahead else []
        reasons += [f'it is not ahead of {listed(close, 4)} by {claim.margin:g}'] if close else []
        text = f'{name} is not the best on {claim.what}: {"; ".join(reasons)}.'
    else:
        undecided = [pair.b for pair, q in zip(made, over, strict=True) if q >= claim.alpha] + missing
        text = f'{name} beats {len(rivals) - len(undecided)} of {count(len(rivals), "rival")} on {claim.what}'
        text += f'{_by_margin(claim)}{f"; undecided against {listed(undecided, 4)}" if undecided else ""}.'
    seeds = min(pair.n for pair in made)
    text += f' {count(seeds, "seed").capitalize()}.'
    open_: list[str] = []
    reasons = [f'No seed has finished for {listed(missing, 4)}.'] if missing and result == UNDECIDED else []
    if result == UNDECIDED:
        beaten = dict(zip([pair.b for pair in made], [q < claim.alpha for q in over], strict=True))
        for rival, pair in zip(rivals, pairs, strict=True):
            why = _stuck(pair, runs, claim.a, rival) if pair else ''
            if why:
                reasons.append(why)
            elif pair and not (beaten[pair.b] or _is_same(pair, margin, claim)):
                open_ += _needed(runs, claim.a, rival)
    return Verdict(
        claim,
        result,
        text,
        seeds,
        p,
        None,
        tuple(made),
        _estimates_of(claim, {name: ours} | dict(zip(map(label, rivals), theirs, strict=True))),
        waits_for=tuple(dict.fromkeys(open_)),
        stuck=' '.join(dict.fromkeys(reasons)),
    )


def rivals_of(claim: Claim, runs: pd.DataFrame) -> list[Selector]:
    """Returns what `a` of a claim of kind 'best' must beat."""
    if claim.b is not None:
        return [claim.b] if isinstance(claim.b, Mapping) else list(claim.b)
    require_axes(runs, claim.a)
    combinations = runs[list(claim.a)].drop_duplicates()
    return list(combinations.drop(index=select(combinations, claim.a).index).to_dict('records'))


def _mostly(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By partial conjunction: that a wins in more than half of the settings, or that it does not in half or more."""
    settings = settings_of(claim, runs)
    pairs = [
        _compare(claim, select(runs, setting), claim.a, claim.b, rule, f' ({label(setting)})') for setting in settings
    ]
    made = with_holm([pair for pair in pairs if pair is not None])
    if not made:
        return _unfinished(claim, claim.a, claim.b)
    # A setting that is not there yet may turn out either way: it speaks for neither side.
    sides = [_one_sided(claim, pair) if pair else (1.0, 1.0) for pair in _filled(pairs, made)]
    n, most = len(settings), len(settings) // 2 + 1
    result, p = _decided(
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
        f'{_p(p)}, {count(seeds, "seed")}.'
    )
    reasons = [
        _stuck(pair, select(runs, setting), claim.a, claim.b)
        if pair
        else 'No seed has finished in one of the settings.'
        for setting, pair in zip(settings, pairs, strict=True)
    ]
    open_ = [
        name
        for setting, pair, why in zip(settings, _filled(pairs, made), reasons, strict=True)
        if pair and not (pair.sign(claim.alpha) or _is_same(pair, margin, claim) or why)
        for name in _needed(select(runs, setting), claim.a, claim.b)
    ]
    waits_for = tuple(dict.fromkeys(open_)) if result == UNDECIDED else ()
    stuck = ' '.join(dict.fromkeys(filter(None, reasons))) if result == UNDECIDED else ''
    return Verdict(claim, result, text, seeds, p, None, tuple(made), waits_for=waits_for, stuck=stuck)


def settings_of(claim: Claim, runs: pd.DataFrame) -> list[Selector]:
    """Returns the settings in which a claim of kind 'mostly' compares `a` and `b`."""
    require_axes(runs, claim.matched)
    both = pd.concat([select(runs, claim.a), select(runs, claim.b)])
    return list(both[list(claim.matched)].drop_duplicates().sort_values(list(claim.matched)).to_dict('records'))


def _filled(pairs: Sequence[Comparison | None], made: Sequence[Comparison]) -> list[Comparison | None]:
    rest = iter(made)
    return [None if pair is None else next(rest) for pair in pairs]


def _equal(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the t interval of the difference: within the margin on both sides, or outside of it on one."""
    pair = _compare(claim, runs, claim.a, claim.b, rule)
    if pair is None:
        return _unfinished(claim, claim.a, claim.b)
    pair = replace(pair, margin=claim.margin)
    within = pair.p_within(claim.margin)
    outside = [p for p in (pair.p_above(claim.margin), pair.p_below(-claim.margin)) if p is not None]
    result, p = _decided(claim, 1.0 if within is None else 2 * within, 2 * min(outside, default=1.0))
    verb = {HOLDS: 'differ by less than', FAILS: 'differ by more than', UNDECIDED: 'may differ by less or more than'}
    text = f'{pair.a} and {pair.b} {verb[result]} {claim.margin:g} on {claim.what}: {_numbers(pair, p)}.'
    return _of_pair(claim, runs, pair, result, p, text)


def _at_least(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the t test of the mean against `claim.value`; a variant of which runs diverge has no mean."""
    assert claim.value is not None
    values = by_seed(claim, runs, claim.a)
    if values.empty:
        return _unfinished(claim, claim.a)
    name, estimates = label(claim.a), _estimates(claim, runs, claim.a)
    failed, n = int((~np.isfinite(values)).sum()), len(values)
    if failed:
        p = min(1.0, 2 * float(RULES[rule].p_share(failed, n, 0.5)))
        result, p = _decided(claim, 1.0, p)
        text = f'{name} diverged on {failed} of {count(n, "seed")}: it has no mean {claim.what}.'
        stuck = f'{name} diverges, and more seeds would not give it a mean.' if 2 * failed <= n else ''
        waits_for = _needed(runs, claim.a) if result == UNDECIDED and not stuck else ()
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
        if np.isfinite(reach):
            low, high = cut(mean - reach, mean + reach, x.min(), x.max(), range_of(claim.metric))
            interval = f' [{low:.4g}, {high:.4g}]'
        over = float(above(sign * mean, se, n - 1, 0, 0, sign * claim.value, rule=rule))
        under = float(above(-sign * mean, se, n - 1, 0, 0, -sign * claim.value, rule=rule))
    result, p = _decided(claim, 2 * over, 2 * under)
    bound = 'more' if claim.better == 'max' else 'less'
    text = f'Mean {claim.what} of {name}: {values.mean():.4g}{interval} over {count(n, "seed")}'
    text += f'; claimed: {claim.value:g} or {bound}.'
    waits_for = _needed(runs, claim.a) if result == UNDECIDED else ()
    return Verdict(claim, result, text, n, p, None, (), estimates, waits_for=waits_for)


def _fails(claim: Claim, runs: pd.DataFrame, margin: float, rule: str) -> Verdict:
    """By the exact binomial test of each variant against a half.

    A claim about all variants must be shown of each at the level; a claim about at least one, of one after
    Bonferroni's correction. `all` fails by the second, `any` by the first.
    """
    assert claim.value is not None
    chosen = select(runs, claim.a)
    if chosen.empty:
        return _unfinished(claim, claim.a)
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
        result, p = _decided(claim, of_one(most), max(few))
    else:
        result, p = _decided(claim, max(most), of_one(few))
    trained = ~chosen.duplicated([TRAINED_AS, 'seed']) if TRAINED_AS in chosen else failed == failed
    k, n = int(failed[trained].sum()), int(trained.sum())
    text = f'{k} of {n} runs of {label(claim.a)} diverged or stayed {side} {claim.what} {claim.value:g}'
    if k and len(shares) > 1:
        worst = max(shares, key=lambda variant: shares[variant][0] / shares[variant][1])
        text += f'; at worst {shares[worst][0]} of {shares[worst][1]}, with {worst}'
    shown = few if claim.quantifier == 'any' else most
    open_ = [name for name, q in zip(shares, shown, strict=True) if q >= claim.alpha] if result == UNDECIDED else []
    waits_for = _needed(chosen[chosen['variant'].isin(open_)], {})
    return Verdict(
        claim,
        result,
        f'{text}; {_p(p)}.',
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
            return _unfinished(claim, selector)
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


def _compare(
    claim: Claim, runs: pd.DataFrame, a: Selector, b: Selector, rule: str, setting: str = ''
) -> Comparison | None:
    runs = apart(runs, a, b)
    left, right = by_seed(claim, runs, a), by_seed(claim, runs, b)
    return _compare_values(claim, left, right, (label(a) + setting, label(b) + setting), rule)


def _compare_values(
    claim: Claim, left: pd.Series, right: pd.Series, names: tuple[str, str], rule: str
) -> Comparison | None:
    paired = claim.paired or rule == ANYTIME
    if left.empty or right.empty or (paired and left.index.intersection(right.index).empty):
        return None
    margin, confidence = 0.0 if claim.kind == 'equal' else claim.margin, 1 - claim.alpha
    return compare(
        left, right, goal=claim.better, margin=margin, names=names, confidence=confidence, paired=paired, rule=rule
    )


def _one_sided(claim: Claim, pair: Comparison) -> tuple[float, float]:
    """Returns the one-sided p-values of the advantage being at most, and at least, the margin; 1 without a test.

    Times to a target are counts of evaluations with many ties: their test is the exact sign-flip test, and by the anytime
    rule the sign e-process, whose hypothesis is part of the same.
    """
    if claim.target is not None and pair.rule == ANYTIME:
        won, lost = pair.wins, pair.losses
        p_share = RULES[ANYTIME].p_share
        return float(p_share(won, won + lost, 0.5)), float(p_share(lost, won + lost, 0.5))
    if claim.target is not None:
        if pair.p_sign_flip is None or pair.advantage is None:
            return 1.0, 1.0
        half = pair.p_sign_flip / 2
        return (half, 1 - half) if pair.advantage > pair.margin else (1 - half, half)
    over, under = pair.p_above(pair.margin), pair.p_below(pair.margin)
    return 1.0 if over is None else over, 1.0 if under is None else under


def _decided(claim: Claim, p_fails_not: float, p_holds_not: float) -> tuple[str, float]:
    """Returns the result and its p-value, from those of the hypotheses that the claim does not hold, and that it does."""
    p = min(p_fails_not, p_holds_not, 1.0)
    if p >= claim.alpha:
        return UNDECIDED, p
    return (HOLDS if p_fails_not <= p_holds_not else FAILS), p


def _new_examples(claim: Claim, runs: pd.DataFrame, a: Selector, b: Selector) -> Crossed | None:
    """The advantage over seeds and examples; None where it is not known which examples the runs got right."""
    if claim.metric != OF_EXAMPLES or claim.target is not None or claim.reduce == 'best' or CORRECT not in runs:
        return None
    tables = [_right(select(runs, selector)) for selector in (a, b)]
    if any(table is None for table in tables):
        return None
    left, right = tables
    assert left is not None
    assert right is not None
    seeds = [seed for seed in left if seed in right]
    if len(seeds) < 2:
        return None
    return crossed(np.stack([left[seed] - right[seed] for seed in seeds]), 1 - claim.alpha)


def _flips(runs: pd.DataFrame, a: Selector, b: Selector) -> Flips | None:
    """How two single variants agree; None for means of several."""
    chosen = [select(runs, selector) for selector in (a, b)]
    if any(one['variant'].nunique() != 1 for one in chosen):
        return None
    left, right = (one.set_index('seed')[CORRECT] for one in chosen)
    seeds = [seed for seed in left.index if seed in right.index]
    return flips(np.stack(left.loc[seeds].tolist()), np.stack(right.loc[seeds].tolist()))


def _right(runs: pd.DataFrame) -> dict[Any, np.ndarray] | None:
    """Returns seed -> the mean over variants of what is right, shape [examples]; None where a run has no such record."""
    if not runs[CORRECT].map(lambda value: isinstance(value, np.ndarray)).all() or runs.empty:
        return None
    if runs[CORRECT].map(len).nunique() > 1:
        return None
    variants = runs['variant'].nunique()
    groups = {seed: group for seed, group in runs.groupby('seed') if len(group) == variants}
    return {seed: np.mean(np.stack(group[CORRECT].tolist()), axis=0) for seed, group in groups.items()}


def _estimates(claim: Claim, runs: pd.DataFrame, *selectors: Selector) -> dict[str, Estimate]:
    """Means of what can be averaged: seeds on which a run diverged are left out."""
    return _estimates_of(claim, {label(selector): by_seed(claim, runs, selector) for selector in selectors})


def _estimates_of(claim: Claim, values: Mapping[str, pd.Series]) -> dict[str, Estimate]:
    bounds = range_of(claim.metric) if claim.target is None else UNBOUNDED
    finite = {name: row[np.isfinite(row)] for name, row in values.items()}
    return {name: estimate(row, bounds=bounds) for name, row in finite.items() if len(row)}


def _needed(runs: pd.DataFrame, *selectors: Selector) -> tuple[str, ...]:
    """Returns the variants of which more seeds would be seeds of these: of those that compute the same thing one alone,
    unless they are compared with each other."""
    one_for_all = SEEDS_FROM in runs and not (len(selectors) == 2 and alike(runs, *selectors))
    column = SEEDS_FROM if one_for_all else 'variant'
    return tuple(dict.fromkeys(str(name) for selector in selectors for name in select(runs, selector)[column]))


def _is_same(pair: Comparison, margin: float, claim: Claim) -> bool:
    """Whether two variants are practically the same, by the margin that the study states."""
    return margin > 0 and replace(pair, margin=margin).outcome(claim.alpha) == SAME


def _stuck(pair: Comparison, runs: pd.DataFrame, a: Selector, b: Selector) -> str:
    """Returns why no number of seeds is expected to tell two variants apart; '' if it may."""
    if not pair.margin and alike(runs, a, b):
        return f'{pair.a} and {pair.b} compute the same thing: more seeds cannot tell them apart.'
    if pair.n < TELLING:
        return ''
    if pair.advantage is None and not pair.failed:
        return f'Every run of {pair.a} and of {pair.b} diverged: more seeds would not compare them.'
    if pair.ties == pair.n:
        return f'No seed tells {pair.a} and {pair.b} apart.'
    return ''


def _of_pair(
    claim: Claim, runs: pd.DataFrame, pair: Comparison, result: str, p: float, text: str, *, open_: bool = True
) -> Verdict:
    """Returns the verdict on a claim about one pair; `open_`: whether more seeds could matter if it is undecided."""
    assert isinstance(claim.b, Mapping)
    stuck = _stuck(pair, runs, claim.a, claim.b) if result == UNDECIDED else ''
    return Verdict(
        claim,
        result,
        text,
        seeds=pair.n,
        p_value=p,
        comparisons=(pair,),
        estimates=_estimates(claim, runs, claim.a, claim.b),
        waits_for=_needed(runs, claim.a, claim.b) if result == UNDECIDED and open_ and not stuck else (),
        stuck=stuck,
    )


def _unfinished(claim: Claim, *selectors: Selector) -> Verdict:
    text = f'No seed has finished for {listed([label(s) for s in selectors], 4)}.'
    return Verdict(claim, UNDECIDED, text, 0, stuck=text)


def _by_margin(claim: Claim) -> str:
    return f' by more than {claim.margin:g}' if claim.margin else ''


def _numbers(pair: Comparison, p: float | None) -> str:
    if pair.paired:
        parts = [
            f'better on {pair.wins} of {count(pair.n, "seed")}' + (f' and equal on {pair.ties}' if pair.ties else '')
        ]
    else:
        parts = [f'better in {pair.superiority:.0%} of pairs of runs']
    for name, failed in ((pair.a, pair.failed_a), (pair.b, pair.failed_b)):
        if failed:
            parts.append(f'{name} alone diverged on {failed}' if pair.paired else f'{name} diverged in {failed} runs')
    if pair.advantage is not None:
        interval = '' if pair.low is None or pair.high is None else f' [{signed(pair.low)}, {signed(pair.high)}]'
        parts.append(f'mean advantage {signed(pair.advantage)}{interval}')
    return ', '.join([*parts, *([] if pair.p_value is None else [_p(p)])])


def _p(p: float | None) -> str:
    return 'no p-value' if p is None else p_value(p)


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
