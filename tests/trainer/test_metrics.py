"""Metrics by themselves, against scikit-learn and plain numpy; which names are refused; weights of classes."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearns
from sklearn.utils import class_weight

from configs import default
from data_pipeline import sources
from seedwise import dotted
from seedwise.errors import UserError
from tests.trainer.test_steps import block
from trainer import losses, metrics, results, steps
from trainer.config import check
from trainer.loop import evaluation


def examples(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels [200] and logits [200, 7]. 'ties': few values; 'missing': classes 2 and 5 have no example."""
    rng = np.random.default_rng(len(kind))
    labels, logits = rng.integers(0, 7, 200), 3 * rng.normal(size=(200, 7))
    logits[np.arange(200), labels] += 2
    if kind == 'ties':
        logits = np.round(logits / 4)
    if kind == 'missing':
        labels[np.isin(labels, (2, 5))] = 3
    if kind == 'extreme':
        logits *= 200  # probabilities of 0 and 1
    return labels.astype(np.int32), logits.astype(np.float32)


def probabilities(logits):
    powers = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def macro_f1(labels, logits):
    return sklearns.f1_score(labels, logits.argmax(1), average='macro')


def auc(labels, logits):
    if len(set(labels)) == 7:
        return sklearns.roc_auc_score(labels, probabilities(logits), multi_class='ovr', average='macro')
    return np.mean([sklearns.roc_auc_score(labels == c, probabilities(logits)[:, c]) for c in set(labels)])


def top_5_accuracy(labels, logits):
    return np.mean([label in np.argsort(-row, kind='stable')[:5] for label, row in zip(labels, logits, strict=True)])


def calibration_error(labels, logits):
    found, p = 0.0, probabilities(logits)
    confidence, right = p.max(1), p.argmax(1) == labels
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            found += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return found


def negative_log_likelihood(labels, logits):
    return np.mean(np.logaddexp.reduce(logits.astype(float), 1) - logits[np.arange(len(labels)), labels])


def brier_score(labels, logits):
    return sklearns.brier_score_loss(labels, probabilities(logits), labels=range(7), scale_by_half=False)


@pytest.mark.parametrize('kind', ['plain', 'ties', 'missing', 'extreme'])
@pytest.mark.parametrize(
    'other', [macro_f1, auc, top_5_accuracy, calibration_error, negative_log_likelihood, brier_score]
)
def test_each_is_what_others_compute(other, kind):
    labels, logits = examples(kind)
    value = metrics.METRICS[other.__name__].compute(labels, logits)
    assert value == pytest.approx(other(labels, logits), rel=1e-12)
    assert 0 <= value <= metrics.METRICS[other.__name__].high


def test_without_ties_the_top_five_are_scikit_learns():
    labels, logits = examples('plain')
    assert metrics.top_5_accuracy(labels, logits) == sklearns.top_k_accuracy_score(labels, logits, k=5)


def test_one_class_alone_has_no_area_and_the_run_goes_on(capsys):
    config = default.get_config()
    config.metrics = ('auc', 'macro_f1')
    labels, logits = np.zeros((1, 4), np.int32), np.eye(4, 3, dtype=np.float32)[np.newaxis]
    seen = evaluation.Seen(3, pictures=False, right=False, logits=True)
    seen.on_block(None, labels, None, None, None, logits)
    found = evaluation.Metrics(config, 3, made().collectives).of('test', 3, seen)  # the fourth example is padding
    assert found == {'auc': None, 'macro_f1': pytest.approx(macro_f1(labels[0, :3], logits[0, :3]))}
    said = capsys.readouterr().err
    assert 'auc: the test split has no example of class 1, 2' in said
    assert 'auc of the test split is nan' in said


