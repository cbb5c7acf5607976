"""A torn checkpoint is never read as one: the newest that is whole serves."""

from pathlib import Path

import pytest
import tensorflow as tf

from seedwise.errors import UserError
from trainer.checkpoints import Checkpoints


def make(folder, values=(0.0, 0.0), keep=2, **options):
    variables = [tf.Variable([value] * 1000) for value in values]
    options = {'every_steps': 0, 'every_seconds': 0.0} | options
    return Checkpoints(folder / 'checkpoints', variables, keep=keep, **options), variables


@pytest.fixture
def saved(tmp_path):
    """A folder with checkpoints of steps 9 and 10, and variables of the same value as the step."""
    for step in (8, 9, 10):
        checkpoints, _ = make(tmp_path, values=(float(step), float(step)))
        checkpoints.save({'step': step})
    return tmp_path


def test_nothing_to_restore(tmp_path):
    assert make(tmp_path)[0].restore() is None


def test_the_newest_is_restored_and_the_last_are_kept(saved):
    (saved / 'checkpoints' / 'step-x.index').touch()  # not one of ours
    checkpoints, variables = make(saved)
    assert checkpoints.restore() == {'step': 10}
    assert [variable.numpy()[0] for variable in variables] == [10, 10]
    (saved / 'checkpoints' / 'step-x.index').unlink()
    assert sorted(path.name for path in (saved / 'checkpoints').glob('*.index')) == ['step-10.index', 'step-9.index']


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b'')


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize('damage', [remove, empty, truncate, flip])
@pytest.mark.parametrize('file', ['step-10.index', 'step-10.data-00000-of-00001'])
def test_a_damaged_one_gives_way_to_the_one_before(saved, damage, file):
    damage(saved / 'checkpoints' / file)
    checkpoints, variables = make(saved)
    assert checkpoints.restore() == {'step': 9}
    assert [variable.numpy()[0] for variable in variables] == [9, 9]
    checkpoints.save({'step': 10})
    assert make(saved)[0].restore() == {'step': 10}


def test_a_damaged_one_takes_no_place_of_a_whole_one(saved):
    for path in (saved / 'checkpoints').glob('step-10.data*'):
        truncate(path)
    checkpoints, _ = make(saved, keep=1)
    assert checkpoints.restore() == {'step': 9}
    # Saved again, as a trial that pauses does, nothing is replaced: a kill would leave half of it.
    before = {path: path.stat().st_mtime_ns for path in (saved / 'checkpoints').iterdir()}
    checkpoints.save({'step': 9})
    assert before == {path: path.stat().st_mtime_ns for path in (saved / 'checkpoints').iterdir()}
    (saved / 'checkpoints' / 'step-10.index').rename(saved / 'checkpoints' / 'step-20.index')
    checkpoints.save({'step': 11})
    assert [path.name for path in (saved / 'checkpoints').glob('*.index')] == ['step-11.index']
    assert make(saved)[0].restore() == {'step': 11}


def test_all_damaged_is_told(saved):
    for path in (saved / 'checkpoints').glob('*.data*'):
        truncate(path)
    with pytest.raises(UserError, match='can be read: delete that folder to train from the start'):
        make(saved)[0].restore()


def test_a_kill_in_the_middle_of_the_first_leaves_none(tmp_path, monkeypatch):
    """TensorFlow writes the index in its place: for a moment it is there and empty."""
    checkpoints, _ = make(tmp_path)

    def killed(prefix):
        Path(f'{prefix}.data-00000-of-00001').touch()
        Path(f'{prefix}.index').touch()
        raise SystemExit

    monkeypatch.setattr(checkpoints._checkpoint, 'write', killed)
    with pytest.raises(SystemExit):
        checkpoints.save({'step': 1})
    again, _ = make(tmp_path)
    assert again.restore() is None
    again.save({'step': 2})
    assert make(tmp_path)[0].restore() == {'step': 2}
    names = sorted(path.name for path in (tmp_path / 'checkpoints').iterdir())
    assert names == ['step-2.data-00000-of-00001', 'step-2.index']


def test_one_of_another_model_is_not_taken(saved):
    with pytest.raises(UserError, match='can be read'):
        make(saved, values=(0.0, 0.0, 0.0))[0].restore()


def test_it_is_time_by_steps_or_by_seconds(tmp_path):
    by_steps, by_seconds, never = (
        make(tmp_path, **options)[0] for options in ({'every_steps': 5}, {'every_seconds': 1e-9}, {})
    )
    assert [by_steps.due(step) for step in (4, 5)] == [False, True]
    by_steps.save({'step': 5})
    assert [by_steps.due(step) for step in (9, 10)] == [False, True]
    assert by_seconds.due(1)
    assert not never.due(10**9)
