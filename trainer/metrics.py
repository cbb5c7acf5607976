"""What an evaluation measures: one table of metrics, and a user's own, `FILE.py:NAME`. Needs no TensorFlow.

Each function takes the labels (int, shape [n]) and the logits (float32, [n, classes]) of all n examples of a split, and
returns a number. Loss and accuracy have no function: they are sums that the compiled steps keep (`loop.reports.Totals`), of
training too. The others are measured on validation and test.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seedwise import references
from seedwise.errors import UserError, unknown
from seedwise.references import running

GOALS = ('max', 'min')

#: Bins of the calibration error (Guo et al. 2017, section 4.1, table 1).
BINS = 15

#: Names that columns of results have already, and ends that tables append to the name of a metric.
TAKEN = ('examples', 'correct')
ENDS = ('low', 'high', 'sd', 'paper', 'difference', 'outside', 'new_low', 'new_high')


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
      name: in results, after the name of the split: `test_macro_f1`.
      goal: which is better, 'max' or 'min'.
      what: what it is, in words.
      compute: function of labels and logits; None: a sum that the compiled steps keep.
      high: the largest value that it can take.
      by_class: whether it is a mean over the classes that have an example.
      low: the smallest value that it can take; that of the loss depends on the loss function.
    """

    name: str
    goal: str
    what: str
    compute: Callable[[np.ndarray, np.ndarray], float] | None = None
    high: float = math.inf
    by_class: bool = False
    low: float = 0.0


def top_5_accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    """Share of examples whose class has one of the five highest logits; of equal ones the first class is the higher."""
    own = logits[np.arange(len(labels)), labels, np.newaxis]
    before = np.arange(logits.shape[1]) < labels[:, np.newaxis]
    ahead = (logits > own) | ((logits == own) & before)
    return float((ahead.sum(1) < 5).mean())


def macro_f1(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN), of the classes that are a label or a prediction of an example.

    As `sklearn.metrics.f1_score(average='macro')`.
    """
    classes, predicted = logits.shape[1], logits.argmax(1)
    right, labelled, chosen = (
        np.bincount(x, minlength=classes) for x in (labels[predicted == labels], labels, predicted)
    )
    there = labelled + chosen > 0
    return float((2 * right[there] / (labelled + chosen)[there]).mean())


def auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """Area under the ROC curve of each class against the rest, by its probability; the mean over classes.

    Exact, by ranks, ties counted half (Mann & Whitney 1947), as `sklearn.metrics.roc_auc_score(multi_class='ovr',
    average='macro')`. A class without an example, or with all of them, has no such area and is left out; nan if all are.
    """
    from scipy.stats import rankdata

    ranks, positive = rankdata(_probabilities(logits), axis=0), np.bincount(labels, minlength=logits.shape[1])
    sums = np.bincount(labels, weights=ranks[np.arange(len(labels)), labels], minlength=logits.shape[1])
    defined = (positive > 0) & (positive < len(labels))
    n = positive[defined].astype(float)
    areas = (sums[defined] - n * (n + 1) / 2) / (n * (len(labels) - n))
    return float(areas.mean()) if len(areas) else math.nan


def calibration_error(labels: np.ndarray, logits: np.ndarray) -> float:
    """Expected calibration error: mean distance of accuracy and confidence in 15 bins of equal width (Guo et al. 2017)."""
    probabilities = _probabilities(logits)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    # Bin m is ((m - 1) / 15, m / 15].
    bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    # |B| / n |accuracy(B) - confidence(B)|, of which the size |B| cancels.
    return float(np.abs(np.bincount(bins, weights=right - confidence, minlength=BINS)).sum() / len(labels))


def negative_log_likelihood(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean of -log p of the class of each example, in nats, whatever the training loss is."""
    wide = logits.astype(np.float64)
    highest = wide.max(1)
    log_sum = highest + np.log(np.exp(wide - highest[:, np.newaxis]).sum(1))
    return float((log_sum - wide[np.arange(len(labels)), labels]).mean())


