"""Exports of W&B and MLflow, as wandb 0.31 and mlflow 3.17 wrote them, shortened."""

import sqlite3

import pytest

from seedwise.errors import UserError
from trainer.judging.read import read

VALUES = {('adam', 0): 0.951, ('adam', 1): 0.949, ('sgd', 0): 0.931, ('sgd', 1): 0.928}

#: W&B's table of runs, "Export CSV".
HEAD = '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","lr",{config}"_step","val/accuracy","val/loss"'
ROW = '"{name}","{state}","-","me","","2026-11-01T10:00:00.000Z","12","","0.1",{config}"4","{value}","0.2"'


def ui(*, config: bool) -> str:
    lines = [HEAD.format(config='"optimizer","seed",' * config)]
    for (name, seed), value in VALUES.items():
        own = f'"{name}","{seed}",' * config
        lines.append(ROW.format(name=f'{name}-{seed}', state='finished', config=own, value=value))
    own = '"sgd","7",' * config
    lines.append(ROW.format(name='sgd-7', state='crashed', config=own, value=''))
    lines.append(ROW.format(name='sgd-8', state='running', config=own, value='0.3'))
    return '\n'.join(lines)


#: The frame that W&B's documentation makes of `api.runs()`.
PROJECT = ',summary,config,name\n' + '\n'.join(
    f"{i},\"{{'_step': 4, 'val/accuracy': {value}, 'val/loss': 0.2, '_wandb': {{'runtime': 3}}}}\","
    f"\"{{'optimizer': '{name}', 'seed': {seed}, 'lr': 0.1}}\",fine-sun-{i}"
    for i, ((name, seed), value) in enumerate(VALUES.items())
)

#: A chart, "Export CSV".
CHART = (
    '"Step",'
    + ','.join(f'"{n}-{s} - val/accuracy{end}"' for n, s in VALUES for end in ('', '__MIN', '__MAX'))
    + '\n"0",'
    + ','.join('"0.99"' for _ in VALUES for _ in range(3))
    + '\n"1",'
    + ','.join(f'"{value}"' for value in VALUES.values() for _ in range(3))
)

#: `mlflow experiments csv`, and `mlflow.search_runs().to_csv()`.
MLFLOW = (
    'run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.val_accuracy,params.optimizer,params.seed,'
    'params.lr,tags.mlflow.runName\n'
) + '\n'.join(
    f'{i}ad9,2636,{state},file:///x/{i}ad9/artifacts,2026-11-30 00:31:37.9+00:00,,{value},{name},{seed},0.1,{name}-{seed}'
    for i, (name, seed, state, value) in enumerate(
        [
            *((name, seed, 'FINISHED', value) for (name, seed), value in VALUES.items()),
            ('sgd', 7, 'FINISHED', ''),
            ('sgd', 8, 'FAILED', 0.1),
            ('sgd', 9, 'RUNNING', 0.2),
        ]
    )
)

TABLES = {
    'wandb, runs': (ui(config=True), 'Left out, since they did not finish: 1 crashed and 1 running.'),
    'wandb, runs without a config': (ui(config=False), "Seeds are the numbers at the end of the runs' names."),
    'wandb, frame': (PROJECT, 'A frame of W&B: columns summary, config and name.'),
    'wandb, chart': (CHART, "A chart of W&B: variants and seeds by the runs' names; value: last."),
    'mlflow, runs': (MLFLOW, 'Left out, since they have no metric: 1 run.'),
    'mlflow, a name of both': (MLFLOW.replace('params.lr', 'params.val_accuracy'), 'Runs of MLflow'),
    'mlflow, no params': (MLFLOW.replace('params.optimizer', 'x').replace('params.seed', 'y'), 'Seeds are the numbers'),
}


def check(found, metric: str) -> None:
    assert found.paired
    runs = found.runs.astype({'seed': int}).set_index(['variant', 'seed'])
    assert runs[metric].to_dict() == VALUES
    assert (runs['status'] == 'completed').all()


@pytest.mark.parametrize('name', TABLES)
def test_a_table(tmp_path, name):
    content, words = TABLES[name]
    (tmp_path / 'a.csv').write_text(content)
    found = read([tmp_path / 'a.csv'])
    check(found, next(iter(found.goals)))
    assert words in ' '.join(found.guess)


def test_a_step_of_a_chart_and_what_was_logged_as_nan(tmp_path):
    (tmp_path / 'a.csv').write_text(CHART)
    assert set(read([tmp_path / 'a.csv'], step='0').runs['val/accuracy']) == {0.99}
    assert set(read([tmp_path / 'a.csv'], step='best').runs['val/accuracy']) == {0.99}
    (tmp_path / 'b.csv').write_text(PROJECT.replace('0.928', 'nan'))
    assert read([tmp_path / 'b.csv']).runs['status'].tolist() == ['completed'] * 3 + ['diverged']


