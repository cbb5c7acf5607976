"""A study in TensorBoard: `tensorboard --logdir=<workdir>`.

    <workdir>/mean/               what is compared, how to read it, the layout of the charts, the columns of HParams
    <workdir>/mean/<variant>/     a TensorBoard run for each variant: means over seeds by step, and their intervals; with
                                  replicates of tuning (analysis/tuning/replicates.py), means and intervals over replicates
    <workdir>/seeds/<variant>/<seed>/    a TensorBoard run for each run, with its row in HParams

All of it is worked out from the runs' result.json, a variant at a time, whenever one of its runs finishes. A folder holds
one event file, which is replaced and never appended to: no point is there twice, whoever else writes and whatever was
killed. What the study does not have any more (a variant, a seed, a result) goes from both folders; the runs' own folders
are never touched. Needs no TensorFlow.
"""

import contextlib
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary

from seedwise.errors import CannotWrite, writing
from seedwise.storage import locks
from trainer.compare.analysis.statistics import CONFIDENCE
from trainer.compare.analysis.words import count
from trainer.compare.dashboard import boards
from trainer.compare.grid import RunSpec, Variant, runs_of
from trainer.output import events, images
from trainer.output.progress import warn
from trainer.output.report import tensorboard_command

#: Folders below the study's; no variant may have their name.
MEAN, SEEDS = 'mean', 'seeds'

#: What to open: the older pages of TensorBoard show no run unasked beyond 40 runs, and the filter of runs
#: brings up the means.
FRONT = f'?smoothing=0&runFilter=^{MEAN}#timeseries&regexInput=^{MEAN}'

#: Up to this number of TensorBoard runs its first page shows all unasked; of more it shows none.
MOST_SHOWN = 500

#: Of the figure of the results, in pixels: what fits on the page in actual size.
WIDTH = 900

#: What is kept of each result, of which a study may have thousands.
SHOWN = ('status', 'steps', 'metrics', 'monitor', 'history', 'test', 'seconds')


