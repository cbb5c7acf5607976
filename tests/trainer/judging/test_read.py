"""What judge reads: tables, TensorBoard folders, logs of Keras and runs, also damaged ones."""

import json
import time

import pandas as pd
import pytest

from seedwise.errors import UserError
from tests.trainer.judging.shared import LONG, MEANS, command
from trainer.judging.read import read
from trainer.judging.results import direction, finish
from trainer.metrics import METRICS


def check(found, goal: str = 'max') -> None:
    """What every form of `LONG` is read into."""
    assert found.paired
    assert list(found.goals.values()) == [goal]
    (metric,) = found.goals
    means = found.runs.groupby('variant')[metric].mean()
    expected = LONG.groupby('optimizer')['val_acc'].mean()
    pd.testing.assert_series_equal(means, expected, check_names=False, atol=1e-6)


# Formats ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('a.csv', lambda: LONG.to_csv(index=False).encode()),
        ('semicolons.csv', lambda: LONG.to_csv(index=False, sep=';', decimal=',').encode()),
        ('tabs.tsv', lambda: LONG.to_csv(index=False, sep='\t').encode()),
        ('bom.csv', lambda: b'\xef\xbb\xbf' + LONG.to_csv(index=False).encode()),
        ('utf16.csv', lambda: LONG.to_csv(index=False).encode('utf-16')),
        (
            'percent.csv',
            lambda: LONG.assign(val_acc=(100 * LONG.val_acc).map('{}%'.format)).to_csv(index=False).encode(),
        ),
        ('spaces.csv', lambda: LONG.to_csv(index=False).replace(',', ', ').encode()),
        ('lines.jsonl', lambda: LONG.to_json(orient='records', lines=True).encode()),
        ('rows.json', lambda: LONG.to_json(orient='records').encode()),
        (
            'mlflow.csv',
            lambda: (
                LONG.rename(
                    columns={'val_acc': 'metrics.val_acc', 'optimizer': 'params.optimizer', 'seed': 'params.seed'}
                )
                .assign(run_id='x', start_time='2026-11-01')
                .to_csv(index=False)
                .encode()
            ),
        ),
        (
            'wandb.csv',
            lambda: (
                LONG.assign(Name=[f'{o}-{s}' for o, s in zip(LONG.optimizer, LONG.seed, strict=True)], State='finished')
                .assign(User='me', Runtime=3)
                .drop(columns=['optimizer', 'lr'])
                .to_csv(index=False)
                .encode()
            ),
        ),
        (
            'melted.csv',
            lambda: LONG.melt(['optimizer', 'seed'], ['val_acc'], 'metric', 'value').to_csv(index=False).encode(),
        ),
    ],
)
def test_tables_of_every_form(tmp_path, name, content):
    (tmp_path / name).write_bytes(content())
    check(read([tmp_path / name]))


def test_a_column_a_variant(tmp_path):
    wide = LONG.pivot(index='seed', columns='optimizer', values='val_acc').reset_index()
    wide.to_csv(tmp_path / 'wide.csv', index=False)
    check(read([tmp_path / 'wide.csv'], metrics=['accuracy']))
    with pytest.raises(UserError, match='say what they measure'):
        read([tmp_path / 'wide.csv'])


@pytest.mark.parametrize(
    ('head', 'metric'),
    [
        ('seed,accuracy,val_loss', 'accuracy'),
        ('seed,zorp,other', 'zorp'),
        ('seed,adam,val_loss', 'zorp'),
        ('seed,acc,val_loss', ''),
    ],
)
def test_columns_that_are_metrics_are_no_variants(tmp_path, head, metric):
    (tmp_path / 'a.csv').write_text(f'{head}\n0,0.9,0.1\n1,0.8,0.2\n', encoding='utf-8')
    with pytest.raises(UserError, match=r'(is a metric|are metrics), and no column names the variants: .*--variant='):
        read([tmp_path / 'a.csv'], metrics=[metric] if metric else [], goals={metric: 'max'} if metric else {})


def test_flags_that_name_one_column_twice(tmp_path):
    (tmp_path / 'a.csv').write_text('variant,seed,acc\na,0,0.9\na,1,0.8\nb,0,0.7\nb,1,0.6\n', encoding='utf-8')
    with pytest.raises(UserError, match="--variant and --seed are both 'seed'"):
        read([tmp_path / 'a.csv'], variant='seed', seed='seed')
    with pytest.raises(UserError, match="column 'seed' is not a metric"):
        read([tmp_path / 'a.csv'], metrics=['seed'])


def test_parquet(tmp_path):
    pytest.importorskip('pyarrow', reason='pyarrow is not installed')
    LONG.to_parquet(tmp_path / 'a.parquet')
    check(read([tmp_path / 'a.parquet']))


