"""FILE.py:NAME: what is found without running the file, what counts for the hash, and what a user's fault looks like."""

import contextlib
import json
import sys

import pytest

from configs import default
from seedwise import dotted, references
from seedwise.errors import UserError
from seedwise.references import running
from trainer import results
from trainer.config import check

#: Of the default config, before any of `results.ADDED` was there.
HASH = '2eebe997b52df3a75f1a3a9ac32f887501f4e32c68f24a67228109f29f538e60'

MINE = """
import keras
from parts import WIDTH

def net(image_shape, classes, width=WIDTH, *, rate=0.1):
    return None

class Own(keras.optimizers.SGD):
    pass

def anything(labels, logits, **options):
    return labels
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / 'mine.py').write_text(MINE)
    (tmp_path / 'parts.py').write_text('WIDTH = 16\n')
    (tmp_path / 'other.py').write_text('nobody imports this\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(**fields):
    made = default.get_config()
    made.model.name = 'mine.py:net'
    made.unlock()
    for path, value in fields.items():
        section, _, name = path.partition('__')
        made[section][name] = value
    return made


def test_what_is_right_is_accepted_without_running_the_file(mine):
    check.check(config(model__options={'width': 3, 'rate': 0.5}))
    check.check(config(optimizer__name='mine.py:Own', optimizer__options={'momentum': 0.9}))
    check.check(config(loss__name='mine.py:anything', loss__options={'gamma': 2}))


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'model__name': 'mine.py:nte'}, "unknown name in model.name 'nte'.*Did you mean 'net'"),
        ({'model__name': 'mien.py:net'}, "unknown file in model.name 'mien.py'.*Did you mean 'mine.py'"),
        ({'model__name': 'nowhere/mine.py:net'}, 'nowhere/mine.py does not exist'),
        (
            {'model__name': 'absent:net'},
            'no module .absent. in the installed packages; of a file it must be FILE.py:NAME',
        ),
        ({'model__name': 'mine.py:'}, 'it must be FILE.py:NAME'),
        ({'model__options': {'widht': 3}}, "unknown option of model.name 'widht': accepted are rate, width.*'width'"),
        ({'model__options': {'classes': 3}}, "unknown option of model.name 'classes'"),
        ({'model__name': 'mlp', 'model__options': {'width': 3}}, 'model.options are for FILE.py:NAME'),
        ({'optimizer__name': 'mine.py:Own', 'optimizer__weight_decay': 0.5}, 'optimizer.weight_decay is set'),
    ],
)
def test_what_is_wrong_is_one_line_with_the_nearest(mine, fields, words):
    with pytest.raises(UserError, match=words) as error:
        check.check(config(**fields))
    assert '\n' not in str(error.value)


def test_a_file_that_does_not_parse_is_named_with_its_line(mine):
    (mine / 'mine.py').write_text('def net(:\n')
    with pytest.raises(UserError, match=r'mine\.py, line 1: SyntaxError'):
        check.check(config())


def test_the_hash_is_of_what_the_files_hold_and_not_of_where_they_are(mine, tmp_path_factory, monkeypatch):
    before = results.config_hash(config())
    assert before == results.config_hash(config(model__name=f'{mine}/mine.py:net'))
    (mine / 'other.py').write_text('x = 1\n')
    assert results.config_hash(config()) == before
    (mine / 'parts.py').write_text('WIDTH = 17\n')
    assert results.config_hash(config()) != before
    (mine / 'parts.py').write_text('WIDTH = 16\n')
    assert results.config_hash(config()) == before
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    for name in ('mine.py', 'parts.py'):
        (elsewhere / name).write_text((mine / name).read_text())
    monkeypatch.chdir(elsewhere)
    assert results.config_hash(config()) == before


def test_fields_that_are_new_change_no_hash_of_a_run_without_them():
    """The hash of the default config has been this one from the first field that was added on."""
    assert results.config_hash(default.get_config()) == HASH
    fields = json.loads(default.get_config().to_json())
    for path, value in results.ADDED.items():
        assert dotted.get(fields, path) == value, path


def test_a_run_keeps_its_files_and_refuses_an_edit_once_it_has_trained(mine):
    folder = mine / 'run'
    folder.mkdir()
    (mine / 'parts.py').write_text('WIDTH = 15\n')
    results.begin(folder, config())
    (mine / 'parts.py').write_text('WIDTH = 16\n')
    results.begin(folder, config())
    assert (folder / 'sources' / 'parts.py').read_text() == 'WIDTH = 16\n'
    (folder / 'checkpoints').mkdir()
    assert (folder / 'sources' / 'mine.py').read_text() == MINE
    assert {file.name for file in (folder / 'sources').iterdir()} == {'mine.py', 'parts.py'}
    results.begin(folder, config())
    (mine / 'parts.py').write_text('WIDTH = 17\n')
    with pytest.raises(UserError, match=r'parts\.py was edited since the run in .*run began'):
        results.begin(folder, config())


def test_packages_next_to_the_file_are_kept_and_in_the_hash(mine):
    inner = mine / 'layers' / 'deep'
    inner.mkdir(parents=True)
    (mine / 'layers' / '__init__.py').write_text('')
    (inner / 'norm.py').write_text('AXIS = 1\n')
    (mine / 'mine.py').write_text(f'from layers.deep.norm import AXIS\n{MINE}')
    before = results.config_hash(config())
    (mine / 'run' / 'checkpoints').mkdir(parents=True)
    results.begin(mine / 'run', config())
    assert (mine / 'run' / 'sources' / 'layers' / 'deep' / 'norm.py').read_text() == 'AXIS = 1\n'
    (inner / 'norm.py').write_text('AXIS = 2\n')
    assert results.config_hash(config()) != before
    with pytest.raises(UserError, match=r'layers/deep/norm\.py was edited since the run'):
        results.begin(mine / 'run', config())


DEFINED = """
try:
    from nowhere import fast as inner
