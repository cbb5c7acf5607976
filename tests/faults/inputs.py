"""Any input: command lines of a run and of a study, and tables to judge, most of them wrong.

Whatever is given either works or ends with exit code 2 and one line: never a traceback, a hang or a silent wrong result.
"""

import json
from pathlib import Path

from hypothesis import strategies as st

from tests.faults import forked
from trainer import losses, models, optimizers
from trainer.config import numbers

#: Path -> type, also of some options that only an own file or some models have.
FIELDS = numbers.known_fields() | {
    **{f'model.options.{name}': int for name in ('depth', 'filters', 'patch_size', 'width', 'heads', 'mlp_width')},
    **{f'optimizer.options.{name}': float for name in ('beta_1', 'momentum', 'nothing')},
    **{'model.options.dropout': float, 'model.options.weights': str, 'data.options.test_share': float},
    **{'loss.options.x': float, 'schedule.options.x': float, 'metric_options.auc.x': float, 'metric_options.auc': str},
    **{'data.augment.options.x': float, 'model.options': str, 'optimizer': str, 'nothing': str},
}

#: Fields that decide how long a run takes, or where it looks for data: their values are drawn from these.
KEPT_SHORT = {
    'epochs': ('0', '1', '-1', '0.5', '1e99', 'None', 'x'),
    'steps': ('0', '1', '3', '-1', '10000000000000', '2.5', 'None'),
    'data.data_dir': ('', '/nowhere', '/dev/null'),
    'data.manual_dir': ('', '/nowhere'),
    'data.name': (
        'digits',
        'digit',
        'Digits',
        '',
        'x.npz',
        'folder:/nowhere',
        'mine.py:f',
        'huggingface:/nowhere',
        '/',
    ),
    'strategy': ('auto', 'one_device', 'mirrored', 'multi_worker', 'mirror'),
    'replicas': ('0', '1', '2', '-1', '3', '1000000', 'two'),
    'threads': ('0', '1', '2', '-1', '100000'),
    'model.name': ('mlp', 'cnn', 'resnet', 'vit', 'keras.applications.X', 'mine.py:net', 'MLP', ''),
}

#: Valid words of fields that take words, and some that are not.
WORDS = {
    'model.activation': (*models.ACTIVATIONS, 'relu6'),
    'model.kernel_initializer': (*models.INITIALIZERS, 'xavier'),
    'model.batch_norm': (*models.WHERE, 'all'),
    'model.dropout': (*models.WHERE, '0.5'),
    'loss.name': (*losses.LOSSES, 'mse', 'hinge'),
    'optimizer.name': (*optimizers.ARGUMENTS, 'adamax', 'LBFGS'),
    'schedule.name': (*optimizers.SCHEDULES, 'linear'),
    'precision': ('float32', 'float64', 'mixed_bfloat16', 'mixed_float16', 'float16'),
    'jit': ('auto', 'on', 'off', 'true'),
    'data.normalize': ('auto', 'standard', 'none', 'batch'),
    'data.fallback': ('', 'digits', 'mnist', 'digit'),
    'monitor': ('loss', 'accuracy', 'auc', 'acc'),
    'metrics': (
        "('accuracy',)",
        "('accuracy','auc')",
        "('macro_f1','top_5_accuracy')",
        "('acc',)",
        '()',
        "('auc','auc')",
    ),
}

NUMBERS = (
    *('0', '1', '-1', '2', '3', '7', '0.5', '-0.5', '1e-3', '0.1', '0.9', '0.999', '1.0', '1e-320', '1e308', '-0.0'),
    *('nan', 'inf', '-inf', '2147483648', '9223372036854775808', '1' + '0' * 30, '1_000', '0x10', '1e', '١'),
)
BOOLEANS = ('true', 'false', 'True', '1', '0', 'yes', '', 'None')
TUPLES = (
    *('()', '(1,)', '(8,)', '(16, 8)', '(0,)', '(-1,)', '8', '(1.5,)', '((1,),)', "('a',)", '(None,)', '(', '8,4'),
    *('(0.5, 0.75)', '(0.1, 0.01)', '(0.5,)', '[8]', '{8}', '(1e9,)', '(99999999999,)', '(8,' * 50 + ')' * 50),
)
TEXTS = ('', ' ', 'None', "'", '"', '\\', '%s', '{}', '\n', 'ä', '\U0001f600', 'x' * 5000, '-', '--', '../..', '=', ',')