class Dashboard:
    """What TensorBoard shows of a study, right at any moment for what is finished.

    Several processes may keep the dashboard of one study: each that finishes a run writes its variant again from all that
    is finished, one process at a time.
    """

    def __init__(
        self,
        title: str,
        seeds: Sequence[int],
        workdir: Path,
        *,
        at_most: bool = False,
        replicates: Mapping[int, int] | None = None,
    ):
        """`title`: the study's name; `seeds`: of each variant, or those that it may get `at_most`; `replicates`: of each
        seed the replicate of tuning, each of which counts once."""
        self._title, self._seeds, self._workdir, self._at_most = title, seeds, workdir, at_most
        self._replicates = replicates or {}
        self._results: dict[tuple[str, int], dict] = {}
        self._order: dict[str, int] = {}
        self._single_runs = True
        self._given_up = False

    @property
    def command(self) -> str:
        """How to open it."""
        return f'{tensorboard_command(self._workdir)}, then http://localhost:6006/{FRONT}'

    def begin(self, variants: Sequence[Variant], answer: bytes | None = None, later: Iterable[str] = ()) -> None:
        """Writes what does not wait for another run of these variants to finish, and deletes what is not theirs.

        Args:
          variants: all that are compared.
          answer: a figure of the results as PNG, where all runs are finished.
          later: names of variants that will be compared too, or are already, as other processes know.

        Raises:
          CannotWrite: the boards cannot be written.
        """
        names = {*(variant.name for variant in variants), *later}
        runs = len(names) * len(self._seeds)
        if self._at_most:  # as many as there are: few variants get that many seeds
            runs = sum(spec.workdir.is_dir() for spec in runs_of(variants, self._seeds, self._workdir))
        self._single_runs = 1 + len(names) + runs <= MOST_SHOWN
        folder = self._workdir / MEAN
        with locks.locked_file(folder / '.lock'):
            self._delete_others(names)
            _replace(folder, [(0, None, self._frame(variants, answer))], order=1)
        self._order = {variant.name: 2 + i for i, variant in enumerate(variants)}
        for variant in variants:
            self._update(variant)

    def finished(self, spec: RunSpec) -> None:
        """Adds a run that has just finished, and those of its variant that other processes have finished since.

        A board that cannot be written costs no run: that is reported once, and the study goes on.
        """
        if spec.drawn is not None or self._given_up:  # trials are not compared
            return
        try:
            self._update(spec.variant)
        except CannotWrite as error:
            self._given_up = True
            warn(f'{error.path} cannot be written: {error.reason}; TensorBoard shows no more of this study for now')

    def _delete_others(self, names: set[str]) -> None:
        """Deletes the boards of variants and seeds that the study does not have."""
        if not self._single_runs:
            _delete(self._workdir / SEEDS)
        seeds = set(map(str, self._seeds))
        for folder in [*(self._workdir / MEAN).glob('*/'), *(self._workdir / SEEDS).glob('*/')]:
            if folder.name not in names:
                _delete(folder)
        for folder in (self._workdir / SEEDS).glob('*/*/'):
            if folder.name not in seeds:
                _delete(folder)

    def _update(self, variant: Variant) -> None:
        """Writes the mean of what is finished of a variant."""
        folder = self._workdir / MEAN / variant.name
        with locks.locked_file(folder / '.lock'):
            finished: dict[int, list[dict]] = {}
            for spec in runs_of([variant], self._seeds, self._workdir):
                key, board = (variant.name, spec.seed), self._workdir / SEEDS / variant.name / str(spec.seed)
                known = self._results.get(key)
                result = known or spec.result()
                if result is None:
                    _delete(board)
                    continue
                finished.setdefault(self._replicates.get(spec.seed, spec.seed), []).append(result)
                self._results[key] = {name: result[name] for name in SHOWN if name in result}
                if self._single_runs and not (known and board.is_dir()):
                    _replace(board, boards.run_of(spec, result))
            row = None if self._single_runs else boards.row_of(variant)
            seeds = count(len(self._seeds), 'seed')
            n = sum(map(len, finished.values()))
            of = f'{count(n, "seed")} finished, of at most {len(self._seeds)}.'
            of = of if self._at_most else f'{n} of {seeds} finished.'
            steps = boards.mean_of(variant, [*finished.values()], of, row, self._unit) if finished else []
            _replace(folder, steps, order=self._order[variant.name])

    @property
    def _unit(self) -> str:
        """What intervals are over."""
        return 'replicate' if self._replicates else 'seed'

    def _frame(self, variants: Sequence[Variant], answer: bytes | None) -> list[Summary.Value]:
        values = [
            events.text('study', self._about(variants)),
            events.layout(boards.charts_of(variants, self._unit)),
            events.experiment(*boards.columns_of(variants, self._single_runs)),
        ]
        if answer:
            figure = Image.open(io.BytesIO(answer))
            figure.thumbnail((WIDTH, WIDTH))
            values.append(events.image('accuracy/overview', images.png(figure), *figure.size))
        return values

    def _about(self, variants: Sequence[Variant]) -> str:
        compared = '\n'.join(f'- {axis}: {", ".join(values)}' for axis, values in boards.axes_of(variants).items())
        return f"""
# {self._title}

{len(variants)} variants x {'at most ' * self._at_most}{len(self._seeds)} seeds on **{variants[0].config.data.name}**:

{compared}

How to read it:

- `{MEAN}/<variant>` is the mean over the finished {self._unit}s of a variant, `{SEEDS}/<variant>/<seed>` a single run.
- Time Series shows the means. Single runs are in its groups `seed_...`; filter runs by a variant's name.
- [Custom Scalars](/#custom_scalars&regexInput=%5E{MEAN}) shows means and {CONFIDENCE:.0%} intervals over {self._unit}s.
- [HParams](/#hparams) has a row for each variant, with the means over its seeds.
"""


def _replace(folder: Path, steps: Sequence[events.Step], order: int = 0) -> None:
    with writing(folder):
        events.replace(folder, steps, order)


def _delete(folder: Path) -> None:
    """Deletes a folder, which may not be there, or be deleted by another process at the same time."""
    with writing(folder), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
