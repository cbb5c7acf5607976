"""Two variants against each other: better, worse, practically the same, or undecided.

What is estimated has two parts, judged apart and in this order:

* the mean difference over the seeds on which both variants trained to the end (Student's t, paired by seed);
* which of the two diverges more often (the exact sign test on seeds on which just one of them diverged).

The variant that diverged on more seeds is never called the better one; nor is the other one, if it is shown to be worse on
the seeds on which neither diverged. Two variants are never called practically the same if just one of them diverged on a
seed. No value stands in for a run that has none, and no test is chosen by the
data: where nothing diverged the second part is empty, and where something did the two share the level (Bonferroni).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from trainer.compare.analysis import anytime
from trainer.compare.analysis.comparisons import any_pair
from trainer.compare.analysis.rules import ANYTIME, FIXED, RULES
from trainer.compare.analysis.statistics import (
    ALPHA,
    CONFIDENCE,
    differences,
    holm,
    sd_of,
    sign_flip,
    superiority,
)

BETTER, WORSE, SAME, UNDECIDED = 'better', 'worse', 'practically the same', 'undecided'

#: One seed carries a result if it makes up more than this share of the sum of squared differences from their median.
CARRIED = 0.5


@dataclass(frozen=True)
class Comparison:
    """A against B. An advantage is a difference, positive where A is better.

    `n`: pairs, or of unpaired runs the smaller number. `failed_a`, `failed_b`: seeds on which just A, just B diverged.
    `advantage`, `sd`, `low`, `high`: mean over the seeds on which neither diverged, standard deviation of the
    differences, and t interval of the mean, in the metric's unit (None where there are fewer than 1, 2 such seeds); `se`
    and `df` are its standard error and degrees of freedom. `p_value`: two-sided, of the hypothesis that the advantage
    is `margin`; `p_adjusted`: after Holm's correction over the family compared. `superiority`: P(A > B + margin) with
    its interval; `wins`, `ties`, `losses`: the counts behind it. `any_two`: the same probability for two runs with
    seeds of their own. `correlation`: of A and B over seeds, what pairing gains by. `p_sign_flip`: of the sign-flip
    test of the same hypothesis as `p_value`. `carried_by`: the seed that makes up more than half of the spread.
    `share`: B's share of all runs. `rule`: of `rules.RULES`, what the p-values and the interval are valid for. By the
    anytime rule `p_sign_flip` is None, and `p_signs` takes its place: of the hypothesis that A is as likely to be above the
    margin as below, by the signs of the differences alone.
    """

    a: str
    b: str
    n: int
    paired: bool
    failed_a: int
    failed_b: int
    margin: float
    advantage: float | None
    sd: float | None
    se: float | None
    df: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    superiority: float
    superiority_low: float
    superiority_high: float
    wins: int
    ties: int
    losses: int
    any_two: float | None = None
    correlation: float | None = None
    p_sign_flip: float | None = None
    carried_by: Any = None
    share: float = 0.5
    rule: str = FIXED
    p_signs: float | None = None

    @property
    def test(self) -> str:
        if self.rule == ANYTIME:
            return 'paired t, valid at every look'
        return 'paired t' if self.paired else "Welch's t"

    @property
    def failed(self) -> int:
        """Seeds on which just one of the two diverged."""
        return self.failed_a + self.failed_b

    @property
    def seeds_needed(self) -> int | None:
        """As `seeds_at` the usual level."""
        return self.seeds_at(ALPHA)

    def seeds_at(self, alpha: float) -> int | None:
        """Returns how many paired seeds a difference of this size, from the margin, takes to see; None: none in sight."""
        if self.advantage is None or self.sd is None or not self.paired or self.failed:
            return None
        distance = abs(self.advantage - self.margin)
        effect = distance / self.sd if self.sd else math.inf * distance if distance else 0.0
        return RULES[self.rule].seeds_needed(effect, alpha)

    def p_above(self, threshold: float) -> float | None:
        """Returns the one-sided p-value of the hypothesis that the advantage is at most `threshold`."""
        failed = (self.failed_a, self.failed_b)
        return _number(above(self.advantage, self.se, self.df, *failed, threshold, self.share, self.rule))

    def p_below(self, threshold: float) -> float | None:
        """Returns the one-sided p-value of the hypothesis that the advantage is at least `threshold`."""
        mean = None if self.advantage is None else -self.advantage
        failed = (self.failed_b, self.failed_a)
        return _number(above(mean, self.se, self.df, *failed, -threshold, 1 - self.share, self.rule))

    def p_within(self, margin: float) -> float | None:
        """Returns the p-value of two one-sided t tests (Schuirmann 1987): small if the advantage is shown to
        lie between minus the margin and the margin."""
        if margin <= 0 or self.se is None or self.advantage is None:
            return None
        if self.failed:
            return 1.0
        bounds = (
            above(self.advantage, self.se, self.df, 0, 0, -margin, rule=self.rule),
            above(-self.advantage, self.se, self.df, 0, 0, -margin, rule=self.rule),
        )
        return float(max(map(float, bounds)))

    def outcome(self, alpha: float = ALPHA) -> str:
        """Returns which side of the margin the comparison is on, at two-sided level `alpha`, uncorrected.

        Each answer is given where the 1 - alpha interval lies in its region: above the margin, below its negative, or
        between the two. So the chance of any false answer is at most alpha.
        """
        answers = {
            BETTER: self.p_above(self.margin),
            WORSE: self.p_below(-self.margin),
            SAME: self.p_within(self.margin),
        }
        return next((words for words, p in answers.items() if p is not None and 2 * p < alpha), UNDECIDED)

    def sign(self, alpha: float = ALPHA) -> int:
        """Returns 1: the advantage is above the margin; -1: below; 0: undecided; at level `alpha` after correction."""
        p = self.p_value if self.p_adjusted is None else self.p_adjusted
        if p is None or p >= alpha:
            return 0
        over, under = self.p_above(self.margin), self.p_below(self.margin)
        assert over is not None
        assert under is not None
        return 1 if over < under else -1


def above(
    mean: Any,
    se: Any,
    df: Any,
    failed_a: Any,
    failed_b: Any,
    threshold: Any,
    share: Any = 0.5,
    rule: str = FIXED,
) -> np.ndarray:
    """Returns one-sided p-values of the hypothesis that A's advantage is at most `threshold`, elementwise; NaN: no test.

    Args:
      mean, se, df: of the advantage over the seeds on which both trained to the end; None or NaN: too few.
      failed_a, failed_b: seeds on which just A, just B diverged.
      share: B's share of all runs; of pairs a half.
      rule: of `rules.RULES`.
    """
    mean, se, df = (np.asarray(np.nan if x is None else x, float) for x in (mean, se, df))
    mine, theirs, share = np.asarray(failed_a), np.asarray(failed_b), np.asarray(share, float)
    with np.errstate(divide='ignore', invalid='ignore'):
        t = (mean - threshold) / se
        t = np.where((se == 0) & (mean == threshold), 0.0, t)
        by_mean = RULES[rule].p_mean(t, df)
        worse = (df >= 1) & (RULES[rule].p_mean(-mean / se, df) < ALPHA / 2)  # where neither diverged
    by_mean = np.where(df >= 1, by_mean, np.nan)
    # The chance that at least so many of the failures were B's, if A and B diverged equally often.
    by_failures = RULES[rule].p_share(theirs, mine + theirs, share)
    both = RULES[rule].p_either(by_mean, by_failures)
    more = mine * share - theirs * (1 - share)  # above 0: A diverged more often
    p = np.where(more < 0, np.where(np.isnan(by_mean), by_failures, both), by_mean)
    return np.where((more > 0) | ((more < 0) & worse), 1.0, np.minimum(p, 1.0))


def compare(
    a: pd.Series,
    b: pd.Series,
    *,
    goal: str = 'max',
    margin: float = 0.0,
    names: tuple[str, str] = ('A', 'B'),
    confidence: float = CONFIDENCE,
    paired: bool = True,
    detail: bool = True,
    rule: str = FIXED,
) -> Comparison:
    """Returns the comparison of two variants.

    Args:
      a, b: the metric by seed (the index). Of paired runs, seeds that only one has are left out. Infinite: diverged.
      goal: 'max' or 'min', which of the two is better.
      margin: the smallest advantage that matters, >= 0, in the metric's unit.
      names: of the two variants.
      confidence: of the intervals.
      paired: whether a seed means the same in both; otherwise Welch's t test is used.
      detail: whether to make the sign-flip test, which takes the longest.
      rule: of `rules.RULES`. The anytime rule has tests of pairs alone, and pairs runs by seed in any case.

    Raises:
      ValueError: no seed in common, a seed twice, a value missing, or another goal.
    """
    if goal not in ('max', 'min'):
        raise ValueError(f"goal is 'max' or 'min', not {goal!r}")
    if np.isnan(a.to_numpy(float)).any() or np.isnan(b.to_numpy(float)).any():
        raise ValueError(f'a value is missing among the runs of {names[0]} or {names[1]}')
    sign = 1.0 if goal == 'max' else -1.0
    if not paired and rule == FIXED:
        return _unpaired(sign * a.to_numpy(float), sign * b.to_numpy(float), margin, names, confidence)
    if not (a.index.is_unique and b.index.is_unique):
        raise ValueError(f'a seed occurs twice among the runs of {names[0]} or {names[1]}')
    seeds = a.index.intersection(b.index)
    if seeds.empty:
        raise ValueError(f'{names[0]} and {names[1]} have no seed in common')
    left, right = sign * a.loc[seeds].to_numpy(float), sign * b.loc[seeds].to_numpy(float)
    gained = np.where(left == right, 0.0, differences(left, right))  # both diverged: a tie, not NaN
    done = np.isfinite(left) & np.isfinite(right)
    finite, n = gained[done], int(done.sum())
    sd = sd_of(finite) if n > 1 else None
    with np.errstate(invalid='ignore'):
        related = float(np.corrcoef(left[done], right[done])[0, 1]) if n > 2 else math.nan
    share, share_low, share_high = superiority(gained - margin, confidence)
    found = Comparison(
        a=names[0],
        b=names[1],
        n=len(gained),
        paired=True,
        failed_a=int((~np.isfinite(left) & np.isfinite(right)).sum()),
        failed_b=int((np.isfinite(left) & ~np.isfinite(right)).sum()),
        margin=margin,
        advantage=float(finite.mean()) if n else None,
        sd=sd,
        se=None if sd is None else sd / math.sqrt(n),
        df=None if sd is None else n - 1.0,
        low=None,
        high=None,
        p_value=None,
        p_adjusted=None,
        superiority=share,
        superiority_low=share_low,
        superiority_high=share_high,
        wins=int(np.sum(gained > margin)),
        ties=int(np.sum(gained == margin)),
        losses=int(np.sum(gained < margin)),
        any_two=any_pair.probability(left, right, margin),
        correlation=None if math.isnan(related) else related,
        p_sign_flip=sign_flip(finite - margin) if detail and n == len(gained) and rule == FIXED else None,
        carried_by=_carrier(finite, seeds[done]) if detail else None,
        rule=rule,
        p_signs=_signs(gained - margin) if rule == ANYTIME else None,
    )
    return _with_interval(found, confidence)


def _unpaired(
    left: np.ndarray, right: np.ndarray, margin: float, names: tuple[str, str], confidence: float
) -> Comparison:
    x, y = left[np.isfinite(left)], right[np.isfinite(right)]
    se = df = sd = None
    if len(x) > 1 and len(y) > 1:
        sd_x, sd_y = sd_of(x), sd_of(y)
        u, v = sd_x**2 / len(x), sd_y**2 / len(y)
        se, sd = math.sqrt(u + v), math.sqrt((sd_x**2 + sd_y**2) / 2)
        df = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1)) if u + v else len(x) + len(y) - 2.0
    wins, ties, losses = any_pair.counts(left, right, margin)
    share, low, high = any_pair.brunner_munzel(left, right, margin, confidence)
    found = Comparison(
        a=names[0],
        b=names[1],
        n=min(len(left), len(right)),
        paired=False,
        failed_a=len(left) - len(x),
        failed_b=len(right) - len(y),
        margin=margin,
        advantage=float(differences(x.mean(), y.mean())) if len(x) and len(y) else None,
        sd=sd,
        se=se,
        df=df,
        low=None,
        high=None,
        p_value=None,
        p_adjusted=None,
        superiority=share,
        superiority_low=low,
        superiority_high=high,
        wins=wins,
        ties=ties,
        losses=losses,
        any_two=share,
        share=len(right) / (len(left) + len(right)),
    )
    return _with_interval(found, confidence)


def _carrier(differences: np.ndarray, seeds: pd.Index) -> Any:
    """Returns the seed that alone makes up more than `CARRIED` of the spread of the differences; None: there is none."""
    if len(differences) < 3 or not sd_of(differences):
        return None
    spread = (differences - np.median(differences)) ** 2
    return seeds[int(spread.argmax())] if spread.max() > CARRIED * spread.sum() else None


def _signs(excess: np.ndarray) -> float:
    """Returns the two-sided p-value of the sign e-process; ties say nothing."""
    won, lost = int((excess > 0).sum()), int((excess < 0).sum())
    return min(1.0, 2 * float(anytime.p_share(max(won, lost), won + lost)))


def _with_interval(found: Comparison, confidence: float) -> Comparison:
    low = high = None
    if found.se is not None and found.advantage is not None and found.df is not None:
        reach = RULES[found.rule].reach(found.df, confidence)
        if math.isfinite(reach) and (found.se or 2 * RULES[found.rule].p_mean(np.inf, found.df) < 1 - confidence):
            low, high = found.advantage - reach * found.se, found.advantage + reach * found.se
    over, under = found.p_above(found.margin), found.p_below(found.margin)
    p = None if over is None or under is None else min(1.0, 2 * min(over, under))
    return replace(found, low=low, high=high, p_value=p)


def compare_all(
    values: pd.DataFrame, *, goal: str = 'max', margin: float = 0.0, paired: bool = True, rule: str = FIXED
) -> list[Comparison]:
    """Returns the comparison of every pair of variants, Holm-corrected over all of them.

    Args:
      values: the metric, one row a seed, one column a variant; NaN: not run. Pairs without a seed in common are
        left out.
    """
    columns = {name: values[name].dropna() for name in values.columns}
    return with_holm(
        [
            compare(
                columns[a], columns[b], goal=goal, margin=margin, names=(a, b), paired=paired, detail=False, rule=rule
            )
            for a, b in combinations(columns, 2)
            if not columns[a].index.intersection(columns[b].index).empty
        ]
    )


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Returns the comparisons with `p_adjusted` set, taken as one family."""
    adjusted = holm([comparison.p_value for comparison in comparisons])
    return [replace(comparison, p_adjusted=p) for comparison, p in zip(comparisons, adjusted, strict=True)]


def _number(p: np.ndarray) -> float | None:
    return None if np.isnan(p) else float(p)