def value_of(path: str) -> st.SearchStrategy[str]:
    """Returns texts for a field: most of its type, some of any."""
    if path in KEPT_SHORT:
        return st.sampled_from(KEPT_SHORT[path])
    kind = FIELDS[path]
    usual = {int: NUMBERS, float: NUMBERS, bool: BOOLEANS, tuple: TUPLES, str: TEXTS}[kind]
    usual = WORDS.get(path, usual)
    return st.one_of(st.sampled_from(usual), st.sampled_from(usual), st.sampled_from((*NUMBERS, *TUPLES, *TEXTS)))


#: To compile by XLA takes longer than to train.
JIT = st.sampled_from(('off', 'off', 'auto'))


@st.composite
def run_arguments(draw) -> list[str]:
    """Draws fields of a run on the digits, of two steps if nothing else is drawn."""
    paths = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=6, unique=True))
    given = {'data.name': 'digits', 'steps': '2', 'threads': '1', 'tensorboard.enabled': 'false'}
    given['jit'] = draw(JIT)
    given |= {path: draw(value_of(path)) for path in paths}
    if 'epochs' in paths and 'steps' not in paths:
        del given['steps']
    return [f'--config.{path}={value}' for path, value in given.items()]


KINDS = ('better', 'best', 'equal', 'at_least', 'fails', 'mostly', 'faster', 'less_sensitive', 'worse')
SELECTORS = ({'optimizer': 'Adam'}, {'optimizer': 'SGD'}, {'optimizer': 'Sgd'}, {'loss': 'x'}, {}, None, 'Adam', [1], 3)
PLACES = ('axes', 'variants', 'seeds', 'claims', 'checks', 'paper', 'margins', 'tune', 'base', 'repeats', 'seed')
THINGS = (
    *(None, 0, 1, 2, -1, 1.5, True, 'x', '', (), (0, 0), (0, 1), ('a',), {}, {'x': 1}, {'x': {}}, {'x': {'y': {}}}),
    *({'optimizer': {'Adam': {}, 'SGD': {'optimizer': {'name': 'SGD'}}}}, {'o/p': {'a/b': {}}}, {'seed': {'1': {}}}),
    *(
        {'lr': {'x': {'optimizer': {'learning_rate': -1.0}}}},
        {'test_accuracy': 0.1},
        {'trials': 2},
        10**9,
        float('nan'),
    ),
)


@st.composite
def claims(draw) -> dict:
    """Draws a claim, some of whose fields are missing or wrong."""
    whole = {
        'id': draw(st.sampled_from(('a', 'b', 'a', '', 'ä b', 3))),
        'kind': draw(st.sampled_from(KINDS)),
        'a': draw(st.sampled_from(SELECTORS)),
        'b': draw(st.sampled_from(SELECTORS)),
        'metric': draw(
            st.sampled_from(('test_accuracy', 'test_loss', 'accuracy', 'seconds_total', 'test_accuracy*2', ''))
        ),
        'margin': draw(st.sampled_from((0.0, 0.01, -1, 'x', float('nan'), 5))),
        'value': draw(st.sampled_from((0.5, None, 'x', float('inf')))),
        'target': draw(st.sampled_from((None, None, 0.5, 'x'))),
        'alpha': draw(st.sampled_from((0.05, 0.05, 0, 1, 'x'))),
        'unit': draw(st.sampled_from(('epoch', 'step', 'seconds', 'hours'))),
        'reduce': draw(st.sampled_from(('mean', 'best', 'median'))),
        'where': draw(st.sampled_from(SELECTORS)),
        'matched': draw(st.sampled_from(((), ('optimizer',), ('x',), 'optimizer', (1,)))),
        'goal': draw(st.sampled_from((None, 'max', 'min', 'more'))),
        'paired': draw(st.sampled_from((True, False, 1))),
        'select_by': draw(st.sampled_from(('validation_loss', 'test_accuracy', 'x', None))),
        'quote': draw(st.sampled_from(('Adam is better', '', 1))),
    }
    kept = draw(st.lists(st.sampled_from(sorted(whole)), max_size=5, unique=True))
    return {key: whole[key] for key in {'id', 'kind', 'a', *kept}}


