"""Trains one run: python -m trainer.main --config=configs/cnn_nadam.py [--workdir=...] [--config.epochs=2 ...]

Exit codes: 0 done, 2 the command or its config is wrong, 3 diverged, 75 stopped and saved (the same command continues).
"""

import contextlib
import sys
from pathlib import Path

from absl import flags

from configs.default import OPTIONAL_PAIRS, PAIRS
from data_pipeline import sources
from seedwise import commands, tensorflow_import
from seedwise.storage import paths
from trainer import cluster, results
from trainer.cluster.meeting import check_port_free
from trainer.config import unused
from trainer.config.check import check, check_cluster, check_data
from trainer.config.numbers import offer_arguments, settle_numbers
from trainer.machine import hardware
from trainer.output.progress import warn
from trainer.output.report import print_summary

#: Exit code of a run whose loss, or a weight, was not finite.
DIVERGED = 3

#: Fields that may differ from those of a finished run where its model is only evaluated again.
FREE_IN_EVALUATION = ('epochs', 'steps', 'metrics', 'metric_options', 'monitor')

_CONFIG = commands.define_config('config', 'configs/*.py: what to train; --config.x=y sets a field of it.')
_WORKDIR = flags.DEFINE_string('workdir', '', "The run's folder. Default: runs/<config name>-<hash of the config>.")


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    pairs = PAIRS + OPTIONAL_PAIRS
    config = commands.parse(argv, __doc__, 'config', 'configs/cnn_nadam.py', pairs, offer_arguments)
    settle_numbers(config)
    check(config)
    found = cluster.find()
    check_cluster(config, found)
    chief = found is None or found.is_chief
    if chief:
        for line in [*unused.warnings({'': config}), hardware.slow_precision(config.precision)]:
            warn(line)
    workdir = _workdir(config)
    evaluation_only = 0 in (config.epochs, config.steps) and (workdir / results.MODEL).exists()
    result = None if evaluation_only else results.read_result(workdir, config)
    if result is None:
        data = config.data
        location = sources.locate_for(data, data.fallback)
        location = sources.ensure_downloaded(location, data.fallback, memory_limit_mb=data.memory_limit_mb)
        if location.warning:
            config.data.name = location.name
            config.data.validation = min(config.data.validation, sources.DIGITS_TRAIN // 5)
            workdir = _workdir(config)
            if chief:
                warn(location.warning)
        if chief:
            for note in location.notes:
                warn(note)
        check_data(config, location)
        results.check_workdir(workdir, config, ignored=FREE_IN_EVALUATION if evaluation_only else ())
        if evaluation_only:
            result = _evaluate(config, location, workdir)
        else:
            result = results.read_result(workdir, config) or _train(config, location, workdir, found)
    if chief:
        print_summary(result, workdir)
    return DIVERGED if result['status'] == 'diverged' else 0


def _workdir(config) -> Path:
    if _WORKDIR.value:
        return paths.folder(_WORKDIR.value, '--workdir')
    return results.default_workdir(commands.config_file('config'), config)


def _train(config, location: sources.Location, workdir: Path, found: cluster.Cluster | None) -> dict:
    if found:
        check_port_free(found)
        print(found, file=sys.stderr)
    chief = found is None or found.is_chief
    with results.locked(workdir) if chief else contextlib.nullcontext():
        if chief:
            results.begin(workdir, config)
        tensorflow_import.import_tensorflow()
        from trainer.train import train

        return train(config, location, workdir, found)


def _evaluate(config, location: sources.Location, workdir: Path) -> dict:
    tensorflow_import.import_tensorflow()
    from trainer.train import evaluate

    return evaluate(config, location, workdir)


if __name__ == '__main__':
    sys.exit(commands.run(main))
