"""The public calls, as a Python user makes them: in one process of their own."""

import subprocess
import sys

from tests.helpers import ROOT

CODE = """
import sys, time
began = time.perf_counter()
import seedwise
assert time.perf_counter() - began < 1 and 'numpy' not in sys.modules
assert {'train', 'predict', 'compare', 'plan', 'judge'} <= set(dir(seedwise))

import ml_collections
from configs import mlp_adam
from seedwise.errors import UserError

config = mlp_adam.get_config()
config.data.name, config.epochs, config.threads, config.jit = 'digits', 1, 1, 'off'
result = seedwise.train(config, 'run')
assert result['status'] == 'completed' and result['test']['examples'] == 360
assert seedwise.train(config, 'run')['seconds'] == result['seconds']  # not trained again

from data_pipeline import sources
test = sources.load(sources.locate('digits')).test
frame = seedwise.predict('run', test.images[test.indices])
assert list(frame) == list('0123456789') and len(frame) == 360
right = (frame.idxmax(axis='columns').astype(int).to_numpy() == test.labels[test.indices]).mean()
assert abs(right - result['test']['accuracy']) < 1e-9

with open('own.py', 'w') as file:
    file.write("def wrong(labels, logits): return (logits.argmax(1) != labels).mean()\\nwrong.goal = 'min'\\n")
config.metrics, config.loss.class_weights = ('own.py:wrong', 'macro_f1'), ('balanced',)
study = ml_collections.ConfigDict({'base': config, 'seeds': 2})
study.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}
study.claims = ({'id': 'x', 'kind': 'better', 'a': {'optimizer': 'Adam'}, 'b': {'optimizer': 'SGD'}},)
answer = seedwise.compare(study, 'study', workers=1, until_decided=True, most_seeds=4, budget=600)
assert len(answer.runs) == 8 and answer.verdicts[0].comparisons[0].rule == 'anytime'
assert answer.ended[0].startswith('Seeds were added until decided: 4 seeds, 8 runs.')
forecast = seedwise.plan(study, 'study', until_decided=True, most_seeds=6)
assert forecast.runs in ((0, 0), (2, 4)) and forecast.seconds[0] <= forecast.seconds[1]
assert 'A run takes' in ' '.join(forecast.sentences)
answer = seedwise.compare(study, 'study')  # trains nothing more
assert list(answer.table['optimizer']) == ['Adam', 'SGD'] and len(answer.runs) == 4
assert answer.verdicts[0].claim.id == 'x' and answer.report.exists()
assert answer.sentence.startswith('Adam has the best mean test wrong on digits')
assert answer.verdicts[0].claim.metric == 'test_wrong' and answer.verdicts[0].comparisons[0].advantage > 0
assert (abs(answer.runs['test_wrong'] - 1 + answer.runs['test_accuracy']) < 1e-9).all()
assert {'test_macro_f1_low', 'test_loss_high'} <= set(answer.table) and 'Somebody looked before' in answer.ended[0]
for arguments in ({'budget': 'soon'}, {'most_seeds': 5}, {'until_decided': True, 'most_seeds': 3}, {'budget': 0}):
    try:
        seedwise.compare(study, 'study', **arguments)
    except UserError as error:
        print(error)
    else:
        raise AssertionError(arguments)

for wrong in ({'epochs': -1}, {'data.name': 'mnits'}):
    broken = config.copy_and_resolve_references()
    broken.update_from_flattened_dict(wrong)
    try:
        seedwise.train(broken, 'broken')
    except UserError as error:
        print(error)
    else:
        raise AssertionError(wrong)
try:
    seedwise.trian
except AttributeError as error:
    print(error)
"""


def test_train_and_compare_from_python(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path.append({str(ROOT)!r})\n{CODE}'],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no attribute 'trian'" in done.stdout
    assert len(done.stdout.splitlines()) == 7
