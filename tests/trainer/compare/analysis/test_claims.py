"""Verdicts of each kind of claim, in each of the three outcomes."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from seedwise.errors import UserError
from trainer.compare.analysis.claims import NEEDS, parse
from trainer.compare.analysis.claims.verdicts import KINDS, verdict, verdicts

NOISE = 0.001 * np.array([0.3, -0.5, 0.2, 0.6, -0.4, -0.2, 0.5, -0.3, 0.1, -0.3])  # ten seeds, mean 0


def runs(means: dict[tuple[str, ...], float], axes=('optimizer', 'loss'), seeds=10, **columns) -> pd.DataFrame:
    """Runs of variants with these mean accuracies; neighbours in the list have noise of their own."""
    rows = []
    for i, (values, mean) in enumerate(means.items()):
        for seed in range(seeds):
            accuracy = mean + np.roll(NOISE, 3 * i)[seed % 10]
            row = dict(zip(axes, values, strict=True)) | {'variant': '-'.join(values), 'seed': seed}
            rows.append(row | {'status': 'completed', 'test_accuracy': accuracy, 'test_loss': 1 - accuracy})
    return pd.DataFrame(rows).assign(**columns)


ADAM_LEADS = runs(
    {('Adam', 'CCE'): 0.98, ('Adam', 'KL'): 0.98, ('Nadam', 'CCE'): 0.97, ('Nadam', 'KL'): 0.97, ('SGD', 'CCE'): 0.9}
)
TIED = runs({('Adam', 'CCE'): 0.98, ('Nadam', 'CCE'): 0.98, ('SGD', 'CCE'): 0.9})


def judge(frame: pd.DataFrame, **claim):
    return verdict({'id': 'x'} | claim, frame)


def result(frame: pd.DataFrame, **claim) -> str:
    return judge(frame, **claim).result


def test_better():
    adam, nadam = {'optimizer': 'Adam'}, {'optimizer': 'Nadam'}
    assert result(ADAM_LEADS, kind='better', a=adam, b=nadam) == 'holds'
    assert result(ADAM_LEADS, kind='better', a=nadam, b=adam) == 'does not hold'
    assert result(TIED, kind='better', a=adam, b=nadam) == 'undecided'


def test_better_says_how_it_came_out():
    adam, nadam = {'optimizer': 'Adam'}, {'optimizer': 'Nadam'}
    found = [
        judge(frame, kind='better', a=a, b=b).sentence
        for frame, a, b in ((ADAM_LEADS, adam, nadam), (ADAM_LEADS, nadam, adam), (TIED, adam, nadam))
    ]
    assert found[0].startswith('Adam beats Nadam on test accuracy: better on 10 of 10 seeds, mean advantage +0.01 [')
    assert found[1].startswith('Nadam is worse than Adam')
    assert found[2].startswith('Whether Adam beats Nadam on test accuracy is undecided: better on 6 of 10 seeds')
    assert 'does not beat Nadam on test accuracy by more than 0.02' in (
        judge(ADAM_LEADS, kind='better', a=adam, b=nadam, margin=0.02).sentence
    )


def test_differences_that_cancel_are_no_advantage():
    frame = TIED[(TIED.optimizer != 'SGD') & (TIED.seed < 3)].reset_index(drop=True)
    frame['test_accuracy'] = [0.1 + 0.2, 0.3, 0.4, 0.3, 0.4, 0.3]
    sentence = judge(frame, kind='better', a={'optimizer': 'Adam'}, b={'optimizer': 'Nadam'}).sentence
    assert 'mean advantage +0 [' in sentence


def test_better_on_loss_is_lower():
    claim = {'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'SGD'}, 'where': {'loss': 'CCE'}}
    assert result(ADAM_LEADS, **claim, metric='test_loss') == 'holds'
    assert result(ADAM_LEADS, **claim, metric='test_loss - test_accuracy', goal='min') == 'holds'


def test_a_direction_is_stated_and_never_guessed_from_a_name():
    adam, nadam = {'optimizer': 'Adam'}, {'optimizer': 'Nadam'}
    frame = ADAM_LEADS.assign(seconds_training=1.0 - ADAM_LEADS.test_accuracy, parameters=7.0)
    claim = {'kind': 'better', 'a': adam, 'b': nadam}
    assert result(frame, **claim, metric='seconds_training') == 'holds'  # Adam takes less time
    for metric in ('parameters', 'test_loss - test_accuracy', 'test_accuracy / seconds_training'):
        with pytest.raises(UserError, match="claim 'x': which is better of .* is not known: state goal='max'"):
            judge(frame, **claim, metric=metric)
    assert result(frame, **claim, metric='test_accuracy / seconds_training', goal='max') == 'holds'
    with pytest.raises(UserError, match="goal of claim 'x' is 'mim': it must be 'max' or 'min'"):
        judge(frame, **claim, metric='parameters', goal='mim')


def test_better_by_a_margin():
    claim = {'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'Nadam'}}  # 0.01 apart
    assert result(ADAM_LEADS, **claim, margin=0.005) == 'holds'
    assert result(ADAM_LEADS, **claim, margin=0.01) == 'undecided'
    assert result(ADAM_LEADS, **claim, margin=0.02) == 'does not hold'


def test_a_selector_of_several_variants_is_their_mean_by_seed():
    # By hand: seed 0 has (0.98 + 0.0003 + 0.98 + NOISE[7]) / 2 = (0.9803 + 0.9797) / 2 = 0.98.
    found = judge(ADAM_LEADS, kind='at_least', a={'optimizer': 'Adam'}, value=0.9)
    assert found.estimates['Adam'].mean == pytest.approx(0.98)
    assert found.seeds == 10
    unfinished = ADAM_LEADS.drop(ADAM_LEADS[(ADAM_LEADS.variant == 'Adam-KL') & (ADAM_LEADS.seed > 2)].index)
    assert judge(unfinished, kind='at_least', a={'optimizer': 'Adam'}, value=0.9).seeds == 3


def test_best():
    assert result(ADAM_LEADS, kind='best', a={'optimizer': 'Adam'}) == 'holds'
    assert result(ADAM_LEADS, kind='best', a={'optimizer': 'Nadam'}) == 'does not hold'
    assert result(TIED, kind='best', a={'optimizer': 'Adam'}) == 'undecided'


def test_best_names_who_was_better_and_who_is_undecided():
    assert 'Adam did better' in judge(ADAM_LEADS, kind='best', a={'optimizer': 'Nadam'}).sentence
    assert 'beats 1 of 2 rivals' in judge(TIED, kind='best', a={'optimizer': 'Adam'}).sentence
    assert 'undecided against Nadam' in judge(TIED, kind='best', a={'optimizer': 'Adam'}).sentence


def test_best_of_combinations_and_of_named_rivals():
    # The same means: no winner among the losses, so neither combination is the best of all.
    pair = {'optimizer': 'Adam', 'loss': 'CCE'}
    assert len(judge(ADAM_LEADS, kind='best', a=pair).comparisons) == 4
    assert result(ADAM_LEADS, kind='best', a=pair) == 'undecided'
    assert result(ADAM_LEADS, kind='best', a=pair, margin=0.002) == 'does not hold'
    rivals = ({'optimizer': 'SGD'}, {'optimizer': 'Nadam'})
    assert result(ADAM_LEADS, kind='best', a=pair, b=rivals) == 'holds'


def test_best_is_corrected_for_the_number_of_rivals_only_where_it_does_not_hold():
    # By itself each of nine comparisons has p between 0.008 and 0.045; nine times the smallest is more than 0.05. To be
    # the best all nine must be won, so that each is tested at the level itself; to be worse than one of nine is enough.
    means = {(f'rival{i}', 'CCE'): 0.9795 for i in range(9)}
    found = judge(runs({('best', 'CCE'): 0.98} | means), kind='best', a={'optimizer': 'best'})
    assert max(pair.p_value or 1 for pair in found.comparisons) < 0.05
    assert min(pair.p_adjusted or 1 for pair in found.comparisons) > 0.05
    assert (found.result, found.p_value) == ('holds', max(pair.p_value for pair in found.comparisons))
    assert result(runs({('best', 'CCE'): 0.979} | means), kind='best', a={'optimizer': 'best'}) == 'undecided'
    # Where one is not beaten, that some of the others are is one of many findings: it is corrected.
    some = judge(runs({('best', 'CCE'): 0.98, ('equal', 'CCE'): 0.98} | means), kind='best', a={'optimizer': 'best'})
    assert 'beats 1 of 10 rivals' in some.sentence  # nine, uncorrected


def test_mostly():
    axes = ('activation', 'model')
    claim = {'kind': 'mostly', 'a': {'activation': 'relu'}, 'b': {'activation': 'sigmoid'}, 'matched': ('model',)}
    sigmoid = {('sigmoid', model): 0.95 for model in 'xyz'}
    assert result(runs({('relu', m): 0.97 for m in 'xy'} | {('relu', 'z'): 0.9} | sigmoid, axes), **claim) == 'holds'
    assert result(runs({('relu', m): 0.9 for m in 'xy'} | {('relu', 'z'): 0.97} | sigmoid, axes), **claim) == (
        'does not hold'
    )
    assert result(runs({('relu', 'x'): 0.97, ('relu', 'y'): 0.95, ('relu', 'z'): 0.9} | sigmoid, axes), **claim) == (
        'undecided'
    )


def test_faster():
    frame = runs({('Adam', 'CCE'): 0.9, ('SGD', 'CCE'): 0.9, ('Nadam', 'CCE'): 0.9})
    epochs = {'Adam': 2, 'SGD': 5, 'Nadam': 2}
    frame['history'] = [
        [{'epoch': e, 'step': 10 * e, 'validation_accuracy': 0.9 if e >= epochs[o] else 0.5} for e in range(1, 6)]
        for o in frame['optimizer']
    ]
    claim = {'kind': 'faster', 'metric': 'validation_accuracy', 'target': 0.8}
    adam, sgd, nadam = ({'optimizer': name} for name in epochs)
    assert result(frame, **claim, a=adam, b=sgd) == 'holds'
    assert result(frame, **claim, a=sgd, b=adam, unit='step') == 'does not hold'
    assert result(frame, **claim, a=adam, b=nadam) == 'undecided'
    assert 'epochs to validation accuracy 0.8' in judge(frame, **claim, a=adam, b=sgd).sentence
    # From 0.5 at the epoch before to 0.9: 0.8 is reached at three quarters of the way.
    assert judge(frame, **claim, a=adam, b=sgd).estimates['SGD'].mean == 4.75
    assert judge(frame, **claim, a=adam, b=sgd).p_value == 2 / 2**10  # the sign-flip test
    # Nobody reaches 0.95: both count as the length of the longest run, a tie on every seed.
    assert result(frame, **(claim | {'target': 0.95}), a=adam, b=sgd) == 'undecided'
    with pytest.raises(UserError, match='no value'):  # this history has no seconds
        judge(frame, **claim, a=adam, b=sgd, unit='seconds')


def test_equal():
    claim = {'kind': 'equal', 'a': {'loss': 'CCE'}, 'b': {'loss': 'KL'}, 'where': {'optimizer': 'Adam'}}
    assert result(ADAM_LEADS, **claim, margin=0.002) == 'holds'
    apart = runs({('Adam', 'CCE'): 0.98, ('Adam', 'KL'): 0.97})
    assert result(apart, **claim, margin=0.002) == 'does not hold'
    assert result(ADAM_LEADS, **claim, margin=0.0001) == 'undecided'


def test_at_least():
    claim = {'kind': 'at_least', 'a': {'optimizer': 'SGD'}}  # mean 0.9
    assert result(ADAM_LEADS, **claim, value=0.89) == 'holds'
    assert result(ADAM_LEADS, **claim, value=0.91) == 'does not hold'
    assert result(ADAM_LEADS, **claim, value=0.9) == 'undecided'
    assert result(ADAM_LEADS, **claim, value=0.11, metric='test_loss') == 'holds'
    assert result(ADAM_LEADS, **claim, value=0.09, metric='test_loss') == 'does not hold'


def test_at_least_where_runs_diverged():
    frame = runs({('SGD', 'CCE'): 0.9})
    frame.loc[frame.seed < 4, ['status', 'test_accuracy']] = ['diverged', math.nan]
    assert result(frame, kind='at_least', a={'optimizer': 'SGD'}, value=0.5) == 'undecided'
    frame.loc[frame.seed < 9, ['status', 'test_accuracy']] = ['diverged', math.nan]
    assert result(frame, kind='at_least', a={'optimizer': 'SGD'}, value=0.5) == 'does not hold'


def test_fails():
    def frame(failed: int) -> pd.DataFrame:
        table = runs({('SGD', 'CCE'): 0.9, ('Adam', 'CCE'): 0.9})
        sgd = table.optimizer == 'SGD'
        table.loc[sgd & (table.seed < failed), 'test_accuracy'] = 0.11
        table.loc[sgd & (table.seed < failed // 2), ['status', 'test_accuracy']] = ['diverged', math.nan]
        return table

    claim = {'kind': 'fails', 'value': 0.2}
    # Against a half, exactly: 9 or 10 of 10 have 2 * 11 / 1024 = 0.021, 8 or more 0.109.
    for failed, expected in ((9, 'holds'), (1, 'does not hold'), (5, 'undecided'), (8, 'undecided')):
        assert result(frame(failed), **claim, a={'optimizer': 'SGD'}) == expected
    assert result(frame(10), **claim, a={'loss': 'CCE'}) == 'does not hold'  # Adam does not fail
    assert result(frame(10), **claim, a={'loss': 'CCE'}, quantifier='any') == 'holds'
    assert result(frame(0), **claim, a={'loss': 'CCE'}, quantifier='any') == 'does not hold'
    assert result(frame(5), **claim, a={'loss': 'CCE'}, quantifier='any') == 'undecided'
    assert judge(frame(9), **claim, a={'loss': 'CCE'}).shares == {'Adam-CCE': (0, 10), 'SGD-CCE': (9, 10)}


def test_a_loss_fails_by_being_too_high():
    frame = runs({('SGD', 'CCE'): 0.1, ('Adam', 'CCE'): 0.98})  # losses of 0.9 and 0.02
    claim = {'kind': 'fails', 'value': 0.5, 'metric': 'test_loss'}
    assert result(frame, **claim, a={'optimizer': 'SGD'}) == 'holds'
    assert result(frame, **claim, a={'optimizer': 'Adam'}) == 'does not hold'
    assert 'stayed above test loss 0.5' in judge(frame, **claim, a={'optimizer': 'SGD'}).sentence


def test_fails_everywhere_is_not_refuted_by_one_of_many_variants_by_chance():
    """Runs fail half of the time: of twelve variants some has few failures, which proves nothing about all."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(200):
        frame = runs({(f'o{i}', 'CCE'): 0.9 for i in range(12)}, seeds=5)
        frame.loc[rng.uniform(size=len(frame)) < 0.5, 'test_accuracy'] = 0.1
        wrong += result(frame, kind='fails', a={}, value=0.2) == 'does not hold'
    assert wrong <= 200 * 0.05 + 10  # uncorrected: about a third


