"""Promise 7: a mistake is told in one line, exit code 2, before TensorFlow is imported where that is possible.

Real commands, in forks. Where TensorFlow is not needed to know, a package of its name that cannot be imported proves that
it was not asked for.
"""

import json
import os
import socket
import subprocess
import sys

import filelock
import pytest

from tests.forks import no_tensorflow
from tests.helpers import line_of, run

RUN = ('--config=configs/mlp_sgd.py', '--config.data.name=digits')


def test_a_process_of_its_own_says_it_too(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'trainer.main', *RUN, '--config.epoch=3'],
        cwd=tmp_path, env=os.environ | {'PYTHONPATH': no_tensorflow()}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "Did you mean 'epochs'?" in line_of(done.returncode, done.stdout, done.stderr)


OVERRIDES = [
    # Names: what is accepted, and the nearest.
    ('epoch=3', "unknown field of --config 'epoch'", 'global_batch_size', "Did you mean 'epochs'?"),
    ('optimizer.nam=Adam', "'optimizer.nam'", '...', "Did you mean 'optimizer.name'?"),
    ('optimzer.name=Adam', "'optimzer.name'", "Did you mean 'optimizer.name'?"),
    ('learning_rate=0.1', "Did you mean 'optimizer.learning_rate'?"),
    ('model.hidden[0]=3', "Did you mean 'model.hidden'?"),
    ('a b=3', "unknown field of --config 'a b'"),
    ('=3', "unknown field of --config ''"),
    ('optimizer.name=Adm', "unknown optimizer.name 'Adm'", 'Nadam', "Did you mean 'Adam'?"),
    ('optimizer.beta_1=0.5', "argument of optimizer SGD 'beta_1'", 'momentum', 'nesterov'),
    ('loss.name=crossentropy', "unknown loss.name 'crossentropy'", 'kl_divergence', 'categorical_crossentropy'),
    ('model.activation=rellu', "unknown model.activation 'rellu'", 'tanh', "Did you mean 'relu'?"),
    ('model.kernel_initializer=he_norma', 'model.kernel_initializer', 'orthogonal', "Did you mean 'he_normal'?"),
    ('model.name=ccn', "unknown model.name 'ccn'", 'cnn, mlp', "Did you mean 'cnn'?"),
    ('model.dropout=all', "unknown model.dropout 'all'", 'every, first, last, none'),
    ('schedule.name=cos', "unknown schedule.name 'cos'", 'piecewise', "Did you mean 'cosine'?"),
    ('data.name=mnits', "(data.name) 'mnits'", 'fashion_mnist', "Did you mean 'mnist'?"),
    ('data.fallback=mnist', "unknown data.fallback 'mnist'", "'', digits"),
    ('strategy=mirror', "unknown strategy 'mirror'", 'multi_worker', "Did you mean 'mirrored'?"),
    ('precision=float16', "unknown precision 'float16'", 'mixed_bfloat16'),
    ('jit=yes', "unknown jit 'yes'", 'auto, off, on'),
    # Types.
    ('epochs=many', '--config.epochs=many', 'a whole number'),
    ('epochs=1.5', '--config.epochs=1.5', 'a whole number, such as 2'),
    ('global_batch_size=1e2', 'a whole number, such as 100'),
    ('epochs=', '--config.epochs=:', 'a whole number'),
    ('optimizer.learning_rate=fast', '--config.optimizer.learning_rate=fast', 'a number'),
    ('test_every_evaluation=maybe', '--config.test_every_evaluation=maybe', 'true or false'),
    ('model=3', "'model' is a section", 'model.name'),
    ('model={}', "'model' is a section", 'model.name'),
    ('model.hidden=(1,', '--config.model.hidden=(1,', 'a tuple such as "(128, 64)"'),
    ('model.hidden=64 64', 'a tuple such as "(128, 64)"'),
    ('model.hidden=abc', "model.hidden holds 'abc'", 'a whole number from 1 to 1,000,000'),
    ('model.hidden=(1.5,)', 'model.hidden holds 1.5', 'a whole number'),
    ('model.hidden=(True,)', 'model.hidden holds True', 'a whole number'),
    # Negative, zero, not finite, huge.
    ('seed=-1', 'seed is -1', 'from 0 to 2^31 - 1'),
    ('seed=99999999999999999999', 'seed is 99999999999999999999', 'from 0 to 2^31 - 1'),
    ('epochs=-1', 'epochs is -1', 'from 0 to 1,000,000'),
    ('steps=1000000000000', 'steps is 1000000000000', 'from 0 to 1,000,000,000'),
    (f'steps={"9" * 400}', 'from 0 to 1,000,000,000'),
    ('global_batch_size=0', 'global_batch_size is 0', 'from 1 to 1,000,000'),
    ('global_batch_size=10000000', 'global_batch_size is 10000000', 'from 1 to 1,000,000'),
    ('model.hidden=(64, 0)', 'model.hidden holds 0', 'from 1 to 1,000,000'),
    ('model.hidden=(1000000, 1000000)', 'model.hidden', '1,000,000,000,000 weights'),
    ('optimizer.learning_rate=0', 'optimizer.learning_rate is 0', 'above 0'),
    ('optimizer.learning_rate=-0.1', 'optimizer.learning_rate is -0.1', 'above 0'),
    ('optimizer.learning_rate=nan', 'optimizer.learning_rate is nan', 'above 0 and at most 1,000,000'),
    ('optimizer.learning_rate=inf', 'optimizer.learning_rate is inf', 'above 0 and at most 1,000,000'),
    ('optimizer.momentum=2', 'optimizer.options.momentum is 2', 'for SGD it must be from 0 to 1'),
    ('optimizer.momentum=abc', '--config.optimizer.momentum=abc', 'a number'),
    ('optimizer.momentun=0.5', "'optimizer.momentun'", "Did you mean 'optimizer.momentum'?"),
    ('optimizer.options.momentum=abc', "optimizer.options.momentum is 'abc'", 'a number'),
    ('optimizer.options.weight_decay=1', 'what every optimizer takes is a field, optimizer.weight_decay'),
    ('optimizer.options.nesterov=1', 'optimizer.options.nesterov is 1', 'true or false'),
    ('optimizer.options.momentun=0.5', "argument of optimizer SGD 'momentun'", "Did you mean 'momentum'?"),
    ('optimizer.momentum=0.5 optimizer.options.momentum=0.6', 'optimizer.momentum is 0.5, and', '0.6: give one'),
    ('model.dropout_rate=1', 'model.dropout_rate is 1', 'below 1'),
    ('checkpoint.keep=0', 'checkpoint.keep is 0', 'from 1 to 1,000'),
    ('data.validation=-3', 'data.validation is -3', 'at least 0'),
    ('data.augment.crop=28', 'data.augment.crop is 28', "the images of 'digits' are 28x28, so at most 27"),
    # Together.
    ('epochs=2 steps=3', 'exactly one of epochs and steps', 'epochs 2 and steps 3'),
    ('schedule.warmup_epochs=1 schedule.warmup_steps=3', 'at most one of schedule.warmup_epochs and'),
    ('optimizer.clipnorm=1 optimizer.clipvalue=1', 'at most one of', 'clipvalue and clipnorm'),
    ('global_batch_size=100 replicas=3', 'global_batch_size 100 is not divisible by 3 replicas', '99 or 102'),
    ('strategy=one_device replicas=2', 'replicas is 2', 'accepted are 0 and 1'),
    ('strategy=multi_worker', 'needs a cluster', 'TF_CONFIG', 'launch local'),
    ('early_stopping_patience=3', 'early_stopping_patience', 'data.validation > 0'),
    ('data.validation=1437', 'data.validation is 1,437', 'at most 1,436'),
    ('schedule.name=piecewise schedule.boundaries=(0.5,0.2)', 'schedule.boundaries is (0.5, 0.2)', 'rising'),
    ('schedule.name=piecewise schedule.factors=(1e999,1)', 'schedule.factors is (inf, 1.0)', 'at least 0'),
    ('schedule.name=piecewise schedule.factors=(1,)', 'schedule.factors is (1.0,)', 'as many as schedule.boundaries'),
    ('model.hidden=() model.dropout=every', 'model.dropout', 'no hidden layer'),
]