except ImportError:
    def inner(image_shape, classes): return 1
if inner:
    typed: object = inner
    def needs(image_shape, classes, width, *, rate, depth=3): return 1
def few(shape): return 1
def rate(learning_rate=0.1, **more): return 1
def no_rate(): return 1
"""


@pytest.mark.parametrize(
    ('field', 'name', 'options', 'words'),
    [
        ('model.name', 'inner', {}, ''),
        ('model.name', 'typed', {}, ''),
        ('model.name', 'needs', {'width': 1, 'rate': 2}, ''),
        ('model.name', 'needs', {'width': 1}, 'needs requires the argument rate: set model.options.rate'),
        ('model.name', 'few', {}, r'few takes 1 arguments by position: it must take \(image_shape, classes\)'),
        ('optimizer.name', 'rate', {'anything': 1}, ''),
        ('optimizer.name', 'no_rate', {}, 'no_rate takes no learning_rate, which it must take'),
    ],
)
def test_a_function_is_checked_against_how_it_is_called(tmp_path, field, name, options, words):
    file = tmp_path / 'defined.py'
    file.write_text(DEFINED)
    with pytest.raises(UserError, match=words) if words else contextlib.nullcontext():
        references.check(references.Reference(file, name), field, references.FIELDS[field], options)


def test_a_users_fault_is_shown_from_the_users_first_line_on(tmp_path, capsys):
    file = tmp_path / 'bad.py'
    file.write_text(
        'def outer():\n    return inner()\n\n\ndef inner():\n    return 1 / 0\n\n\ndef leaves():\n    raise SystemExit(3)\n'
    )
    function = running.load(references.Reference(file, 'outer'))
    with pytest.raises(UserError, match=r'bad\.py, line 6: ZeroDivisionError'):
        running.call(function, file)
    shown = capsys.readouterr().err
    assert shown.splitlines()[0].strip().startswith(f'File "{file}", line 2, in outer')
    assert 'references.py' not in shown
    with pytest.raises(UserError, match=r'bad\.py, line 10: SystemExit'):
        running.call(running.load(references.Reference(file, 'leaves')), file)


def test_options_may_have_any_name(tmp_path):
    assert running.call(lambda x, file, function: (x, file, function), tmp_path, 0, file=1, function=2) == (0, 1, 2)


def test_a_file_that_raises_while_it_is_imported_can_be_mended(tmp_path):
    file = tmp_path / 'bad.py'
    file.write_text('1 / 0\n')
    with pytest.raises(UserError, match=r'bad\.py, line 1: ZeroDivisionError'):
        running.load(references.Reference(file, 'x'))
    file.write_text('x = 3\n')
    assert running.load(references.Reference(file, 'x')) == 3
    assert not [
        name for name in sys.modules if name.endswith('_bad') and 'source' in name and sys.modules[name] is None
    ]


def test_a_module_of_an_installed_package(tmp_path, monkeypatch):
    package = tmp_path / 'hers' / 'nets'
    package.mkdir(parents=True)
    (tmp_path / 'hers' / '__init__.py').write_text('raise ImportError("not before it is needed")')
    (package / '__init__.py').write_text('from .small import net')
    (package / 'small.py').write_text('def net(image_shape, classes, width=3): return width')
    monkeypatch.syspath_prepend(str(tmp_path))
    found = references.parse('hers.nets.small:net', 'model.name')
    assert found.file == package / 'small.py'
    assert references.parse('hers.nets:net', 'model.name').file == package / '__init__.py'
    references.check(found, 'model.name', ('image_shape', 'classes'), {'width': 4})
    with pytest.raises(UserError, match="unknown option of model.name 'widht'.*width"):
        references.check(found, 'model.name', ('image_shape', 'classes'), {'widht': 4})
    with pytest.raises(UserError, match='not before it is needed'):
        running.load(found)
    (tmp_path / 'hers' / '__init__.py').write_text('')
    sys.modules.pop('hers', None)
    assert running.load(found)((4, 4, 1), 10) == 3
    for text in ('hers.nets.large:net', 'nobodys.nets:net'):
        with pytest.raises(UserError, match='there is no module'):
            references.parse(text, 'model.name')
