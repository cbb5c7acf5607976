"""Trains every run of a study and reports what can be concluded:

python -m trainer.compare --study=configs/studies/raj_optimizers_losses.py [--study.seeds=3 --study.base.epochs=1 ...]

Without a study file, a config and what varies:

python -m trainer.compare --config=configs/mlp_adam.py --vary=optimizer.name=Adam,SGD,Muon [--seeds=5]
    [--vary=optimizer.learning_rate=1e-3:1e-1:log5] [--claim="Adam > SGD by 0.002"] [--margin=0.001] [--save=FILE]

Seeds until the claims are decided, or which variant is the best, and within the time that there is:

python -m trainer.compare --study=... --until-decided [--seeds=30] [--budget=10m]    or 2h, 90s, 'until 18:00'
python -m trainer.compare --study=... --budget=1h    the study's seeds, as many as fit
python -m trainer.compare --study=... --plan         what it would take; trains at most one run of each data set

The same command continues a study that was stopped, and makes the report of a finished one again. Exit codes: 0 done (also
if runs diverged: that is a result), 1 a run failed, 2 the command or the study is wrong, 75 stopped and saved.
"""

import ast
import functools
import re
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import ml_collections
from absl import flags

from seedwise import commands, config_files, process
from seedwise.errors import Interrupted, UserError, unknown
from seedwise.signals import stop_requests
from seedwise.storage import locks, paths
from trainer.compare import datasets, grid, quick, study
from trainer.compare.allocation import budget, seeds
from trainer.compare.analysis.words import count
from trainer.compare.engines import ENGINES
from trainer.compare.grid import RunSpec
from trainer.compare.normalize import file_name, normalize
from trainer.compare.progress import Watch
from trainer.config import unused
from trainer.machine import hardware
from trainer.output.progress import warn

if TYPE_CHECKING:
    from trainer.compare import reporting
    from trainer.compare.dashboard import Dashboard

_STUDY = commands.define_config('study', 'configs/studies/*.py: what to compare; --study.x=y sets a field of it.')
_WORKDIR = flags.DEFINE_string('workdir', '', "The study's folder. Default: runs/<study name>-<hash of the study>.")
_WORKERS = flags.DEFINE_integer(
    'workers', 0, 'Runs trained at a time. 0: as many as fit by cores, memory and GPUs.', 0, 1024
)
_SHARD = flags.DEFINE_string('shard', '', 'i/n: part i of n of the runs, 0 <= i < n; all share a workdir.')
_ENGINE = flags.DEFINE_string('engine', 'local', f'Where the runs are trained: {", ".join(ENGINES)}.')
_REPORT = flags.DEFINE_bool('report', True, 'Write the report at the end; of shards, the last to end does.')
_AA = flags.DEFINE_bool('aa', False, 'Compare each variant with itself on disjoint seeds, to check the machinery.')
_UNTIL_DECIDED = flags.DEFINE_bool(
    'until_decided', False, 'Add seeds in rounds, to the variants of what is still open, until all is decided.'
)
_SEEDS = flags.DEFINE_integer(
    'seeds',
    None,
    f'With --until-decided: the most seeds of a variant. Default: {seeds.MOST}, or {seeds.TIMES_THE_STUDYS} times as many '
    'as the study names.',
)
_BUDGET = flags.DEFINE_string('budget', '', "The time there is: 90s, 10m, 2h, 1h30m or 'until 18:00'.")
_PLAN = flags.DEFINE_bool(
    'plan', False, 'Say what the study takes, from finished runs or else from one; train no more.'
)
_REPORT_ONLY = flags.DEFINE_bool('report_only', False, 'Train nothing: report on what is finished.')

EXAMPLE = 'configs/studies/raj_optimizers_losses.py'

#: Flags that change where and when runs are trained, and none of the results.
_HOW = re.compile(r'--?(workers|shard|engine|budget|(no)?plan|(no)?report([_-]only)?|(no)?aa)\b')


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    started = time.monotonic() - process.age()
    typed = quick.from_argv(argv)
    if not typed:
        return _main(argv, started)
    try:
        with typed.written():
            return _main(typed.argv, started, typed)
    except UserError as error:
        # Whoever typed --config and --vary gave no --study.
        raise UserError(str(error).replace('--study.base.', '--config.')) from error


def _main(argv: list[str], started: float, typed: quick.Typed | None = None) -> int:
    """Runs a command that names a study.

    Args:
      argv: the command line.
      started: when it was, on `time.monotonic`.
      typed: the study, if it has no file of the user's own.
    """
    config = commands.parse(
        [re.sub('^--(no)?(report-only|until-decided)', _with_underscore, argument) for argument in argv],
        __doc__,
        'study',
        EXAMPLE,
        normalize=normalize,
    )
    grid.prepare(config, commands.overrides('study'))
    if _ENGINE.value not in ENGINES:
        raise unknown('--engine', _ENGINE.value, ENGINES)
    time_left = _check_together(config, started)
    with stop_requests(_stop):
        return _compare(config, argv, time_left, typed)