@pytest.mark.parametrize(('overrides', 'words'), [(row[0], row[1:]) for row in OVERRIDES], ids=lambda x: str(x)[:50])
def test_a_wrong_field(error, overrides, words):
    # A space separates two overrides where a field follows it.
    given = overrides.split(' ') if overrides.count('=') > 1 else [overrides]
    line = error(*RUN, *(f'--config.{override}' for override in given))
    assert [word for word in words if word not in line] == [], line


FLAGS = [
    ((), '--config is required', '--config=configs/cnn_nadam.py'),
    (('--config=',), '--config is required'),
    (('--config',), 'Missing value for flag --config'),
    (('--config.epochs=3',), '--config.epochs', '--config=FILE is required'),
    (('--config=configs/cnn_nadm.py',), "'configs/cnn_nadm.py'", "Did you mean 'configs/cnn_nadam.py'?"),
    (('--config=cnn_nadam',), "'cnn_nadam'", "Did you mean 'configs/cnn_nadam.py'?"),
    (('--config=nowhere/x.py',), "'nowhere/x.py'", 'accepted are configs/cnn_99_fast.py'),
    (('--config=configs',), "'configs'", 'configs/cnn_nadam.py'),
    (('--config=configs/studies/raj_optimizers_losses.py',), 'lacks', 'trainer.compare --study'),
    ((*RUN, '--workdri=x'), "unknown flag '--workdri'", '--config, --workdir', "Did you mean '--workdir'?"),
    ((*RUN, '--confg.epochs=3'), "unknown flag '--confg.epochs'", "Did you mean '--config.epochs'?"),
    ((*RUN, '--epochs=3'), "unknown flag '--epochs'", "Did you mean '--config.epochs'?"),
    ((*RUN, '--noconfig.test_every_evaluation=1'), '--noconfig.test_every_evaluation=1'),
    ((*RUN, 'epochs=3'), "'epochs=3' is not a flag", '--flag=value'),
    ((*RUN, '--', 'stray'), "'stray' is not a flag"),
    ((*RUN, '--config=configs/cnn_adam.py'), '--config is given twice', 'cnn_adam.py', 'give one'),
    ((*RUN, '--workdir=a', '--workdir', 'b'), "--workdir is given twice, as 'a' and 'b'"),
    ((*RUN, '--workdir=/dev/null/x'), '/dev/null is a file', 'another --workdir'),
    ((*RUN, '--workdir=/proc/x'), '/proc/x cannot be written', 'another --workdir'),
    ((*RUN, '--workdir=/dev/null'), '/dev/null is a file', 'another --workdir'),
    ((*RUN, f'--workdir={"x" * 300}'), 'a name of 300 bytes', 'at most 255'),
]


