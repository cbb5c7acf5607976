"""Any command line and any file of results: the flags of every command, right and wrong, and damaged files for `judge`.

Whatever is given either works or ends with exit code 2 and one line, as in inputs.py.
"""

import functools
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from hypothesis import strategies as st

from tests.faults import forked, inputs, small
from tests.helpers import ROOT
from tests.trainer.judging import test_trackers as trackers
from trainer.output import events

#: Values that few flags take.
ODD = (
    '',
    ' ',
    '-1',
    '0',
    'x',
    'nan',
    '1e99',
    'ä',
    '--',
    '/proc/none',
    '/dev/null',
    'a=b',
    '\n',
    'x' * 3000,
    '%s',
    '..',
)

QUICK = (f'--config={ROOT}/configs/mlp_adam.py', '--config.data.name=digits', '--config.steps=1', '--workers=1')

#: Flag -> values of it, for a comparison without a study file.
COMPARE = {
    'vary': (
        *('optimizer.name=Adam,SGD', 'optimizer.name=SGD,Sgd', 'optimizer.name=Adam,Adam', 'optimizer.name=Adam'),
        *(
            'optimizer.learning_rate=1e-3:1e-1:log2',
            'optimizer.learning_rate=0:1:log2',
            'optimizer.learning_rate=1:0:2',
        ),
        *(
            'optimizer.learning_rate=0.1,-1',
            'model.hidden=(4,),(8,)',
            'model.hidden=(4,',
            'optimizer.nam=Adam',
            'seed=1,2',
        ),
        *(
            'optimizer.name',
            '=',
            'optimizer.name=',
            'optimizer.name=,',
            'loss.label_smoothing=0.0:0.1:lin2',
            'jit=on,off',
        ),
    ),
    'claim': (
        'Adam > SGD',
        'Adam = SGD within 0.1',
        'Adam > SGD by 0.1 on test_loss',
        'Adam > Adam',
        '>',
        'A > B',
        'Adam =',
    ),
    'margin': ('0.01', 'test_loss=0.1', '-1', 'x', 'accuracy=', '0'),
    'seeds': ('1', '2', '0', '-1', 'x', '1.5'),
    'budget': ('1s', '30s', '0s', 'until 25:00', 'until 23:59', '-1m', '1h30', '1e9h', 'm'),
    'shard': ('0/1', '0/2', '2/2', '-1/2', '0/0', '1', 'x/y'),
    'engine': ('local', 'rays', ''),
    'workers': ('0', '1', '-1', '2000', 'x'),
    'plan': (None,),
    'aa': (None,),
    'until-decided': (None,),
    'report_only': (None,),
    'noreport': (None,),
    'save': ('{folder}/saved.py', '/proc/none/x.py', ''),
    'config.steps': ('0', '-1', 'x'),
    'config.nothing': ('1',),
}

