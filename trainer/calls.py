"""What a Python user calls: `seedwise.train`, `predict`, `compare` and `plan`. The commands do the same."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_collections

from data_pipeline import sources
from seedwise import tensorflow_import
from seedwise.errors import UserError
from seedwise.storage import paths
from trainer import results
from trainer.config.check import check, check_data
from trainer.config.numbers import settle_numbers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from trainer.compare.allocation.planning import Forecast
    from trainer.compare.analysis.claims.verdicts import Verdict
    from trainer.compare.study import Plan


def train(config: ml_collections.ConfigDict, workdir: str | Path, *, show: bool = False) -> dict[str, Any]:
    """Trains one run in this process, as `python -m trainer.main` does, and returns its result.

        config = configs.mlp_adam.get_config()
        config.data.name, config.epochs = 'digits', 1
        result = seedwise.train(config, 'runs/first')
        result['test']['accuracy']

    Args:
      config: a run's config; `configs/default.py` has every field. It is not changed.
      workdir: the run's folder. An unfinished run in it is continued, and a finished one is not trained again.
      show: whether to show progress.

    Returns:
      The content of `result.json`: `status` ('completed' or 'diverged'), `history`, `test` with `loss`, `accuracy` and
      the config's other metrics (of all test examples), `weights_sha256`, `seconds` and others.

    Raises:
      UserError: the config is wrong, or asks for what is not available: unlike the command, this call never falls back to
        another data set.
      Interrupted: a signal asked the run to stop; everything is saved, and the same call continues.
    """
    config, folder = config.copy_and_resolve_references(), paths.folder(str(workdir), 'workdir')
    settle_numbers(config)
    check(config)
    finished = results.read_result(folder, config)
    if finished is not None:
        return finished
    data = config.data
    location = sources.ensure_downloaded(sources.locate_for(data), memory_limit_mb=data.memory_limit_mb)
    check_data(config, location)
    results.check_workdir(folder, config)
    with results.locked(folder):
        results.begin(folder, config)
        tensorflow_import.import_tensorflow()
        from trainer.train import train as train_here

        return train_here(config, location, folder, show=show)


def predict(
    workdir: str | Path,
    inputs: 'np.ndarray | Sequence[str | Path] | str | Path',
    *,
    invert: bool = False,
    trust: bool = False,
) -> 'pd.DataFrame':
    """Predicts with the model of a finished run, as `python -m trainer.predict` does.

        frame = seedwise.predict('runs/first', ['digit.png'])
        frame.idxmax(axis='columns')

    Args:
      workdir: the run's folder.
      inputs: an array [n, height, width, channels] or [n, features], or files and folders of images, arrays or tables. They
        are brought to the run's input as in training.
      invert: whether bright and dark are exchanged.
      trust: whether a user's own code in the run's folder may run, if the model needs it.

    Returns:
      A row an input, a column a class: probabilities. Rows are called as the files are, or by their numbers.

    Raises:
      UserError: the folder is not that of a finished run, or an input is not one of this run's; it is named.
    """
    from trainer.trained import finished
    from trainer.trained.inputs import gather, of_array

    run = finished.find(str(workdir))
    if isinstance(inputs, str | Path):
        inputs = [inputs]
    if isinstance(inputs, Sequence):
        given = gather([*map(str, inputs)], run, invert=invert)
    else:
        given = of_array(inputs, run, invert=invert)
    tensorflow_import.import_tensorflow()
    import numpy as np
    import pandas as pd

    from trainer.trained.model import Trained

    model = Trained(run, trust=trust)
    probabilities = [model.probabilities(batch) for batch in given.batches(256)]
    return pd.DataFrame(np.concatenate(probabilities), index=given.names, columns=[*model.class_names])


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a study found.

    `table`: a row a variant, with the mean of each metric, its 95% interval (`<metric>_low`, `<metric>_high`) and its
    `standing`. `verdicts`: one a claim. `runs`: a row a run. `sentence`: the answer in words. `report`: the page. `ended`:
    sentences on how the number of seeds came about and what is open, where it was not fixed.
    """

    table: 'pd.DataFrame'
    verdicts: 'list[Verdict]'
    runs: 'pd.DataFrame'
    sentence: str
    report: Path
    ended: Sequence[str] = ()