@pytest.mark.parametrize(('arguments', 'words'), [(row[0], row[1:]) for row in FLAGS], ids=lambda x: str(x[-1:])[:50])
def test_a_wrong_command_line(error, arguments, words):
    line = error(*arguments)
    assert [word for word in words if word not in line] == [], line


BEGIN = 'from configs import default\ndef get_config():\n    config = default.get_config()\n'
FILES = [
    ('def get_config(:\n', 'line 1', 'SyntaxError'),
    ('import nowhere\n', 'line 1', "No module named 'nowhere'"),
    ('def get_config():\n    return 1 / 0\n', 'line 2', 'ZeroDivisionError'),
    ('x = 1\n', 'has no function get_config()'),
    ('def get_config():\n    pass\n', 'must return a ConfigDict, not NoneType'),
    ("def get_config():\n    return {'epochs': 1}\n", 'must return a ConfigDict, not dict'),
    ('import ml_collections\ndef get_config():\n    return ml_collections.ConfigDict()\n', 'lacks', 'configs.default'),
    (f'{BEGIN}    config.epoch = 3\n', 'line 4', "unknown field 'epoch'", "Did you mean 'epochs'?"),
    (f'{BEGIN}    config.optimzer.name = "SGD"\n', 'line 4', "unknown field 'optimzer'", "Did you mean 'optimizer'?"),
    (f'{BEGIN}    config.epochs = "many"\n', 'line 4', "'epochs'", "<class 'int'>"),
    (f'{BEGIN}    config.seed = None\n    return config\n', 'seed is None', 'a whole number'),
    (f'{BEGIN}    config.seed = True\n    return config\n', 'seed is True', 'a whole number'),
    (f'{BEGIN}    config.unlock()\n    config.epoch = 3\n    return config\n', "'epoch'", "Did you mean 'epochs'?"),
    (f'{BEGIN}    config.epochs = None\n    return config\n', 'exactly one of epochs and steps'),
    (
        f'{BEGIN}    config.optimizer.nam = "SGD"\n    return config\n',
        "'optimizer.nam'",
        "Did you mean 'optimizer.name'?",
    ),
    (f'{BEGIN}    config.optimizer.betta_1 = 0.5\n    return config\n', "Did you mean 'optimizer.beta_1'?"),
    (f'{BEGIN}    config.optimizer.beta_1 = "0.8"\n    return config\n', "beta_1 is '0.8': it must be a number"),
    (
        f'{BEGIN}    config.optimizer.options = None\n    return config\n',
        'optimizer.options is None: it must be a section',
    ),
    (f'{BEGIN}    config.metric_options = None\n    return config\n', 'metric_options is None: it must be a section'),
    ('\x00', 'config.py', 'null bytes'),
    ('import sys\nsys.exit(0)\n', 'line 2', 'calls sys.exit', 'only returns a config'),
    ('def get_config():\n    raise SystemExit\n', 'line 2', 'calls sys.exit'),
]