def _with_underscore(match: re.Match) -> str:
    return match[0][:2] + match[0][2:].replace('-', '_')


def _check_together(config: ml_collections.ConfigDict, started: float) -> budget.Budget | None:
    """Checks the flags that decide how many seeds there are; returns the time there is, if there is a limit.

    Raises:
      UserError: flags do not go together, or one is wrong.
    """
    until = '--until-decided' if _UNTIL_DECIDED.value else '--budget' if _BUDGET.value else ''
    if until and _SHARD.value:
        raise UserError(
            f'{until} does not go with --shard, which divides a fixed list of runs: give the same command, without --shard, '
            'to several machines that share the --workdir'
        )
    if until and config.get('tune'):
        raise UserError(f'{until} is not for a study with tune, whose variants are chosen by trials: fix its seeds')
    if _BUDGET.value and (_REPORT_ONLY.value or _PLAN.value):
        raise UserError(
            f'--budget does not go with --{"report_only" if _REPORT_ONLY.value else "plan"}, which trains nothing'
        )
    if _PLAN.value and (_REPORT_ONLY.value or _SHARD.value or config.get('tune')):
        raise UserError('--plan does not go with --report_only, with --shard, or with a study that tunes')
    if _SEEDS.value is not None and not _UNTIL_DECIDED.value:
        raise UserError(f'--seeds is for --until-decided: add it, or write --study.seeds={_SEEDS.value}')
    found = None
    if _BUDGET.value:
        found = budget.Budget(budget.seconds_of(_BUDGET.value), started, report=_REPORT.value)
    if _UNTIL_DECIDED.value:
        seeds.with_most_seeds(config, _SEEDS.value)
    return found


def _plan(config: ml_collections.ConfigDict, workdir: Path, time_left: budget.Budget | None) -> study.Plan:
    from trainer.compare.allocation import rounds  # what decides takes pandas, which a mistyped flag need not wait for

    if _UNTIL_DECIDED.value:
        return rounds.Rounds(config, workdir, time_left)
    if time_left:
        return rounds.Timed(config, workdir, 0, 1, time_left)
    return study.Plan(config, workdir, *_shard(_SHARD.value))


def _compare(
    config: ml_collections.ConfigDict, argv: list[str], time_left: budget.Budget | None, typed: quick.Typed | None
) -> int:
    """Trains what is not finished and reports; returns the exit code."""
    named = commands.config_file('study')
    workdir = paths.folder(_WORKDIR.value, '--workdir') if _WORKDIR.value else grid.default_workdir(named, config)
    parts = datasets.split(config)
    plans = {
        name: _plan(part, workdir / file_name(name) if name else workdir, time_left) for name, part in parts.items()
    }
    file = config_files.find(Path(named.partition(':')[0]).expanduser(), 'study', EXAMPLE)
    from trainer.compare.checks import check  # pandas and SciPy take a second, which a mistyped flag need not wait for

    for plan in plans.values():
        check.check_report(plan.config, plan.everything())
    if _REPORT.value or _REPORT_ONLY.value:
        check.check_libraries()
    if not _REPORT_ONLY.value:
        configs = {variant.name: variant.config for plan in plans.values() for variant in plan.variants}
        for line in [*unused.warnings(configs), hardware.slow_precision(config.base.precision)]:
            warn(line)
    if typed:
        typed.show()
    if _PLAN.value:
        from trainer.compare.allocation import planning

        for line in planning.lines(plans, _ENGINE.value, _WORKERS.value):
            print(line)
        return 0
    from trainer.compare import reporting

    about = reporting.About(file.stem, _docstring(file), _command(argv))
    failed: list[RunSpec] = []
    too_short: list[budget.TooShort] = []
    for number, (name, plan) in enumerate(plans.items()):
        if name:
            print(f'{name}:')
        if time_left and len(plans) > 1:
            plan.budget = time_left.part(len(plans) - number)
        try:
            failed += _train_and_report(plan, about)
        except budget.TooShort as error:
            too_short.append(error)
            if len(plans) > 1:
                warn(f'{name}: {error}')
                _report_finished(plan, about)
    all_too_short = len(too_short) == len(plans)
    if all_too_short and not any(workdir.glob('*/*/*/result.json')):
        raise too_short[0]
    if len(plans) > 1 and (_REPORT_ONLY.value or _REPORT.value):
        _report_over_datasets(plans, workdir, about)
    if all_too_short:
        raise too_short[0]
    return 1 if failed else 0


