"""Benchmarks: what they count and how they report it; nothing is timed."""

import copy

import numpy as np
import pytest

from benchmarks.compare import machine, records, sides
from benchmarks.compare.networks import NETWORKS
from benchmarks.compare.sides import nadam
from benchmarks.growth import measured, studies
from seedwise.errors import UserError

#: Multiplications and additions of one example forward, and parameters. ResNet-20: 40.55 million and 0.27 million, as
#: others count them (He et al. 2016, table 6, has the parameters).
KNOWN = {
    'mlp': (784 * 128 + 128 * 10, 101_770),
    'mlp512': (784 * 512 + 512 * 512 + 512 * 10, 669_706),
    'cnn': (9 * 32 * 28**2 + 9 * 32 * 64 * 14**2 + 3136 * 128 + 128 * 10, 421_642),
    'resnet20': (40_551_040, 269_722),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_operations_and_parameters_are_those_of_the_literature(name):
    network = NETWORKS[name]
    macs, parameters = KNOWN[name]
    assert network.parameters == parameters
    assert sum(layer.flops for layer in network.layers) == 2 * macs
    first = network.layers[0].flops
    assert network.training_flops(128) == 128 * (6 * macs - first)


def test_nadam_by_hand_is_that_of_keras():
    import keras

    draws = np.random.default_rng(0)
    weight, m, v, product = draws.normal(size=5), np.zeros(5), np.zeros(5), 1.0
    variable = keras.Variable(weight, dtype='float64')
    optimizer = keras.optimizers.Nadam()
    for step in range(1, 6):
        gradient = draws.normal(size=5)
        product *= nadam.momenta(step)[0]
        weight, m, v = nadam.update(weight, gradient, m, v, product, step)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    np.testing.assert_allclose(variable.numpy(), weight, atol=1e-8)  # Keras keeps its products as float32


def test_instruction_sets_are_named_as_people_do():
    amd = 'processor\t: 0\nflags\t\t: fpu sse4_2 avx fma avx2\nprocessor\t: 1\nflags\t\t: fpu\n'
    assert machine.instruction_sets(amd) == ['SSE4.2', 'AVX', 'FMA', 'AVX2']
    assert machine.instruction_sets('flags : avx512f avx512_vnni amx_bf16') == ['AVX-512', 'AVX-512 VNNI', 'AMX bf16']
    assert machine.instruction_sets('Features\t: fp asimd bf16') == ['NEON', 'bf16']
    assert machine.instruction_sets('') == []


def row(side: str, number: int, *seconds: float) -> dict:
    return {'model': 'mlp', 'side': side, 'round': number, 'steps': 100, 'seconds': [9.0, *seconds]} | {
        'accuracy': 0.9,
        'peak_mb': 500,
    }


RECORD = {
    'format': 1,
    'date': '2026-11-30T01:00:00+00:00',
    'machine': {'cpu': 'A', 'instruction_sets': ['AVX2'], 'computes_bfloat16': False, 'cores': 2, 'threads': 2},
    'versions': {'keras': '3.15.1'},
    'settings': {},
    'models': ['mlp'],
    'sides': ['ours', 'keras', 'jax'],
    'batch': 128,
    'ceilings': [{'what': 'float32', 'library': 'torch', 'value': 100.0, 'unit': 'GFLOP/s'}],
    'measurements': [row('ours', 0, 0.1), row('keras', 0, 0.4), row('ours', 1, 0.2, 0.2), row('keras', 1, 0.4)],
    'missing': [{'model': 'mlp', 'side': 'jax', 'reason': 'jax is not installed', 'failed': False}],
}


def test_a_table_has_ratios_of_rounds_shares_of_the_ceiling_and_what_is_missing():
    ours, keras, jax = records.table(RECORD).splitlines()[2:]
    assert '| ours | 2.00 (1.00 to 2.00) |  | 26% | 0.9000 | 500 |' in ours  # 0.0522 GFLOP in 2 ms
    assert '| keras | 4.00 (4.00 to 4.00) | 0.38 (0.25 to 0.50) |' in keras
    assert 'jax is not installed' in jax
    heading = records.heading(RECORD)
    assert 'AVX2' in heading
    assert 'bfloat16: not measured, this processor does not compute it' in heading


def test_against_an_older_file_warns_of_another_machine_and_other_versions(tmp_path):
    older = copy.deepcopy(RECORD)
    older['machine']['instruction_sets'], older['versions'] = ['AVX2', 'AVX-512'], {'keras': '3.12.0'}
    older['measurements'] = [row('ours', 0, 0.1, 0.1)]
    records.write(tmp_path / 'older.json', older)
    text = records.against(RECORD, records.read(tmp_path / 'older.json'), 'older.json')
    warning, versions, *table = text.splitlines()
    assert warning.startswith("warning: older.json is of another machine: instruction_sets is ['AVX2'] here")
    assert versions == 'versions that changed: keras 3.12.0 -> 3.15.1'
    assert len(table) == 3
    assert '| ours | 1.00 (1.00 to 1.00) | 2.00 (1.00 to 2.00) | 2.00 (1.00 to 2.00) |' in table[2]
    assert 'warning' not in records.against(RECORD, RECORD, 'same.json')


@pytest.mark.parametrize('text', ['', '{}', '[]', '{"format": 0}'])
def test_a_file_that_is_not_a_record_is_refused(text, tmp_path):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(UserError, match=r'a\.json'):
        records.read(tmp_path / 'a.json')


def test_a_side_whose_package_is_missing_says_what_to_install(monkeypatch):
    assert sides.SIDES['keras'].missing() == ''
    monkeypatch.setattr(sides.importlib.util, 'find_spec', lambda name: None)
    assert sides.SIDES['pytorch'].missing() == 'torch is not installed: pip install -r requirements-peers.txt'


def test_a_side_has_settings_of_its_own():
    name, settings = sides.split('ours+jit=off+TF_ENABLE_ONEDNN_OPTS=1')
    assert (name, settings) == ('ours', {'jit': 'off', 'TF_ENABLE_ONEDNN_OPTS': '1'})


def test_growth_is_an_exponent():
    assert measured.exponents({10: 1.0, 100: 10.0, 1000: 1000.0}) == pytest.approx({100: 1.0, 1000: 2.0})
    one = measured.Measured(1.5, 100)
    assert measured.table('runs', 's', {'report': {10: one}, 'judge': {}}).splitlines()[2:] == [
        '| 10 | 1.50 |  | 100 |  |  |  |'
    ]


def test_synthetic_runs_are_runs_of_a_study(tmp_path):
    from seedwise.config_files import load
    from trainer.compare import grid, runs

    study, workdir = studies.write(tmp_path, variants=3, seeds=2)
    config = load(study, [])
    grid.prepare(config)
    frame, unfinished = runs.read(grid.runs_of(grid.variants_of(config), grid.seeds_of(config), workdir))
    assert (len(frame), unfinished) == (6, 0)
    right = frame['test_correct'].map(np.mean)
    assert right.tolist() == pytest.approx(frame['test_accuracy'].tolist())
    assert studies.split(10, 10) == {'variants': 5, 'seeds': 2}
    assert studies.split(1000, 10) == {'variants': 10, 'seeds': 100}
