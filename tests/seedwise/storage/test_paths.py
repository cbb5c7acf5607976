"""Each way in which a path that a user gives can be odd: it works, or one line says why not."""

import multiprocessing
import os
import signal

import pytest

from seedwise.errors import UserError
from seedwise.storage import paths
from tests.forks import without_tensorflow
from tests.helpers import ROOT, run

RUN = ('--config=configs/mlp_adam.py', '--config.data.name=digits', '--config.epochs=0')


@pytest.mark.parametrize('scheme', ['gs', 's3', 'hdfs', 'https', 'file', 'abfs+x'])
def test_a_place_that_is_no_folder_of_this_machine_is_refused(scheme):
    with pytest.raises(UserError, match='is not a folder of this machine.*mount it'):
        paths.folder(f'{scheme}://b/run', '--workdir')


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('file/run', 'file is a file, not a folder'),
        ('file', 'is a file, not a folder'),
        ('dangling/run', 'is a symbolic link to .*nothing, which does not exist'),
        ('loop/run', 'symbolic link|Too many levels'),
        ('x' * 300, 'has a name of 300 bytes'),
        ('é' * 200, 'has a name of 400 bytes'),
        ('a\0b', 'null character'),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(tmp_path, text, reason):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'dangling').symlink_to(tmp_path / 'nothing')
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    with pytest.raises(UserError, match=reason):
        paths.folder(f'{tmp_path}/{text}', '--workdir')


def test_an_unknown_user_and_a_deleted_folder_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match='no such user'):
        paths.local('~nobody_of_this_name/run', '--workdir')
    gone = tmp_path / 'gone'
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UserError, match='the current folder has been deleted'):
        paths.local('run', '--workdir')


def test_home_is_expanded_and_links_to_folders_are_followed(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert paths.folder('~/run', '--workdir') == tmp_path / 'run'
    (tmp_path / 'link').symlink_to(tmp_path)
    assert paths.folder(f'{tmp_path}/link/run', '--workdir') == tmp_path / 'link' / 'run'


def test_a_run_in_a_folder_of_an_odd_name_says_where_it_is(tmp_path):
    name = 'a \'b\' "c" é %d {} [red]x[/] -z'
    result = run(tmp_path / name, *RUN)
    assert '[red]x[/] -z' in result['stdout']
    assert result['status'] == 'completed'


def test_every_command_refuses_such_places_before_tensorflow_starts(tmp_path):
    study = '--study=configs/studies/raj_optimizers_losses.py'
    for module, *words in (
        ('trainer.main', *RUN, '--workdir=gs://b/run'),
        ('trainer.main', *RUN, '--config.data.data_dir=gs://b/data'),
        (
            'trainer.main',
            '--config=configs/mlp_adam.py',
            f'--config.data.data_dir={tmp_path}',
            '--config.data.manual_dir=s3://b',
        ),
        ('trainer.main', '--config=gs://b/mine.py'),
        ('trainer.compare', study, '--workdir=gs://b/study'),
        ('trainer.compare', study, '--study.base.data.data_dir=gs://b/data', f'--workdir={tmp_path}'),
        ('data_pipeline.prepare', '--dataset=mnist', '--data_dir=gs://b/data'),
    ):
        ended = without_tensorflow().run(module, *words, environ=os.environ)
        assert (ended.code, ended.err.count('\n')) == (2, 1), ended.err
        assert '://b' in ended.err
    assert not os.path.exists(ROOT / 'gs:')


def test_a_scratch_folder_goes_with_its_process_or_with_the_next_one(tmp_path):
    process = multiprocessing.get_context('fork').Process(target=_killed_while_it_writes, args=(tmp_path / 'made',))
    process.start()
    process.join()
    (tmp_path / f'.made.{os.getpid()}.scratch.other').mkdir()  # of a process that runs
    (tmp_path / '.maderial.1.scratch.x').mkdir()
    assert len([*tmp_path.iterdir()]) == 3
    with paths.scratch(tmp_path / 'made') as folder:
        assert {*tmp_path.iterdir()} == {folder, *tmp_path.glob('.made.*.other'), *tmp_path.glob('.maderial.*')}
    assert not folder.exists()


def _killed_while_it_writes(path):
    with paths.scratch(path) as folder:
        (folder / 'half').write_text('')
        os.kill(os.getpid(), signal.SIGKILL)