@pytest.mark.parametrize(('code', 'words'), [(row[0], row[1:]) for row in FILES], ids=lambda x: str(x[-1:]))
def test_a_wrong_config_file(error, tmp_path, code, words):
    (tmp_path / 'config.py').write_text(code)
    line = error('--config=config.py')
    assert [word for word in words if word not in line] == [], line


def worker(index: object = 0, kind: object = 'worker', **jobs) -> str:
    return json.dumps({'cluster': jobs, 'task': {'type': kind, 'index': index}})


TWO = ['a:1', 'b:2']
CLUSTERS = [
    ('abc', '', 'TF_CONFIG is not JSON', '{"cluster": {"worker": ["host0:2222"'),
    ('{}', '', "TF_CONFIG lacks 'cluster'", 'expected for example'),
    ('[]', '', 'TF_CONFIG is malformed', 'expected for example'),
    ('{"cluster": {"worker": ["a:1"]}}', '', "TF_CONFIG lacks 'task'"),
    ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}', '', "TF_CONFIG lacks 'index'"),
    (worker('x', worker=TWO), '', 'TF_CONFIG is malformed', "'x'"),
    (worker(2, worker=TWO), '', 'task index 2', '0 to 1'),
    (worker(-1, worker=TWO), '', 'task index -1', '0 to 1'),
    (worker(kind='boss', worker=TWO), '', "'boss'"),
    (worker(worker=TWO, ps=['c:3']), '', 'accepted are chief and worker'),
    (worker(worker=['a', 'b:2']), '', "address 'a'", 'host:port'),
    (worker(worker=['a:1', 'b:99999']), '', "address 'b:99999'", 'host:port'),
    (worker(worker=['a:1', 'a:1']), '', 'an address twice'),
    (worker(worker=TWO), 'global_batch_size=129', 'not divisible by 2 replicas', '128 or 130'),
    (worker(worker=TWO), 'replicas=3 global_batch_size=129', 'a multiple of the 2 workers'),
    (worker(worker=TWO), 'strategy=one_device', 'one worker', 'use auto'),
]


@pytest.mark.parametrize(
    ('tf_config', 'overrides', 'words'), [(*row[:2], row[2:]) for row in CLUSTERS], ids=lambda x: str(x)[:60]
)
def test_a_wrong_cluster(error, tf_config, overrides, words):
    line = error(*RUN, *(f'--config.{override}' for override in overrides.split()), TF_CONFIG=tf_config)
    assert [word for word in words if word not in line] == [], line


