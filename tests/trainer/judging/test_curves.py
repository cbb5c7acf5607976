"""Tables of learning curves, and columns that are not used."""

import pandas as pd
import pytest

from seedwise.errors import UserError
from trainer.judging.read import read

FOLDS = 'Folds of cross-validation share training examples'


def curves(time: str, seeds: int | None) -> pd.DataFrame:
    """Five epochs of two variants: the best is the fourth, 0.9 above the seed, and the last 0.8."""
    return pd.DataFrame(
        [
            {'variant': variant, time: epoch, 'val_acc': value + seed / 100}
            | ({} if seeds is None else {'seed': seed})
            | {'lr': 0.1}
            for variant in 'ab'
            for seed in range(seeds or 1)
            for epoch, value in enumerate([0.1, 0.2, 0.5, 0.9, 0.8])
        ]
    )


def write(folder, frame: pd.DataFrame) -> list:
    frame.to_csv(folder / 'a.csv', index=False)
    return [folder / 'a.csv']


@pytest.mark.parametrize('time', ['epoch', 'step', 'Step', 'iteration', 'global_step', '_step', 'trainer/global_step'])
@pytest.mark.parametrize('seeds', [None, 2])
def test_a_row_an_epoch_is_not_a_row_a_run(tmp_path, time, seeds):
    paths = write(tmp_path, curves(time, seeds))
    found = read(paths)
    assert found.runs['val_acc'].round(6).tolist() == ([0.8, 0.81] * 2 if seeds else [0.8] * 2)
    assert found.paired == bool(seeds)
    line = f"Learning curves: column '{time}'; value: last (--step=best or a number takes another)."
    assert line in found.guess
    assert read(paths, step='best').runs['val_acc'].max() == pytest.approx(0.91 if seeds else 0.9)
    assert read(paths, step='1').runs['val_acc'].min() == 0.2
    with pytest.raises(UserError, match='a has no value at step 7: its last is 4'):
        read(paths, step='7')


def test_what_is_not_measured_at_each_step_and_what_diverges(tmp_path):
    frame = curves('step', 2).astype({'val_acc': object}).assign(loss=1.0)
    frame.loc[4, 'val_acc'] = None  # the last of seed 0 of a
    frame.loc[9, 'val_acc'] = 'nan'  # and of seed 1
    runs = read(write(tmp_path, frame)).runs
    assert runs['val_acc'].iloc[[0, 2]].tolist() == [0.9, 0.8]
    assert runs['status'].tolist() == ['completed', 'diverged', 'completed', 'completed']
    frame.loc[:4, 'val_acc'] = None
    with pytest.raises(UserError, match="'val_acc' of 'a' is empty at every 'step'"):
        read(write(tmp_path, frame))


def test_curves_in_long_and_wide_tables(tmp_path):
    frame = curves('epoch', 2).drop(columns='lr')
    long = frame.melt(['variant', 'seed', 'epoch'], ['val_acc'], 'metric', 'value')
    assert read(write(tmp_path, long)).runs['val_acc'].round(6).tolist() == [0.8, 0.81] * 2
    wide = frame.pivot(index=['seed', 'epoch'], columns='variant', values='val_acc').reset_index()
    found = read(write(tmp_path, wide), metrics=['accuracy'])
    assert found.runs['accuracy'].round(6).tolist() == [0.8, 0.81] * 2
    found = read(write(tmp_path, wide[wide['seed'] == 0].drop(columns='seed')), metrics=['accuracy'])
    assert found.runs['accuracy'].tolist() == [0.8] * 2
    assert not found.paired


def test_runs_that_nothing_tells_apart_are_refused(tmp_path):
    for frame in (curves('epoch', 2).drop(columns='seed'), pd.concat([curves('epoch', 2)] * 2)):
        with pytest.raises(UserError, match="row .*: 'a' has several runs with a column 'epoch'.* with --seed"):
            read(write(tmp_path, frame))
    # Where each run has one row, its step is no curve.
    frame = curves('epoch', 2).groupby(['variant', 'seed'], as_index=False).last()
    frame['epoch'] = [3, 9, 4, 7]
    assert 'Learning curves' not in ' '.join(read(write(tmp_path, frame)).guess)
    assert read(write(tmp_path, curves('iteration', None)), seed='iteration').runs['seed'].max() == 4


def test_a_metric_that_is_called_time_and_cells_that_are_lists(tmp_path):
    frame = curves('epoch', 2).assign(time=[5, 4, 3, 2, 1] * 4)
    assert set(read(write(tmp_path, frame)).runs['time']) == {1}
    frame['step'] = [[1, 2]] * len(frame)
    frame['seed'] = [[seed] for seed in frame['seed']]
    frame.to_json(tmp_path / 'a.json', orient='records')
    assert read([tmp_path / 'a.json']).runs['seed'].tolist() == ['[0]', '[1]'] * 2
    # A step that is the same in all rows says nothing: each row is a seed.
    wide = pd.DataFrame({'step': 9, 'a': [0.5, 0.6], 'b': [0.5, 0.7]})
    assert len(read(write(tmp_path, wide), metrics=['accuracy']).runs) == 4


def test_a_table_of_curves_that_begins_with_epoch_is_no_log_of_keras(tmp_path):
    frame = curves('epoch', None)[['epoch', 'variant', 'val_acc']].assign(val_loss=0.1)
    assert len(read(write(tmp_path, frame)).runs) == 2


@pytest.mark.parametrize(
    ('columns', 'words'),
    [
        ({'optimizer': ['Adam', 'SGD']}, 'it differs within a variant: optimizer. --variant=optimizer judges by it;'),
        (
            {'learning_rate': [0.1, 0.2], 'policy': ['x', 'y']},
            'they differ within a variant: learning_rate and policy.',
        ),
        ({'params.lr': [0.1, 0.2]}, 'it differs within a variant: params.lr.'),
        ({'optimizer': ['Adam', 'Adam'], 'seconds': [1, 2], 'f2': [0.1, 0.2]}, ''),
        (
            {'date': ['2026-11-01', '2026-11-02'], 'out': ['runs/a', 'runs/b'], 'host': ['x', 'y'], 'note': ['p', 'q']},
            '',
        ),
        ({'commit': ['abc', 'abd'], 'run_name': ['fine-sun', 'new-sun'], 'begun': ['2026-11-01', '2026-11-02']}, ''),
    ],
)
def test_what_differs_within_a_variant_and_is_not_used(tmp_path, columns, words):
    frame = pd.DataFrame(
        {'variant': [*'aaaabbbb'], 'seed': [0, 1, 2, 3] * 2, 'acc': 0.5}
        | {name: values * 4 for name, values in columns.items()}
    )
    lines = [line for line in read(write(tmp_path, frame)).guess if line.startswith('Not used')]
    assert len(lines) == bool(words)
    assert words in ' '.join(lines)


@pytest.mark.parametrize(('seed', 'warned'), [('fold', True), ('Fold', True), ('seed', False)])
def test_folds_share_training_examples(tmp_path, seed, warned):
    frame = pd.DataFrame({'variant': [*'aabb'], seed: [0, 1] * 2, 'acc': [0.5, 0.6, 0.7, 0.8]})
    assert (FOLDS in ' '.join(read(write(tmp_path, frame)).guess)) == warned
