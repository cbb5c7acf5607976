"""Every write that can fail, failing: one line with the path and the reason, and the same command continues."""

import contextlib
import errno
import io
import json
import os
import subprocess
import sys

import pytest

from seedwise import commands
from seedwise.errors import CannotWrite, UserError, is_of_file_system, writing
from seedwise.storage import files
from tests.forks import with_tensorflow
from tests.helpers import ROOT
from tests.trainer.disks import mounted
from trainer.compare.dashboard import Dashboard
from trainer.output import events

FULL, READ_ONLY = 'No space left on device', 'Read-only file system'

#: Case of `writing_cases.py` -> (what cannot be written, why); the run ends by it.
ENDS = {
    'workdir, read-only': ('', READ_ONLY),
    'workdir, a file': ('', 'it is a file; choose another --workdir'),
    'config.json, full': ('/config.json', FULL),
    'checkpoints, full': ('/checkpoints', FULL),
    'checkpoints, full at the second': ('/checkpoints', FULL),
    'model.keras, full': ('/model.keras', FULL),
    'model.keras, a folder': ('/model.keras', 'Is a directory'),
    'result.json, full': ('/result.json', FULL),
    'result.json, a folder': ('/result.json', 'Is a directory'),
    'test_correct.npy, a folder': ('/test_correct.npy', 'Is a directory'),
}

#: Case -> why there are no events; the run goes on.
GOES_ON = {
    'tensorboard, full': FULL,
    'tensorboard, read-only': READ_ONLY,
    'tensorboard, a file': 'it is a file',
}


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> dict:
    """What came of a run for each case, and the weights of an undisturbed one."""
    with mounted(tmp_path_factory.mktemp('probe')):
        pass  # skips where that is impossible
    folder = str(tmp_path_factory.mktemp('cases'))
    ended = with_tensorflow().run('tests.trainer.writing_cases', folder, environ=os.environ, seconds=600)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize('case', [*ENDS, *GOES_ON])
def test_a_run_says_what_it_cannot_write_and_continues_to_the_same_weights(trained, case):
    error, said, left, later, sha = trained['cases'][case]
    if case in ENDS:
        path, reason = ENDS[case]
        assert f'{path} cannot be written: {reason}' in error
        assert error.startswith('CannotWrite: ')
        assert said == ''
    else:
        assert error == ''
        assert f'/tensorboard cannot be written: {GOES_ON[case]}; the run goes on' in said
        assert len(said.splitlines()) == 1
    # Nothing torn takes up space, and what was saved before is still there.
    expected = {
        'checkpoints, full at the second': ['step-4.index'],
        'result.json, a folder': ['.result.json.partial'],
        'test_correct.npy, a folder': ['.test_correct.npy.partial'],
    }
    assert left == expected.get(case, [])
    assert later == ''
    assert sha == trained['undisturbed']


@pytest.mark.parametrize(
    ('number', 'whole'),
    [
        *((number, True) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)),
        *((number, False) for number in (errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EMFILE)),
    ],
    ids=lambda value: errno.errorcode.get(value, '') if value is not True else '',
)
def test_what_is_wrong_with_a_file_system_is_told_from_what_is_wrong_with_a_path(tmp_path, monkeypatch, number, whole):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, 'fsync', fail)
    with pytest.raises(CannotWrite) as error:
        files.write_json(tmp_path / 'result.json', {})
    assert f'{tmp_path / "result.json"} cannot be written: {os.strerror(number)}' in str(error.value)
    assert is_of_file_system(error.value) is whole
    assert ('the same command continues' in str(error.value)) is whole
    # TensorFlow has the words alone.
    assert is_of_file_system(CannotWrite(tmp_path, os.strerror(number))) is whole
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_of_a_file_system_also_where_a_library_has_put_its_own_in_front():
    error = UserError('the dataset could not be prepared')
    assert not is_of_file_system(error)
    error.__cause__ = OSError(errno.ENOSPC, 'full')
    assert is_of_file_system(error)
    assert not is_of_file_system(UserError('something else'))


def test_a_library_s_words_are_not_repeated_in_full():
    with pytest.raises(CannotWrite, match=r'^x cannot be written: Input/output error; '), writing('x'):
        raise OSError(errno.EIO, "Can't write data\n(file write failed: time = ..., errno = 5)")


def test_an_event_file_is_replaced_whole_or_not_at_all(tmp_path):
    with mounted(tmp_path / 'disk') as disk:
        disk.leave(8)
        assert events.replace(disk.folder / 'board', [(0, None, [events.scalar('a', 1.0)])])
        before = list((disk.folder / 'board').iterdir())
        with pytest.raises(OSError, match=FULL):
            events.replace(disk.folder / 'board', [(0, None, [events.text('a', 'x' * 10_000)])])
        assert list((disk.folder / 'board').iterdir()) == before


def test_a_board_that_cannot_be_written_costs_no_run(tmp_path, capsys):
    from tests.trainer.compare.checks.test_folder import config_of, plan

    specs = plan(config_of(), tmp_path)
    variants = [spec.variant for spec in specs[::2]]
    board = Dashboard('small', [0, 1], tmp_path)
    board.begin(variants)
    (tmp_path / 'mean' / 'Adam' / '.lock').unlink()
    (tmp_path / 'mean' / 'Adam' / '.lock').mkdir()
    board.finished(specs[0])
    board.finished(specs[1])
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert 'mean/Adam/.lock cannot be written: Is a directory' in said.replace('\n', '')
    with pytest.raises(CannotWrite):
        board.begin(variants)


# What `configs.commands.run` makes of the rest ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (PermissionError(errno.EACCES, 'Permission denied', '/a/b'), 'error: /a/b: Permission denied'),
        (OSError(errno.ENOSPC, FULL), f'error: the output: {FULL}'),
        (
            FileNotFoundError(2, 'No usable temporary directory found'),
            'error: TMPDIR: No usable temporary directory found',
        ),
        (OSError(errno.EROFS, READ_ONLY, b'/a/b'), f'error: /a/b: {READ_ONLY}'),
    ],
    ids=str,
)
def test_an_error_of_a_file_is_one_line_wherever_it_comes_from(capsys, error, line):
    def main(argv):
        raise error

    assert commands.run(main) == 2
    assert capsys.readouterr().err == f'{line}\n'


def test_an_error_without_a_file_is_not_hidden():
    def main(argv):
        raise ConnectionResetError(errno.ECONNRESET, 'reset')

    with pytest.raises(ConnectionResetError):
        commands.run(main)


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='there is no /dev/full here')
@pytest.mark.parametrize('shown', ['short', 'x' * 100_000], ids=['when it ends', 'at once'])
def test_output_to_a_full_disk_is_one_line(shown):
    code = f'import sys; from seedwise import commands; sys.exit(commands.run(lambda argv: print({shown!r}) or 0))'
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'}
    options = {'cwd': ROOT, 'env': environment, 'stderr': subprocess.PIPE, 'timeout': 60}
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([sys.executable, '-c', code], stdout=full, **options)
    assert (done.returncode, done.stderr.decode()) == (2, f'error: the output: {FULL}\n')


@pytest.mark.parametrize('encoding', ['ascii', 'iso-8859-1', 'utf-8'])
def test_what_a_terminal_cannot_show_does_not_end_a_command(monkeypatch, encoding):
    shown = io.BytesIO()
    streams = io.TextIOWrapper(shown, encoding), io.TextIOWrapper(io.BytesIO(), encoding)
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        assert commands.run(lambda argv: print('größer ↑ \udcff') or 0) == 0
    assert '\\udcff' in shown.getvalue().decode(encoding)
