"""Which trials there are, how far each goes, and which of them is chosen: a function of the results that there are."""

import importlib
import math

import ml_collections
import pytest

from configs import default
from seedwise.errors import UserError
from seedwise.storage.files import write_json
from trainer.compare import grid
from trainer.compare.study import Plan
from trainer.compare.tuning import samplers, space
from trainer.compare.tuning.check import FIRST_SEED, check_rungs
from trainer.compare.tuning.search import Search, searches_of, winners

RATE = {'optimizer': {'learning_rate': ('log', 1e-4, 1.0)}}


def study(seeds=6, **tune) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.base = default.get_config()
    config.base.data.name, config.base.data.validation = 'digits', 200
    config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}
    config.seeds = seeds
    config.tune = {'trials': 9, 'metric': 'validation_accuracy', 'tiers': {'rate': {'Adam': RATE, 'SGD': RATE}}} | tune
    grid.prepare(config)
    return config


def searches(config, folder) -> list[Search]:
    return searches_of(config, grid.variants_of(config), folder)


def finish(spec: grid.RunSpec, accuracy: float, status: str = 'completed') -> None:
    """A trial comes as far as it is to go, and is as good at each rung."""
    row = {'validation_loss': 1 - accuracy, 'validation_accuracy': accuracy}
    history = [row | {'rung': share} for share in spec.rungs or (1.0,)]
    ended = spec.until == 1 or status == 'diverged'
    result = {
        'status': status if ended else 'paused',
        'config_hash': spec.hash,
        'history': [] if status == 'diverged' else history,
    }
    spec.workdir.mkdir(parents=True, exist_ok=True)
    (spec.workdir / 'checkpoints').mkdir(exist_ok=True)
    write_json(spec.workdir / ('result.json' if ended else 'paused.json'), result)


def number(spec: grid.RunSpec) -> int:
    return int(spec.workdir.name.rpartition('-')[2])


@pytest.mark.parametrize(
    ('train', 'epochs', 'words'),
    # 5 rungs with eta 3: after 1/81, 1/27, 1/9, 1/3 and all of it.
    [(1437, 1, '10 steps, so that two of them fall on one step: at most 4 rungs'), (1437, 3, ''), (None, 1, '')]
    + [(201, 1, '1 step, so that two of them fall on one step: leave halving out')],
)
def test_rungs_that_fall_on_one_step_are_refused(train, epochs, words):
    config = study(halving={'eta': 3, 'rungs': 5})
    config.base.epochs = epochs
    if not words:
        check_rungs(config.tune, config.base, train)
        return
    with pytest.raises(UserError, match=words):
        check_rungs(config.tune, config.base, train)


# One search -----------------------------------------------------------------------------------------------------------


def shipped():
    config = importlib.import_module('configs.studies.tuned_optimizers').get_config()
    config.tune.trials = 8
    with config.unlocked():
        for field in ('replicates', 'halving'):
            del config.tune[field]
    grid.prepare(config)
    return config, grid.variants_of(config)


def test_all_variants_are_tried_at_the_same_points(tmp_path):
    config, made = shipped()
    trials = [spec for search in searches_of(config, made, tmp_path) for spec in search.trials()]
    assert len(trials) == 2 * 28 * 8
    rates: dict[str, set] = {}
    for spec in trials:
        low, high = space.bounds(config, spec, 'optimizer.learning_rate')
        rate = spec.config.optimizer.learning_rate
        assert low <= rate <= high
        # Six digits are kept of what is drawn.
        point = round(math.log(rate / low) / math.log(high / low), 4)
        rates.setdefault(spec.variant.name, set()).add(point)
        assert spec.seed == FIRST_SEED + number(spec)  # as before there were replicates
    assert len(set(map(frozenset, rates.values()))) == 1
    assert len(next(iter(rates.values()))) == 8


def test_more_trials_only_add_to_those_there_are_and_replicates_have_others():
    assert samplers.halton(8, 4)[:5] == samplers.halton(5, 4)
    assert not set(map(tuple, samplers.halton(8, 4, 1))) & set(map(tuple, samplers.halton(8, 4, 0)))


def test_scales_reach_from_bound_to_bound():
    for scale, low, high in (('linear', -1.0, 0.0), ('log', 1e-4, 10.0), ('log_1m', 0.0, 0.99)):
        assert space.SCALES[scale](0.0, low, high) == pytest.approx(low)
        assert space.SCALES[scale](1.0, low, high) == pytest.approx(high)
    # 1 - b log-uniform on 0 .. 0.99: half way, 1 - b is 0.1.
    assert space.SCALES['log_1m'](0.5, 0.0, 0.99) == pytest.approx(0.9)


