"""Trains every run of a study and reports what can be concluded:

python -m trainer.compare --study=configs/studies/raj_optimizers_losses.py [--study.seeds=3 --study.base.epochs=1 ...]

Without a study file, a config and what varies:

python -m trainer.compare --config=configs/mlp_adam.py --vary=optimizer.name=Adam,SGD,Muon [--seeds=5]
    [--vary=optimizer.learning_rate=1e-3:1e-1:log5] [--claim="Adam > SGD by 0.002"] [--margin=0.001] [--save=FILE]

The same command continues a study that was stopped, and makes the report of a finished one again. Exit codes: 0 done (also
if runs diverged: that is a result), 1 a run failed, 2 the command or the study is wrong, 75 stopped and saved.
"""

import ast
import re
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import ml_collections
from absl import flags

from seedwise import commands, config_files, paths
from seedwise.errors import Interrupted, UserError, unknown
from seedwise.signals import stop_requests
from trainer import hardware, results, unused
from trainer.compare import datasets, grid, quick, study
from trainer.compare.analysis.words import count
from trainer.compare.engines import ENGINES
from trainer.compare.grid import RunSpec
from trainer.compare.normalize import file_name, normalize
from trainer.progress import warn

_STUDY = commands.define_config('study', 'configs/studies/*.py: what to compare; --study.x=y sets a field of it.')
_WORKDIR = flags.DEFINE_string('workdir', '', "The study's folder. Default: runs/<study name>-<hash of the study>.")
_WORKERS = flags.DEFINE_integer(
    'workers', 0, 'Runs trained at a time. 0: one for each core that may be used, if memory allows.', 0, 1024
)
_SHARD = flags.DEFINE_string('shard', '', 'i/n: part i of n of the runs, 0 <= i < n; all share a workdir.')
_ENGINE = flags.DEFINE_string('engine', 'local', f'Where the runs are trained: {", ".join(ENGINES)}.')
_REPORT = flags.DEFINE_bool('report', True, 'Write the report at the end; of shards, the last to end does.')
_AA = flags.DEFINE_bool('aa', False, 'Compare each variant with itself on disjoint seeds, to check the machinery.')
_REPORT_ONLY = flags.DEFINE_bool('report_only', False, 'Train nothing: report on what is finished.')

EXAMPLE = 'configs/studies/raj_optimizers_losses.py'

#: Flags that change where and when runs are trained, and none of the results.
_HOW = re.compile(r'--?(workers|shard|engine|(no)?report([_-]only)?|(no)?aa)\b')


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    argv = quick.from_argv(argv)
    config = commands.parse(
        [re.sub('^--report-only', '--report_only', argument) for argument in argv],
        __doc__,
        'study',
        EXAMPLE,
        normalize=normalize,
    )
    grid.prepare(config, commands.overrides('study'))
    if _ENGINE.value not in ENGINES:
        raise unknown('--engine', _ENGINE.value, ENGINES)
    with stop_requests(_stop):
        return _compare(config, argv)


def _compare(config: ml_collections.ConfigDict, argv: list[str]) -> int:
    """Trains what is not finished and reports; returns the exit code."""
    typed = commands.config_file('study')
    workdir = paths.folder(_WORKDIR.value, '--workdir') if _WORKDIR.value else grid.default_workdir(typed, config)
    file = config_files.find(Path(typed.partition(':')[0]).expanduser(), 'study', EXAMPLE)
    about, shard = _docstring(file), _shard(_SHARD.value)
    plans = {
        name: study.Plan(part, workdir / file_name(name) if name else workdir, *shard)
        for name, part in datasets.split(config).items()
    }
    from trainer.compare import check  # pandas and SciPy take a second, which a mistyped flag need not wait for

    for plan in plans.values():
        check.check_report(plan.config, plan.everything())
    if _REPORT.value or _REPORT_ONLY.value:
        check.check_libraries()
    if not _REPORT_ONLY.value:
        configs = {variant.name: variant.config for plan in plans.values() for variant in plan.variants}
        for line in [*unused.warnings(configs), hardware.slow_precision(config.base.precision)]:
            warn(line)
    failed = [spec for name, plan in plans.items() for spec in _one(plan, name, file.stem, about, argv)]
    if len(plans) > 1 and (_REPORT_ONLY.value or _REPORT.value):
        _report_over_datasets(plans, workdir, file.stem, about, argv)
    if failed:
        names = '; '.join([*(spec.name for spec in failed[:3]), *(['...'] if len(failed) > 3 else [])])
        print(f'{count(len(failed), "run")} failed: {names}. See error.txt in the folder of each under {workdir}')
    return 1 if failed else 0


