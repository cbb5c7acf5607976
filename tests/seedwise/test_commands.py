"""What a command line makes of a config. Its mistakes: tests/trainer/test_bad_input.py."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

from configs import default
from seedwise import commands, dotted
from seedwise.errors import UserError
from tests.helpers import ROOT
from trainer.config.numbers import settle_numbers
from trainer.results import config_hash

PARSE = """
import sys
from configs.default import OPTIONAL_PAIRS, PAIRS
from seedwise import commands
from trainer.config.numbers import offer_arguments, settle_numbers
commands.define_config('config', 'A run.')
config = commands.parse(sys.argv, 'Usage.', 'config', 'configs/default.py', PAIRS + OPTIONAL_PAIRS, offer_arguments)
settle_numbers(config)
print(config.to_json())
"""


def parse(*arguments: str, cwd=ROOT) -> dict:
    """Returns the config of a command line, parsed in a process of its own: absl's flags are global."""
    command = [sys.executable, '-c', PARSE, *arguments]
    process = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def prefer(*given: str):
    config = default.get_config()
    config.schedule.warmup_steps = 3
    for path in given:
        dotted.put(config, path, 7)
    dotted.prefer_given(config, set(given), default.PAIRS + default.OPTIONAL_PAIRS)
    return config


@pytest.mark.parametrize(
    ('given', 'left'),
    [
        ([], {'epochs': 5, 'steps': None}),
        (['steps'], {'epochs': None, 'steps': 7}),
        (['epochs'], {'epochs': 7, 'steps': None}),
        (['epochs', 'steps'], {'epochs': 7, 'steps': 7}),  # both were given: `check` refuses that
        (['eval_every_steps'], {'eval_every_epochs': None, 'eval_every_steps': 7, 'epochs': 5}),
        (['schedule.warmup_epochs'], {'schedule.warmup_epochs': 7, 'schedule.warmup_steps': None}),
        (['seed'], {'epochs': 5, 'schedule.warmup_steps': 3}),
    ],
    ids=str,
)
def test_the_length_given_replaces_the_other_of_its_pair(given, left):
    config = prefer(*given)
    assert {path: dotted.get(config, path) for path in left} == left


@pytest.mark.parametrize(
    ('path', 'value', 'settled'),
    [
        ('optimizer.learning_rate', 1, 1.0),
        ('model.dropout_rate', 0, 0.0),
        ('schedule.factors', (1, 0.1), (1.0, 0.1)),
        ('schedule.boundaries', (0.5, np.float64(0.75)), (0.5, 0.75)),
        ('optimizer.learning_rate', np.float32(0.5), 0.5),
        ('epochs', np.int64(3), 3),
        # What a field does not take stays as it is, for `trainer.config.check` to refuse.
        ('optimizer.learning_rate', '1', '1'),
        ('epochs', 3.0, 3.0),
        ('model.hidden', (64, 32), (64, 32)),
        ('schedule.factors', ('a',), ('a',)),
        ('loss.class_weights', (1, 2.5), (1.0, 2.5)),
        ('metrics', ('auc,a/b.py:c',), ('auc', 'a/b.py:c')),
        ('metrics', 'auc', ('auc',)),
    ],
)
def test_numbers_have_the_types_of_their_fields(path, value, settled):
    config = default.get_config()
    parent, _, key = path.rpartition('.')
    holder = dotted.get(config, parent)
    with holder.ignore_type():
        holder[key] = value
    settle_numbers(config)
    found = dotted.get(config, path)
    assert (found, type(found)) == (settled, type(settled))
    if isinstance(found, tuple):
        assert [type(one) for one in found] == [type(one) for one in settled]


def test_a_number_is_the_same_run_however_it_is_written():
    hashes = []
    for rate, factors in ((1, (1, 0)), (1.0, (1.0, 0.0))):
        config = default.get_config()
        config.optimizer.learning_rate, config.schedule.factors = rate, factors
        settle_numbers(config)
        hashes.append(config_hash(config))
    assert len(set(hashes)) == 1


