"""The report of a study: one page that opens anywhere, the tables, the claims and the plots.

    write_report(study, runs, trials, Path('report'), study_name='raj_optimizers_losses', dataset_name='mnist')

Files: `index.html` (styles and figures inside), `table.csv`, `table.md`, `table.tex`, `claims.json`, and
`plots/<name>.svg` and `.png`. The same runs give the same bytes, but for lines of index.html that contain
`class="time"`: those are where all times are, so that two studies can be compared by everything else.
"""

import dataclasses
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import ml_collections
import pandas as pd
from markupsafe import Markup

from seedwise.errors import writing
from trainer.compare.analysis.claims import Claim, parse
from trainer.compare.analysis.verdicts import FAILS, HOLDS, UNDECIDED, Verdict, verdict
from trainer.compare.report import figures, plots, reproduce, tables, tuning_plots
from trainer.compare.report.layout import Layout, in_order, layout_of, name_of, names_of
from trainer.compare.report.ranking import count, enumerated, rank, to_decide
from trainer.results import write_bytes, write_json

#: What the papers' numbers are of, where a study's `paper` does not say (`dataset`).
PAPERS_DATASET = 'mnist'

#: TFDS name -> how it is written.
DATASETS = {'mnist': 'MNIST', 'fashion_mnist': 'Fashion-MNIST', 'kmnist': 'KMNIST', 'cifar10': 'CIFAR-10'}

#: What figures there can be. `overview` is for other people's pages: it repeats what `results` shows.
FIGURES = ('results', 'overview', 'curves', 'paper_curves', 'pairs', 'rates', 'widths', 'trials', 'profiles')

#: Most variants of a matrix of pairs: a larger one is of no use to a reader.
MOST_PAIRED = 48

#: How near to the best a learning rate must come to be good, where no claim says it.
TOLERANCE = 0.01


def write_report(
    study: ml_collections.ConfigDict,
    runs: pd.DataFrame,
    trials: pd.DataFrame | None,
    folder: Path,
    *,
    study_name: str,
    dataset_name: str,
    unfinished: int = 0,
    about: str | None = None,
    command: str | None = None,
) -> 'Page':
    """Writes the report of a study into `folder`, and returns what it says.

    Args:
      study: the study, as its file and the command line made it.
      runs: the finished runs, one a row: `variant`, the axes (and `tuning`), `seed`, `status`, the metrics, `history`,
        and of `result.json` `parameters`, `seconds_training`, `seconds_total`, `versions`, `host`, `git_revision` and
        `dataset`, as far as they are known.
      trials: the tuning trials, one a row: the axes, `tuning`, `learning_rate`, `low`, `high` and the metrics; what was
        tuned under its dotted path ('optimizer.beta_1'). None: nothing was tuned.
      folder: where to; made where it is not there.
      study_name: name of the study's file, without `.py`.
      dataset_name: what the runs were trained on.
      unfinished: how many runs are missing. Where there are any, nothing is judged.
      about: the study file's docstring; None: that of `configs/studies/<study_name>.py`.
      command: what makes the study; None: worked out from that file.

    Raises:
      CannotWrite: some of the files may be new by then, and the others old.
    """
    if about is None:
        file = reproduce.study_file(study_name)
        about = file.__doc__ or '' if file else ''
    trials = None if trials is None or trials.empty else trials
    page = Page(
        study,
        _with_numbers(runs),
        None if trials is None else _with_numbers(trials),
        study_name,
        dataset_name,
        unfinished,
    )
    html = template().render(
        page.context(),
        title=reproduce.title_of(about) or study_name.replace('_', ' ').capitalize(),
        about=reproduce.blocks(about),
        command=command or reproduce.command(study, study_name),
        now=time.strftime('%Y-%m-%d %H:%M:%S %z'),
    )
    plotted = list(itertools.chain(*page.figures.values()))
    with writing(folder):
        (folder / 'plots').mkdir(parents=True, exist_ok=True)
        for old in (folder / 'plots').iterdir():
            if old.suffix in ('.svg', '.png') and old.stem not in {plot.name for plot in plotted}:
                old.unlink()
    for plot in plotted:
        write_bytes(folder / 'plots' / f'{plot.name}.svg', plot.standalone.encode())
        write_bytes(folder / 'plots' / f'{plot.name}.png', plot.png)
    # Numbers in full for machines, in digits that mean something for people.
    write_json(folder / 'table.csv', page.table.to_csv(index=False, float_format='%.6g').rstrip())
    write_json(folder / 'table.md', f'{page.caption}\n\n{tables.to_markdown(page.printed)}'.rstrip())
    write_json(folder / 'table.tex', tables.to_latex(page.printed, page.caption).rstrip())
    write_json(folder / 'claims.json', page.claims_as_data())
    write_json(folder / 'index.html', html)  # last: where the disk is full before it, the old page is still whole
    return page


