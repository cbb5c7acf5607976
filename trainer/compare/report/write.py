"""The report of a study: one page that opens anywhere, the tables, the claims and the plots.

    write_report(study, runs, trials, Path('report'), study_name='raj_optimizers_losses', dataset_name='mnist')

Files: `index.html` (styles and figures inside), `table.csv`, `table.md`, `table.tex`, `claims.json`, and
`plots/<name>.svg` and `.png`. The same runs give the same bytes, except for lines of index.html that contain
`class="time"`: those hold all times, so that two reports can be compared by everything else.
"""

import functools
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import ml_collections
import pandas as pd
from markupsafe import Markup

from seedwise.errors import writing
from seedwise.storage.files import write_bytes, write_json, write_utf8
from trainer.compare.analysis.words import count
from trainer.compare.report import tables
from trainer.compare.report.charts import figures
from trainer.compare.report.contents import Page
from trainer.compare.report.layout import METRICS
from trainer.compare.report.page import page_of
from trainer.compare.report.text import reproduce


def write_report(
    study: ml_collections.ConfigDict,
    runs: pd.DataFrame,
    trials: pd.DataFrame | None,
    folder: Path,
    *,
    study_name: str,
    dataset_name: str,
    command: str,
    about: str = '',
    unfinished: int = 0,
    metrics: Mapping[str, str] = METRICS,
    paired: bool = True,
    stopping: Mapping[str, Any] | None = None,
) -> Page:
    """Writes the report of a study into `folder`, and returns what it says.

    Args:
      study: the study, as its file and the command line made it.
      runs: the finished runs, one a row: `variant`, the axes (and `tuning`), `seed`, `status`, the metrics, and as far as
        they are known `history`, `test_correct` (bool, shape [test examples]), and of `result.json` `parameters`,
        `seconds_training`, `seconds_total`, `versions`, `host`, `git_revision` and `dataset`.
      trials: the tuning trials, one a row: the axes, `tuning`, `learning_rate`, `low`, `high` and the metrics; what was
        tuned under its dotted path ('optimizer.beta_1'). None: nothing was tuned.
      folder: where to; it is made if it does not exist.
      study_name: name of the study's file, without `.py`.
      dataset_name: what the runs were trained on.
      command: what makes the report.
      about: the study file's docstring, Markdown.
      unfinished: how many runs are missing. If any is, nothing is judged.
      metrics: what is compared -> which is better of it, 'max' or 'min', the most important first.
      paired: whether a seed means the same in every variant.
      stopping: as `page.page_of` says.

    Raises:
      CannotWrite: some of the files may be new by then, and the others old.
    """
    page = page_of(
        study,
        runs,
        trials,
        study_name=study_name,
        dataset_name=dataset_name,
        unfinished=unfinished,
        metrics=metrics,
        paired=paired,
        stopping=stopping,
    )
    html = render(page, about, command)
    drawn = [] if page.stopping.running else page.figures.all  # the page has all that it shows in it
    with writing(folder):
        (folder / 'plots').mkdir(parents=True, exist_ok=True)
        figures.delete_others(folder / 'plots', {plot.name for plot in page.figures.all})
    for plot in drawn:
        write_bytes(folder / 'plots' / f'{plot.name}.svg', plot.standalone.encode())
        write_bytes(folder / 'plots' / f'{plot.name}.png', plot.png)
    # Numbers in full for machines, in digits that mean something for people.
    write_utf8(folder / 'table.csv', page.table.to_csv(index=False, float_format='%.6g').rstrip())
    caption = tables.escaped(page.caption, tables.MARKDOWN)
    write_utf8(folder / 'table.md', f'{caption}\n\n{tables.to_markdown(page.printed)}'.rstrip())
    write_utf8(folder / 'table.tex', tables.to_latex(page.printed, page.caption).rstrip())
    write_json(folder / 'claims.json', page.claims_as_data())
    write_utf8(folder / 'index.html', html)  # last: if the disk is full before it, the old page is still whole
    return page


def render(page: Page, about: str, command: str) -> str:
    """Returns a report as one HTML page."""
    runs = page.runs
    return template().render(
        page=page,
        css=Markup(figures.adaptive_css()),
        title=reproduce.title_of(about) or page.study_name.replace('_', ' ').capitalize(),
        about=reproduce.as_html(about),
        command=command,
        now=time.strftime('%Y-%m-%d %H:%M:%S %z'),
        answer=page.answer(),
        same=page.same(),
        claims=page.claims_by_quote(),
        tally=page.tally,
        levels=sorted({found.claim.alpha for found in page.verdicts}),
        headings=_headings(page.printed.columns),
        variants=len(page.table),
        diverged=int((runs['status'] == 'diverged').sum()) if len(runs) else 0,
        seeds=page.seeds,
        epochs=page.paper_epochs(),
        facts=reproduce.facts(page.study, runs, page.layout),
        chosen=page.chosen(),
        times=reproduce.times(runs, page.layout),
    )


def _headings(columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Splits headings such as 'test loss, paper' for a head of two lines: ('test loss', ['', ..., 'paper'])."""
    parts = [(group, rest) for group, _, rest in (column.partition(', ') for column in columns)]
    return [(group, [rest for _, rest in found]) for group, found in itertools.groupby(parts, key=lambda part: part[0])]


def _p_value(p: float | None) -> str:
    return '–' if p is None else '< 0.0001' if p < 1e-4 else f'{p:.2g}'


def _words(metric: Any) -> str:
    return str(metric).replace('_', ' ')


def template() -> jinja2.Template:
    """Returns the template of the page."""
    return environment().get_template('report.html.j2')


@functools.cache
def environment() -> jinja2.Environment:
    """Returns what templates are read and filled in with; it keeps those that it has compiled, which takes 0.1 s."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader('trainer.compare.report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {
        'number': tables.number,
        'p_value': _p_value,
        'upper_first': lambda text: text[:1].upper() + text[1:],
        'counted': count,
        'words': _words,
    }
    return made