def test_every_claim_has_its_own_level():
    frame = ADAM_LEADS[ADAM_LEADS.seed < 3]
    adam, kinds = {'optimizer': 'Adam'}, {'at_least': {'value': 0.9795}, 'better': {'b': {'optimizer': 'Nadam'}}}
    kinds['equal'] = {'b': {'optimizer': 'Nadam'}, 'margin': 0.005}
    for kind, rest in kinds.items():
        found = judge(frame, kind=kind, a=adam, **rest)
        assert judge(frame, kind=kind, a=adam, **rest, alpha=found.p_value * 1.01).result != 'undecided', kind
        assert judge(frame, kind=kind, a=adam, **rest, alpha=found.p_value * 0.99).result == 'undecided', kind


def test_the_best_of_several_is_chosen_on_other_seeds_than_it_is_tested_on():
    frame = runs({('Adam', str(i)): 0.9 for i in range(20)})
    rng = np.random.default_rng(0)
    frame['validation_loss'] = rng.normal(size=len(frame))
    frame['test_accuracy'] = 0.9 - 0.01 * frame['validation_loss']  # pure luck, the same on both
    found = judge(frame, kind='at_least', a={'optimizer': 'Adam'}, value=0.9, reduce='best')
    assert found.estimates['Adam'].low < 0.9 < found.estimates['Adam'].high