def space(low: object, high: object, scale: object = 'log', field: str = 'learning_rate') -> dict:
    """Returns a tier in which a number of both optimizers is tried."""
    return {'rate': {name: {'optimizer': {field: (scale, low, high)}} for name in ('Adam', 'SGD')}}


#: Field of tune -> values.
TUNE = {
    'trials': (2, 2, 1, 0, -1, 1.5, None),
    'metric': ('validation_loss', 'validation_loss', 'validation_accuracy', 'test_loss', ''),
    'tiers': (
        *(space(1e-3, 0.1), space(1e-3, 0.1), space(0, 1), space(1, 0), space('a', 1), space(0.1, 0.2, 'linear')),
        *(
            space(0.5, 0.9, 'log_1m', 'beta_1'),
            space(1e-3, 0.1, 'lin'),
            space(float('nan'), 1),
            space(1, 2, 'log', 'name'),
        ),
        *({'rate': {'Adam': {}}}, {'rate': {}}, {}, None, 'x', {'a/b': {}}, {'rate': {'Adm': {'optimizer': {}}}}),
    ),
    'replicates': (1, 2, 3, 0),
    'sampler': ('halton', 'tpe', 'cmaes', 'random', 1),
    'batch': (1, 2, 0, 'x'),
    'halving': ({'eta': 2, 'rungs': 2}, {'eta': 1, 'rungs': 2}, {'eta': 2}, {}, 'x', {'eta': 2, 'rungs': 99}),
}


@st.composite
def tunes(draw) -> dict:
    """Draws how a study is tuned, mostly with all that is required."""
    kept = draw(st.lists(st.sampled_from(sorted(TUNE)), max_size=3, unique=True))
    required = ('trials', 'metric', 'tiers') if draw(st.integers(0, 5)) else ()
    right = {key: TUNE[key][0] for key in required}
    return right | {key: draw(st.sampled_from(TUNE[key])) for key in kept}


@st.composite
def study_files(draw) -> str:
    """Draws the text of a study file on the digits, two variants and two seeds if nothing else is drawn."""
    lines = [
        "config.base.data.name, config.base.steps, config.base.epochs = 'digits', 1, None",
        'config.base.model.hidden = (4,)',
        f'config.base.jit = {draw(JIT)!r}',
        "config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}",
        'config.seeds = 2',
    ]
    for place in draw(st.lists(st.sampled_from(PLACES), max_size=3, unique=True)):
        lines.append(f'config.{place} = {draw(st.sampled_from(THINGS))!r}')
    if draw(st.integers(0, 3)) == 0:
        lines += ['config.base.data.validation, config.base.steps = 100, 4', f'config.tune = {draw(tunes())!r}']
    made = draw(st.lists(claims(), max_size=3))
    if made:
        lines.append(f'config.claims = {tuple(made)!r}')
    body = '\n'.join(f'    {line}' for line in lines).replace('nan', "float('nan')").replace('inf,', "float('inf'),")
    head = ['import ml_collections', 'from configs import default', '', '', 'def get_config():']
    made_of = ['    config = ml_collections.ConfigDict()', '    config.base = default.get_config()', body]
    return '\n'.join([*head, *made_of, '    return config', ''])


CELLS = (
    *(
        '0.9',
        '0.91',
        '0.89',
        '0.9',
        '0.92',
        '1',
        '0',
        '-1',
        '',
        'nan',
        'inf',
        '-inf',
        'NaN',
        'None',
        'x',
        '0,9',
        '1e999',
    ),
    *('2026-11-29', 'true', '"a""b"', '"a\nb"', '=1+1', '1e308', '-1e308', '1e-320', 'ä', '\U0001f600', '9' * 400, '١'),
)
HEADS = (
    *(
        'variant',
        'seed',
        'accuracy',
        'loss',
        'test_accuracy',
        'test_loss',
        'step',
        'epoch',
        'model',
        'optimizer',
        'value',
    ),
    *(
        'metric',
        'run',
        'name',
        'Accuracy',
        'accuracy',
        '',
        ' ',
        'ä',
        'status',
        'history',
        'variant',
        'config_hash',
        'x',
    ),
)