def brier_score(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean over examples of sum_c (p_c - y_c)^2 (Brier 1950), from 0 to 2."""
    difference = _probabilities(logits)
    difference[np.arange(len(labels)), labels] -= 1
    return float(np.square(difference).sum(1).mean())


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax, float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


#: The built-in metrics by name. The first line of a function's docstring says what it is.
METRICS: Mapping[str, Metric] = {
    'loss': Metric('loss', 'min', 'Mean of the loss function that is trained with.', low=-math.inf),
    'accuracy': Metric('accuracy', 'max', 'Share of examples whose class has the highest logit.', high=1.0),
    **{
        function.__name__: Metric(
            function.__name__, goal, str(function.__doc__).splitlines()[0], function, high, by_class
        )
        for function, goal, high, by_class in (
            (top_5_accuracy, 'max', 1.0, False),
            (macro_f1, 'max', 1.0, False),
            (auc, 'max', 1.0, True),
            (calibration_error, 'min', 1.0, False),
            (negative_log_likelihood, 'min', math.inf, False),
            (brier_score, 'min', 2.0, False),
        )
    },
}

NO_OPTIONS: Mapping[str, Any] = {}

#: Those that every evaluation has, and that training has too.
ALWAYS = ('accuracy', 'loss')


def of(text: str) -> Metric:
    """Returns the metric that a config names: a row of the table, or FILE.py:NAME, which is read and not run.

    Raises:
      UserError: there is no such metric, its file lacks it, or does not say which is better of it.
    """
    if not references.is_reference(text):
        if text not in METRICS:
            raise unknown('metric', text, METRICS)
        return METRICS[text]
    reference = references.parse(text, 'metrics')
    goal = references.attribute(reference, 'goal')
    if goal not in GOALS:
        stated = f'its goal is {goal!r}' if goal is not None else 'it does not say which is better'
        raise UserError(
            f"metric {text}: {stated}: add the line {reference.name}.goal = 'max' (higher is better) or 'min' to "
            f'{reference.file}'
        )
    return Metric(reference.name, goal, f'{reference.name} of {reference.file.name}.')


def measured(texts: Sequence[str]) -> dict[str, Metric]:
    """Returns all that evaluations measure by name: what a config names, in its order, then what they always do."""
    named = {metric.name: metric for metric in map(of, texts)}
    return named | {name: METRICS[name] for name in ALWAYS if name not in named}


def goals(texts: Sequence[str]) -> dict[str, str]:
    """Returns which is better of all that evaluations measure: name -> 'max' or 'min'."""
    return {name: metric.goal for name, metric in measured(texts).items()}


def check(texts: Sequence[Any], options: Mapping[str, Any] = NO_OPTIONS) -> None:
    """Raises `UserError` for a metric that does not exist, or that cannot be called as it is.

    Args:
      texts: as `config.metrics` has them.
      options: as `config.metric_options` has them, name of a metric -> its arguments.
    """
    if not texts:
        raise UserError(f'metrics is (): it must name one metric or more, of {", ".join(METRICS)}, or FILE.py:NAME')
    names: dict[str, str] = {}
    for text in texts:
        if not isinstance(text, str):
            raise UserError(f"metrics holds {text!r}: each must be a name, such as 'macro_f1'")
        if references.is_reference(text):
            reference = references.parse(text, 'metrics')
            given = options.get(reference.name, {})
            if not hasattr(given, 'items'):
                raise UserError(
                    f'metric_options.{reference.name} is {given!r}: it must be a section of arguments, such as '
                    f'metric_options.{reference.name}.beta=2'
                )
            references.check(reference, 'metrics', ('labels', 'logits'), given, f'metric_options.{reference.name}')
        name = of(text).name
        taken = name in METRICS or name in TAKEN or name.endswith(tuple(f'_{end}' for end in ENDS))
        if references.is_reference(text) and taken:
            raise UserError(f"metric {text} cannot be called '{name}', as a column of the results is: rename it")
        if name in names:
            raise UserError(f"metrics names '{name}' twice: as {names[name]} and as {text}")
        names[name] = text
    for name in options:
        if name in METRICS:
            raise UserError(f'metric_options.{name}: this metric takes none; options are for FILE.py:NAME')
        if name not in names:
            own = [name for name, text in names.items() if references.is_reference(text)]
            if not own:
                raise UserError(f'metric_options.{name}: metrics names no metric FILE.py:NAME, which options are for')
            raise unknown('metric in metric_options', name, own)


def build(
    texts: Sequence[str], classes: int, options: Mapping[str, Any] = NO_OPTIONS
) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Returns the functions of the metrics that are not sums, by name; a user's own are tried out on random logits.

    Args:
      texts: as `config.metrics` has them.
      classes: number of classes.
      options: as `config.metric_options` has them.

    Raises:
      UserError: a file raises, or its function does, or returns no number, or another one for the same logits.
    """
    found: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {}
    for text in texts:
        metric = of(text)
        if references.is_reference(text):
            found[metric.name] = _own(references.parse(text, 'metrics'), classes, options.get(metric.name, {}))
        elif metric.compute is not None:
            found[metric.name] = metric.compute
    return found


def _own(
    reference: references.Reference, classes: int, options: Mapping[str, Any]
) -> Callable[[np.ndarray, np.ndarray], float]:
    function = running.load(reference)

    def compute(labels: np.ndarray, logits: np.ndarray) -> float:
        value = running.call(function, reference.file, labels.copy(), logits.copy(), **options)
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            what = f'shape {value.shape}' if getattr(value, 'shape', ()) else type(value).__name__
            raise UserError(f'{reference} returned {what}: a metric must return one number') from error

    # Before training, so that a mistake in it costs none.
    labels = np.arange(max(100, 2 * classes), dtype=np.int32) % classes
    logits = np.random.default_rng(0).normal(size=(len(labels), classes)).astype(np.float32)
    first, second = (compute(labels, logits) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        raise UserError(
            f'{reference} returned {first:.4g} and then {second:.4g} for the same labels and '
            'logits: a metric must depend on them alone'
        )
    return compute


def absent(labels: np.ndarray, classes: int) -> list[int]:
    """Returns the classes without an example."""
    return np.flatnonzero(np.bincount(labels, minlength=classes) == 0).tolist()