def _one(plan: study.Plan, dataset: str, name: str, about: str, argv: list[str]) -> list[RunSpec]:
    """Trains and reports a study on one data set; returns the runs that failed. `dataset`: '' if it is the only one."""
    if dataset:
        print(f'{dataset}:')
    dashboard = None
    if plan.config.base.tensorboard.enabled is not False:
        from trainer.compare.dashboard import Dashboard

        dashboard = Dashboard(name, grid.seeds_of(plan.config), plan.workdir)
    failed: list[RunSpec] = []
    if not _REPORT_ONLY.value:
        started = time.monotonic()
        failed = study.train(plan, _ENGINE.value, _WORKERS.value, dashboard, report=_REPORT.value)
        print(f'trained in {time.monotonic() - started:.1f} s: {plan.workdir}')
    if _REPORT_ONLY.value or _REPORT.value:
        if not plan.workdir.is_dir():
            raise UserError(f'there is no finished run in {plan.workdir}')
        with results.locked_file(plan.workdir / '.report.lock'):  # of shards that end together, one reports
            specs = plan.runs()
            if _REPORT_ONLY.value or plan.reports(specs, about):
                finished = _report(plan, specs, name, about, argv)
                if dashboard:
                    figure = plan.workdir / 'report' / 'plots' / 'overview.png'
                    dashboard.begin(plan.compared(), figure.read_bytes() if finished else None, plan.tuned)
    if dashboard:
        print(f'TensorBoard: {dashboard.command}')
    return failed


def _report_over_datasets(
    plans: Mapping[str, study.Plan], workdir: Path, name: str, about: str, argv: list[str]
) -> None:
    """Reports what holds over the data sets; of shards, all that find everything finished do."""
    from trainer.compare import runs
    from trainer.compare.report.over_datasets import write_over_datasets
    from trainer.compare.report.page import page_of

    pages = {}
    for dataset, plan in plans.items():
        frame, unfinished = runs.read(plan.runs())
        if unfinished and _SHARD.value:
            return
        trials = runs.read_trials(plan.config, plan.trials) if plan.trials else None
        pages[dataset] = page_of(
            plan.config, frame, trials, study_name=name, dataset_name=dataset, unfinished=unfinished, draw=False
        )
    with results.locked_file(workdir / '.report.lock'):
        lines = write_over_datasets(pages, workdir / 'report', study_name=name, about=about, command=_command(argv))
    for line in lines:
        print(line)
    print(f'report over the data sets: {workdir / "report" / "index.html"}')


def _command(argv: list[str]) -> str:
    return shlex.join(['python', '-m', 'trainer.compare', *(word for word in argv[1:] if not _HOW.match(word))])


def _report(plan: study.Plan, specs: list[RunSpec], name: str, about: str, argv: list[str]) -> bool:
    """Writes the report on what is finished; returns whether that is all."""
    from trainer.compare import records, runs
    from trainer.compare.report import screen
    from trainer.compare.report.write import write_report

    made_of = plan.made_of(specs, about)
    frame, unfinished = runs.read(specs)
    if frame.empty:
        raise UserError(f'there is no finished run in {plan.workdir}')
    report = plan.workdir / 'report'
    trials = runs.read_trials(plan.config, plan.trials) if plan.trials else None
    rest = {
        'study_name': name,
        'dataset_name': frame['dataset'].iloc[0]['name'],
        'unfinished': unfinished,
        'metrics': grid.metrics_of(plan.config),
        'about': about,
        'command': _command(argv),
    }
    page = write_report(plan.config, frame, trials, report, **rest)
    records.write(report, plan.config, frame, trials, **rest)
    results.write_json(report / study.MADE_OF, made_of)
    screen.show(page)
    if _AA.value:
        screen.show_self_check(page)
    print(f'report: {report / "index.html"}' + (f' ({unfinished:,} runs unfinished)' if unfinished else ''))
    return not unfinished


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