def test_claims_of_one_study_have_q_values():
    claims = [
        {'id': 'x', 'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'Nadam'}},
        {'id': 'y', 'kind': 'better', 'a': {'loss': 'CCE'}, 'b': {'loss': 'KL'}, 'where': {'optimizer': 'Adam'}},
    ]
    first, second = verdicts(claims, ADAM_LEADS)
    assert first.q_value == pytest.approx(2 * first.p_value)
    assert second.q_value == pytest.approx(second.p_value)


def test_practically_the_same_is_said_where_a_margin_was_stated():
    claim = {'id': 'x', 'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'Nadam'}}
    words = 'practically the same: the interval lies within ±0.005'
    assert words in verdict(claim, TIED, margins={'test_accuracy': 0.005}).sentence
    assert words not in verdict(claim, TIED).sentence


def test_an_advantage_on_this_test_set_is_not_one_on_new_examples():
    frame = TIED[TIED.optimizer != 'SGD'].reset_index(drop=True)
    rng = np.random.default_rng(0)
    hard = rng.uniform(size=200)
    # Adam gets 6 of 200 examples right that Nadam does not, the same ones on every seed.
    frame['test_correct'] = [hard < 0.9 + (0.03 if o == 'Adam' else 0.0) for o in frame.optimizer]
    frame['test_accuracy'] = frame['test_correct'].map(np.mean)
    found = judge(frame, kind='better', a={'optimizer': 'Adam'}, b={'optimizer': 'Nadam'})
    assert found.result == 'holds'
    assert found.new_examples.low < found.comparisons[0].low
    assert 'Over seeds and new examples: [' in found.sentence
    assert found.flips.only_b == 0
    assert found.flips.only_a == pytest.approx(found.comparisons[0].advantage)
    assert found.flips.both + found.flips.only_a + found.flips.neither == pytest.approx(1)


def test_less_sensitive():
    rates = np.geomspace(1e-5, 1, 20)

    def trials(good: dict[str, int]) -> pd.DataFrame:
        return pd.concat(
            pd.DataFrame({'optimizer': name, 'learning_rate': rates, 'low': 1e-5, 'high': 1.0}).assign(
                validation_accuracy=[0.9] * n + [math.nan] * (20 - n)
            )
            for name, n in good.items()
        )

    def found(good: dict[str, int]) -> str:
        claim = {'id': 'x', 'kind': 'less_sensitive', 'a': {'optimizer': 'Adamax'}, 'b': {'optimizer': 'SGD'}}
        claim |= {'metric': 'validation_accuracy', 'margin': 0.01}
        return verdict(claim, ADAM_LEADS, trials(good)).result

    assert found({'Adamax': 18, 'SGD': 5}) == 'holds'
    assert found({'Adamax': 5, 'SGD': 18}) == 'does not hold'
    assert found({'Adamax': 10, 'SGD': 9}) == 'undecided'
    assert found({'Adamax': 10, 'SGD': 0}) == 'undecided'
    claim = {'id': 'x', 'kind': 'less_sensitive', 'a': {}, 'b': {}, 'margin': 0.01}
    assert verdict(claim, ADAM_LEADS).result == 'undecided'


def test_the_best_of_a_group_is_chosen_by_validation():
    # By test accuracy Adam-KL leads; by validation Adam-CCE does, and so stands for Adam.
    frame = runs({('Adam', 'CCE'): 0.97, ('Adam', 'KL'): 0.99, ('SGD', 'CCE'): 0.98})
    frame['validation_loss'] = frame['variant'].map({'Adam-CCE': 0.1, 'Adam-KL': 0.2, 'SGD-CCE': 0.15})
    claim = {'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'SGD'}}
    assert judge(frame, **claim, reduce='best').estimates['Adam'].mean == pytest.approx(0.97)
    assert result(frame, **claim, reduce='best') == 'does not hold'
    assert result(frame, **claim, reduce='best', select_by='test_accuracy') == 'holds'


def test_one_seed_decides_nothing():
    frame = ADAM_LEADS[ADAM_LEADS.seed == 0]
    a, b = {'optimizer': 'Adam'}, {'optimizer': 'SGD'}
    for claim in (
        {'kind': 'better', 'b': b},
        {'kind': 'best'},
        {'kind': 'mostly', 'b': b, 'matched': ('loss',)},
        {'kind': 'equal', 'b': b, 'margin': 0.5},
        {'kind': 'at_least', 'value': 0.5},
        {'kind': 'fails', 'value': 0.5},
    ):
        found = judge(frame, a=a, **claim)
        assert (found.result, found.seeds) == ('undecided', 1), claim


def test_a_diverged_run_is_never_an_advantage():
    frame = runs({('Adam', 'CCE'): 0.98, ('SGD', 'CCE'): 0.9})
    frame.loc[frame.optimizer == 'Adam', ['status', 'test_accuracy']] = ['diverged', math.nan]
    claim = {'kind': 'better', 'a': {'optimizer': 'SGD'}, 'b': {'optimizer': 'Adam'}}
    assert result(frame, **claim) == 'holds'
    assert 'Adam alone diverged on 10' in judge(frame, **claim).sentence


def test_no_runs_is_undecided():
    claim = {'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'Lion'}}
    assert result(ADAM_LEADS, **claim) == 'undecided'
    assert judge(ADAM_LEADS.iloc[:0], **claim).seeds == 0


def test_a_verdict_is_plain_data():
    found = judge(ADAM_LEADS, kind='best', a={'optimizer': 'Adam'})
    assert json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))['result'] == 'holds'


@pytest.mark.parametrize(
    ('claim', 'message'),
    [
        ({'kind': 'better', 'a': {}}, "needs 'b'"),
        ({'kind': 'beter', 'a': {}}, "Did you mean 'better'"),
        ({'kind': 'best'}, "no 'a'"),
        ({'kind': 'best', 'a': {}, 'margn': 1}, "Did you mean 'margin'"),
        ({'kind': 'best', 'a': {}, 'reduce': 'max'}, 'accepted are best, mean'),
        ({'kind': 'best', 'a': {'optimiser': 'Adam'}}, "Did you mean 'optimizer'"),
        ({'kind': 'best', 'a': {'optimizer': 'Adam'}, 'metric': 'test_acc'}, 'test_accuracy'),
        ({'kind': 'faster', 'a': {}, 'b': {}, 'target': 0.9}, 'history'),
        ({'kind': 'mostly', 'a': {}, 'b': {}, 'matched': ('modl',)}, 'unknown axis'),
    ],
)
def test_a_claim_that_cannot_be_tested_says_what_can(claim, message):
    with pytest.raises(UserError, match=message):
        judge(ADAM_LEADS, **claim)


def test_every_kind_has_a_judge():
    assert set(KINDS) == set(NEEDS)
    assert parse({'id': 'x', 'kind': 'best', 'a': {}}).better == 'max'