def write_folder(store) -> None:
    """A folder `mlruns` with one experiment, in which one run was deleted and one is running."""
    rows = [*((n, s, 3, 'active', v) for (n, s), v in VALUES.items())]
    rows += [('sgd', 8, 3, 'deleted', 0.1), ('sgd', 9, 1, 'active', 0.2)]
    (store / '2636').mkdir(parents=True)
    (store / '2636' / 'meta.yaml').write_text("experiment_id: '2636'\nlifecycle_stage: active\nname: p\n")
    for i, (name, seed, state, stage, value) in enumerate(rows):
        run = store / '2636' / f'{i}ad9'
        for part in ('metrics/val', 'params', 'tags', 'artifacts'):
            (run / part).mkdir(parents=True)
        meta = f"lifecycle_stage: {stage}\nrun_id: {i}ad9\nrun_name: '{name}-{seed}'\nstatus: {state}\ntags: []\n"
        (run / 'meta.yaml').write_text(meta)
        (run / 'metrics' / 'val' / 'accuracy').write_text(f'1795998697774 0.99 0\n1795998697786 {value} 1\n')
        (run / 'params' / 'optimizer').write_text(name)
        (run / 'params' / 'seed').write_text(str(seed))


def test_a_folder_of_mlflow(tmp_path):
    write_folder(tmp_path / 'mlruns')
    for path in (tmp_path, tmp_path / 'mlruns', tmp_path / 'mlruns' / '2636'):
        found = read([path])
        check(found, 'val/accuracy')
        assert 'Left out, since they did not finish: 1 running.' in found.guess
    assert set(read([tmp_path], step='best').runs['val/accuracy']) == {0.99}
    with pytest.raises(UserError, match='has no value at step 7: its last is 1'):
        read([tmp_path], step='7')


def test_a_database_of_mlflow(tmp_path):
    database = sqlite3.connect(tmp_path / 'mlflow.db')
    database.execute('CREATE TABLE runs (run_uuid, name, status, lifecycle_stage)')
    database.execute('CREATE TABLE params (run_uuid, key, value)')
    database.execute('CREATE TABLE metrics (run_uuid, key, value, timestamp, step, is_nan)')
    for i, ((name, seed), value) in enumerate(VALUES.items()):
        database.execute('INSERT INTO runs VALUES (?, ?, ?, ?)', (f'{i}', f'{name}-{seed}', 'FINISHED', 'active'))
        params = [(f'{i}', 'optimizer', name), (f'{i}', 'seed', str(seed))]
        database.executemany('INSERT INTO params VALUES (?, ?, ?)', params)
        points = [(f'{i}', 'val_accuracy', v, 0, s, 0) for s, v in ((1, value), (0, 0.99))]
        database.executemany('INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)', points)
    database.commit()
    check(read([tmp_path / 'mlflow.db']), 'val_accuracy')
    database.execute('UPDATE metrics SET is_nan = 1, value = 0 WHERE run_uuid = "3"')
    database.commit()
    assert read([tmp_path / 'mlflow.db']).runs['status'].tolist() == ['completed'] * 3 + ['diverged']
    database.execute('UPDATE metrics SET step = NULL WHERE run_uuid = "3"')
    database.commit()
    with pytest.raises(UserError, match='is not a store of MLflow'):
        read([tmp_path / 'mlflow.db'])


def test_what_a_killed_run_leaves_is_passed_over_or_refused_in_a_line(tmp_path):
    write_folder(tmp_path / 'mlruns')
    metrics = tmp_path / 'mlruns' / '2636' / '0ad9' / 'metrics'
    (metrics / 'loss').write_text('')
    check(read([tmp_path]), 'val/accuracy')
    (metrics / 'loss').write_text('1795998697774\n')
    with pytest.raises(UserError, match='is not a store of MLflow'):
        read([tmp_path])
    (tmp_path / 'chart.csv').write_text(CHART.splitlines()[0])
    with pytest.raises(UserError):
        read([tmp_path / 'chart.csv'])


def test_what_is_no_store_is_refused_in_a_line(tmp_path):
    (tmp_path / 'own.db').write_bytes(b'SQLite format 3\0' + bytes(100))
    with pytest.raises(UserError, match='is not a store of MLflow'):
        read([tmp_path / 'own.db'])
    folder = tmp_path / 'wandb' / 'offline-run-20261130_003106-qhchxzim'
    folder.mkdir(parents=True)
    (folder / 'run-qhchxzim.wandb').write_bytes(b':W&B')
    with pytest.raises(UserError, match='wandb sync'):
        read([tmp_path / 'wandb'])
