"""A study without a file: what the flags stand for, and what is wrong with them."""

import importlib.util

import pytest

from seedwise.errors import UserError
from tests.helpers import ROOT
from tests.trainer.compare import driver
from trainer.compare import grid, quick
from trainer.compare.checks import check

CONFIG = f'--config={ROOT}/configs/mlp_adam.py'


def study_of(file):
    spec = importlib.util.spec_from_file_location('study_of_flags', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    grid.prepare(config)
    return config


def made(tmp_path, *flags):
    typed = quick.from_argv(['compare', CONFIG, f'--save={tmp_path}/s.py', *flags])
    assert typed.argv == ['compare', f'--study={tmp_path}/s.py']
    with typed.written():
        typed.show()
    return study_of(tmp_path / 's.py')


def test_values_and_ranges_make_a_grid(tmp_path, capsys):
    study = made(
        tmp_path,
        '--vary=optimizer.name=Adam,SGD',
        '--vary=optimizer.learning_rate=1e-3:1e-1:log3',
        '--vary=model.hidden=(64,),(32, 16)',
        '--config.data.name=digits',
        '--seeds=3',
        '--margin=0.01',
        '--claim=Adam > SGD by 0.002',
    )
    variants = grid.variants_of(study)
    assert len(variants) == 2 * 3 * 2
    assert {v.config.optimizer.learning_rate for v in variants} == {0.001, 0.01, 0.1}
    assert {tuple(v.config.model.hidden) for v in variants} == {(64,), (32, 16)}
    assert {v.config.data.name for v in variants} == {'digits'}
    assert grid.seeds_of(study) == [0, 1, 2]
    assert study.margins.to_dict() == {'test_accuracy': 0.01}
    assert study.claims[0]['a'] == {'optimizer': 'Adam'}
    assert 'the study that this command stands for' in capsys.readouterr().out


def test_arguments_of_an_optimizer_are_set_and_varied(tmp_path):
    study = made(tmp_path, '--vary=optimizer.beta_1=0.5,0.9', '--config.optimizer.options.amsgrad=true')
    variants = grid.variants_of(study)
    assert sorted(v.config.optimizer.options.beta_1 for v in variants) == [0.5, 0.9]
    assert all(v.config.optimizer.options.amsgrad is True for v in variants)


def test_values_from_files_are_named_without_their_place():
    assert list(quick.axis('model.name=mlp,nets/mine.py:wide,keras.applications.MobileNetV2')[1]) == [
        'mlp',
        'wide',
        'MobileNetV2',
    ]
    assert list(quick.axis('data.name=digits,data/wine.csv,folder:data/pets')[1]) == ['digits', 'wine', 'pets']
    assert list(quick.axis('model.name=a.py:net,b.py:net')[1]) == ['a_py:net', 'b_py:net']
    assert list(quick.axis('schedule.boundaries=(0.5,0.75),(0.3, 0.6)')[1]) == ['(0_5,0_75)', '(0_3, 0_6)']


def test_a_model_from_a_file_is_varied_and_claimed(tmp_path):
    (tmp_path / 'mine.py').write_text('def net(image_shape, classes): ...\n', encoding='utf-8')
    mine = f'{tmp_path}/mine.py:net'
    study = made(tmp_path, f'--vary=model.name=mlp,{mine}', f'--claim={mine} > mlp', '--claim=net < mlp')
    assert {v.labels['model']: v.config.model.name for v in grid.variants_of(study)} == {'mlp': 'mlp', 'net': mine}
    assert [claim['a'] for claim in study.claims] == [{'model': 'net'}, {'model': 'mlp'}]


def test_the_length_of_training_is_varied(tmp_path):
    study = made(tmp_path, '--vary=steps=10,20', '--config.data.name=digits')
    check.check_report(study, grid.variants_of(study))
    assert list(study.axes) == ['training_steps']


def test_options_are_set_and_varied(tmp_path):
    (tmp_path / 'wine.csv').write_text('a,way\n1,0\n')
    (tmp_path / 'own.py').write_text("def f_beta(labels, logits, beta, kind): return 1\nf_beta.goal = 'max'\n")
    network = f'--config.model.name={ROOT}/examples/own_optimizer.py:network'
    study = made(
        tmp_path, network, f'--config.data.name={tmp_path}/wine.csv', '--config.data.options.label=way',
        '--config.data.options.shape=(1, 2, 3)',
        f'--config.metrics={tmp_path}/own.py:f_beta', '--config.metric_options.f_beta.beta=2',
        '--config.metric_options.f_beta.kind=macro',
        '--vary=model.options.width=8,16',
    )  # fmt: skip
    variants = grid.variants_of(study)
    assert variants[0].config.metric_options.to_dict() == {'f_beta': {'beta': 2, 'kind': 'macro'}}
    assert [v.config.model.options.width for v in variants] in ([8, 16], [16, 8])
    assert variants[0].config.data.options.to_dict() == {'label': 'way', 'shape': (1, 2, 3)}


def test_without_save_the_file_is_named_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, again, other = (
        quick.from_argv(['compare', CONFIG, f'--vary=optimizer.name={names}'])
        for names in ('Adam,SGD', 'Adam,SGD', 'Adam,Muon')
    )
    assert first.file == again.file != other.file
    with first.written():
        assert study_of(first.file).seeds == 5


def test_other_commands_stay_as_they_are():
    argv = ['compare', '--study=x.py', '--study.seeds=3', '--report_only']
    assert quick.from_argv(argv) is None


@pytest.mark.parametrize(
    ('flags', 'words'),
    [
        (['--vary=optimizer.nam=Adam,SGD'], "unknown field of --vary 'optimizer.nam'.*Did you mean 'optimizer.name'"),
        (['--vary=optimizer.name'], 'it must be FIELD=A,B,C'),
        (['--vary=optimizer.name=Adam'], 'two values or more'),
        (['--vary=seed=1,2'], '--seeds=N'),
        (['--vary=epochs=1,many'], 'many is not a whole number'),
        (
            ['--vary=optimizer.learning_rate=1e-3:x:log5'],
            '1e-3:x:log5 is not a number, and a range is FIELD=1e-3:1e-1:log5',
        ),
        (['--vary=optimizer.learning_rate=-1:1:log3'], 'must be above 0'),
        (['--vary=optimizer.learning_rate=1e:1:log3'], '1e and 1 must be numbers'),
        (['--vary=optimizer.learning_rate=1:1e999:lin3'], 'finite ends'),
        (['--vary=optimizer.learning_rate=1:2:lin99999999999'], 'at most 10,000 values'),
        (['--vary=optimizer.name=Adam,SGD', '--claim=Adm > SGD'], "unknown value in --claim 'Adm'.*'Adam'"),
        (['--vary=optimizer.name=Adam,SGD', '--claim=better'], '--claim is'),
        (['--vary=optimizer.name=Adam,SGD', '--claim=Adam > SGD by 1e'], "'1e' must be a number of at least 0"),
        (['--vary=optimizer.name=Adam,SGD', '--claim=Adam = SGD'], 'state within what'),
        (['--vary=optimizer.name=Adam,SGD', '--seeds=few'], '--seeds is few'),
        (['--vary=optimizer.name=Adam,SGD', '--seeds=²'], '--seeds is ²'),
        (['--vary=optimizer.name=Adam,SGD', '--margin=small'], '--margin is'),
        (['--vary=optimizer.name=Adam,SGD', '--config.epoch=3'], "unknown field of --config 'epoch'"),
        (['--vary=optimizer.name=Adam,SGD', '--study=x.py'], 'either --study, or --config'),
        ([], 'is one run'),
    ],
)
def test_a_wrong_flag_is_one_line(tmp_path, flags, words):
    with pytest.raises(UserError, match=words) as error:
        quick.from_argv(['compare', CONFIG, f'--save={tmp_path}/s.py', *flags])
    assert '\n' not in str(error.value)
    with pytest.raises(UserError, match='add --config'):
        quick.from_argv(['compare', '--vary=optimizer.name=Adam,SGD'])


def test_a_study_that_is_refused_is_neither_shown_nor_saved(tmp_path):
    saved = tmp_path / 's.py'
    words = (CONFIG, '--vary=optimizer.name=Adam,SDG', f'--save={saved}', f'--workdir={tmp_path}/w')
    code, out, err = driver.run(*words)
    assert (code, out) == (2, '')
    assert "unknown optimizer.name 'SDG'" in err
    assert not saved.exists()
    saved.write_text('# mine\n', encoding='utf-8')
    driver.refuse(*words)
    assert saved.read_text(encoding='utf-8') == '# mine\n'
    assert [path.name for path in tmp_path.iterdir()] == ['s.py']