@pytest.mark.parametrize(
    ('names', 'words'),
    [
        (('macrof1',), "unknown metric 'macrof1': accepted are .* Did you mean 'macro_f1'"),
        ((), r'metrics is \(\): it must name one metric or more, of loss, accuracy, '),
        (('auc', 'auc'), "metrics names 'auc' twice"),
        ((3,), 'metrics holds 3: each must be a name'),
        (('own.py:kapa',), "unknown name in metrics 'kapa': .* Did you mean 'kappa'"),
        (('ownn.py:kappa',), "unknown file in metrics.0 'ownn.py': accepted are own.py. Did you mean 'own.py'"),
        (('own.py:silent',), r"it does not say which is better: add the line silent.goal = 'max' \(higher is better\)"),
        (('own.py:wrong',), "its goal is 'higher': add the line wrong.goal"),
        (('own.py:accuracy',), "cannot be called 'accuracy', as a column of the results is: rename it"),
        (('own.py:kappa_low',), "cannot be called 'kappa_low', as a column"),
        (('own.py:kappa', 'other.py:kappa'), "metrics names 'kappa' twice: as own.py:kappa and as other.py:kappa"),
    ],
)
def test_names_that_are_refused_in_one_line(tmp_path, monkeypatch, names, words):
    monkeypatch.chdir(tmp_path)
    goals = "kappa.goal = kappa_low.goal = accuracy.goal = 'max'\nwrong.goal = 'higher'\n"
    names_of_own = ('kappa', 'kappa_low', 'silent', 'wrong', 'accuracy')
    functions = ''.join(f'def {name}(labels, logits): return 0\n' for name in names_of_own)
    for file in ('own.py', 'other.py')[: 1 + ('other.py:kappa' in names)]:
        (tmp_path / file).write_text(functions + goals)
    config = default.get_config()
    config.metrics = names
    with pytest.raises(UserError, match=words):
        check.check(config)


def test_a_metric_of_ones_own_is_tried_out_and_its_mistakes_end_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = 'import numpy as np\n'
    for name, value in {
        'kappa': 'logits.argmax(1)[0] / (labels[0] < 3)',
        'many': 'labels',
        'late': '1 / (len(labels) > 50)',
        'noisy': 'np.random.random()',
    }.items():
        text += f"def {name}(labels, logits): return {value}\n{name}.goal = 'min'\n"
    (tmp_path / 'own.py').write_text(text)
    assert metrics.goals(('own.py:kappa',)) == {'kappa': 'min', 'accuracy': 'max', 'loss': 'min'}
    with pytest.raises(UserError, match='own.py: many returned shape .100,.: a metric must return one number'):
        metrics.build(('own.py:many',), 10)
    with pytest.raises(UserError, match='own.py: noisy returned .* for the same labels and logits'):
        metrics.build(('own.py:noisy',), 10)
    config = default.get_config()
    config.metrics = ('own.py:late', 'auc')
    check.check(config)
    seen = evaluation.Seen(3, pictures=False, right=False, logits=True)
    seen.on_block(None, np.arange(3)[np.newaxis], None, None, None, np.eye(3, dtype=np.float32)[np.newaxis])
    assert evaluation.Metrics(config, 3, made().collectives).of('test', 3, seen) == {'late': None, 'auc': 1.0}
    assert 'own.py, line 6: ZeroDivisionError: division by zero; late is left out' in capsys.readouterr().err


def test_options_of_a_metric_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'own.py').write_text(
        "def scaled(labels, logits, by=1.0, *, plus=0): return by * len(labels) + plus\nscaled.goal = 'max'\n"
    )
    config = default.get_config()
    before = results.config_hash(config)
    config.metrics = ('accuracy', 'own.py:scaled')
    plain = results.config_hash(config)
    dotted.put_option(config, 'metric_options.scaled.by', 2.5)
    dotted.put_option(config, 'metric_options.scaled.plus', 1)
    check.check(config)
    assert len({before, plain, results.config_hash(config)}) == 3
    assert metrics.build(config.metrics, 3, config.metric_options)['scaled'](np.zeros(4), np.zeros((4, 3))) == 11
    for path, words in {
        'scaled.bye': "unknown option of metric_options.scaled 'bye': accepted are by, plus",
        'scaled.logits': "unknown option of metric_options.scaled 'logits'",
        'scale.by': "unknown metric in metric_options 'scale': accepted are scaled. Did you mean 'scaled'",
        'auc.bins': 'metric_options.auc: this metric takes none; options are for FILE.py:NAME',
        'scaled': 'metric_options.scaled is 3: it must be a section of arguments',
    }.items():
        wrong = default.get_config()
        wrong.metrics = config.metrics
        dotted.put_option(wrong, f'metric_options.{path}', 3)
        with pytest.raises(UserError, match=words):
            check.check(wrong)