def test_a_port_in_use(error):
    with socket.create_server(('', 0)) as server:
        port = server.getsockname()[1]
        line = error(*RUN, TF_CONFIG=worker(worker=[f'localhost:{port}', 'localhost:1']))
    assert f'port {port} of worker 0' in line
    assert 'in use' in line


def test_a_workdir_in_use(error, tmp_path):
    (tmp_path / 'run').mkdir()
    with filelock.FileLock(tmp_path / 'run' / '.lock'):
        assert 'in use by another process' in error(*RUN, '--workdir=run')


CONFIG_JSON = '{"seed": 5, "epochs": 7}'
WORKDIRS = [
    ({'config.json': CONFIG_JSON}, 'holds another config', 'epochs was 7', 'another --workdir'),
    ({'config.json': ''}, 'config.json is damaged', 'delete', 'another --workdir'),
    ({'config.json': CONFIG_JSON[:9]}, 'config.json is damaged', 'delete', 'another --workdir'),
    ({'config.json': '[1]'}, 'config.json is damaged'),
    ({'checkpoints/step-7.index': ''}, 'without its config.json', 'another --workdir'),
    ({'result.json': ''}, 'result.json is damaged', 'delete it, and the same command trains the run again'),
    ({'result.json': '{"status": "compl'}, 'result.json is damaged', 'delete it'),
    ({'result.json': '"completed"'}, 'result.json is damaged', 'delete it'),
    ({'result.json': '{"status": "completed"}'}, 'holds a run without its config.json'),
    ({'result.json/x': ''}, 'result.json cannot be read', 'Is a directory'),
]


@pytest.mark.parametrize(('files', 'words'), [(row[0], row[1:]) for row in WORKDIRS], ids=lambda x: str(x))
def test_a_workdir_with_other_or_torn_files(error, tmp_path, files, words):
    for name, content in files.items():
        path = tmp_path / 'run' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    line = error(*RUN, '--workdir=run')
    assert [word for word in words if word not in line] == [], line


# From here on TensorFlow is needed to know.


def test_damaged_files_of_a_run(error, tmp_path):
    arguments = (*RUN, '--config.epochs=2', '--config.checkpoint.every_steps=5', '--config.checkpoint.keep=2')
    whole = run(tmp_path / 'run', *arguments)
    checkpoints = sorted((tmp_path / 'run' / 'checkpoints').glob('*.data*'), key=lambda path: path.stat().st_mtime)
    assert len(checkpoints) == 2

    # A run that was killed, and whose newest checkpoint is torn: the one before it serves.
    (tmp_path / 'run' / 'result.json').unlink()
    os.truncate(checkpoints[-1], 100_000)
    assert run(tmp_path / 'run', *arguments)['weights_sha256'] == whole['weights_sha256']

    (tmp_path / 'run' / 'result.json').rename(tmp_path / 'result.json')
    for path in (tmp_path / 'run' / 'checkpoints').iterdir():
        os.truncate(path, 100)
    line = error(*arguments, '--workdir=run', tensorflow=True)
    assert 'no checkpoint in run/checkpoints can be read: delete that folder' in line

    (tmp_path / 'result.json').rename(tmp_path / 'run' / 'result.json')
    os.truncate(tmp_path / 'run' / 'model.keras', 100_000)
    line = error(*RUN, '--config.checkpoint.every_steps=5', '--config.epochs=0', '--workdir=run', tensorflow=True)
    assert 'model.keras is damaged' in line


def test_more_steps_and_more_replicas_than_can_be(error):
    line = error(*RUN, '--config.epochs=1000000', '--config.global_batch_size=1', tensorflow=True)
    assert '1,437,000,000 steps' in line
    assert 'at most 1,000,000,000' in line
    line = error(*RUN, '--config.replicas=4096', '--config.global_batch_size=4096', tensorflow=True)
    assert 'replicas is 4096' in line
    assert '64' in line
