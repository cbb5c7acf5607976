"""The study files: every variant can be run, every number and claim of a paper addresses variants that there are."""

import importlib
import itertools

import numpy as np
import pandas as pd
import pytest

from configs.studies import keras_2019
from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.claims.verdicts import verdict
from trainer.config.check import check
from trainer.optimizers import ARGUMENTS

#: Study -> its number of variants.
STUDIES = {
    'raj_optimizers_losses': 21,
    'pillarisetti_depth_dropout': 15,
    'pillarisetti_activations': 26,
    'behal_optimizers': 4,
    'ranjbar_cnn_mlp': 32,
    'patna_simple_network': 6,
    'patna_options': 36,
    'tuned_optimizers': 28,
}


def load(name: str):
    return importlib.import_module(f'configs.studies.{name}').get_config()


def variants(study) -> list[tuple[dict[str, str], list[dict]]]:
    """(labels, overrides) of each variant."""
    if 'variants' in study:
        return [(v['labels'], [v['overrides']]) for v in study.variants.to_dict().values()]
    axes = study.axes.to_dict()
    return [
        (dict(zip(axes, names, strict=True)), [axes[axis][name] for axis, name in zip(axes, names, strict=True)])
        for names in itertools.product(*axes.values())
    ]


def claims_of(study) -> list[Claim]:
    paper = study.get('paper', {})
    return [parse(claim) for claim in (*paper.get('claims', ()), *study.get('checks', ()), *study.get('claims', ()))]


def addressed(study, selector) -> list[dict[str, str]]:
    def fits(labels, axis, value):
        return labels[axis] in (value if isinstance(value, tuple) else (value,))

    return [labels for labels, _ in variants(study) if all(fits(labels, *item) for item in selector.items())]


@pytest.mark.parametrize('name', STUDIES)
def test_every_variant_can_be_run(name):
    study = load(name)
    assert len(variants(study)) == STUDIES[name]
    assert study.seeds == (6 if name == 'tuned_optimizers' else 10)
    for _, overrides in variants(study):
        config = study.base.copy_and_resolve_references()
        for override in overrides:
            config.update(override)
        check(config)


@pytest.mark.parametrize('name', STUDIES)
def test_claims_are_unique_and_address_variants_that_there_are(name):
    study = load(name)
    claims = claims_of(study)
    assert claims
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        where = {axis: value for axis, value in claim.where.items() if axis != 'tuning'}
        rivals = claim.b if isinstance(claim.b, tuple) else () if claim.b is None else (claim.b,)
        for selector in (claim.a, *rivals):
            for axis, value in selector.items():
                for one in value if isinstance(value, tuple) else (value,):
                    assert addressed(study, where | {axis: one}), (claim.id, axis, one)
        assert claim.quote
        assert claim.section or claim in map(parse, study.get('checks', ()))


@pytest.mark.parametrize('name', STUDIES)
def test_every_claim_can_be_judged(name):
    study, rng = load(name), np.random.default_rng(0)
    metrics = [f'{split}_{metric}' for split in ('train', 'validation', 'test') for metric in ('loss', 'accuracy')]
    rows = [
        labels
        | dict(zip(metrics, rng.uniform(0.9, 1, 6), strict=True))
        | {'variant': '-'.join(labels.values()), 'seed': seed, 'status': 'completed', 'tuning': 'rate'}
        | {'history': [{'epoch': 1.0} | dict(zip(metrics, rng.uniform(0.9, 1, 6), strict=True))]}
        for labels, _ in variants(study)
        for seed in range(2)
    ]
    trials = pd.DataFrame(rows).assign(learning_rate=rng.uniform(0.1, 1, len(rows)), low=0.1, high=1.0)
    for claim in claims_of(study):
        found = verdict(claim, pd.DataFrame(rows), trials)
        assert found.result in ('holds', 'does not hold', 'undecided')
        assert found.seeds > 0, claim.id


@pytest.mark.parametrize('name', [name for name in STUDIES if name != 'tuned_optimizers'])
def test_every_number_of_a_paper_belongs_to_one_variant(name):
    paper = load(name).paper
    assert paper.reference
    for row in (*paper.table, *paper.get('curves', ())):
        assert len(addressed(load(name), row['variant'])) == 1
    for curve in paper.get('curves', ()):
        assert len(curve['epochs']) == len(curve['values'])


def test_the_tables_have_the_papers_rows():
    rows = {name: len(load(name).paper.table) for name in STUDIES if name != 'tuned_optimizers'}
    assert rows == {
        'raj_optimizers_losses': 21,
        'pillarisetti_depth_dropout': 15,
        'pillarisetti_activations': 0,
        'behal_optimizers': 4,
        'ranjbar_cnn_mlp': 0,
        'patna_simple_network': 5,
        'patna_options': 0,
    }


def test_tuning_covers_every_optimizer_under_one_budget():
    tune = load('tuned_optimizers').tune
    assert set(tune.tiers.rate) == set(tune.tiers['all']) == set(ARGUMENTS)
    for tier in tune.tiers.values():
        for name, space in tier.items():
            assert set(space.optimizer) <= {'learning_rate', 'weight_decay', *ARGUMENTS[name]}
            _, low, high = space.optimizer.learning_rate
            assert high / low == pytest.approx(1e6)


def test_the_defaults_of_2019_are_written_out():
    assert {name: fields['name'] for name, fields in keras_2019.OPTIMIZERS.items()} == {
        n: n for n in keras_2019.OPTIMIZERS
    }
    assert all('learning_rate' in fields for fields in keras_2019.OPTIMIZERS.values())
