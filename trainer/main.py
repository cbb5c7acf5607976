"""Trains one run: python -m trainer.main --config=configs/cnn_nadam.py [--workdir=...] [--config.epochs=2 ...]

Exit codes: 0 done, 2 the command or its config is wrong, 3 diverged, 75 stopped and saved (the same command continues).
"""

import sys
from pathlib import Path

from absl import flags

from configs import commands
from data_pipeline import quiet, sources
from trainer import cluster, results
from trainer.check import check

_CONFIG = commands.define_config('config', 'configs/*.py: what to train; --config.x=y sets a field of it.')
_WORKDIR = flags.DEFINE_string('workdir', '', "The run's folder. Default: runs/<config name>-<hash of the config>.")


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    config = commands.parse(argv, __doc__, 'config', 'configs/cnn_nadam.py')
    check(config)
    found = cluster.find()
    location = sources.locate(config.data.name, config.data.data_dir, config.data.manual_dir, config.data.fallback)
    if location.warning:
        config.data.name = location.name
        config.data.validation = min(config.data.validation, sources.DIGITS_TRAIN // 5)
    workdir = (
        Path(_WORKDIR.value).expanduser()
        if _WORKDIR.value
        else results.default_workdir(commands.config_file('config'), config)
    )
    results.check_workdir(workdir, config)
    result = results.read_result(workdir)
    chief = found is None or found.is_chief
    if result is None:
        if found:
            cluster.check_port_free(found)
        if location.warning and chief:
            from trainer.progress import warn

            warn(location.warning)
        result = _train(config, location, workdir, found)
    if chief:
        from trainer.report import print_summary

        print_summary(result, workdir)
    return 3 if result['status'] == 'diverged' else 0


def _train(config, location: sources.Location, workdir: Path, found: cluster.Cluster | None) -> dict:
    import contextlib

    chief = found is None or found.is_chief
    with results.locked(workdir) if chief else contextlib.nullcontext():
        if chief:
            results.write_json(workdir / 'config.json', results.to_json(config))
        quiet.import_tensorflow()
        from trainer.train import train

        return train(config, location, workdir, found)


if __name__ == '__main__':
    sys.exit(commands.run(main))
