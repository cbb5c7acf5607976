"""A study's folder: one that cannot be written, or is another study's, is refused in one line before a run trains."""

import json
import os
from pathlib import Path

import pytest

from seedwise.errors import UserError
from seedwise.storage import files
from tests.helpers import finish, study_text
from tests.trainer.compare.driver import NOBODY, refuse
from tests.trainer.disks import mounted
from trainer import results
from trainer.compare import grid
from trainer.compare.checks import folder
from trainer.compare.tuning.search import searches_of

STUDY = study_text(
    'config.base.model.hidden = (8,)',
    'config.base.epochs = 1',
    "config.base.jit = 'off'",
    "config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}",
    'config.seeds = 2',
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='only root can be somebody else')


@pytest.fixture
def file(tmp_path) -> Path:
    # Where others can read it, too: pytest's folders are their owner's alone.
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.owner() == 'root' and parent.name.startswith(('test_', 'popen-', 'pytest-')):
            parent.chmod(0o755)
    (tmp_path / 'small.py').write_text(STUDY, encoding='utf-8')
    return tmp_path / 'small.py'


def plan(config, workdir: Path) -> list[grid.RunSpec]:
    grid.prepare(config)
    return grid.runs_of(grid.variants_of(config), grid.seeds_of(config), workdir)


def config_of(text: str = STUDY):
    scope: dict = {}
    exec(text, scope)
    return scope['get_config']()


def begin(spec: grid.RunSpec, **changes) -> None:
    """Leaves in a run's folder what a run leaves there that was stopped."""
    spec.workdir.mkdir(parents=True, exist_ok=True)
    fields = json.loads(results.to_json(spec.config)) | changes
    files.write_json(spec.workdir / 'config.json', fields)


# Another study's ----------------------------------------------------------------------------------------------------


def test_a_study_that_was_changed_while_nothing_had_finished_is_refused_at_once(file, tmp_path):
    for spec in plan(config_of(), tmp_path / 'w')[1:]:
        begin(spec)
    line = refuse(f'--study={file}', f'--workdir={tmp_path / "w"}', '--study.base.epochs=6')
    assert 'holds another config (epochs was 1, is 6): choose another --workdir' in line
    assert not list((tmp_path / 'w').glob('*/*/.lock'))


@pytest.mark.parametrize(
    ('left', 'words'),
    [
        (lambda spec: begin(spec), None),
        (lambda spec: begin(spec, checkpoint={'keep': 9}), None),  # what is kept of a run is no part of it
        (lambda spec: begin(spec, seed=7), 'seed was 7, is 1'),
        (lambda spec: begin(spec, loss={'name': 'mean_squared_error'}), 'loss.name was'),
        (lambda spec: (spec.workdir / 'checkpoints').mkdir(parents=True), 'without its config.json'),
        (lambda spec: spec.workdir.mkdir(parents=True), None),
        (lambda spec: begin(spec) or (spec.workdir / 'config.json').write_text('{', encoding='utf-8'), 'is damaged'),
    ],
)
def test_each_run_that_was_begun_is_held_against_the_study(tmp_path, left, words):
    specs = plan(config_of(), tmp_path)
    left(specs[-1])
    if words is None:
        folder.check_runs(specs)
    else:
        with pytest.raises(UserError, match=words):
            folder.check_runs(specs)


def test_a_config_is_made_for_each_variant_and_not_for_each_run(tmp_path):
    """10,000 runs that were begun are checked in 1.5 s (one core of an AMD EPYC), of which 1 s is to read their files."""
    config = config_of()
    config.seeds = 100
    specs = plan(config, tmp_path)
    fields = {spec.variant.name: json.loads(results.to_json(spec.config)) for spec in plan(config_of(), tmp_path)[::2]}
    for spec in specs:
        spec.workdir.mkdir(parents=True)
        files.write_json(spec.workdir / 'config.json', fields[spec.variant.name] | {'seed': spec.seed})
    folder.check_runs(specs)
    assert sum('config' in vars(spec) for spec in specs) == 2


TUNED = study_text(
    'config.base.data.validation = 200',
    "config.axes = {'optimizer': {'SGD': {'optimizer': {'name': 'SGD'}}}}",
    'config.seeds = 2',
    "config.tune = {'trials': 3, 'metric': 'validation_accuracy'}",
    "config.tune.tiers = {'rate': {'SGD': {'optimizer': {'learning_rate': ('log', 1e-4, 1.0)}}}}",
)