def test_the_winner_is_the_best_on_validation_and_waits_for_all_trials(tmp_path):
    config, made = shipped()
    search = searches_of(config, made[:1], tmp_path)[1]
    trials = search.trials()
    for i, spec in enumerate(trials[:-1]):
        row = {'validation_loss': 1.0 - 0.1 * i, 'validation_accuracy': 0.5 + 0.01 * i}
        worse = {'validation_loss': 2.0, 'validation_accuracy': 0.99}  # an evaluation whose weights were not kept
        status = 'diverged' if i == 6 else 'completed'
        spec.workdir.mkdir(parents=True)
        result = {'status': status, 'config_hash': spec.hash, 'history': [row, worse]}
        write_json(spec.workdir / 'result.json', result)
    assert winners([search], [0]) == ([], [trials[0].variant.name])
    finish(trials[-1], 0.0, 'diverged')
    (winner,), without = winners([search], [0])
    assert without == []
    assert winner.config.optimizer.learning_rate == trials[5].config.optimizer.learning_rate


# Replicates -----------------------------------------------------------------------------------------------------------


def test_each_replicate_has_its_own_draws_split_and_seeds_and_variants_are_paired(tmp_path):
    config = study(replicates=3)
    made = searches(config, tmp_path)
    by = {(search.name, search.replicate): search.trials() for search in made}
    drawn = {key: [spec.drawn['optimizer.learning_rate'] for spec in specs] for key, specs in by.items()}
    assert len(by) == 6
    assert all(drawn['Adam-rate', r] == drawn['SGD-rate', r] for r in range(3))
    assert not set(drawn['Adam-rate', 0]) & set(drawn['Adam-rate', 1])
    # One seed for all trials of a replicate, whatever is trained: the same validation split.
    assert {key: {spec.seed for spec in specs} for key, specs in by.items()} == {
        (name, r): {FIRST_SEED + r} for name, r in by
    }
    for (_, replicate), specs in by.items():
        for spec in specs:
            finish(spec, 0.9 if number(spec) == replicate else 0.5)
    chosen, without = winners(made, range(6))
    assert not without
    for variant in chosen:
        runs = grid.runs_of([variant], range(6), tmp_path)
        assert [run.config.optimizer.learning_rate for run in runs] == [
            drawn[variant.name, seed % 3][seed % 3] for seed in range(6)
        ]
        # More seeds leave those that there are with the replicates that they had.
        assert winners(made, range(12))[0][0].by_seed.keys() > winners(made, range(6))[0][0].by_seed.keys()


def test_no_setting_is_run_before_all_replicates_have_chosen_theirs(tmp_path):
    made = [search for search in searches(study(replicates=2, trials=2), tmp_path) if search.name == 'SGD-rate']
    for spec in made[0].trials():
        finish(spec, 0.5)
    assert winners(made, range(6)) == ([], ['SGD-rate'])


# Successive halving ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('trials', 'rungs', 'expected'),
    [
        (9, 3, [(1 / 9, 9), (1 / 3, 3)]),  # 9 -> 3 -> 1, which is alone and the choice
        (18, 3, [(1 / 9, 18), (1 / 3, 6), (1.0, 2)]),
        (5, 2, [(1 / 3, 5)]),
    ],
)
def test_the_best_third_goes_on_from_rung_to_rung(tmp_path, trials, rungs, expected):
    config = study(replicates=1, trials=trials, halving={'eta': 3, 'rungs': rungs})
    search, seen = searches(config, tmp_path)[0], []
    while waiting := search.waiting():
        assert search.chosen() is None
        seen.append((pytest.approx(waiting[0].until), len(waiting)))
        for spec in waiting:
            finish(spec, 0.5 + 0.01 * number(spec))
    assert seen == expected
    assert number(search.chosen()) == trials - 1
    # Another process comes to the same.
    again = searches(config, tmp_path)[0]
    assert again.waiting() == []
    assert number(again.chosen()) == trials - 1


def test_what_diverges_goes_no_further_and_equals_go_by_their_number(tmp_path):
    search = searches(study(replicates=1, halving={'eta': 3, 'rungs': 3}), tmp_path)[0]
    for spec in search.waiting():
        finish(spec, 0.5, 'diverged' if number(spec) in (0, 2) else 'completed')
    assert [number(spec) for spec in search.waiting()] == [1, 3, 4]
    search.forget_losers()
    kept = {number(spec) for spec in search.trials() if (spec.workdir / 'checkpoints').exists()}
    assert {1, 3, 4} <= kept
    assert not {5, 6, 7, 8} & kept
    for spec in search.waiting():
        finish(spec, 0.0, 'diverged')
    assert search.waiting() == []
    assert search.chosen() is None