def test_the_monitor_says_which_evaluation_is_the_best():
    history = [
        {'validation_loss': loss, 'validation_auc': auc} for loss, auc in ((3, 0.5), (1, 0.8), (2, 0.8), (4, None))
    ]
    assert results.best_evaluation(history) is history[1]
    assert results.best_evaluation(history, 'auc', 'max') is history[1]  # the first of equals
    assert results.best_evaluation(history[2:], 'auc', 'max') is history[2]
    assert results.best_of({'history': history}) is history[1]  # of a version without the field
    judged = {'history': history[:1] + history[2:], 'monitor': 'auc', 'metrics': {'auc': 'max'}}
    assert results.best_of(judged) is history[2]
    config = default.get_config()
    config.monitor = 'auc'
    with pytest.raises(UserError, match="monitor is 'auc', which is not measured: add it to metrics"):
        check.check(config)


def sgd():
    config = default.get_config()
    config.precision, config.global_batch_size = 'float64', 16
    config.optimizer.name, config.optimizer.options.momentum = 'SGD', 0.9
    return config


def made(**options) -> steps.Program:
    devices = tf.distribute.OneDeviceStrategy('CPU:0')
    return steps.Program(sgd(), devices, (6, 6, 1), 3, **options, total_steps=8, warmup_steps=0)


def test_class_weights_and_sample_weights_are_those_of_keras():
    weights, samples = np.array([0.5, 1.0, 3.0]), np.random.default_rng(0).uniform(0, 2, (4, 16))
    ours = made(class_weights=weights)
    model = keras.models.clone_model(ours.model)
    model.set_weights(ours.model.get_weights())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(momentum=0.9), loss, jit_compile=False)
    images, labels = block(0)
    trained = ours.train((images, labels, tf.constant(samples)), 0, 0)
    # Keras takes one of the two at a time.
    fitted = [
        model.fit(x.numpy() / 255.0, y.numpy(), sample_weight=w * weights[y.numpy()], batch_size=16, verbose=0)
        for x, y, w in zip(images, labels, samples, strict=True)
    ]
    theirs = [one.history['loss'][0] for one in fitted]
    for mine, other in zip(ours.model.get_weights(), model.get_weights(), strict=True):
        assert mine.dtype == np.float64
        assert np.linalg.norm(mine - other) <= 1e-12 * np.linalg.norm(other)
    assert trained.totals.mean_loss == pytest.approx(np.mean(theirs), rel=1e-6)  # Keras keeps it in float32
    evaluated = images, labels, tf.ones(labels.shape, tf.bool)
    unweighted = made().evaluate([evaluated])
    ours.reset(sgd(), class_weights=2 * weights)
    assert ours.evaluate([evaluated]) == unweighted


@pytest.mark.parametrize(
    ('weights', 'words'),
    [
        (('balancd',), "unknown loss.class_weights 'balancd': .* Did you mean 'balanced'"),
        ((1.0, 'x'), 'it must be .*, or a number of at least 0 for each class'),
        ((-1.0, 2.0), 'a number of at least 0'),
        ((0.0, 0.0), 'not all 0'),
        ((math.nan, 1.0), 'a number of at least 0'),
    ],
)
def test_class_weights_that_are_refused(weights, words):
    config = default.get_config()
    config.loss.class_weights = weights
    with pytest.raises(UserError, match=words):
        check.check(config)


def test_balanced_class_weights_are_scikit_learns():
    dataset = sources.load(sources.locate('digits'), seed=3, validation=700)
    labels = dataset.train.labels[dataset.train.indices]
    expected = class_weight.compute_class_weight('balanced', classes=np.arange(10), y=labels)
    np.testing.assert_allclose(losses.class_weights(('balanced',), dataset), expected, rtol=1e-12)
    assert losses.class_weights((), dataset) is None
    config = default.get_config()
    config.loss.class_weights = (1.0, 2.0)
    with pytest.raises(UserError, match="has 2 numbers, and 'digits' has 10 classes: one a class"):
        check.check_classes(config, 'digits', 10)