def compare(
    study: ml_collections.ConfigDict,
    workdir: str | Path,
    *,
    name: str = 'study',
    engine: str = 'local',
    workers: int = 0,
    until_decided: bool = False,
    most_seeds: int | None = None,
    budget: str | float | None = None,
) -> Answer:
    """Trains every run of a study that is not finished, as `python -m trainer.compare` does, and returns what it found.

        study = ml_collections.ConfigDict({'base': base, 'axes': axes, 'seeds': 5})
        answer = seedwise.compare(study, 'runs/optimizers')
        print(answer.sentence)
        answer = seedwise.compare(study, 'runs/optimizers', until_decided=True, budget='1h')

    Args:
      study: base, axes or variants, seeds and claims; docs/studies.md has every field. It is not changed.
      workdir: the study's folder. Finished runs in it are not trained again.
      name: of the study, for the report.
      engine: 'local', or 'ray'.
      workers: runs trained at a time; 0: as many as fit by cores, memory and GPUs.
      until_decided: whether to add seeds in rounds, to the variants of what is open, until all is decided. Verdicts then
        hold at every look.
      most_seeds: with `until_decided`, the most seeds of a variant, at least 4. None: 30, or three times as many as the
        study names.
      budget: the time there is, in seconds, or as '10m', '2h', '1h30m' or 'until 18:00'. No run is started that would not
        end in time. None: no limit.

    Raises:
      UserError: the study is wrong, runs failed, or not one run fits into the budget.
      Interrupted: a signal asked it to stop; everything is saved, and the same call continues.
    """
    from trainer.compare import reporting
    from trainer.compare import study as studies
    from trainer.compare.progress import Watch

    plan = _plan_of(study, workdir, until_decided, most_seeds, budget)
    about = reporting.About(name, '', 'seedwise.compare(study, workdir)')
    watch = Watch(plan, functools.partial(reporting.report_while_running, plan, about=about))
    with contextlib.redirect_stdout(None):
        failed = studies.train(plan, engine, workers, watch=watch)
    if failed:
        raise UserError(f'{len(failed)} runs failed, {failed[0].name} first: see error.txt in {failed[0].workdir}')
    page = reporting.report(plan, plan.runs(), about)
    best, others = page.answer()
    sentence = ' '.join([*(text.striptags() for text in best), *others])
    report = plan.workdir / 'report' / 'index.html'
    ended = [plan.what_is_missing()] if page.unfinished and plan.budget else page.how_it_ended()
    return Answer(page.table, list(page.verdicts), page.runs, sentence, report, ended)


def plan(
    study: ml_collections.ConfigDict,
    workdir: str | Path,
    *,
    engine: str = 'local',
    workers: int = 0,
    until_decided: bool = False,
    most_seeds: int | None = None,
) -> 'Forecast':
    """Says what a study takes, as `python -m trainer.compare --plan` does, going by the finished runs in its folder.

        forecast = seedwise.plan(study, 'runs/optimizers', until_decided=True)
        forecast.runs       # to go: (at the least, at the most)
        forecast.seconds    # that they take, likewise

    If no run has finished, the first one of the study is trained, and counts as a run of it.

    Args:
      study, workdir, engine, workers, until_decided, most_seeds: as `compare` says.

    Returns:
      `runs` to go and the `seconds` that they take with `how` many workers, and all of it in `sentences`, with the
      difference between two variants that the seeds would show.

    Raises:
      UserError: the study is wrong or tunes, or the first run failed.
      Interrupted: a signal asked it to stop.
    """
    from trainer.compare.allocation import planning

    made = _plan_of(study, workdir, until_decided, most_seeds, None)
    if made.trials:
        raise UserError('plan is not for a study with tune')
    with contextlib.redirect_stdout(None):
        return planning.forecast(made, engine, workers)


def _plan_of(
    study: ml_collections.ConfigDict,
    workdir: str | Path,
    until_decided: bool,
    most_seeds: int | None,
    budget: str | float | None,
) -> 'Plan':
    """Returns the runs of a study, checked. Arguments and errors: as `compare`."""
    from trainer.compare import datasets, grid
    from trainer.compare import study as studies
    from trainer.compare.allocation import budget as budgets
    from trainer.compare.allocation import rounds, seeds
    from trainer.compare.checks import check as checks

    study, folder = study.copy_and_resolve_references(), paths.folder(str(workdir), 'workdir')
    grid.prepare(study)
    if axis := datasets.axis_of(study):
        raise UserError(
            f"the axis '{axis}' names data sets: make one call for each of them, or use python -m trainer.compare"
        )
    if (until_decided or budget is not None) and study.get('tune'):
        what = 'until_decided' if until_decided else 'budget'
        raise UserError(f'{what} is not for a study with tune, whose variants are chosen by trials: fix its seeds')
    if most_seeds is not None and not until_decided:
        raise UserError(f'most_seeds is for until_decided: set that too, or set study.seeds = {most_seeds}')
    left = None
    if budget is not None:
        if isinstance(budget, bool) or not isinstance(budget, str | int | float):
            raise UserError(f"budget is {budget!r}: it must be seconds, or a time such as '10m', '2h' or 'until 18:00'")
        text = budget if isinstance(budget, str) else f'{budget}s'
        left = budgets.Budget(budgets.seconds_of(text, called='budget'), called='budget')
    made: studies.Plan
    if until_decided:
        seeds.with_most_seeds(study, most_seeds)
        made = rounds.Rounds(study, folder, left)
    else:
        made = rounds.Timed(study, folder, 0, 1, left) if left else studies.Plan(study, folder, 0, 1)
    checks.check_report(study, made.everything())
    return made