def test_a_plan_goes_from_rung_to_rung_and_each_shard_by_itself(tmp_path):
    config = study(replicates=2, seeds=2, trials=4, halving={'eta': 2, 'rungs': 2})
    done: dict[int, set] = {}
    for shard in (0, 1):  # one after the other: none waits for the other
        plan = Plan(config, tmp_path, shard, 2)
        stages = []
        for specs in plan.stages():
            stages.append(len(specs))
            for spec in specs:
                finish(spec, 0.5 + 0.01 * number(spec) if spec.drawn else 0.5)
            done.setdefault(shard, set()).update((spec.workdir, spec.until) for spec in specs)
        # 2 replicates x 4 trials with half of the runs at the defaults, 2 x 2 that go on, 2 seeds.
        assert stages == [8 + 2, 4, 2]
    assert not done[0] & done[1]
    plan = Plan(config, tmp_path, 0, 1)
    assert all(spec.result() for spec in [*plan.trials, *plan.runs()])
    assert len(plan.runs()) == 8


def test_a_trial_that_failed_is_not_asked_for_again(tmp_path):
    plan = Plan(study(replicates=1, trials=2, halving={'eta': 2, 'rungs': 2}), tmp_path, 0, 1)
    stages = []
    for specs in plan.stages():
        stages.append(len(specs))
        for spec in specs[1:]:
            finish(spec, 0.5)
    assert stages == [4 + 12, 6]  # Adam's first trial has no result; SGD's choice is run


# Optuna ---------------------------------------------------------------------------------------------------------------


def ask_and_tell(search: Search) -> list[float]:
    """The best rate is 0.01."""
    while waiting := search.waiting():
        for spec in waiting:
            finish(spec, 1 - 0.1 * abs(math.log10(spec.drawn['optimizer.learning_rate']) + 2))
    return [spec.drawn['optimizer.learning_rate'] for spec in search.trials()]


def test_a_sampler_that_learns_comes_near_and_replays_what_it_has_asked(tmp_path):
    pytest.importorskip('optuna')
    config = study(replicates=2, trials=24, sampler='tpe', batch=4)
    made = searches(config, tmp_path)
    rates = [ask_and_tell(search) for search in made]
    assert all(len(set(one)) == 24 for one in rates)
    assert rates[0] != rates[1] != rates[2]  # seeded by variant and replicate
    assert all(1e-4 <= rate <= 1 for one in rates for rate in one)
    near = [sum(0.003 < rate < 0.03 for rate in one[12:]) for one in rates]
    assert sum(near) > 4 * 12 / 2  # by chance a quarter of them
    # After a kill: the same trials from what has finished, and the next from that.
    for spec in made[0].trials()[15:]:
        (spec.workdir / 'result.json').unlink()
    again = searches(config, tmp_path)[0]
    assert len(again.waiting()) == 1
    assert ask_and_tell(again) == rates[0]


@pytest.mark.parametrize('name', samplers.OPTUNA)
def test_the_same_scores_give_the_same_points_also_where_trials_diverge(name):
    pytest.importorskip('optuna')
    scores = [-math.inf, 0.5, 0.9, -math.inf, 0.3, 0.8, 0.7, 0.6]
    step_by_step, at_once = (samplers.Learning(name, 2, 10, 2, 'SGD-all 0') for _ in range(2))
    seen = [step_by_step.points(scores[:n]) for n in range(9)]
    assert [len(points) for points in seen] == [2, 2, 4, 4, 6, 6, 8, 8, 10]
    assert seen[-1] == at_once.points(scores)
    assert all(0 <= u <= 1 for point in seen[-1] for u in point)
    assert samplers.Learning(name, 2, 10, 2, 'SGD-all 1').points([]) != seen[0]


def test_without_optuna_or_enough_dimensions_one_line_says_so(monkeypatch):
    from trainer.compare.tuning.check import check_tune

    monkeypatch.setitem(__import__('sys').modules, 'optuna', None)
    with pytest.raises(UserError, match=r"tune.sampler 'tpe' needs Optuna: pip install"):
        check_tune(study(sampler='tpe'), range(6))
    monkeypatch.undo()
    pytest.importorskip('optuna')
    with pytest.raises(UserError, match=r'needs two fields or more, and tune.tiers.rate.Adam has one: use tpe'):
        check_tune(study(sampler='cmaes'), range(6))
