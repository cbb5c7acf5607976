"""The report of a study from its folder: at its end, while it runs, and over several data sets."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from seedwise.errors import UserError
from seedwise.storage import files, locks
from trainer.compare import grid, records, runs, study
from trainer.compare.allocation import rounds
from trainer.compare.grid import RunSpec
from trainer.compare.report.contents import Page
from trainer.compare.report.over_datasets import write_over_datasets
from trainer.compare.report.page import page_of
from trainer.compare.report.write import write_report


@dataclass(frozen=True)
class About:
    """What a report says of itself: the study's `name`, its `text` in Markdown, and the `command` that makes it."""

    name: str
    text: str
    command: str


def report(plan: study.Plan, specs: Sequence[RunSpec], about: About) -> Page:
    """Writes the report on what has finished.

    Args:
      plan: the study.
      specs: the runs that are compared.
      about: what it says of itself.

    Raises:
      UserError: no run has finished, or a file cannot be written.
    """
    made_of = plan.made_of(specs, about.text)
    frame, unfinished = runs.read(specs)
    unfinished += plan.unchosen
    if frame.empty and plan.budget and plan.budget.refused:
        raise plan.budget.too_short('it was used up before the first run had finished')
    if frame.empty:
        raise UserError(f'there is no finished run in {plan.workdir}')
    folder, rest = plan.workdir / 'report', _rest(plan, frame, about)
    rest |= {'unfinished': unfinished, 'stopping': rounds.stopping_of(plan, frame, unfinished)}
    page = write_report(plan.config, frame, _trials(plan), folder, **rest)
    records.write(folder, plan.config, frame, _trials(plan), **rest)
    files.write_utf8(folder / study.MADE_OF, made_of)
    return page


def report_while_running(plan: study.Plan, frame: pd.DataFrame, left: int, about: About) -> None:
    """Writes the page of a study that is running. Its tables are those of the page; runs.csv waits for the end.

    Args:
      plan: the study.
      frame: the runs that count so far.
      left: how many are to go, as far as it is known.
      about: what it says of itself.
    """
    stopping = rounds.stopping_while_running(plan, left)
    unfinished = 0 if plan.at_every_look and not plan.without_runs(frame) else left
    rest = _rest(plan, frame, about) | {'unfinished': unfinished, 'stopping': stopping}
    began = time.monotonic()
    with locks.locked_file(plan.workdir / '.report.lock'):
        write_report(plan.config, frame, _trials(plan), plan.workdir / 'report', **rest)
    if plan.budget:
        plan.budget.reported(time.monotonic() - began)


def report_over_datasets(
    plans: Mapping[str, study.Plan], folder: Path, about: About, *, whole: bool
) -> list[str] | None:
    """Writes the page over data sets, and returns what it says on the screen; None: it was not written.

    Args:
      plans: data set -> the study on it.
      folder: where to.
      about: what it says of itself.
      whole: whether to write it only if all runs have finished.
    """
    pages = {}
    for dataset, plan in plans.items():
        frame, unfinished = runs.read(plan.runs())
        unfinished += plan.unchosen
        if unfinished and whole:
            return None
        pages[dataset] = page_of(
            plan.config,
            frame,
            _trials(plan),
            study_name=about.name,
            dataset_name=dataset,
            unfinished=unfinished or (len(plan.variants) if frame.empty else 0),
            metrics=grid.metrics_of(plan.config),
            stopping=rounds.stopping_of(plan, frame, unfinished),
            draw=False,
        )
    with locks.locked_file(folder.parent / '.report.lock'):
        return write_over_datasets(pages, folder, study_name=about.name, about=about.text, command=about.command)


def _rest(plan: study.Plan, frame: pd.DataFrame, about: About) -> dict[str, Any]:
    return {
        'study_name': about.name,
        'dataset_name': frame['dataset'].iloc[0]['name'],
        'metrics': grid.metrics_of(plan.config),
        'about': about.text,
        'command': about.command,
    }


def _trials(plan: study.Plan) -> pd.DataFrame | None:
    return runs.read_trials(plan.config, plan.trials, plan.searches) if plan.searches else None
