"""Tests that hold at every look: against numerical integrals, and by simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from benchmarks.anytime import TESTS, draws
from trainer.compare.analysis import anytime
from trainer.compare.analysis.claims.verdicts import verdict
from trainer.compare.analysis.comparisons import BETTER, SAME, UNDECIDED, WORSE, above, compare
from trainer.compare.analysis.ranking import BEHIND, BEST, rank
from trainer.compare.analysis.rules import ANYTIME, FIXED


@pytest.mark.parametrize(('t', 'n'), [(3, 5), (-1.5, 4), (6, 3), (2, 30), (0, 10)])
def test_e_of_a_mean_is_the_mean_likelihood_ratio_of_noncentral_t(t, n):
    def density(effect):
        ratio = stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) / stats.t.pdf(t, n - 1)
        return 2 * stats.norm.pdf(effect, 0, math.sqrt(anytime.G)) * ratio

    expected, _ = integrate.quad(density, 0, 15 * math.sqrt(anytime.G), limit=300)
    assert anytime.log_e_mean(t, n - 1) == pytest.approx(math.log(expected))


@pytest.mark.parametrize(('k', 'n'), [(5, 5), (3, 10), (9, 10), (0, 4)])
def test_e_of_a_share_is_the_mean_likelihood_ratio_of_the_binomial(k, n):
    expected, _ = integrate.quad(lambda p: 2 * p ** (k - 0.5) * (1 - p) ** (n - k - 0.5) / math.pi * 2**n, 0.5, 1)
    assert anytime.log_e_share(k, n) == pytest.approx(math.log(expected))


def test_limits():
    assert anytime.log_e_mean(np.inf, 4) == pytest.approx(float(anytime.log_e_mean(1e9, 4)))
    assert anytime.log_e_mean(-np.inf, 4) == pytest.approx(float(anytime.log_e_mean(-1e9, 4)))
    assert anytime.log_e_mean(np.nan, 0) == 0  # one value says nothing
    assert anytime.log_e_share(0, 0) == pytest.approx(0)
    assert anytime.t_reach(2.0, 0.95) == math.inf  # three seeds decide nothing
    assert [anytime.seeds_needed(effect) for effect in (0.0, 1.0, 2.0, math.inf)] == [None, 15, 6, 4]


def test_looking_after_every_seed_keeps_the_level_with_the_anytime_rule_alone():
    d = draws('normal', 2000)
    wrong = {name: (shown(d, 0.0) | shown(-d, 0.0)).any(0).mean() for name, shown in TESTS.items()}
    assert wrong['t, each look by itself'] > 0.25
    assert wrong['t, anytime'] < 0.05
    assert wrong['signs, anytime'] < 0.05


def test_runs_that_diverge_at_random_keep_the_level():
    rng = np.random.default_rng(1)
    a, b = (np.where(rng.uniform(size=(60, 2000)) < 0.2, -np.inf, rng.normal(size=(60, 2000))) for _ in range(2))
    done = np.isfinite(a) & np.isfinite(b)
    n = np.cumsum(done, 0)
    with np.errstate(invalid='ignore', divide='ignore'):
        d = np.where(done, a - b, 0.0)
        mean = np.cumsum(d, 0) / n
        se = np.sqrt((np.cumsum(d**2, 0) - n * mean**2) / (n - 1) / n)
    lost = [np.cumsum(x & ~y, 0) for x, y in ((np.isinf(a), np.isinf(b)), (np.isinf(b), np.isinf(a)))]
    p = [above(sign * mean, se, n - 1, *sides, 0.0, rule=ANYTIME) for sign, sides in ((1, lost), (-1, lost[::-1]))]
    wrong = (2 * np.fmin(*p) < 0.05).any(0).mean()
    assert 0.005 < wrong < 0.05


def series(values) -> pd.Series:
    return pd.Series(values, index=range(len(values)), dtype=float)


NOISE = np.array([0.3, -0.4, 0.1, 0.5, -0.2, -0.3, 0.2, -0.1, 0.4, -0.5])


@pytest.mark.parametrize(
    ('shift', 'n', 'expected'),
    [(2, 3, UNDECIDED), (4, 5, BETTER), (-4, 5, WORSE), (0, 3, UNDECIDED), (0, 10, SAME), (1, 10, UNDECIDED)],
)
def test_the_four_outcomes(shift, n, expected):
    pair = compare(series(NOISE[:n] + shift), series(np.zeros(n)), margin=1.0, rule=ANYTIME)
    assert pair.outcome() == expected
    if expected != UNDECIDED:
        assert {BETTER: pair.low > 1, WORSE: pair.high < -1, SAME: -1 < pair.low < pair.high < 1}[expected]


def test_the_interval_is_wider_than_that_of_a_fixed_number_and_does_not_depend_on_the_order():
    a, b = series(NOISE + 1), series(NOISE[::-1])
    fixed, found, again = (
        compare(a, b, rule=FIXED),
        compare(a, b, rule=ANYTIME),
        compare(a.sample(frac=1, random_state=0), b, rule=ANYTIME),
    )
    assert found.low < fixed.low < fixed.high < found.high
    assert (again.low, again.p_value) == pytest.approx((found.low, found.p_value))
    assert found.p_sign_flip is None
    assert fixed.p_signs is None


def test_a_variant_that_always_diverges_is_worse_after_seven_seeds():
    lost = [compare(series([-np.inf] * n), series(np.ones(n)), rule=ANYTIME).outcome() for n in (6, 7)]
    assert lost == [UNDECIDED, WORSE]
    both = compare(series([-np.inf] * 20), series([-np.inf] * 20), rule=ANYTIME)
    assert both.outcome() == UNDECIDED


def test_the_best_of_three():
    values = pd.DataFrame({'A': NOISE + 5, 'B': NOISE[::-1], 'C': NOISE[::-1] + 0.1})
    assert [place.standing for place in rank(values, rule=ANYTIME).places] == [BEST, BEHIND, BEHIND]
    assert not rank(values[:3], rule=ANYTIME).decided


def runs_of(**values) -> pd.DataFrame:
    rows = [
        {'variant': name, 'seed': seed, 'status': 'completed', 'test_accuracy': value, 'history': history(value)}
        for name, own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(rows)


def history(value: float) -> list[dict]:
    return [{'epoch': float(i), 'test_accuracy': value * i / 10} for i in range(1, 11)]


@pytest.mark.parametrize(
    ('claim', 'fixed', 'found'),
    [
        ({'kind': 'better', 'margin': 0.45}, 'holds', 'undecided'),
        ({'kind': 'better', 'margin': 0.2}, 'holds', 'holds'),
        ({'kind': 'best'}, 'holds', 'holds'),
        ({'kind': 'equal', 'margin': 0.9}, 'holds', 'holds'),
        ({'kind': 'mostly', 'matched': ('status',)}, 'holds', 'holds'),
        ({'kind': 'at_least', 'value': 0.9, 'b': None}, 'holds', 'holds'),
        ({'kind': 'fails', 'value': 0.5, 'b': None}, 'does not hold', 'undecided'),
        ({'kind': 'faster', 'target': 0.3}, 'holds', 'undecided'),
        ({'kind': 'better', 'paired': False}, 'holds', 'holds'),
    ],
)
def test_each_kind_of_claim_by_both_rules(claim, fixed, found):
    noise = NOISE[:6] / 10
    runs = runs_of(A=1 + noise, B=0.5 + noise[::-1])
    claim = {'id': 'x', 'a': {'variant': 'A'}, 'b': {'variant': 'B'}} | claim
    made = [verdict(claim, runs, rule=rule) for rule in (FIXED, ANYTIME)]
    assert [one.result for one in made] == [fixed, found], [one.p_value for one in made]
    assert made[0].p_value <= made[1].p_value


def test_a_confidence_sequence_is_the_interval_at_each_look():
    rng = np.random.default_rng(3)
    a, b = (pd.Series(rng.normal(size=12)) for _ in range(2))
    b[5] = -np.inf
    looks = anytime.confidence_sequence(a - b)
    assert [look.seeds for look in looks] == list(range(1, 13))
    for look in looks:
        pair = compare(a[: look.seeds], b[: look.seeds], rule=ANYTIME)
        expected = (pair.advantage, pair.low, pair.high)
        assert (look.mean, look.low, look.high) == pytest.approx(expected)
    assert looks[2].low is None
    assert anytime.confidence_sequence([]) == []
    assert anytime.numbers_of(100)[-3:] == [75, 93, 100]