class Page:
    """What a report says, worked out in the order in which one thing follows from another."""

    def __init__(
        self,
        study: ml_collections.ConfigDict,
        runs: pd.DataFrame,
        trials: pd.DataFrame | None,
        study_name: str,
        dataset_name: str,
        unfinished: int,
    ):
        self.study, self.study_name, self.trials, self.unfinished = study, study_name, trials, unfinished
        self.paper = study.get('paper', {})
        expected = self.paper.get('dataset', PAPERS_DATASET if self.paper else dataset_name)
        self.dataset_name = DATASETS.get(dataset_name, dataset_name)
        self.other_dataset = None if dataset_name == expected else DATASETS.get(expected, expected)
        # In every title, so that no picture of this page is taken for what it is not.
        self.dataset = self.dataset_name + (f', NOT {self.other_dataset}' if self.other_dataset else '')
        self.dataset += ', unfinished' if unfinished else ''

        self.runs = runs
        self.claims = [*self.paper.get('claims', ()), *study.get('claims', ())]
        self.verdicts, self.checks = self._judge(self.claims), self._judge(study.get('checks', ()))
        self.layout = layout_of(study, runs, self._pooled()) if len(runs) else Layout({})
        self.runs = runs = in_order(runs, self.layout) if len(runs) else runs
        self.seeds = sorted(runs['seed'].unique().tolist()) if len(runs) else []
        self.rankings = rank(runs, self.layout) if len(runs) else []
        self.table = self._table() if len(runs) else pd.DataFrame()
        self.printed = tables.printed(self.table, self.layout) if len(runs) else self.table
        self.to_paper = tables.to_paper(self.table) if len(runs) else {}
        self.caption = self._caption()
        self.paper_curves = self.scores = pd.DataFrame()
        self.figures: dict[str, list[figures.Plot]] = dict.fromkeys(FIGURES, []) | (
            self._figures() if len(runs) else {}
        )

    def _judge(self, claims: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        """Nothing is judged before all runs are there: who stops when the answer pleases finds what pleases."""
        return [] if self.unfinished or self.runs.empty else [verdict(c, self.runs, self.trials) for c in claims]

    def _pooled(self) -> list[str]:
        """The axes whose values compute the same thing: the study's checks say so, and the runs do not refute it."""
        checks = [parse(check) for check in self.study.get('checks', ())]
        refuted = {axis for check in self.checks if check.result == FAILS for axis in check.claim.a}
        axes = dict.fromkeys(axis for check in checks if check.kind == 'equal' for axis in check.a)
        return [axis for axis in axes if axis not in refuted]

    def _table(self) -> pd.DataFrame:
        # Numbers of another dataset are not put beside ours.
        table = tables.summary(self.runs, self.layout, () if self.other_dataset else self.paper.get('table', ()))
        standings = {ranking.workload: ranking.standings() for ranking in self.rankings}
        if not self.unfinished and all(standings.values()):
            workloads = table[self.layout.workload] if self.layout.workload else [''] * len(table)
            names = names_of(table, self.layout.compared)
            table['standing'] = [standings[w].get(name, '') for w, name in zip(workloads, names, strict=True)]
        return table

    def _figures(self) -> dict[str, list[figures.Plot]]:
        runs, layout, dataset = self.runs, self.layout, self.dataset
        drawn = {
            'results': plots.intervals(runs, self.table, layout, dataset),
            'overview': [plots.overview(runs, self.table, layout, dataset)],
            'curves': plots.curves(runs, layout, dataset),
            'pairs': [
                plots.heat_map(ranking.pairs, ranking.order, ranking.workload, dataset)
                for ranking in self.rankings
                if 2 <= len(ranking.order) <= MOST_PAIRED and len(self.seeds) > 1
            ],
        }
        if self.paper.get('curves') and not self.other_dataset:
            drawn['paper_curves'], self.paper_curves = plots.paper_curves(runs, self.paper.curves, dataset)
        rates = tuning_plots.learning_rates(self.study)
        if rates:
            drawn['rates'] = tuning_plots.rate_sensitivity(runs, layout, *rates, dataset)
        self.target = tuning_plots.target_of(self.claims)
        if self.target:
            drawn['profiles'], self.scores = tuning_plots.profiles(runs, layout, *self.target, dataset)
        if self.trials is not None:
            margins = [claim['margin'] for claim in self.claims if claim['kind'] == 'less_sensitive']
            self.tolerance = margins[0] if margins else TOLERANCE
            drawn |= tuning_plots.tuning(self.trials, layout, self.study.tune.metric, self.tolerance, dataset)
        return drawn

    def context(self) -> dict[str, Any]:
        """Returns what the template shows."""
        runs = self.runs
        return {
            'page': self,
            'css': Markup(figures.adaptive_css()),
            'answer': self._answer(),
            'same': self._same(),
            'claims': self._claims(),
            'tally': self._tally(),
            'headings': _headings(self.printed.columns),
            'variants': len(self.table),
            'diverged': int((runs['status'] == 'diverged').sum()) if len(runs) else 0,
            'seeds': self.seeds,
            'epochs': self._paper_epochs(),
            'facts': reproduce.facts(self.study, runs, self.layout),
            'chosen': self._chosen(),
            'times': reproduce.times(runs, self.layout),
        }

    def _chosen(self) -> pd.DataFrame:
        if self.trials is None or self.runs.empty:
            return pd.DataFrame()
        return reproduce.chosen(self.trials, self.layout, self.study.tune.metric)

    def _caption(self) -> str:
        words = (
            f'{self.study_name}: test accuracy and loss on {self.dataset}, mean over {count(len(self.seeds), "seed")}'
        )
        words += ', 95% bootstrap interval of the mean.' if len(self.seeds) > 1 else '.'
        if self.unfinished:
            words += f' NOT FINISHED: {count(self.unfinished, "run")} missing.'
        if any(found['outside'] is not None for found in self.to_paper.values()):
            words += ' *: outside, the paper’s number is not where one more run of ours would fall (95% prediction '
            words += 'interval and the paper’s rounding).'
        return words

    def _answer(self) -> tuple[list[Markup], list[str]]:
        """A few sentences that a reader can quote: what is best, and what else follows."""
        if self.unfinished or self.runs.empty:
            return [], []
        digits = tables.digits_of(self.table, 'test_accuracy')
        best = [ranking.sentence(self.dataset_name, digits, first=not i) for i, ranking in enumerate(self.rankings)]
        said = []
        if self.layout.pooled:
            held = [check for check in self.checks if check.result == HOLDS]
            margins = {check.claim.margin for check in held}
            runs_agree = len(held) == len(self.checks) and len(margins) == 1
            within = f' (to within {margins.pop():g} in all {len(held)} equivalence tests)' if runs_agree else ''
            said.append(f'{self._pooled_names()} compute the same thing{within} and are not ranked.')
        if 'tuning' in self.layout.axes:
            said += [ranking.spread(self.layout) for ranking in self.rankings]
        said.append(self._tally()['words'])
        if self.to_paper:
            parts = [f'{tables.number(f["difference"])} in {m.removeprefix("test_")}' for m, f in self.to_paper.items()]
            cells = max(found['cells'] for found in self.to_paper.values())
            said.append(f'From the paper’s {count(cells, "cell")} our means differ by {enumerated(parts)} on average.')
        return best, [words[:1].upper() + words[1:] for words in said if words]

    def _pooled_names(self) -> str:
        axis = self.layout.pooled[0]
        return enumerated([name_of(axis, value) for value in self.layout.values[axis]])

    def _same(self) -> dict[str, Any] | None:
        """What the page says of variants that compute the same thing: how far apart they are here and in the paper."""
        checks = self.study.get('checks', ())
        if not checks or self.runs.empty:
            return None
        names, spreads = '', {'ours': '', 'paper': ''}
        if self.layout.pooled:
            names, axis = self._pooled_names(), self.layout.pooled[0]
            rest = [self.table[a] for a in self.layout.axes if a != axis] or [0] * len(self.table)
            for whose, suffix in (('ours', ''), ('paper', '_paper')):
                parts = []
                for metric in tables.METRICS:
                    groups = self.table[f'{metric}{suffix}'].astype(float).groupby(rest)
                    spread = (groups.max() - groups.min()).max()
                    if pd.notna(spread):
                        parts.append(f'{spread:.2g} in {metric.removeprefix("test_")}')
                spreads[whose] = enumerated(parts)
        return {'names': names, 'quote': checks[0].get('quote', '')} | spreads

    def _tally(self) -> dict[str, Any]:
        results = [found.result for found in self.verdicts]
        counts = {result: results.count(result) for result in (HOLDS, FAILS, UNDECIDED)}
        verbs = {HOLDS: 'hold', FAILS: 'do not hold', UNDECIDED: 'are undecided'}
        single = {HOLDS: 'holds', FAILS: 'does not hold', UNDECIDED: 'is undecided'}
        parts = [f'{n} {single[result] if n == 1 else verbs[result]}' for result, n in counts.items() if n]
        whose = 'the paper’s ' if self.paper else ''
        words = f'Of {whose}{count(len(results), "claim")} {enumerated(parts)}.' if results else ''
        return {'counts': counts, 'words': words}

    def _claims(self) -> list[tuple[str, str, list[tuple[Claim, Verdict | None]]]]:
        """Claims read into the same words are told together: (quote, section, [(claim, verdict)])."""
        judged: Sequence[Verdict | None] = self.verdicts or [None] * len(self.claims)
        told = list(zip(map(parse, self.claims), judged, strict=True))
        groups = itertools.groupby(told, key=lambda one: (one[0].quote, one[0].section))
        return [(quote, section, list(group)) for (quote, section), group in groups]

    def to_decide(self, found: Verdict) -> str:
        """Returns what would decide an undecided claim, if anything would, and which variants are the same."""
        if any(axis in self.layout.pooled for axis in found.claim.a) and found.claim.kind != 'equal':
            same = f'{self._pooled_names()} compute the same thing'
            return f'{same}: more seeds cannot tell them apart.' if found.result == UNDECIDED else f'{same}.'
        return to_decide(found, self.runs)

    def claims_as_data(self) -> dict[str, Any]:
        """Returns claims.json."""

        def data(claims: Sequence[Mapping[str, Any]], judged: Sequence[Verdict]) -> list[dict[str, Any]]:
            if not judged:
                return [dataclasses.asdict(parse(claim)) | {'result': None} for claim in claims]
            return [
                dataclasses.asdict(found.claim)
                | {name: value for name, value in dataclasses.asdict(found).items() if name != 'claim'}
                | {'to_decide': self.to_decide(found)}
                for found in judged
            ]

        told = {
            'study': self.study_name,
            'dataset': self.dataset,
            'unfinished': self.unfinished,
            'claims': data(self.claims, self.verdicts),
            'checks': data(self.study.get('checks', ()), self.checks),
        }
        return json.loads(json.dumps(told, default=lambda value: value.item()))

    def _paper_epochs(self) -> list[dict[str, str]]:
        return [
            {
                'variant': row['variant'],
                'metric': plots.words_of(row['metric']).lower(),
                'epoch': f'{row["epoch"]:g}',
                'ours': tables.number(row['mean']),
                'interval': tables.interval(row['low'], row['high']),
                'paper': tables.published(row['paper']),
                'difference': tables.number(row['difference'], sign=True),
            }
            for row in self.paper_curves.to_dict('records')
        ]


def _with_numbers(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns the frame with its metrics as floats: None, of a run that diverged, makes a column of objects."""
    metrics = [c for c in runs if str(c).endswith(('_accuracy', '_loss'))]
    return runs.reset_index(drop=True).astype(dict.fromkeys(metrics, float))


def _headings(columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Splits headings such as 'test loss, paper' for a head of two lines: ('test loss', ['', ..., 'paper'])."""
    parts = [(group, rest) for group, _, rest in (column.partition(', ') for column in columns)]
    return [(group, [rest for _, rest in found]) for group, found in itertools.groupby(parts, key=lambda part: part[0])]


def _p_value(p: float | None) -> str:
    return '–' if p is None else '< 0.0001' if p < 1e-4 else f'{p:.2g}'


def template() -> jinja2.Template:
    """Returns the template of the page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('trainer.compare.report'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        'number': tables.number,
        'p_value': _p_value,
        'upper_first': lambda text: text[:1].upper() + text[1:],
        'counted': count,
    }
    return environment.get_template('report.html.j2')