#: Command -> what it takes: words in their order, flags with values, and words without which it would not end.
COMMANDS = {
    'trainer.predict': (
        (('{run}', '{run}', '/proc/none', ''), ('{folder}/in.npy', '{folder}/in.csv', '/proc/none', '{folder}', '{run}')),
        {
            'format': ('table', 'csv', 'json', 'xml'),
            'output': ('{folder}/out.csv', '{folder}/out.json', '/proc/none/out', '{folder}'),
            'top': ('1', '10', '99999999999', '-1'),
            'invert': (None,),
            'trust': (None,),
        },
    ),
    'trainer.export': (
        (('{run}', '{run}', '/proc/none', '{folder}'),),
        {
            'format': ('saved_model', 'litert', 'onnx', 'h5'),
            'output': ('{folder}/out', '{folder}/in.npy', '/proc/none/out', '{run}'),
            'trust': (None,),
        },
    ),
    'trainer.serve': (
        (('/proc/none', '{folder}', '', '{folder}/in.npy'),),
        {'port': ('0', '-1', '65536', 'x'), 'host': ('127.0.0.1', '999.1.1.1', ''), 'trust': (None,)},
    ),
    'data_pipeline.prepare': (
        ((),),
        {
            'dataset': ('digits', 'digit', 'MNIST', 'mnist:9.9.9', '../x', 'folder:/proc/none', 'cifar10/x', 'x.npz'),
            'manual_dir': ('/proc/none', '{folder}', '/dev/null'),
            'data_dir': ('{folder}/data', '/dev/null', '/proc/data'),
        },
    ),
    'trainer.judge': (
        (('{study}', '{run}', '/proc/none', '{folder}', ''), ((), (), '{run}', '{study}')),
        {
            'report': ('{folder}/report', '/dev/null', '{folder}/in.npy'),
            'claim': ('Adam > SGD', 'Adam = SGD within 0.1', '>', 'Adam > Adam on x'),
            'goal': ('test_loss=min', 'test_loss=x', '='),
            'margin': ('0.01', 'test_loss=-1', 'x'),
            'metric': ('test_loss', 'test_los'),
            'step': ('last', 'best', '3', 'x'),
            'json': (None,),
            'aa': (None,),
        },
    ),
    'launch': (
        (('local', 'slurm', 'ray', 'kubernetes', 'tpu', 'vertex', 'slrum', ''),),
        {
            'workers': ('1', '0', '-1', '2000000'),
            'nodes': ('2', '0'),
            'array': ('3', '-1'),
            'shards': ('2', '0'),
            'image': ('a/b:c', 'a b', '$(boom)'),
            'zone': ('us-west4-a', '`boom`', ''),
            'bucket': ('gs://mine', 'mine', 'gs://', '"'),
            'time': ('1:00:00', '\n'),
            'name': ('run-1', 'Run 1', 'a;b'),
            'restarts': ('0', '-1', '1.5'),
            'spot': (None,),
            'memory': ('8Gi', 'many'),
        },
    ),
}  # fmt: skip


@st.composite
def flags_of(draw, known: dict[str, tuple], most: int) -> list[str]:
    """Draws some of the flags, each with one of its values or an odd one."""
    names, found = draw(st.lists(st.sampled_from([*known, 'nothing']), max_size=most)), []
    for name in names:
        value = draw(st.sampled_from(known.get(name, ODD)))
        if value is not None and draw(st.integers(0, 9)) == 0:
            value = draw(st.sampled_from(ODD))
        found.append(f'--{name}' if value is None else f'--{name}={value}')
    return found


@st.composite
def lines(draw) -> tuple[str, list[str]]:
    """Draws a command and its words; {run}, {study} and {folder} stand for folders."""
    command = draw(st.sampled_from(('trainer.compare', 'trainer.compare', *COMMANDS)))
    if command == 'trainer.compare':
        vary = [f'--vary={draw(st.sampled_from(COMPARE["vary"]))}'] if draw(st.integers(0, 4)) else []
        return command, [*QUICK, '--seeds=1', *vary, *draw(flags_of(COMPARE, 4)), '--workdir={folder}/work']
    places, flags = COMMANDS[command]
    words = [draw(st.sampled_from(place)) for place in places if place]
    given = draw(flags_of(flags, 3))
    if command == 'launch':
        trained = ['python', '-m', 'trainer.main', '--config=configs/mlp_adam.py']
        asked = ['python', '-m', 'trainer.main', '--help']  # what `local` starts ends at once
        behind = ['--', *(asked if words == ['local'] else trained)] if draw(st.booleans()) else []
        return command, [*words, *given, *behind]
    return command, [*filter(lambda word: word != (), words), *given]


def check_line(drawn: tuple[str, list[str]], folder: Path) -> str:
    """Runs the command, and returns the fault; '' if there is none."""
    command, words = drawn
    shutil.copytree(small.finished(), folder / 'run')
    shutil.copytree(small.study() / 'work', folder / 'study')
    (folder / 'in.csv').write_text('1,2,3\n', encoding='utf-8')
    (folder / 'in.npy').write_bytes(b'\x93NUMPY')
    places = {'run': folder / 'run', 'study': folder / 'study', 'folder': folder}
    for name, path in places.items():
        words = [word.replace('{' + name + '}', str(path)) for word in words]
    ended = forked.run(command, words, seconds=120, folder=folder if command != 'trainer.compare' else None)
    codes = {'trainer.judge': (0, 1, 3), 'launch': (0, 1)}.get(command, (0,))
    fault = ended.fault(codes)
    return f'{fault}: {(ended.out + ended.err)[-1500:]}' if fault else ''


ROWS = pd.DataFrame(
    [
        {'optimizer': name, 'seed': seed, 'val_acc': 0.9 + 0.01 * len(name) + 0.001 * (seed % 3), 'lr': 0.1}
        for name in ('Adam', 'SGD', 'Nadam')
        for seed in range(4)
    ]
)