@st.composite
def tables(draw) -> bytes:
    """Draws a table of runs: a usual one with some cells changed, or one of any columns and cells."""
    separator = draw(st.sampled_from((',', ',', ';', '\t')))
    if draw(st.booleans()):
        rows = [['variant', 'seed', 'accuracy']]
        rows += [
            [name, str(seed), f'0.{90 + (seed * 7 + len(name)) % 9}'] for name in ('A', 'BB', 'C') for seed in range(4)
        ]
        for _ in range(draw(st.integers(0, 4))):
            i = draw(st.integers(0, len(rows) - 1))
            rows[i][draw(st.integers(0, 2))] = draw(st.sampled_from(CELLS if i else HEADS))
        if draw(st.booleans()):
            i = draw(st.integers(0, len(rows) - 1))
            rows.insert(i, rows[draw(st.integers(0, len(rows) - 1))])
    else:
        columns = draw(st.integers(1, 5))
        rows = [[draw(st.sampled_from(HEADS)) for _ in range(columns)]]
        for _ in range(draw(st.integers(0, 8))):
            rows.append(
                [draw(st.sampled_from(CELLS)) for _ in range(max(0, columns + draw(st.sampled_from((0, 0, 0, 1, -1)))))]
            )
    text = '\n'.join(separator.join(row) for row in rows) + draw(st.sampled_from(('\n', '', '\n\n', '\r\n', '\0')))
    encoding = draw(st.sampled_from(('utf-8', 'utf-8', 'utf-8-sig', 'utf-16', 'latin-1')))
    return text.encode(encoding, 'replace')


JUDGE_FLAGS = (
    *(
        (),
        (),
        (),
        ('--json',),
        ('--aa',),
        ('--claim', 'A > BB'),
        ('--claim', 'A = BB within 0.1'),
        ('--claim', 'A > A'),
    ),
    *(('--claim', '>'), ('--margin', '0.01'), ('--margin', 'x'), ('--metric', 'loss'), ('--metric', 'accuracy')),
    *(
        ('--variant', 'model'),
        ('--seed', 'run'),
        ('--goal', 'value=max'),
        ('--goal', 'x'),
        ('--step', 'best'),
        ('--step', '3'),
    ),
)


def check_run(arguments: list[str], folder: Path) -> str:
    """Trains with these arguments, and returns the fault; '' if there is none."""
    workdir = folder / 'run'
    ended = forked.run('trainer.main', ['--config=configs/default.py', *arguments, f'--workdir={workdir}'])
    fault = ended.fault((0, 3))
    if not fault and ended.code in (0, 3):
        result = json.loads((workdir / 'result.json').read_text()) if (workdir / 'result.json').exists() else {}
        if not result:
            fault = 'it ended well without a result'
        elif (result['status'] == 'diverged') != (ended.code == 3):
            fault = f'exit code {ended.code} for a run that {result["status"]}'
    return f'{fault}: {ended.err[-1500:]}' if fault else ''


def check_study(text: str, folder: Path) -> str:
    """Trains a study of this file, and returns the fault; '' if there is none."""
    file = folder / 'study.py'
    file.write_text(text, encoding='utf-8')
    ended = forked.run('trainer.compare', [f'--study={file}', f'--workdir={folder / "study"}', '--workers=1'])
    fault = ended.fault((0,))
    if not fault and ended.code == 0 and not (folder / 'study' / 'report' / 'index.html').exists():
        fault = 'it ended well without a report'
    return f'{fault}: {(ended.out + ended.err)[-1500:]}' if fault else ''


def check_table(table: bytes, flags: tuple[str, ...], folder: Path) -> str:
    """Judges this table, and returns the fault; '' if there is none."""
    file = folder / 'runs.csv'
    file.write_bytes(table)
    ended = forked.run('trainer.judge', [str(file), *flags], seconds=60)
    fault = ended.fault((0, 1, 3))
    return f'{fault}: {(ended.out + ended.err)[-1500:]}' if fault else ''
