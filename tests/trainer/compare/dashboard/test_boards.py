"""A study in TensorBoard: right at any moment for what is finished."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.util import tensor_util

from trainer.compare import grid, runs
from trainer.compare.analysis.statistics import mean_interval
from trainer.compare.analysis.tuning.replicates import by_replicate
from trainer.compare.dashboard import MOST_SHOWN, Dashboard
from trainer.output import events


@pytest.fixture
def copy(workdir, tmp_path) -> Path:
    """The results of the study, without its boards."""
    for path in workdir.glob('*/*/result.json'):
        target = tmp_path / path.parent.relative_to(workdir)
        target.mkdir(parents=True)
        shutil.copy2(path, target)
    return tmp_path


def specs_of(study, workdir) -> list[grid.RunSpec]:
    return grid.runs_of(grid.variants_of(study), grid.seeds_of(study), workdir)


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns the points of each scalar in the event files of a folder."""
    accumulator = EventAccumulator(str(folder), {'tensors': 0})
    accumulator.Reload()
    return points(accumulator)


def points(accumulator: EventAccumulator) -> dict[str, list[tuple[int, float]]]:
    return {
        tag: [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()['tensors']
        if accumulator.SummaryMetadata(tag).plugin_data.plugin_name == 'scalars'
    }


def boards(workdir: Path) -> dict[str, dict]:
    return {
        str(path.relative_to(workdir)): read(path)
        for top in ('mean', 'seeds')
        for path in [workdir / top, *(workdir / top).rglob('*')]
        if path.is_dir() and list(path.glob(f'{events.PREFIX}*'))
    }


def histories(workdir: Path, variant: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(workdir.glob(f'{variant}/*/result.json'))]


def test_means_and_intervals_are_those_of_the_report(workdir):
    table = pd.read_csv(workdir / 'report' / 'table.csv', dtype={'rate': str})
    assert len(table) == 4
    for row in table.to_dict('records'):
        found = read(workdir / 'mean' / f'{row["optimizer"]}-rate_{row["rate"]}')
        for metric in ('test_accuracy', 'test_loss'):
            assert found[f'result/{metric}'][0][1] == pytest.approx(row[metric], abs=1e-5)
            for end in ('low', 'high'):
                shown = found[f'mean_interval/result/{metric}/{end}'][0][1]
                assert shown == pytest.approx(row[f'{metric}_{end}'], abs=1e-5)


def test_curves_are_means_over_seeds_with_t_intervals(workdir):
    found = read(workdir / 'mean' / 'Adam-rate_1e-01')
    rows = list(zip(*(result['history'] for result in histories(workdir, 'Adam-rate_1e-01')), strict=True))
    assert len(rows) == 3
    for split in ('train', 'validation'):
        for metric in ('accuracy', 'loss'):
            values = np.array([[row[f'{split}_{metric}'] for row in pair] for pair in rows])
            steps = [pair[0]['step'] for pair in rows]
            assert found[f'{metric}/{split}'] == [
                (s, pytest.approx(v)) for s, v in zip(steps, values.mean(1), strict=True)
            ]
            least = 0.0 if metric == 'accuracy' else -np.inf  # what it can be
            low = [(s, pytest.approx(max(least, mean_interval(v)[0]))) for s, v in zip(steps, values, strict=True)]
            assert found[f'mean_interval/{metric}/{split}/low'] == low


def test_it_is_right_at_any_moment_and_for_several_processes(study, workdir, copy):
    specs = specs_of(study, copy)
    results = {spec: spec.result() for spec in specs}
    for path in copy.glob('*/*/result.json'):
        path.rename(path.with_name('later.json'))
    two = [Dashboard('small', grid.seeds_of(study), copy) for _ in range(2)]
    for dashboard in two:
        dashboard.begin(grid.variants_of(study))
    assert list(boards(copy)) == ['mean']
    live = {}
    for i, spec in enumerate(sorted(specs, key=lambda spec: (spec.seed, spec.variant.name))):
        (spec.workdir / 'later.json').rename(spec.workdir / 'result.json')
        two[i % 2].finished(spec)
        finished = [results[s] for s in specs if s.variant.name == spec.variant.name and s.result()]
        folder = copy / 'mean' / spec.variant.name
        accuracy = np.mean([result['test']['accuracy'] for result in finished])
        assert [value for _, value in read(folder)['result/test_accuracy']] == [pytest.approx(accuracy)]
        # A reader that was there all along sees the same.
        live.setdefault(folder, EventAccumulator(str(folder), {'tensors': 0})).Reload()
        assert points(live[folder]) == read(folder)
    assert boards(copy) == boards(workdir)


def test_what_a_kill_left_behind_is_tidied_up(study, workdir, copy):
    Dashboard('small', grid.seeds_of(study), copy).begin(grid.variants_of(study))
    folder = copy / 'mean' / 'Adam-rate_1e-02'
    (newest,) = folder.glob(f'{events.PREFIX}*')
    (folder / '.partial').write_bytes(b'torn')
    shutil.copy(newest, folder / f'{events.PREFIX}0000000000.{"0" * 16}')  # the one before it, not yet deleted
    next(copy.glob('seeds/*/*/events*')).unlink()
    Dashboard('small', grid.seeds_of(study), copy).begin(grid.variants_of(study))
    assert list(folder.glob(f'{events.PREFIX}*')) == [newest]
    assert boards(copy) == boards(workdir)


#: What happens to a study -> what its board then shows.
CHANGES = {
    'a variant less': (('Adam-rate_1e-01', 'SGD-rate_1e-02', 'SGD-rate_1e-01'), (0, 1)),
    'a variant by another name': (('Adam-rate_1e-02', 'Adam-rate_1e-01', 'SGD-rate_1e-02', 'SGD at 0.1'), (0, 1)),
    'a seed less': (('Adam-rate_1e-02', 'Adam-rate_1e-01', 'SGD-rate_1e-02', 'SGD-rate_1e-01'), (1,)),
    'another seed': (('Adam-rate_1e-02', 'Adam-rate_1e-01', 'SGD-rate_1e-02', 'SGD-rate_1e-01'), (1, 5)),
}


@pytest.mark.parametrize('change', CHANGES)
def test_it_shows_what_the_study_is_now(study, copy, change):
    variants = {variant.name: variant for variant in grid.variants_of(study)}
    Dashboard('small', [0, 1], copy).begin([*variants.values()])
    results = sorted(copy.glob('*/*/result.json'))
    names, seeds = CHANGES[change]
    old = variants['SGD-rate_1e-01']
    now = [variants.get(name) or grid.Variant('SGD_at_0.1', old.labels, old.config) for name in names]
    Dashboard('small', seeds, copy).begin(now)
    shown = boards(copy)
    there = [v for v in now if (copy / v.name).is_dir()]
    assert set(shown) == {'mean'} | {f'mean/{v.name}' for v in there} | {
        f'seeds/{v.name}/{seed}' for v in there for seed in seeds if seed < 2
    }
    # As if it had never been another, and no result is lost.
    shutil.rmtree(copy / 'mean')
    shutil.rmtree(copy / 'seeds')
    Dashboard('small', seeds, copy).begin(now)
    assert boards(copy) == shown
    assert sorted(copy.glob('*/*/result.json')) == results


def test_a_result_that_is_deleted_leaves_the_board(study, copy):
    Dashboard('small', [0, 1], copy).begin(grid.variants_of(study))
    (copy / 'Adam-rate_1e-02' / '1' / 'result.json').unlink()
    Dashboard('small', [0, 1], copy).begin(grid.variants_of(study))
    assert 'seeds/Adam-rate_1e-02/1' not in boards(copy)
    [other] = histories(copy, 'Adam-rate_1e-02')
    shown = read(copy / 'mean' / 'Adam-rate_1e-02')['result/test_accuracy']
    assert [value for _, value in shown] == [pytest.approx(other['test']['accuracy'])]


def test_no_process_deletes_what_another_has_just_written(study, copy):
    """A shard that does not know yet what trials have chosen; a process with fewer seeds, as one that was not restarted."""
    variants = grid.variants_of(study)
    two = [Dashboard('small', [0, 1], copy) for _ in range(2)]
    two[0].begin(variants)
    chosen = [variant.name for variant in variants[2:]]
    two[1].begin(variants[:2], later=chosen)
    before = boards(copy)
    assert {f'mean/{name}' for name in chosen} <= set(before)
    Dashboard('small', [0], copy).begin(variants)
    assert 'seeds/Adam-rate_1e-02/1' not in boards(copy)
    for spec in specs_of(study, copy):
        two[0].finished(spec)
    assert boards(copy) == before


def test_one_seed_has_no_interval_and_a_diverged_run_is_in_no_mean(study, copy):
    spec = specs_of(study, copy)[0]
    result = spec.result()
    result |= {'status': 'diverged', 'test': {'loss': None, 'accuracy': None, 'examples': 0}}
    (spec.workdir / 'result.json').write_text(json.dumps(result))
    other = histories(copy, spec.variant.name)[1]
    Dashboard('small', grid.seeds_of(study), copy).begin(grid.variants_of(study))
    found = read(copy / 'mean' / spec.variant.name)
    assert found['result/test_accuracy'] == [(other['steps'], pytest.approx(other['test']['accuracy']))]
    assert not any('mean_interval' in tag for tag in found)
    assert 'seed_result/test_accuracy' not in read(copy / 'seeds' / spec.variant.name / str(spec.seed))


def test_intervals_are_over_replicates_of_tuning(study, copy):
    """Of 8 seeds in 4 replicates, each replicate counts once, as in the report's tables."""
    variant = grid.variants_of(study)[0]
    result = histories(copy, variant.name)[0]
    accuracies = [0.90, 0.91, 0.92, 0.97, 0.86, 0.91, 0.92, 0.99]
    specs = grid.runs_of([variant], range(8), copy)
    for spec, accuracy in zip(specs, accuracies, strict=True):
        result |= {'seed': spec.seed, 'config_hash': spec.hash}
        result['test']['accuracy'] = accuracy
        result['history'] = [row | {'validation_accuracy': accuracy - 0.1} for row in result['history']]
        spec.workdir.mkdir(exist_ok=True)
        (spec.workdir / 'result.json').write_text(json.dumps(result))
    of = {seed: seed % 4 for seed in range(8)}
    Dashboard('small', range(8), copy, replicates=of).begin([variant])
    found = read(copy / 'mean' / variant.name)
    units = by_replicate(runs.read(specs)[0], of)
    assert len(units) == 4
    low, high = mean_interval(units['test_accuracy'].to_numpy(float))
    assert [v for _, v in found['mean_interval/result/test_accuracy/low']] == [pytest.approx(low)]
    assert [v for _, v in found['mean_interval/result/test_accuracy/high']] == [pytest.approx(high)]
    shown = [v for _, v in found['mean_interval/accuracy/validation/low']]
    assert shown == pytest.approx([low - 0.1] * 3)


def test_every_run_is_a_session_of_its_variants_group_and_axes_are_typed_columns(workdir):
    def contents(tag):
        found = {}
        for path in workdir.rglob(f'{events.PREFIX}*'):
            accumulator = EventAccumulator(str(path))
            accumulator.Reload()
            with contextlib.suppress(KeyError):
                content = accumulator.PluginTagToContent('hparams').get(tag)
                if content is not None:
                    found[str(path.parent.relative_to(workdir))] = content
        return found

    starts = contents(metadata.SESSION_START_INFO_TAG)
    assert sorted(starts) == sorted(f'seeds/{p.parent.relative_to(workdir)}' for p in workdir.glob('*/*/result.json'))
    start = metadata.parse_session_start_info_plugin_data(starts['seeds/Adam-rate_1e-02/1'])
    assert start.group_name == 'Adam-rate_1e-02'
    assert (start.hparams['optimizer'].string_value, start.hparams['rate'].number_value) == ('Adam', 0.01)

    (experiment,) = map(metadata.parse_experiment_plugin_data, contents(metadata.EXPERIMENT_TAG).values())
    columns = {column.name: column for column in experiment.hparam_infos}
    assert columns['optimizer'].type == api_pb2.DATA_TYPE_STRING
    assert [value.string_value for value in columns['optimizer'].domain_discrete.values] == ['Adam', 'SGD']
    assert columns['rate'].type == api_pb2.DATA_TYPE_FLOAT64
    assert [value.number_value for value in columns['rate'].domain_discrete.values] == [0.01, 0.1]
    assert [metric.display_name for metric in experiment.metric_infos] == [
        *('test accuracy ↑', 'test loss ↓', 'validation accuracy ↑', 'validation loss ↓')
    ]


def test_more_runs_than_tensorboard_shows_leave_the_means(study, copy):
    dashboard = Dashboard('small', range(MOST_SHOWN // 4), copy)
    dashboard.begin(grid.variants_of(study))
    found = boards(copy)
    assert 'mean/Adam-rate_1e-02' in found
    assert not (copy / 'seeds').exists()
    # Where so many seeds are the most that a variant may get, those that there are decide.
    Dashboard('small', range(MOST_SHOWN // 4), copy, at_most=True).begin(grid.variants_of(study))
    assert 'seeds/Adam-rate_1e-02/1' in boards(copy)
    accumulator = EventAccumulator(str(copy / 'mean' / 'Adam-rate_1e-02'), {'tensors': 0})
    accumulator.Reload()
    (text,) = tensor_util.make_ndarray(accumulator.Tensors('variant')[0].tensor_proto).ravel()
    assert text.startswith(b'2 seeds finished, of at most 125.')