def _table(write: Callable, name: str, folder: Path) -> None:
    write(folder / name)


def _tensorboard(folder: Path) -> None:
    for row in ROWS.itertuples():
        curve = [(step, None, [events.scalar('val/acc', row.val_acc - 1 / step)]) for step in (1, 2, 30)]
        events.replace(folder / f'{row.optimizer}_seed{row.seed}', curve)


def _keras(folder: Path) -> None:
    for row in ROWS.itertuples():
        log = pd.DataFrame({'epoch': [0, 1], 'loss': [1.0, 0.5], 'val_acc': [0.5, row.val_acc]})
        (folder / row.optimizer).mkdir(exist_ok=True)
        log.to_csv(folder / row.optimizer / f'{row.seed}.csv', index=False)


def _database(folder: Path) -> None:
    with sqlite3.connect(folder / 'mlflow.db') as database:
        database.execute('CREATE TABLE runs (run_uuid, name, status, lifecycle_stage)')
        database.execute('CREATE TABLE params (run_uuid, key, value)')
        database.execute('CREATE TABLE metrics (run_uuid, key, value, timestamp, step, is_nan)')
        for i, row in enumerate(ROWS.itertuples()):
            database.execute('INSERT INTO runs VALUES (?, ?, ?, ?)', (f'{i}', f'r-{i}', 'FINISHED', 'active'))
            database.execute('INSERT INTO params VALUES (?, ?, ?)', (f'{i}', 'optimizer', row.optimizer))
            database.execute('INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)', (f'{i}', 'acc', row.val_acc, 0, 1, 0))
    database.close()


def _study(folder: Path) -> None:
    shutil.copytree(small.study() / 'work', folder / 'study')


#: What `judge` reads, each as a function that writes it into a folder.
WRITERS: dict[str, Callable[[Path], object]] = {
    **{
        name: functools.partial(_table, write, name)
        for name, write in {
            'a.csv': functools.partial(ROWS.to_csv, index=False),
            'a.tsv': functools.partial(ROWS.to_csv, index=False, sep='\t'),
            'a.json': functools.partial(ROWS.to_json, orient='records'),
            'a.jsonl': functools.partial(ROWS.to_json, orient='records', lines=True),
            'a.parquet': ROWS.to_parquet,
        }.items()
    },
    **{
        name: functools.partial(lambda text, folder: (folder / 'a.csv').write_text(text, encoding='utf-8'), text)
        for name, (text, _) in trackers.TABLES.items()
    },
    'tensorboard': _tensorboard,
    'keras': _keras,
    'mlflow.db': _database,
    'mlruns': lambda folder: trackers.write_folder(folder / 'mlruns'),
    'study': _study,
}

#: What takes the place of a part of a file.
PARTS = (
    *(b'', b'\0', b'\xff\xfe', b'\xc3', b'nan', b'Infinity', b'1e999', b'null', b'9' * 400),
    *(b'"', b'{', b'[', b',', b'\n', b'-'),
)


def damage(file: Path, rng: random.Random) -> str:
    """Changes a file, and returns how."""
    content = file.read_bytes()
    place, length = rng.randrange(len(content) + 1), rng.choice((0, 1, 1, 8, 100, 10**9))
    new = rng.choice((*PARTS, rng.randbytes(8)))
    file.write_bytes(content[:place] + new + content[place + length :])
    return f'{file.name}: {new!r} for {length} bytes at {place} of {len(content)}'


def read(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Judges results of some form, of which files are damaged; returns (1, the fault)."""
    name, flags = rng.choice([*WRITERS]), rng.choice(inputs.JUDGE_FLAGS)
    given = folder / 'given'
    given.mkdir()
    WRITERS[name](given)
    files = sorted(path for path in given.rglob('*') if path.is_file())
    done = [damage(rng.choice(files), rng) for _ in range(rng.choice((0, 1, 1, 2, 5)))]
    only = [path for path in files if path.parent == given]
    ended = forked.run('trainer.judge', [str(only[0] if len(only) == 1 else given), *flags], seconds=150)
    fault = ended.fault((0, 1, 3))
    return 1, f'{name}, {flags}, {done}: {fault}: {(ended.out + ended.err)[-2500:]}' if fault else ''
