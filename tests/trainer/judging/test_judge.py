"""How judge answers: the screen, the exit code, the report, Python, and what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import seedwise
from seedwise.errors import UserError
from tests.helpers import ROOT
from tests.trainer.judging.shared import LONG, RNG, command
from trainer import judge


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['nowhere/it.csv'], 'nowhere/it.csv does not exist'),
        (['{near}'], "good.csv. Did you mean '"),
        (['{folder}s'], "folder. Did you mean '"),
        (['{good}', '--claim=Adam beats SGD'], '--claim is'),
        (['{good}', '--claim=Adm > SGD'], "Did you mean 'Adam'?"),
        (['{good}', '--claim=Adam > SGD on los'], "unknown metric in --claim 'los'"),
        (['{good}', '--claim=Adam = SGD'], 'state within what'),
        (['{good}', '--claim=Adam > SGD by -1'], 'at least 0'),
        (['{good}', '--claim=Adam > SGD by 1%'], "'1%' must be a number of at least 0, in the unit of the metric"),
        (['{good}', '--claim=Adam > SGD within 0.1'], "'within' goes with ="),
        (['{good}', '--claim=Adam >= SGD'], 'it must be such as'),
        (['{good}', '--claim=Adam > Adam'], 'with itself'),
        (['{good}', '--claim=Adam > SGD by 1 on val_acc'], 'no two variants differ by 1'),
        (['{good}', '--metric=acc'], "unknown column for --metric 'acc'"),
        (['{good}', '--margin=0'], 'a number above 0'),
        (['{good}', '--margin=loss=1'], 'unknown metric in --margin'),
        (['{good}', '--goal=val_acc=up'], "unknown goal of val_acc 'up'"),
        (['{good}', '--step=middle'], 'accepted are last, best'),
        (['{binary}'], 'is a binary file'),
        (['{folder}'], 'holds no results'),
        (['gs://bucket/runs'], 'is not a folder of this machine'),
        (['{good}', '--metrik=x'], 'unrecognized arguments'),
        ([], 'required'),
    ],
)
def test_a_wrong_command_is_one_line(tmp_path, capsys, arguments, words):
    LONG.to_csv(tmp_path / 'good.csv', index=False)
    (tmp_path / 'binary.csv').write_bytes(bytes(range(256)))
    (tmp_path / 'folder').mkdir()
    names = {'good': tmp_path / 'good.csv', 'binary': tmp_path / 'binary.csv', 'folder': tmp_path / 'folder'}
    names['near'] = tmp_path / 'god.csv'
    code, out, err = command(capsys, *(argument.format(**names) for argument in arguments))
    assert (code, out, err.count('\n')) == (2, '', 1)
    assert words in err


@pytest.mark.parametrize(
    ('claim', 'code'),
    [
        ('Adam > SGD by 0.005', 0),
        ('SGD < Adam', 0),
        ('SGD > Adam', 1),
        ('Adam > SGD by 0.01', 3),
        ('Adam = SGD within 0.02 on val_acc', 0),
        ('Adam = SGD within 0.001', 1),
    ],
)
def test_the_exit_code_is_the_verdict(tmp_path, capsys, claim, code):
    LONG.to_csv(tmp_path / 'a.csv', index=False)
    found, out, _ = command(capsys, tmp_path / 'a.csv', f'--claim={claim}')
    assert found == code
    assert {0: 'holds', 1: 'does not hold', 3: 'undecided'}[code] in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_names_hold_no_commands_for_the_terminal(tmp_path, capsys):
    LONG.replace({'optimizer': {'Adam': 'Adam\x1b]0;title\x07'}}).to_csv(tmp_path / 'a.csv', index=False)
    for words in ((), ('--claim=\x1b[31m > SGD',)):
        code, out, err = command(capsys, tmp_path / 'a.csv', *words)
        assert code == (2 if words else 0)
        assert '\x1b' not in out + err
        assert '\\x1b' in (err if words else out)


def test_unpaired_runs_are_said_to_be(tmp_path, capsys):
    LONG.drop(columns='seed').to_csv(tmp_path / 'a.csv', index=False)
    code, out, err = command(capsys, tmp_path / 'a.csv', '--claim=Muon > SGD', '--json')
    assert 'runs are compared unpaired' in err + out
    assert code == 0
    assert {pair['test'] for pair in json.loads(out)['comparisons']} == {"Welch's t"}


def test_results_are_called_by_what_holds_all_of_them(tmp_path):
    (tmp_path / 'runs' / 'sgd').mkdir(parents=True)
    runs = tmp_path / 'runs'
    assert judge._title([runs / 'adam', runs / 'sgd']) == 'runs'
    assert judge._title([runs / 'adam.csv']) == 'adam'
    assert judge._title([runs / 'sgd']) == 'sgd'
    assert judge._title([runs / 'sgd' / 'a.csv', runs / 'b.csv']) == 'runs'


def test_the_report_is_written(tmp_path, capsys):
    LONG.to_csv(tmp_path / 'a.csv', index=False)
    code, out, _ = command(capsys, tmp_path / 'a.csv', f'--report={tmp_path / "report"}', '--margin=0.002')
    assert code == 0
    page = (tmp_path / 'report' / 'index.html').read_text(encoding='utf-8')
    assert 'Muon' in page
    assert 'within 0.002 of the best' in page
    assert '--margin=0.002</pre>' in page  # the command, whole
    assert str(tmp_path / 'report' / 'index.html') in out


def test_python_gives_the_same_answer(tmp_path, capsys):
    LONG.to_csv(tmp_path / 'a.csv', index=False)
    _, out, _ = command(capsys, tmp_path / 'a.csv', '--json', '--margin=0.0005', '--claim=Adam > SGD')
    frame = LONG.rename(columns={'optimizer': 'variant'})[['variant', 'seed', 'val_acc']]
    found = seedwise.judge(frame, margins={'val_acc': 0.0005}, claims=('Adam > SGD',), report=tmp_path)
    call = 'seedwise.judge(runs, margins={&#39;val_acc&#39;: 0.0005}, claims=(&#39;Adam &gt; SGD&#39;,))'
    assert call in (tmp_path / 'index.html').read_text(encoding='utf-8')
    printed = json.loads(out)
    assert {key: found[key] for key in ('ranking', 'comparisons', 'claims')} == {
        key: printed[key] for key in ('ranking', 'comparisons', 'claims')
    }
    assert [row['standing'] for row in found['ranking']] == ['best', 'behind', 'behind']
    assert found['comparisons'][0]['outcome'] == 'better'


def test_the_best_of_many_equal_variants_is_not_called_better_for_having_been_picked():
    draws = np.random.default_rng(15).normal(size=(5, 20))
    frame = pd.DataFrame([{'variant': f'v{j}', 'seed': i, 'acc': draws[i, j]} for i in range(5) for j in range(20)])
    found = seedwise.judge(frame)
    assert min(pair['p'] for pair in found['comparisons']) < 0.05  # of a pair that was named beforehand it would be
    assert {pair['outcome'] for pair in found['comparisons']} == {'undecided'}
    assert {pair['level'] for pair in found['comparisons']} == {0.1 / 19}
    assert all(pair['low'] < 0 < pair['high'] for pair in found['comparisons'])


def test_many_rows_and_ten_thousand_variants(tmp_path):
    rows = 20_000
    frame = pd.DataFrame(
        {'variant': np.arange(rows) % 10_000, 'seed': np.arange(rows) // 10_000, 'acc': RNG.uniform(size=rows)}
    )
    found = seedwise.judge(frame)
    assert len(found['ranking']) == 10_000


def test_a_study_is_judged_by_its_own_claims(capsys):
    file = ROOT / 'docs' / 'studies' / 'raj_optimizers_losses' / 'runs.csv'
    code, out, _ = command(capsys, file)
    assert code == 0
    assert 'Nadam beats 6 of 6 rivals' in out
    assert command(capsys, file.parent) == (code, out, 'A study of seedwise: 210 runs.\n')
    code, _, err = command(capsys, file, '--claim=Adam > SGD')
    assert (code, err.count('\n')) == (2, 1)
    assert '--claim is not for a study' in err


def test_it_needs_no_tensorflow(tmp_path):
    code = (
        "import sys; [sys.modules.__setitem__(name, None) for name in ('tensorflow', 'keras', 'tensorflow_datasets')]\n"
        'from trainer import judge; sys.exit(judge.run())'
    )
    from trainer.output import events

    for name in ('Nadam', 'SGD'):
        for seed in (0, 1):
            events.replace(tmp_path / f'{name}_{seed}', [(1, None, [events.scalar('acc', 0.9 + 0.01 * seed)])])
    done = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'Nadam' in done.stdout


@pytest.mark.parametrize('changed', [{'dataset_name': None}, {'unfinished': 'x'}])
def test_a_study_of_another_version_is_one_line(tmp_path, changed):
    source = ROOT / 'docs' / 'studies' / 'pillarisetti_activations'
    about = json.loads((source / 'study.json').read_text()) | changed
    about = {key: value for key, value in about.items() if value is not None}
    (tmp_path / 'study.json').write_text(json.dumps(about))
    (tmp_path / 'runs.csv').write_bytes((source / 'runs.csv').read_bytes())
    with pytest.raises(UserError, match='is damaged'):
        judge.main(['judge', str(tmp_path)])


@pytest.mark.parametrize(('variants', 'words'), [(2, 'the other'), (3, 'both others'), (4, 'all 3 others')])
def test_the_sentence_says_how_many_are_behind(variants, words):
    rng = np.random.default_rng(0)
    rows = [(f'v{i}', seed, i + 0.01 * rng.normal()) for i in range(variants) for seed in range(5)]
    found = seedwise.judge(pd.DataFrame(rows, columns=['variant', 'seed', 'accuracy']))
    assert f'ahead of {words}.' in found['sentence']


FRAME = pd.DataFrame(
    {
        'variant': ['A'] * 4 + ['B'] * 4,
        'seed': [0, 1, 2, 3] * 2,
        'accuracy': [0.91, 0.92, 0.93, 0.92, 0.8, 0.81, 0.82, 0.81],
    }
)


def test_the_sentence_leads_with_the_winner_where_a_better_mean_is_behind():
    """A has the better mean, over the two of its ten seeds that did not diverge."""
    rows = [('A', seed, 0.99 + 0.001 * seed if seed < 2 else np.nan) for seed in range(10)]
    rows += [('B', seed, 0.98 + 0.001 * seed) for seed in range(10)]
    found = seedwise.judge(pd.DataFrame(rows, columns=['variant', 'seed', 'accuracy']))
    assert [(row['variant'], row['standing']) for row in found['ranking']] == [('A', 'behind'), ('B', 'best')]
    assert '(8 more diverged), but is behind the other. B comes first, with ' in found['sentence']
    assert found['sentence'].endswith('over 10 seeds, ahead of the other.')
    (pair,) = found['comparisons']
    assert (pair['a'], pair['b'], pair['outcome']) == ('B', 'A', 'better')


def test_one_seed_of_the_best_mean_is_not_the_best_for_that():
    found = seedwise.judge(pd.concat([FRAME, pd.DataFrame({'variant': ['C'], 'seed': [0], 'accuracy': [0.99]})]))
    assert 'C has the best mean accuracy' in found['sentence']
    assert found['sentence'].endswith('over 1 seed; one seed cannot say whether it is the best.')


def test_names_stay_as_they_are():
    frame = FRAME.assign(variant=FRAME['variant'].map({'A': 'adam_w', 'B': 'adam w'}))
    found = seedwise.judge(frame)
    assert [row['variant'] for row in found['ranking']] == ['adam_w', 'adam w']
    assert "'adam_w' and 'adam w' are two variants: if they are one, give them one name." in found['guessed']
    assert [(pair['a'], pair['b']) for pair in found['comparisons']] == [('adam_w', 'adam w')]
    alone = seedwise.judge(frame[frame['variant'] == 'adam_w'])
    assert alone['sentence'] == 'adam_w has a mean accuracy on results of 0.920 [0.907, 0.933] over 4 seeds.'


@pytest.mark.parametrize(
    ('frame', 'options', 'words'),
    [
        (FRAME.assign(accuracy='97%'), {'metrics': {'accuracy': 'max'}}, "row 0 of the frame has '97%' in 'accuracy'"),
        (FRAME.assign(variant=None), {}, "row 0 of the frame has no value in 'variant'"),
        (FRAME.assign(seed=[0, 1, 2, None] * 2), {}, "row 3 of the frame has no value in 'seed'"),
        (FRAME.assign(seed=0, epoch=[1, 2, 3, 4] * 2), {}, "several rows a run, which differ in 'epoch'"),
        (FRAME.assign(accuracy=1e300), {}, "'accuracy' has values above 1e\\+100"),
        (pd.concat([FRAME, FRAME[['accuracy']]], axis=1), {}, "two columns 'accuracy'"),
        (FRAME, {'margins': {'accuracy': '0.01'}}, "margins of accuracy is '0.01'"),
    ],
)
def test_a_frame_that_cannot_be_judged_is_refused(frame, options, words):
    with pytest.raises(UserError, match=words):
        seedwise.judge(frame, **options)


def test_a_metric_that_is_named_twice_is_one(tmp_path):
    FRAME.to_csv(file := tmp_path / 'results.csv', index=False)
    assert judge.main(['judge', str(file), '--metric=accuracy', '--metric=accuracy']) == 0
