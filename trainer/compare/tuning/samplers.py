"""Where trials are drawn: points of the unit cube, one coordinate for each field that is tuned.

`halton` is a scrambled Halton sequence (Owen 2017), the same points for every variant and tier; each replicate has a
scramble of its own. The others are Optuna's, which learn from the trials that have finished; each search is seeded by its
name and replicate.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Protocol

from seedwise.errors import UserError

HALTON = 'halton'

#: Name in a study -> class in `optuna.samplers`.
OPTUNA = {'tpe': 'TPESampler', 'cmaes': 'CmaEsSampler'}

SAMPLERS = (HALTON, *OPTUNA)

INSTALL = "tune.sampler '{}' needs Optuna: pip install 'seedwise[optuna]', or pip install -e '.[optuna]' in a checkout"


class Sampler(Protocol):
    """Draws the points of a search."""

    def points(self, scores: Sequence[float]) -> list[list[float]]:
        """Returns the points that are known, shape [points, dimensions], given the scores of the first trials.

        Args:
          scores: of trials in their order, the higher the better; not finite: it diverged. In later calls, more of them.
        """
        ...


class Fixed:
    """Points that do not depend on results."""

    def __init__(self, points: list[list[float]]):
        self._points = points

    def points(self, scores: Sequence[float]) -> list[list[float]]:
        """As `Sampler` says."""
        return self._points


def halton(trials: int, dimensions: int, replicate: int = 0) -> list[list[float]]:
    """The first points of a scrambled Halton sequence: more trials only add to them."""
    from scipy.stats import qmc

    return qmc.Halton(dimensions, scramble=True, rng=replicate).random(trials).tolist()


class Learning:
    """One of Optuna's samplers, asked for `batch` points at a time and told how they scored.

    The same scores give the same points: a search that is continued replays what has finished.
    """

    def __init__(self, name: str, dimensions: int, trials: int, batch: int, seed: str):
        """`name`: of `OPTUNA`; `seed`: text that the search is seeded by. Raises `UserError` if Optuna is not installed."""
        optuna = load(name)
        number = int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16)
        sampler = getattr(optuna.samplers, OPTUNA[name])(seed=number)
        self._study = optuna.create_study(direction='maximize', sampler=sampler)
        self._unit = {f'{i:03d}': optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(dimensions)}
        self._failed = optuna.trial.TrialState.FAIL
        self._trials, self._batch, self._told = trials, batch, 0
        self._asked: list[Any] = []

    def points(self, scores: Sequence[float]) -> list[list[float]]:
        """As `Sampler` says."""
        while len(self._asked) < self._trials and len(scores) >= len(self._asked):
            for trial in self._asked[self._told :]:
                self._tell(trial, scores)
            left = self._trials - len(self._asked)
            self._asked += [self._study.ask(self._unit) for _ in range(min(self._batch, left))]
        return [[trial.params[name] for name in self._unit] for trial in self._asked]

    def _tell(self, trial: Any, scores: Sequence[float]) -> None:
        """What diverged is as bad as the worst so far: a value that is not finite tells a sampler nothing."""
        finite = [score for score in scores[: self._told + 1] if math.isfinite(score)]
        own = scores[self._told]
        self._told += 1
        if not finite:
            self._study.tell(trial, state=self._failed)
        else:
            self._study.tell(trial, own if math.isfinite(own) else min(finite))


def load(name: str) -> Any:
    """Returns the module optuna. Raises `UserError` if it, or what the sampler needs besides, is not installed."""
    try:
        import optuna

        if name == 'cmaes':
            import cmaes  # noqa: F401
    except ImportError as error:
        raise UserError(INSTALL.format(name)) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
