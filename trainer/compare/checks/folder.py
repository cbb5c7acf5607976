"""A study's folder before the first run trains: it can be written, and it holds this study and no other."""

import errno
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seedwise.errors import CannotWrite, UserError, writing
from trainer import results
from trainer.compare.grid import RunSpec

#: What is written to see whether a folder can be written, in bytes: less may fit on a full disk.
PROBE_BYTES = 4096

OTHER = 'choose another --workdir'


def check_writable(folder: Path) -> None:
    """Raises `CannotWrite` unless a file can be written in a folder, which is made if it is not there."""
    results.check_path(folder)
    with writing(folder, OTHER):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())


def check_runs(specs: Iterable[RunSpec]) -> None:
    """Raises `UserError` if the folder of a run holds another config, or is somebody else's.

    Reads the config.json of those that have one. The runs of a variant differ in nothing but their seed, so that 10,000
    of them take as long as it takes to read their files.
    """
    fields: dict[int, dict[str, Any]] = {}
    for spec in specs:
        if not os.path.isdir(spec.workdir):  # which is false for a path that there cannot be; `Path.is_dir` raises
            continue
        finished = (spec.workdir / 'result.json').exists()
        if finished and not (spec.workdir / 'config.json').exists():
            continue  # somebody has copied no more than the results: `RunSpec.result` knows whose they are
        own = fields.setdefault(id(spec.variant.of(spec.seed)), {})
        if not own:
            own |= json.loads(results.to_json(spec.config))
        results.check_workdir(spec.workdir, own | {'seed': spec.seed})
        if not (finished or os.access(spec.workdir, os.W_OK | os.X_OK)):
            raise CannotWrite(spec.workdir, os.strerror(errno.EACCES), OTHER)


def check_chosen(trials: Sequence[RunSpec], seeds: Sequence[int], workdir: Path) -> None:
    """Raises `UserError` if runs of a tuned variant are there that these trials cannot have chosen.

    Which trial is the best is known only once all have ended. But runs that were trained with its values say what the
    trials were when they were chosen: one of these, and as many.
    """
    by_name: dict[str, list[RunSpec]] = {}
    for spec in trials:
        by_name.setdefault(spec.variant.name, []).append(spec)
    for name, own in by_name.items():
        chosen = [folder for seed in seeds if os.path.exists((folder := workdir / name / str(seed)) / 'config.json')]
        if not chosen:
            continue
        begun = sum(any((spec.workdir / f'{file}.json').exists() for file in ('config', 'result')) for spec in own)
        if begun < len(own):
            raise UserError(
                f'{chosen[0].parent} holds what was chosen from {begun} trials, and tune.trials is {len(own)}: {OTHER}'
            )
        configs = [json.loads(results.to_json(spec.config)) for spec in own]
        for folder in chosen:
            seed = {'seed': int(folder.name)}
            if all(results.differences(folder, fields | seed) for fields in configs):
                raise UserError(f'{folder} holds another config than that of any trial of {name}: {OTHER}')
