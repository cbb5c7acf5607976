"""Judges results from anywhere: python -m trainer.judge PATH... [--claim="A > B by 0.002 on accuracy"] [FLAG...]

PATH is a table (CSV, TSV, JSON, JSON lines, Parquet: a row a run, a row a number, or a column a variant; exports of W&B and
MLflow too), folders of runs or of a study of this project, TensorBoard folders, or logs of Keras's CSVLogger.

Exit codes: 0 done, and every claim holds; 1 a claim does not hold; 2 the command or the results are wrong; 3 a claim is
undecided. Imports no TensorFlow.
"""

import argparse
import json
import math
import numbers
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from seedwise import signals, streams
from seedwise.errors import CannotWrite, UserError, in_a_line, unknown
from seedwise.storage.paths import local
from trainer.compare.analysis import claim_text
from trainer.compare.analysis.metrics import range_of

if TYPE_CHECKING:
    import pandas as pd

    from trainer.compare.report.contents import Page
    from trainer.judging.results import Results

#: What the answer for programs has of the size of a difference.
SIZE = ('advantage', 'low', 'high')

EXIT = {'holds': 0, 'does not hold': 1, 'undecided': 3}


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parser() -> Parser:
    """Returns the parser of the command line."""
    made = Parser(prog='trainer.judge', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument('paths', nargs='+', metavar='PATH')
    made.add_argument('--variant', help='the column that names the variant')
    made.add_argument('--seed', help='the column of the seed: runs of one seed are paired')
    made.add_argument('--metric', action='append', default=[], help='a metric (again for more); the first ranks')
    made.add_argument(
        '--goal', action='append', default=[], metavar='METRIC=max|min', help='which is better of a metric'
    )
    made.add_argument('--margin', action='append', default=[], metavar='[METRIC=]NUMBER', help='what does not matter')
    made.add_argument('--step', default='last', help='of curves: last, best, or a step')
    made.add_argument(
        '--claim', action='append', default=[], help='such as "A > B by 0.002 on accuracy", or "A = B within 0.002"'
    )
    made.add_argument(
        '--aa', action='store_true', help='compare each variant with itself on disjoint seeds, as a check'
    )
    made.add_argument('--report', metavar='FOLDER', help='write the report page into this folder')
    made.add_argument('--json', action='store_true', help='print the answer as JSON')
    return made


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    flags = parser().parse_args(argv[1:])
    paths = [local(path, 'PATH') for path in flags.paths]
    study = _study_of(paths)
    if study:
        for name in ('claim', 'metric', 'margin', 'goal', 'variant', 'seed'):
            if getattr(flags, name):
                raise UserError(
                    f'--{name} is not for a study, which brings its own: name the folders of its variants instead, or '
                    'change the study file'
                )
        page, guess = _of_study(study, flags.report)
    else:
        from trainer.judging.read import read

        goals = dict(_pair(text, '--goal') for text in flags.goal)
        found = read(
            paths,
            variant=flags.variant,
            seed=flags.seed,
            metrics=[*dict.fromkeys(flags.metric)],
            goals=goals,
            step=flags.step,
        )
        margins = _margins(flags.margin, list(found.goals))
        _check_margins(found, margins, '--margin')
        claims = [parse_claim(text, i, found) for i, text in enumerate(flags.claim)]
        command = shlex.join(['python', '-m', 'trainer.judge', *argv[1:]])
        page, guess = _page(found, margins, claims, paths, flags.report, command), list(found.guess)
    if flags.json:
        print(json.dumps(as_data(page, guess), indent=2, allow_nan=False))
    else:
        from trainer.compare.report import screen

        for line in guess:
            print(streams.printable(line), file=sys.stderr)
        screen.show(page)
        if flags.aa:
            screen.show_self_check(page)
        if flags.report:
            print(f'report: {Path(flags.report) / "index.html"}')
    results = [verdict.result for verdict in page.verdicts] if flags.claim else []
    return max((EXIT[result] for result in results), default=0, key=[0, 3, 1].index)


def judge(
    runs: 'pd.DataFrame',
    *,
    metrics: dict[str, str] | None = None,
    margins: dict[str, float] | None = None,
    claims: tuple[str, ...] = (),
    report: str | Path | None = None,
) -> dict[str, Any]:
    """Judges a frame with one run a row: which variant is the best, by how much, and what holds of the claims.

        frame = pd.DataFrame({'variant': ['A'] * 5 + ['B'] * 5, 'seed': [0, 1, 2, 3, 4] * 2, 'accuracy': values})
        seedwise.judge(frame, margins={'accuracy': 0.002}, claims=('A > B',))

    Args:
      runs: columns `variant`, `seed` (without it, or if the variants share fewer than two seeds, runs are compared unpaired)
        and a column a metric; a value that is not finite is a run that diverged.
      metrics: metric -> 'max' or 'min', the most important first; None: every column of numbers whose name says it.
      margins: metric -> the largest difference that does not matter, in its unit.
      claims: such as 'A > B by 0.002 on accuracy', or 'A = B within 0.002'.
      report: folder to write the report page into.

    Returns:
      `ranking`, a list with `variant`, `mean`, `low`, `high` (95% t interval over seeds), `seeds`, `diverged` and
      `standing`; `comparisons` of each variant with the best mean, with `outcome` 'better', 'worse', 'practically the same'
      or 'undecided' and an interval, both at the two-sided `level`, which allows for the best having been picked, and `p`
      as it is; `claims`; `sentence`, the answer in words.

    Raises:
      UserError: a column is missing or holds something else, a run is there twice, or a direction is not known.
    """
    from trainer.judging.frames import checked
    from trainer.judging.results import direction, finish, in_order, is_cost

    if 'variant' not in runs:
        raise unknown('column', 'variant', list(map(str, runs.columns)))
    columns = [str(c) for c in runs.select_dtypes('number').columns if c != 'seed']
    chosen = list(metrics) if metrics else in_order(c for c in columns if direction(c))
    if not chosen or (not metrics and all(map(is_cost, chosen)) and len(chosen) < len(columns)):
        result = next((c for c in columns if c not in chosen), 'accuracy')
        raise UserError(f"no column of results has a known direction: give metrics={{'{result}': 'max'}}")
    for metric in chosen:
        if metric not in runs:
            raise unknown('metric', metric, columns)
    found = finish(checked(runs, chosen), chosen, metrics or {}, 'frame', ())
    _check_margins(found, margins or {}, 'margins')
    typed = [parse_claim(text, i, found) for i, text in enumerate(claims)]
    given = {'metrics': metrics, 'margins': margins, 'claims': claims}
    call = ', '.join(['runs', *(f'{name}={value!r}' for name, value in given.items() if value)])
    page = _page(found, margins or {}, typed, [], report, f'seedwise.judge({call})')
    return as_data(page, list(found.guess))


def parse_claim(text: str, number: int, found: 'Results') -> dict[str, Any]:
    """Returns a claim on the command line as the mapping of a study file.

    Raises:
      UserError: as `claim_text.parse`, or it names a variant or a metric that does not exist.
    """
    typed = claim_text.parse(text)
    variants = list(dict.fromkeys(found.runs['variant']))
    for name in (typed.a, typed.b):
        if name not in variants:
            raise unknown('variant in --claim', name, variants)
    if typed.a == typed.b:
        raise UserError(f"--claim is '{text}': it compares {typed.a} with itself")
    metric = typed.metric or next(iter(found.goals))
    if metric not in found.goals:
        raise unknown('metric in --claim', metric, found.goals)
    _check_reachable(f"--claim is '{text}'", found, metric, typed.margin)
    return {
        'id': f'claim_{number + 1}',
        'paired': found.paired,
        'kind': typed.kind,
        'quote': text,
        'a': {'variant': typed.a},
        'b': {'variant': typed.b},
        'metric': metric,
        'goal': found.goals[metric],
        'margin': typed.margin,
    }


def _check_margins(found: 'Results', margins: dict[str, float], where: str) -> None:
    for metric, margin in margins.items():
        if metric not in found.goals:
            raise unknown(f'metric in {where}', metric, found.goals)
        if not isinstance(margin, numbers.Real) or not 0 < margin < math.inf:
            raise UserError(
                f'{where} of {metric} is {margin!r}: it must be a number above 0, in the unit of the metric'
            )
        _check_reachable(f'{where} is {margin:g}', found, metric, margin)


def _check_reachable(where: str, found: 'Results', metric: str, margin: float) -> None:
    """Raises `UserError` for a margin that no difference reaches: of accuracies, which are shares, one of 1."""
    low, high = range_of(metric)
    values = found.runs[metric][found.runs['status'] == 'completed']
    if margin >= high - low and values.between(low, high).all():
        raise UserError(
            f'{where}: {metric} lies between {low:g} and {high:g}, so that no two variants differ by {margin:g}; one '
            f'percentage point is {0.01 * (high - low):g}'
        )


def as_data(page: 'Page', guess: list[str]) -> dict[str, Any]:
    """Returns the answer for programs."""
    best, others = page.answer()
    rankings = []
    for ranked in page.rankings:
        rankings += [
            {
                **({'workload': ranked.workload} if ranked.workload else {}),
                'variant': place.name,
                'mean': place.estimate.mean if place.estimate else None,
                'low': place.estimate.low if place.estimate else None,
                'high': place.estimate.high if place.estimate else None,
                'seeds': place.n,
                'diverged': place.diverged,
                'standing': place.standing,
            }
            for place in ranked.places
        ]
    return {
        'metric': page.layout.primary,
        'goal': page.layout.metrics[page.layout.primary],
        'margin': page.margins.get(page.layout.primary, 0.0),
        'sentence': ' '.join([*(text.striptags() for text in best), *others]),
        'ranking': rankings,
        'comparisons': [
            {
                'a': pair.a,
                'b': pair.b,
                'test': pair.test,
                'advantage': pair.advantage,
                'low': pair.low,
                'high': pair.high,
                'p': pair.p_value,
                'level': ranked.alpha,
                'outcome': pair.outcome(ranked.alpha),
            }
            for ranked in page.rankings
            for pair in ranked.to_best
        ],
        'claims': [
            {
                'claim': v.claim.quote or v.claim.id,
                'result': v.result,
                'p': v.p_value,
                # Of a claim about several comparisons, claims.json in a report has them all.
                **{name: getattr(v.comparisons[0], name) for name in SIZE if len(v.comparisons) == 1},
                'sentence': v.sentence,
            }
            for v in page.verdicts
        ],
        'guessed': guess,
    }


def _page(
    found: 'Results',
    margins: dict[str, float],
    claims: list[dict[str, Any]],
    paths: list[Path],
    report: str | Path | None,
    command: str,
) -> 'Page':
    import ml_collections

    from trainer.compare.report.page import page_of

    study = ml_collections.ConfigDict({'variants': {}, 'margins': margins})
    study.claims = tuple(claims)
    name = _title(paths)
    rest: dict[str, Any] = {'study_name': name, 'dataset_name': name, 'metrics': found.goals, 'paired': found.paired}
    if report is None:
        return page_of(study, found.runs, None, **rest, draw=False)
    from trainer.compare.report.write import write_report

    return write_report(study, found.runs, None, Path(report), command=command, **rest)


def _title(paths: list[Path]) -> str:
    """Returns what the results are called: the name of the only path, or of the folder that all paths are in."""
    if not paths:
        return 'results'
    places = [path.resolve() for path in paths]
    if len(places) > 1:
        return Path(os.path.commonpath([place.parent for place in places])).name or 'results'
    return places[0].name if places[0].is_dir() else places[0].stem


def _study_of(paths: list[Path]) -> Path | None:
    """Returns the runs.csv of a study's report, if that is what the only path names."""
    if len(paths) != 1:
        return None
    (path,) = paths
    for file in (path, path / 'runs.csv', path / 'report' / 'runs.csv'):
        if file.name == 'runs.csv' and file.is_file() and file.with_name('study.json').is_file():
            return file
    return None


def _of_study(file: Path, report: str | None) -> tuple['Page', list[str]]:
    from trainer.compare import records
    from trainer.compare.report.page import page_of
    from trainer.compare.report.write import write_report

    study, runs, trials, rest = records.read(file)
    guess = [f'A study of seedwise: {len(runs)} runs.']
    try:
        if report:
            return write_report(study, runs, trials, Path(report), **rest), guess
        about = {key: value for key, value in rest.items() if key not in ('command', 'about')}
        return page_of(study, runs, trials, **about, draw=False), guess
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        # The files are whole, or `records.read` had refused them, but what they say of each other does not fit.
        why = in_a_line(f'{type(error).__name__}: {error}')
        raise UserError(f'{file} or study.json next to it is damaged, or of another version: {why}') from error


def _margins(texts: list[str], metrics: list[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        metric, value = _pair(text, '--margin') if '=' in text else (metrics[0], text)
        if metric not in metrics:
            raise unknown('metric in --margin', metric, metrics)
        try:
            found[metric] = float(value)
        except ValueError:
            found[metric] = math.nan
        if not 0 < found[metric] < math.inf:
            raise UserError(f"--margin is '{text}': it must be a number above 0, in the unit of the metric")
    return found


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.rpartition('=')
    if not equals:
        raise UserError(f"{flag} is '{text}': it must be METRIC=VALUE")
    return name, value


def run() -> int:
    """Calls `main`; a user's mistake becomes one line and exit code 2."""
    signals.started()
    signals.end_imports('interrupted')
    try:
        return main(sys.argv)
    except (UserError, CannotWrite) as error:
        print(streams.error_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(run())
