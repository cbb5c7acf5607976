"""A study from its list of runs to all of them finished, in the order in which things happen."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ml_collections

from data_pipeline import sources
from data_pipeline.from_tfds import builders
from seedwise.errors import UserError
from trainer import results
from trainer.compare import engines, grid
from trainer.compare.allocation.budget import Budget
from trainer.compare.checks import folder
from trainer.compare.engines.worker import program_key
from trainer.compare.grid import RunSpec, Variant
from trainer.compare.progress import Watch
from trainer.compare.stage import Stage
from trainer.compare.tuning import search
from trainer.compare.tuning.check import check_rungs, check_tune
from trainer.compare.tuning.space import untuned
from trainer.config.check import check_data
from trainer.output.progress import warn

if TYPE_CHECKING:
    import pandas as pd

    from trainer.compare.dashboard import Dashboard

#: File of a report that tells the other shards what it was made of.
MADE_OF = '.made_of'


class Plan:
    """The runs of a study, and which of them this process trains.

    `at_every_look`: whether it is judged by the rule that holds at every look, also while it runs.
    """

    at_every_look = False

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        workdir: Path,
        shard: int,
        shards: int,
        budget: Budget | None = None,
    ):
        self.config, self.workdir, self._shard, self._shards = config, workdir, shard, shards
        self.seeds, self.variants, self.budget = grid.seeds_of(config), grid.variants_of(config), budget
        self.searches: list[search.Search] = []
        if config.get('tune'):
            check_tune(config, self.seeds)
            self.searches = search.searches_of(config, self.variants, workdir)
            self.variants = untuned(self.variants)

    @property
    def trials(self) -> list[RunSpec]:
        """Returns the trials that are known, those of the other shards too."""
        return [spec for one in self.searches for spec in one.trials()]

    @property
    def is_first(self) -> bool:
        """Whether this process is the only one, or the first of several shards."""
        return self._shard == 0

    def stages(self) -> Iterator[list[RunSpec]]:
        """Yields lists of runs to do: what is to be tried and what is known from the start, then what trials have chosen.

        Where trials depend on other trials, a shard has all searches of a tuned variant, and waits for no other shard.
        """
        known = grid.runs_of(self.variants, self.seeds, self.workdir)
        if not self.searches:
            yield self._mine(known)
        elif not search.in_stages(self.config.tune):
            yield self._mine([*self.trials, *known])
            yield self._mine(grid.runs_of(search.winners(self.searches, self.seeds)[0], self.seeds, self.workdir))
        else:
            mine = self.tuned[self._shard :: self._shards]
            yield from self._in_rungs([one for one in self.searches if one.name in mine], self._mine(known))

    def _in_rungs(self, searches: list['search.Search'], known: list[RunSpec]) -> Iterator[list[RunSpec]]:
        """Yields what these searches try, as it becomes known, with `known` at first; at last what they choose."""
        begun: set[RunSpec] = set()
        trials = [spec for one in searches for spec in one.trials()]
        while known or trials:
            yield [*trials, *known]
            begun.update(trials)
            known = []
            for one in searches:
                one.forget_losers()
            # What failed is tried no more.
            trials = [spec for one in searches for spec in one.waiting() if spec not in begun]
        yield grid.runs_of(search.winners(searches, self.seeds)[0], self.seeds, self.workdir)

    def runs(self) -> list[RunSpec]:
        """Returns the runs that are compared, those of the other shards too."""
        chosen, without = search.winners(self.searches, self.seeds)
        if without:
            print(
                f'{len(without)} tuned variants wait for trials, or all of theirs have diverged: {", ".join(without[:5])}'
            )
        return grid.runs_of([*self.variants, *chosen], self.seeds, self.workdir)

    def reports(self, specs: list[RunSpec], about: str) -> bool:
        """Whether this process writes the report: of several shards, the first that finds all runs finished.

        Args:
          specs: the runs that are compared.
          about: the docstring of the study's file.
        """
        if self._shards == 1:
            return True
        waiting = sum(len(one.waiting()) for one in self.searches)
        unfinished = waiting + sum(spec.result() is None for spec in specs)
        if unfinished:
            print(f'no report yet: {unfinished:,} runs are left')
            return False
        made = self.workdir / 'report' / MADE_OF
        return not (made.exists() and made.read_text(encoding='utf-8').strip() == self.made_of(specs, about))

    def made_of(self, specs: Sequence[RunSpec], about: str) -> str:
        """Returns a hash of what a report is made of: the study, and the results that are there."""
        found = []
        for spec in [*self.trials, *specs]:
            for file in (spec.workdir / 'result.json', spec.workdir / results.PAUSED):
                if file.exists():
                    found.append(f'{file.relative_to(self.workdir)} {file.stat().st_mtime_ns}')
        made_of = [self.config.to_json_best_effort(sort_keys=True), about, *found]
        return hashlib.sha256('\n'.join(made_of).encode(errors='surrogateescape')).hexdigest()

    def everything(self) -> list[Variant]:
        """Returns all variants that will be compared, those that trials choose as one of their trials."""
        chosen = {spec.variant.name: spec.variant for spec in self.trials}
        return [*self.variants, *chosen.values()]

    def learn_times(self, budget: Budget) -> list[RunSpec]:
        """Tells the budget how long finished runs took, and returns the runs that are not finished."""
        specs = grid.runs_of(self.variants, self.seeds, self.workdir)
        for spec in specs:
            budget.times.learn(spec)
        return [spec for spec in specs if spec.result() is None]

    @property
    def unchosen(self) -> int:
        """Returns how many runs are not known yet, since trials that choose them have not finished."""
        return len({one.name for one in self.searches if one.waiting()}) * len(self.seeds)

    def look(self) -> object:
        """Sees where the study stands, if what is to be run depends on it."""

    def what_is_missing(self) -> str:
        """Returns what was not done, in a sentence; '' where all was, or where the report says it."""
        return ''

    def check_folder(self) -> None:
        """Raises `UserError` where the study's folder is another study's."""
        folder.check_runs([*self.trials, *grid.runs_of(self.compared(), self.seeds, self.workdir)])
        folder.check_chosen(self.trials, self.seeds, self.workdir)

    def compared(self) -> list[Variant]:
        """Returns the variants that are compared, as far as they are known."""
        return [*self.variants, *search.winners(self.searches, self.seeds)[0]]

    def without_runs(self, frame: 'pd.DataFrame') -> set[str]:
        """Returns the variants that are compared and have no run in a frame."""
        return {variant.name for variant in self.compared()} - {*frame['variant']}

    @property
    def tuned(self) -> list[str]:
        """Returns the names of the variants that trials choose, whether or not they have yet."""
        return [*dict.fromkeys(one.name for one in self.searches)]

    def _mine(self, specs: list[RunSpec]) -> list[RunSpec]:
        return part(specs, self._shard, self._shards)


def part(specs: Sequence[RunSpec], index: int, count: int) -> list[RunSpec]:
    """Returns part `index` of the `count` parts into which shards divide the runs.

    Runs that can use the same compiled steps stay together, as far as all parts get about as many.
    """
    groups: dict[str, list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault(program_key(spec.config), []).append(spec)
    together = [*groups.values()]
    whole = len(together) // count * count
    mine = [spec for group in together[index:whole:count] for spec in group]
    rest = [spec for group in together[whole:] for spec in group]
    return mine + rest[len(rest) * index // count : len(rest) * (index + 1) // count]


def train(
    plan: Plan,
    engine: str = 'local',
    workers: int = 0,
    dashboard: 'Dashboard | None' = None,
    watch: Watch | None = None,
    *,
    report: bool = True,
) -> list[RunSpec]:
    """Trains what is not finished of a plan, and returns the runs that failed.

    Args:
      plan: the runs.
      engine: name of what trains them (`engines.ENGINES`).
      workers: runs trained at a time; 0: as many as fit by cores, memory and GPUs.
      dashboard: the study in TensorBoard, which is notified of every finished run.
      watch: what looks at the study while it runs.
      report: whether a report follows, for which the folder must be writable.

    Raises:
      UserError: the data, the folder or the engine is not available.
    """
    plan.check_folder()
    base = plan.variants[0].config
    try:
        location = builders.prepare_apart(sources.locate_for(base.data), base.data.memory_limit_mb)
    except UserError as error:
        raise UserError(str(error).replace('--config.', '--study.base.')) from error
    for note in location.notes:
        warn(note)
    for variant in plan.variants:
        check_data(variant.config, location)
        check_rungs(plan.config.get('tune'), variant.config, location.train)
    folder.check_writable(plan.workdir)
    budget = plan.budget
    if budget:
        unfinished = plan.learn_times(budget)
        budget.check(unfinished)
    if report:
        folder.check_writable(plan.workdir / 'report' / 'plots')

    def finished(spec: RunSpec) -> None:
        for heard in (dashboard, budget):
            if heard:
                heard.finished(spec)

    failed = []
    with contextlib.closing(engines.start(engine, workers, location)) as started:
        for specs in plan.stages():
            if dashboard:
                dashboard.begin(plan.compared(), later=plan.tuned)
            if watch:
                watch.begin(specs)
            failed += Stage(specs, finished, budget, watch).complete(started)
    return failed
