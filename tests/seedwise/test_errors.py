"""A name that is in no table is answered with the table and the nearest of it."""

import pytest

from seedwise.errors import LONGEST, UserError, unknown


def test_the_table_and_the_nearest():
    error = unknown('loss.name', 'hnge', ['mse', 'hinge'])
    assert isinstance(error, UserError)
    assert str(error) == "unknown loss.name 'hnge': accepted are hinge, mse. Did you mean 'hinge'?"


def test_nothing_near_is_not_guessed():
    assert str(unknown('loss.name', 'xyz', ['mse', 'hinge'])) == "unknown loss.name 'xyz': accepted are hinge, mse."


@pytest.mark.parametrize('typed', ['nadam', 'NADAM', 'Nadm'])
def test_case_does_not_matter(typed):
    assert str(unknown('optimizer', typed, ['Adagrad', 'Nadam'])).endswith("Did you mean 'Nadam'?")


@pytest.mark.parametrize(('typed', 'meant'), [('adma', 'Adam'), ('f1', 'macro_f1'), ('float16', 'mixed_float16')])
def test_swapped_letters_and_whole_words_are_nearer_than_letters_in_common(typed, meant):
    names = ['Adam', 'Adamax', 'float32', 'float64', 'macro_f1', 'mixed_float16']
    assert str(unknown('name', typed, names)).endswith(f"Did you mean '{meant}'?")


def test_an_empty_name_can_be_seen():
    assert "accepted are '', digits." in str(unknown('data.fallback', 'mnist', ['', 'digits']))


def test_a_long_table_is_cut_to_the_nearest():
    names = [f'name_{i}' for i in range(200)]
    message = str(unknown('field', 'name_77x', names))
    assert len(message) < LONGEST
    assert 'accepted are name_77, ' in message
    assert ", ... (200 in all). Did you mean 'name_77'?" in message


def test_others_are_named_only_where_they_are_the_nearest():
    others = ['--config.epochs', '--config.steps']
    near, far = (str(unknown('flag', typed, ['--workdir'], others)) for typed in ('--epochs', '--wrokdir'))
    assert near == "unknown flag '--epochs': accepted are --workdir. Did you mean '--config.epochs'?"
    assert far.endswith("accepted are --workdir. Did you mean '--workdir'?")