def test_one_table_a_variant(tmp_path):
    for name, rows in LONG.groupby('optimizer'):
        rows.to_csv(tmp_path / f'{name}.csv', index=False)
    check(read([tmp_path / f'{name}.csv' for name in MEANS]))


def test_tensorboard_folders_written_by_tensorboard(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for row in LONG.itertuples():
        writer = EventFileWriter(str(tmp_path / f'{row.optimizer}_seed{row.seed}'))
        for step, value in ((1, 0.5), (2, row.val_acc + 0.001), (3, row.val_acc)):
            summary = Summary(value=[Summary.Value(tag='val/acc', simple_value=value)])
            writer.add_event(Event(step=step, wall_time=time.time(), summary=summary))
        writer.close()
    check(read([tmp_path]))
    best = read([tmp_path], step='best').runs
    assert best['val/acc'].mean() == pytest.approx(LONG.val_acc.mean() + 0.001, abs=1e-6)
    assert read([tmp_path], step='1').runs['val/acc'].tolist() == [0.5] * 15
    with pytest.raises(UserError, match='no value at step 7: its last is 3'):
        read([tmp_path], step='7')
    with pytest.raises(UserError, match="unknown tag for --metric 'val/ac'.*Did you mean 'val/acc'"):
        read([tmp_path], metrics=['val/ac'])
    assert 'different steps' not in ' '.join(read([tmp_path]).guess)
    # A file that a crash has cut off is read as far as it goes.
    (file,) = (tmp_path / 'Adam_seed0').iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    assert len(read([tmp_path], step='1').runs) == 15
    assert 'The runs end at different steps, 2 to 3' in ' '.join(read([tmp_path]).guess)


def test_event_files_that_are_damaged_large_or_take_too_long(tmp_path):
    from tensorboard.compat.proto.summary_pb2 import Summary

    from trainer.judging.event_files import Reader
    from trainer.output import events

    values = [events.scalar('val/acc', 0.25), Summary.Value(tag='old', simple_value=0.5)]
    events.replace(
        tmp_path / 'a', [(7, None, values), (8, None, [events.text('note', 'x' * 2**18)]), (9, None, values)]
    )
    points = {tag: [*curve] for tag, curve in Reader().scalars(tmp_path / 'a').items()}
    assert points == {'val/acc': [(7, 0.25), (9, 0.25)], 'old': [(7, 0.5), (9, 0.5)]}
    assert Reader().scalars(tmp_path / 'a', ['old']).keys() == {'old'}
    with pytest.raises(UserError, match='is not read to its end: event files may take .* in all'):
        Reader(seconds=-1).scalars(tmp_path / 'a')
    (file,) = (tmp_path / 'a').glob('events*')
    whole = file.read_bytes()
    file.write_bytes(whole[: 2**18])  # half written, in the long record
    assert [*Reader().scalars(tmp_path / 'a')['old']] == [(7, 0.5)]
    for content in (b'', whole[:5]):
        file.write_bytes(content)
        with pytest.raises(UserError, match='has event files without scalars'):
            read([tmp_path])
    for content in (b'not an event file, but text', whole[:40] + b'\xff' * 400):
        file.write_bytes(content)
        with pytest.raises(UserError, match='is not an event file, or is damaged from its start'):
            read([tmp_path])


def test_logs_of_keras(tmp_path):
    for row in LONG.itertuples():
        folder = tmp_path / row.optimizer
        folder.mkdir(exist_ok=True)
        log = pd.DataFrame({'epoch': [0, 1], 'loss': [1.0, 0.5], 'val_acc': [0.5, row.val_acc]})
        log.to_csv(folder / f'{row.seed}.csv', index=False)
    check(read([tmp_path], metrics=['val_acc']))
    assert list(read([tmp_path]).goals.items()) == [('val_acc', 'max'), ('loss', 'min')]  # Keras's loss is of training


def test_run_folders(tmp_path):
    for row in LONG.itertuples():
        folder = tmp_path / row.optimizer / str(row.seed)
        folder.mkdir(parents=True)
        result = {
            'seed': row.seed,
            'status': 'completed',
            'test': {'accuracy': row.val_acc, 'loss': 0.1},
            'history': [],
        }
        (folder / 'result.json').write_text(json.dumps(result))
    check(read([tmp_path], metrics=['test_accuracy']))
    assert set(read([tmp_path / 'Adam', tmp_path / 'SGD']).runs['variant']) == {'Adam', 'SGD'}
    (tmp_path / 'SGD' / '0' / 'result.json').write_text('{')
    with pytest.raises(UserError, match=r'SGD/0/result\.json is not a result of seedwise'):
        read([tmp_path])


# Bad input ----------------------------------------------------------------------------------------------------------

BAD = {
    'a word': ('variant,seed,acc\na,0,0.9\na,1,high\nb,0,0.8\nb,1,0.7\n', "row 3, column 'acc' holds 'high'"),
    'an empty cell': ('variant,seed,acc\na,0,0.9\na,1,\nb,0,0.8\nb,1,0.7\n', "row 3, column 'acc' is empty"),
    'no variant': ('variant,seed,acc\na,0,0.9\n,1,0.9\n', "row 3, column 'variant' is empty"),
    'a date': ('variant,seed,acc\na,0,0.9\nb,0,2026-11-01\nb,1,0.9\n', "column 'acc' holds '2026-11-01'"),
    'twice': ('variant,seed,acc\na,0,0.9\na,0,0.8\nb,0,0.7\n', "'a' has two runs of seed 0 .row 3"),
    'two of a name': ('variant,acc,acc\na,0.9,0.8\n', "two columns 'acc'"),
    'empty': ('', 'is empty'),
    'one column': ('variant\na\nb\n', 'has one column'),
    'headings alone': ('variant,seed,acc\n', 'has headings and no rows'),
    'a word in a long table': (
        'variant,seed,metric,value\na,0,acc,.9\na,0,loss,.3\nb,0,acc,.8\nb,0,loss,.4\nb,1,acc,x\nb,1,loss,.4\na,1,acc,.9\n',
        "row 6, column 'acc' holds 'x'",
    ),
    'a negated loss': ('variant,seed,-loss\na,0,-1\na,1,-2\nb,0,-1\nb,1,-3\n', '--goal=-loss=max'),
    'an empty seed': ('variant,seed,acc\na,0,0.9\na,,0.8\nb,0,0.7\nb,1,0.7\n', "row 3, column 'seed' is empty"),
    'thousands': (
        'variant,seed,reward\na,0,"998"\na,1,"1,005"\nb,0,900\nb,1,901\n',
        "row 3, column 'reward' holds '1,005': write 1005 or 1.005, whichever it is",
    ),
    'a comma and a point': (
        'variant;seed;reward\na;0;0,98\na;1;1,005\nb;0;0.9\nb;1;1\n',
        "row 2, column 'reward' holds '0,98': other cells have a point",
    ),
    'some with %': (
        'variant,seed,acc\na,0,97.1%\na,1,97.2\nb,0,96%\nb,1,95%\n',
        "row 3, column 'acc' holds '97.2': other cells have %",
    ),
    'no direction': ('variant,seed,zorp\na,0,1\na,1,2\nb,0,1\nb,1,3\n', '--goal=zorp=max'),
}


@pytest.mark.parametrize('name', list(BAD))
def test_what_is_no_result_is_named_by_row_and_column(tmp_path, capsys, name):
    content, words = BAD[name]
    (tmp_path / 'bad.csv').write_text(content)
    code, _, err = command(capsys, tmp_path / 'bad.csv')
    assert code == 2
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    with pytest.raises(UserError, match=words):
        read([tmp_path / 'bad.csv'])


@pytest.mark.parametrize(
    'content',
    [
        b'epoch,lo\x9d\n0,1\n',
        b'',
        b'epoch,loss\n',
        b'epoch,loss\n0,x\n',
        b'epoch,loss\nx,1\n',
        b'epoch,loss\n0,' + b'9' * 400,
    ],
)
def test_a_damaged_log_of_keras_is_named(tmp_path, content):
    (tmp_path / '0.csv').write_bytes(b'epoch,loss\n0,1\n')
    (tmp_path / '1.csv').write_bytes(content)
    with pytest.raises(UserError, match=r'1\.csv (is not a log of Keras|has no epoch)'):
        read([tmp_path])


@pytest.mark.parametrize('changed', [{'seed': [1]}, {'test': {'accuracy': 'high'}}, {'test': {'accuracy': 10**400}}])
def test_a_damaged_result_is_named(tmp_path, changed):
    result = {'seed': 0, 'status': 'completed', 'test': {'accuracy': 0.5}, 'history': []} | changed
    (tmp_path / 'result.json').write_text(json.dumps(result), encoding='utf-8')
    with pytest.raises(UserError, match='result.json is not a result of seedwise'):
        read([tmp_path])
    (tmp_path / 'result.json').write_text('[' * 10**5, encoding='utf-8')
    with pytest.raises(UserError, match='result.json is not a result of seedwise: RecursionError'):
        read([tmp_path])


@pytest.mark.parametrize(
    ('name', 'goal'),
    [
        *[
            (name, 'max')
            for name in ('accuracy', 'val_acc', 'test/accuracy', 'eval.f1', 'val_top_5', 'epoch/val_accuracy')
        ],
        *[(f'test_{name}', metric.goal) for name, metric in METRICS.items()],
        *[(name, 'min') for name in ('loss', 'val_loss', 'test/perplexity', 'train_seconds')],
        *[
            (name, None)
            for name in (
                '-loss',
                'val/-loss',
                'lossless_rate',
                'parameters',
                'accuracy_loss',
                'classification',
                'steps',
            )
        ],
    ],
)
def test_a_direction_is_looked_up_by_whole_words(name, goal):
    assert direction(name) == goal


@pytest.mark.parametrize('seeds', [['0 ', '1 ', '2 '], ['0.0', '1.0', '2.0'], ['00', '01', '02']])
def test_a_seed_is_one_however_it_is_written(tmp_path, seeds):
    rows = [f'a,{seed},0.9{i}' for i, seed in enumerate(seeds)] + [f'b,{i},0.8{i}' for i in range(3)]
    (tmp_path / 'a.csv').write_text('\n'.join(['variant,seed,acc', *rows]), encoding='utf-8')
    found = read([tmp_path / 'a.csv'])
    assert found.paired
    assert found.runs['seed'].tolist() == [0, 1, 2, 0, 1, 2]


def test_seeds_that_are_words_stay_words():
    frame = pd.DataFrame({'variant': ['a', 'a', 'b', 'b'], 'seed': ['x', 1, 'x', '1.0'], 'acc': [0.9, 0.8, 0.7, 0.6]})
    assert finish(frame, ['acc'], {}, 'frame', ()).runs['seed'].tolist() == ['x', '1', 'x', '1']


# What is guessed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('table', 'metrics', 'words'),
    [
        # Neither what a run took nor its training ranks by the order of columns.
        (
            'variant,seed,seconds,train_loss,test_acc\na,0,1,2,0.3\na,1,1,2,0.3\n',
            ['test_acc', 'train_loss', 'seconds'],
            '',
        ),
        ('variant,seed,seconds,dice\na,0,1,2\na,1,1,2\n', None, 'name what counts, --metric=dice'),
        ('variant,seed,acc\na,0,nan\na,1,diverged\nb,0,nan\nb,1,0.5\n', ['acc'], '3 of 4 runs have a metric'),
        ('variant,seed,acc\na,0,97%\na,1,98%\n', ['acc'], 'state margins as shares'),
        ('variant,seed,acc\na,0,97\na,1,98\nb,0,0.97\nb,1,0.98\n', ['acc'], 'above 1 for a and at most 1 for b'),
        ('variant;seed;reward\na;0;1,005\na;1;1,5\n', ['reward'], 'A comma is read as that of decimals'),
        ('variant,seed,reward\na,0,"0,005"\na,1,"1,5"\n', ['reward'], 'A comma is read as that of decimals'),
        ('variant,seed,acc,status\na,0,0.9,Finished\na,1,0.9,ok\n', ['acc'], ''),
        ('variant,seed,acc,status\na,0,0.9,crashed\na,1,0.9,ok\n', None, "row 2, column 'status' holds 'crashed'"),
    ],
)
def test_what_ranks_and_what_counts_as_diverged(tmp_path, table, metrics, words):
    (tmp_path / 'a.csv').write_text(table, encoding='utf-8')
    if metrics is None:
        with pytest.raises(UserError, match=words):
            read([tmp_path / 'a.csv'])
        return
    found = read([tmp_path / 'a.csv'])
    assert list(found.goals) == metrics
    assert words in ' '.join(found.guess)
    assert (found.runs['status'] == 'completed').sum() == pd.to_numeric(
        found.runs[metrics[0]], errors='coerce'
    ).notna().sum()


@pytest.mark.parametrize('metric', ['acc', 'top1', 'val/f1_score', 'test_top_5', 'err', 'macro_f1'])
@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ([97.1, 97.2, 0.961, 0.962], 'is above 1 for a and at most 1 for b: are all in one unit?'),
        ([0.971, 97.2, 0.961, 0.962], 'is above 1 in some runs of a and at most 1 in others: are all in one unit?'),
        ([0.971, 0.972, 0.961, 0.962], ''),
        ([1.1, 1.2, 0.961, 0.962], ''),
    ],
)
def test_shares_in_two_units(metric, values, words):
    frame = pd.DataFrame({'variant': ['a', 'a', 'b', 'b'], 'seed': [0, 1, 0, 1], metric: values})
    assert finish(frame, [metric], {}, 'frame', ()).guess == ((f'{metric} {words}',) if words else ())