def test_a_command_line_with_steps_is_one_without_epochs():
    config = parse('--config=configs/mlp_sgd.py', '--config.steps=300')
    assert (config['steps'], config['epochs']) == (300, None)


def test_overrides_have_the_types_of_their_fields():
    config = parse(
        *('--config', 'configs/default.py', '--config.model.hidden=(64, 32)', '--config.optimizer.learning_rate=1'),
        *('--config.test_every_evaluation', '--config.optimizer.nesterov=false', '--config.data.name=a=b'),
    )
    assert config['model']['hidden'] == [64, 32]
    words = parse(
        *('--config=configs/default.py', '--config.metrics=auc,a/b.py:c', '--config.loss.class_weights=balanced'),
        *('--config.metric_options.c.beta=2', '--config.metric_options.c.kind=a=b'),
    )
    assert words['metric_options'] == {'c': {'beta': 2, 'kind': 'a=b'}}
    assert (words['metrics'], words['loss']['class_weights']) == (['auc', 'a/b.py:c'], ['balanced'])
    assert isinstance(config['optimizer']['learning_rate'], float)
    assert config['test_every_evaluation'] is True
    assert config['optimizer']['options'] == {'nesterov': False}
    assert config['data']['name'] == 'a=b'


def test_arguments_of_an_optimizer_are_set_as_options_or_next_to_them(tmp_path):
    code = 'from configs import default\ndef get_config():\n    config = default.get_config()\n'
    code += "    config.optimizer.name, config.optimizer.beta_1, config.optimizer.options.beta_2 = 'Adam', 1, 0.99\n"
    (tmp_path / 'mine.py').write_text(f'{code}    return config\n')
    words = ('--config.optimizer.beta_2=0.9', '--config.optimizer.options.beta_1=0.5', '--config.optimizer.amsgrad')
    section = parse('--config=mine.py', *words, cwd=tmp_path)['optimizer']
    assert section['options'] == {'beta_1': 0.5, 'beta_2': 0.9, 'amsgrad': True}
    assert set(section) == set(default.get_config().optimizer)
    section = parse('--config=mine.py', '--config.optimizer.options.amsgrad', '--config.seed=1', cwd=tmp_path)[
        'optimizer'
    ]
    assert section['options'] == {'beta_1': 1.0, 'beta_2': 0.99, 'amsgrad': True}


def test_the_last_of_two_values_counts():
    assert parse('--config=configs/default.py', '--config.epochs=1', '--config.epochs=2')['epochs'] == 2


def test_shipped_configs_are_found_from_any_folder(tmp_path):
    assert parse('--config=configs/mlp_sgd.py', cwd=tmp_path) == parse('--config=configs/mlp_sgd.py')


def test_a_file_of_ones_own_and_an_argument_for_it(tmp_path):
    lines = ['from configs import default', 'def get_config(epochs):', '    config = default.get_config()']
    lines += ['    config.epochs = int(epochs)', '    return config']
    (tmp_path / 'mine.py').write_text('\n'.join(lines))
    assert parse('--config=mine.py:3', cwd=tmp_path)['epochs'] == 3


def test_help_shows_all_flags():
    for module, flags in (('trainer.main', ['--config', '--workdir']), ('data_pipeline.prepare', ['--dataset'])):
        command = [sys.executable, '-m', module, '--help']
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert process.returncode == 0
        assert [flag for flag in flags if f'{flag}:' not in process.stdout] == []


def test_errors_are_one_line_and_exit_code_2(capsys):
    def main(argv):
        raise UserError('first\n  second')

    assert commands.run(main) == 2
    assert capsys.readouterr().err == 'error: first second\n'


def test_other_errors_are_not_hidden():
    def main(argv):
        raise ValueError('a bug')

    with pytest.raises(ValueError, match='a bug'):
        commands.run(main)


def test_a_process_that_may_take_too_little_memory_says_so():
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))

    command = [sys.executable, '-m', 'trainer.main', '--config=configs/mlp_adam.py', '--config.data.name=digits']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == 'error: there is not enough memory: this process may take 953 MiB (ulimit -v 976562)'