@pytest.mark.parametrize(
    ('trials', 'of', 'words'),
    [
        (3, 3, None),
        (4, 3, 'holds what was chosen from 3 trials, and tune.trials is 4'),  # they may choose another
        (3, 1, None),  # which of them it was is checked once all have finished
        (3, None, 'another config than that of any trial'),
    ],
)
def test_runs_that_the_trials_cannot_have_chosen_are_refused(tmp_path, trials, of, words):
    config = config_of(TUNED)
    config.tune.trials = trials
    grid.prepare(config)
    (search,) = searches_of(config, grid.variants_of(config), tmp_path)
    specs = search.trials()
    for spec in specs[:3]:
        begin(spec)
    chosen = specs[(of or 1) - 1].variant
    [run, _] = grid.runs_of([chosen], [0, 1], tmp_path)
    begin(run, **({} if of else {'epochs': 9}))
    if words is None:
        folder.check_chosen(specs, [0, 1], tmp_path)
    else:
        with pytest.raises(UserError, match=words):
            folder.check_chosen(specs, [0, 1], tmp_path)


# One that cannot be written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('small.py', 'small.py is a file, not a folder'),
        ('small.py/w', 'small.py is a file, not a folder'),
        ('x' * 300, 'has a name of 300 bytes'),
        ('/proc/w', 'No such file or directory'),
    ],
)
def test_a_place_for_no_folder(file, tmp_path, name, words):
    line = refuse(f'--study={file}', f'--workdir={tmp_path / name}')
    assert str(tmp_path / name) in line or len(name) == 300
    assert words in line
    assert 'choose another --workdir' in line


@needs_root
@pytest.mark.parametrize('which', ['.', 'w', 'w/report', 'w/SGD/0'])
def test_a_folder_of_somebody_else(file, tmp_path, which):
    """The folder above it, its own, that of the report, that of a run which was begun."""
    if which == '.':
        where = tmp_path / 'w'
    else:
        where = tmp_path / which
        begin(plan(config_of(), tmp_path / 'w')[-2])
        for path in [tmp_path / 'w', *(tmp_path / 'w').rglob('*')]:
            os.chown(path, NOBODY, NOBODY)
        where.mkdir(exist_ok=True)
        os.chown(where, 0, 0)
        where.chmod(0o755)
    line = refuse(f'--study={file}', f'--workdir={tmp_path / "w"}', user=NOBODY)
    assert str(where) in line
    assert 'Permission denied' in line


@pytest.mark.parametrize('kind', ['read-only', 'full'])
def test_a_file_system_that_cannot_be_written(file, tmp_path, kind):
    with mounted(tmp_path / 'disk') as disk:
        disk.remount('ro') if kind == 'read-only' else disk.leave(0)
        line = refuse(f'--study={file}', f'--workdir={tmp_path / "disk" / "w"}')
    assert f'{tmp_path / "disk" / "w"} cannot be written: ' in line
    assert ('Read-only file system' if kind == 'read-only' else 'No space left on device') in line


def test_a_run_that_was_copied_without_its_config_is_taken(tmp_path):
    spec = plan(config_of(), tmp_path)[0]
    spec.workdir.mkdir(parents=True)
    files.write_json(spec.workdir / 'result.json', {'config_hash': spec.hash})
    folder.check_runs([spec])


# A disk that fills up ------------------------------------------------------------------------------------------------


def test_a_study_whose_disk_is_full_stops_at_once_keeps_what_is_finished_and_continues(file, tmp_path):
    words = (f'--study={file}', f'--workdir={tmp_path / "disk"}', '--workers=1', '--noreport')
    words += ('--study.base.tensorboard.enabled=false',)
    with mounted(tmp_path / 'disk', '400k') as disk:
        specs = plan(config_of(), tmp_path / 'disk')
        disk.leave(180)  # 108 KiB a run
        said = finish(*words, code=2)
        assert said.count('No space left on device') == 1
        assert 'the same command continues' in said
        assert not list(disk.folder.glob('*/*/error.txt'))
        before = {spec: spec.result() for spec in specs}
        assert 1 <= sum(result is not None for result in before.values()) < 4
        disk.make_space()
        finish(*words)
        assert all(spec.result() for spec in specs)
        assert all(spec.result() == result for spec, result in before.items() if result)
        assert not list(disk.folder.glob('*/*/.*partial*'))