def _train_and_report(plan: study.Plan, about: 'reporting.About') -> list[RunSpec]:
    """Trains what is not finished of a study on one data set, and reports; returns the runs that failed."""
    from trainer.compare import reporting

    dashboard = _dashboard(plan, about.name)
    watch = None
    if plan.is_first:  # of shards, one looks at the study while it runs
        page = functools.partial(reporting.report_while_running, plan, about=about) if _REPORT.value else None
        watch = Watch(plan, page)
    failed: list[RunSpec] = []
    stopped: Interrupted | None = None
    if not _REPORT_ONLY.value:
        started = time.monotonic()
        try:
            failed = study.train(plan, _ENGINE.value, _WORKERS.value, dashboard, watch, report=_REPORT.value)
        except Interrupted as error:
            judged = _REPORT.value and (_UNTIL_DECIDED.value or _BUDGET.value)
            if not judged or not any(plan.workdir.glob('*/*/result.json')):
                raise
            stopped = error  # the best answer so far
            print('stopped: the report on what has finished follows', file=sys.stderr)
        print(f'trained in {time.monotonic() - started:.1f} s: {plan.workdir}')
    elif _UNTIL_DECIDED.value:
        plan.look()  # whether all is decided
    if _REPORT_ONLY.value or _REPORT.value:
        if not plan.workdir.is_dir():
            raise UserError(f'there is no finished run in {plan.workdir}')
        with locks.locked_file(plan.workdir / '.report.lock'):  # of shards that end together, one reports
            specs = plan.runs()
            if _REPORT_ONLY.value or plan.reports(specs, about.text):
                finished = _report(plan, specs, about)
                if dashboard:
                    figure = plan.workdir / 'report' / 'plots' / 'overview.png'
                    dashboard.begin(plan.compared(), figure.read_bytes() if finished else None, plan.tuned)
    if dashboard:
        print(f'TensorBoard: {dashboard.command}')
    if failed:
        names = '; '.join([*(spec.name for spec in failed[:3]), *(['...'] if len(failed) > 3 else [])])
        print(f'{count(len(failed), "run")} failed: {names}. See error.txt in the folder of each under {plan.workdir}')
    if stopped:
        raise stopped
    return failed


def _dashboard(plan: study.Plan, name: str) -> 'Dashboard | None':
    """Returns what shows a study in TensorBoard; None: its base says that nothing does."""
    if plan.config.base.tensorboard.enabled is False:
        return None
    from trainer.compare.analysis.tuning.replicates import replicate_of
    from trainer.compare.dashboard import Dashboard

    replicates = replicate_of(plan.config)
    return Dashboard(name, plan.seeds, plan.workdir, at_most=plan.at_every_look, replicates=replicates)


def _report_finished(plan: study.Plan, about: 'reporting.About') -> None:
    """Reports what has finished of a study that has no time for another run, if anything has."""
    if not _REPORT.value or not any(plan.workdir.glob('*/*/result.json')):
        return
    plan.look()
    specs = plan.runs()
    if any(spec.result() for spec in specs):
        with locks.locked_file(plan.workdir / '.report.lock'):
            _report(plan, specs, about)


def _report_over_datasets(plans: Mapping[str, study.Plan], workdir: Path, about: 'reporting.About') -> None:
    """Reports what holds over the data sets; of shards, all that find everything finished do."""
    from trainer.compare import reporting

    lines = reporting.report_over_datasets(plans, workdir / 'report', about, whole=bool(_SHARD.value))
    for line in lines or ():
        print(line)
    if lines is not None:
        print(f'report over the data sets: {workdir / "report" / "index.html"}')


def _command(argv: list[str]) -> str:
    return shlex.join(['python', '-m', 'trainer.compare', *(word for word in argv[1:] if not _HOW.match(word))])


def _report(plan: study.Plan, specs: list[RunSpec], about: 'reporting.About') -> bool:
    """Writes the report on what is finished, and shows the answer; returns whether that is all."""
    from trainer.compare import reporting
    from trainer.compare.report import screen

    page = reporting.report(plan, specs, about)
    screen.show(page)
    if _AA.value:
        screen.show_self_check(page)
    left = page.unfinished
    print(f'report: {plan.workdir / "report" / "index.html"}' + (f' ({count(left, "run")} unfinished)' if left else ''))
    if left and plan.budget:
        print(plan.what_is_missing())
    return not left


def _docstring(file: Path) -> str:
    """Returns the docstring of a study's file."""
    # As bytes: Python itself knows of byte order marks and of encodings that the file declares.
    return ast.get_docstring(ast.parse(file.read_bytes())) or '' if file.is_file() else ''


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d{1,6})/(\d{1,6})', text or '0/1')
    if not match or int(match[1]) >= int(match[2]):
        raise UserError(f"--shard is '{text}': it must be i/n with 0 <= i < n, such as 0/4, 1/4, 2/4 and 3/4")
    return int(match[1]), int(match[2])


def _stop(number: int) -> None:
    raise Interrupted('stopped')


if __name__ == '__main__':
    sys.exit(commands.run(main))
