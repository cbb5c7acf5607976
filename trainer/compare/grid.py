"""A study as the list of its runs: every variant with every seed, each checked before the first one starts."""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections

from configs.default import OPTIONAL_PAIRS, PAIRS
from seedwise import dotted, references
from seedwise.commands import KINDS, unknown_field
from seedwise.errors import UserError, unknown
from trainer import metrics, results
from trainer.compare.analysis.words import says_little
from trainer.compare.normalize import file_name, normalize
from trainer.config.check import check, check_complete
from trainer.config.numbers import known_fields, of_field, offer_arguments, settle_numbers, settle_optimizer

#: What a study may hold besides the runs: what a paper says of them, claims of our own, and what must hold if all is well.
FIELDS = ('base', 'axes', 'variants', 'seeds', 'tune', 'paper', 'claims', 'checks', 'margins')

#: Folders of a study that no variant may be called.
RESERVED = ('report', 'trials', 'mean', 'seeds')

#: What is measured unless a study's base says otherwise: its metric is that of a claim without one.
PRIMARY = ('accuracy',)

MOST_SEEDS = 10_000
MOST_RUNS = 1_000_000

#: Fields that decide what devices a process starts with: one choice for all runs of a study.
DEVICES = ('strategy', 'replicas', 'threads', 'tpu')


@dataclasses.dataclass(frozen=True)
class Variant:
    """What is compared. `labels`: its value on each axis. `by_seed`: seed -> config, where replicates chose several."""

    name: str
    labels: Mapping[str, str]
    config: ml_collections.ConfigDict
    by_seed: Mapping[int, ml_collections.ConfigDict] = dataclasses.field(default_factory=dict)

    def of(self, seed: int) -> ml_collections.ConfigDict:
        """Returns the config of a run with that seed, except for the seed itself."""
        return self.by_seed.get(seed, self.config)


@dataclasses.dataclass(frozen=True, eq=False)
class RunSpec:
    """A run of a study.

    `drawn`: the fields that a tuning trial tries, by dotted path; None: no trial. A trial is judged on validation and does
    not open the test set. `rungs`: the shares of the training after which a trial of successive halving is evaluated,
    rising; after the last of them it pauses, or is done where that is 1.
    """

    variant: Variant
    seed: int
    workdir: Path
    drawn: Mapping[str, float] | None = None
    rungs: tuple[float, ...] = ()

    @property
    def until(self) -> float:
        """The share of the training after which it ends or pauses."""
        return self.rungs[-1] if self.rungs else 1.0

    @functools.cached_property
    def config(self) -> ml_collections.ConfigDict:
        """The config of the run, with its seed."""
        config = self.variant.of(self.seed).copy_and_resolve_references()
        config.seed = self.seed
        # The study has a board for all of its runs; one for each is made where it is asked for.
        config.tensorboard.enabled = bool(config.tensorboard.enabled)
        config.tensorboard.hparams = False
        return config

    @functools.cached_property
    def hash(self) -> str:
        """The hash of the config (`results.config_hash`), taken once."""
        return results.config_hash(self.config)

    def check_unchanged(self) -> None:
        """Raises `UserError` if the user's files or data that the run names were edited since its hash was taken."""
        if results.config_hash(self.config) != self.hash:
            files = ', '.join({str(reference.file) for reference in references.of_config(self.config).values()})
            raise UserError(
                f'{files or self.config.data.name} was edited while the study was running, from {self.name} on: undo that, '
                'or start the study again with another --workdir'
            )

    @property
    def name(self) -> str:
        """The run in words: 'Adam, seed 3'."""
        return f'{self.variant.name}, {"seed" if self.drawn is None else "trial"} {self.workdir.name}'

    def result(self) -> dict | None:
        """Returns the result, or None where the run is not finished; of a trial that is to pause, what it paused with.

        Raises:
          UserError: the folder holds the result of another config.
        """
        result = results.read_result(self.workdir) or results.read_paused(self.workdir, self.until)
        if result is not None and result.get('config_hash') != self.hash:
            raise UserError(f'{self.workdir} holds a run of another config: choose another --workdir')
        return result


def default_workdir(study_file: str, study: ml_collections.ConfigDict) -> Path:
    """runs/<study name>-<first 8 digits of a hash> below the current folder; more seeds of a study go to the same one."""
    decides = {key: json.loads(study.to_json()).get(key) for key in ('axes', 'variants', 'tune')}
    decides['base'] = results.config_hash(study.base)
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return Path('runs') / f'{Path(study_file).stem}-{digest[:8]}'


def prepare(study: ml_collections.ConfigDict, given: Iterable[str] = ()) -> None:
    """Checks the fields of a study and settles those of its base that every study's runs have in common.

    Args:
      study: changed in place.
      given: dotted paths of the fields that the command line set.

    Raises:
      UserError: a field is missing, unknown, or of the wrong kind.
    """
    normalize(study)
    for key in study:
        if key not in FIELDS:
            raise unknown('field of a study', key, FIELDS)
    if not isinstance(study.get('base'), ml_collections.ConfigDict):
        raise UserError("the study has no 'base': a run's config, which all its variants start from")
    if bool(study.get('axes')) == bool(study.get('variants')):
        raise UserError("a study has either 'axes' (name -> value name -> overrides) or 'variants' (name -> overrides)")
    check_complete(study.base)
    set_on_base = [path.removeprefix('base.') for path in given if path.startswith('base.')]
    dotted.prefer_given(study.base, set_on_base, PAIRS + OPTIONAL_PAIRS)
    settle_numbers(study.base)
    study.base.data.fallback = ''  # never another dataset than the one asked for
    # Single-threaded runs, one for each core, are the fastest way through many.
    study.base.threads = study.base.threads or 1
    seeds_of(study)
    _check_effect(study, set_on_base)
    _state_metrics(study)


def _check_effect(study: ml_collections.ConfigDict, set_on_base: Sequence[str]) -> None:
    """Raises `UserError` where the command line sets a field of `base` that every variant sets to its own value."""
    if not set_on_base:
        return
    own = [
        {path for nested in overrides for path, _ in dotted.flatten(nested)} for *_, overrides in _combinations(study)
    ]
    for path in set_on_base:
        pair = next((pair for pair in PAIRS + OPTIONAL_PAIRS if path in pair), (path,))
        if own and all(paths.intersection(pair) for paths in own):
            raise UserError(f'--study.base.{path} has no effect: every variant has a value of its own')


def metrics_of(study: ml_collections.ConfigDict) -> dict[str, str]:
    """Returns what a prepared study compares -> which is better, 'max' or 'min'; the first is what it ranks by."""
    named = [metrics.of(text) for text in study.base.metrics]
    return {f'test_{metric.name}': metric.goal for metric in named} | {'test_loss': 'min'}


def _state_metrics(study: ml_collections.ConfigDict) -> None:
    """Writes into claims what they leave to `base.metrics`: the metric, and which is better of a user's own."""
    texts = study.base.get('metrics', PRIMARY)
    if texts == PRIMARY:
        return
    metrics.check(texts)
    primary, goals = f'test_{metrics.of(texts[0]).name}', metrics.goals(texts)

    def stated(claim: Any, default: str) -> Any:
        if not isinstance(claim, Mapping):
            return claim  # refused when claims are checked
        claim = {'metric': default} | dict(claim)
        split, _, name = str(claim['metric']).partition('_')
        own = split in ('validation', 'test') and name in goals and name not in metrics.METRICS
        return ({'goal': goals[name]} if own else {}) | claim

    # What a paper claims is about the paper's metric, whatever else is measured.
    for holder, default in ((study, primary), (study.get('paper'), 'test_accuracy')):
        for key in ('claims', 'checks'):
            claims = holder.get(key) if isinstance(holder, ml_collections.ConfigDict) else None
            if isinstance(claims, tuple | list):
                with study.unlocked():
                    holder[key] = type(claims)(stated(claim, default) for claim in claims)


def seeds_of(study: ml_collections.ConfigDict) -> list[int]:
    """Returns the seeds: 0, 1, ... where the study gives their number. Raises `UserError` where it gives neither."""
    seeds = study.get('seeds')
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if not 1 <= seeds <= MOST_SEEDS:
            raise UserError(f'seeds is {seeds}: it must be from 1 to {MOST_SEEDS:,}, the number of seeds')
        return list(range(seeds))
    ok = isinstance(seeds, Sequence) and not isinstance(seeds, str) and len(seeds) > 0
    if not ok or not all(isinstance(s, int) and not isinstance(s, bool) and 0 <= s < 2**31 for s in seeds):
        raise UserError(f'seeds is {seeds!r}: it must be how many, such as 10, or which, such as (0, 1, 2)')
    if len(set(seeds)) < len(seeds):
        raise UserError(f'seeds is {seeds!r}: one of them is there twice')
    return list(seeds)


def variants_of(study: ml_collections.ConfigDict) -> list[Variant]:
    """Returns the variants of a prepared study, each checked.

    Raises:
      UserError: one cannot be run, two have the same name, or they differ in what must be the same for all.
    """
    variants = []
    for labels, given_name, overrides in _combinations(study):
        name = file_name(given_name or '-'.join(_word(axis, value) for axis, value in labels.items()))
        try:
            config = overridden(study.base, overrides)
            check(config)
        except UserError as error:
            raise UserError(f"variant '{name}': {error}") from error
        variants.append(Variant(name, labels, config))
    if not variants:
        raise UserError('the study has no variant: one of its axes has no values')
    taken: dict[str, Variant] = {}
    for variant in variants:
        other = taken.setdefault(variant.name.lower(), variant)
        if other is not variant or variant.name in RESERVED:
            raise UserError(f"two variants would have the folder '{variant.name}': rename a value of an axis")
    for path in DEVICES:
        if len({config[path] for config in (variant.config for variant in variants)}) > 1:
            raise UserError(
                f'the variants differ in {path}: all runs of a study use the same devices; make two studies'
            )
    for field in ('metrics', 'metric_options'):
        if len({json.dumps(json.loads(variant.config.to_json())[field]) for variant in variants}) > 1:
            raise UserError(f'the variants differ in {field}: all runs of a study are measured alike; set base.{field}')
    for field in ('name', 'options'):
        if len({json.dumps(json.loads(variant.config.data.to_json())[field]) for variant in variants}) > 1:
            raise UserError(
                f'the variants differ in data.{field}: results on different data sets do not compare; give the data sets an '
                'axis of their own'
            )
    return variants


def runs_of(variants: Iterable[Variant], seeds: Sequence[int], workdir: Path) -> list[RunSpec]:
    """Returns the runs, those of a variant one after the other."""
    specs = [RunSpec(variant, seed, workdir / variant.name / str(seed)) for variant in variants for seed in seeds]
    if len(specs) > MOST_RUNS:
        raise UserError(f'the study has {len(specs):,} runs: at most {MOST_RUNS:,} are accepted')
    return specs


def overridden(base: ml_collections.ConfigDict, overrides: Sequence[Mapping[str, Any]]) -> ml_collections.ConfigDict:
    """Returns a copy of `base` with nested overrides applied in their order.

    Args:
      base: a run's config.
      overrides: nested as the config is.

    Raises:
      UserError: an override is of no field, or of the wrong type.
    """
    config, known = base.copy_and_resolve_references(), known_fields()
    for nested in overrides:
        flat = dict(dotted.flatten(nested))
        offer_arguments(config, flat)
        for path, value in flat.items():
            if dotted.is_option(path):
                try:
                    dotted.put_option(config, path, value)
                except (KeyError, TypeError, ValueError) as error:  # of no section, or below an option
                    raise unknown_field('field', path, known) from error
                continue
            if path not in known:
                raise unknown_field('field', path, known)
            value = of_field(path, known[path], value)
            try:
                dotted.put(config, path, value)
            except TypeError as error:
                raise UserError(f'{path} is {value!r}: it must be {KINDS[known[path]]}') from error
        dotted.prefer_given(config, flat, PAIRS + OPTIONAL_PAIRS)
        settle_optimizer(config)
    return config


def _combinations(study: ml_collections.ConfigDict) -> Iterator[tuple[dict[str, str], str, list]]:
    """Yields (labels, name if it has one, overrides) of each variant, in the ConfigDict's order: alphabetical."""
    plain = study.to_dict()
    if study.get('variants'):
        for name, variant in plain['variants'].items():
            if not isinstance(variant, Mapping) or not isinstance(variant.get('overrides'), Mapping):
                raise UserError(f"variant '{name}' has no overrides: it must be a mapping with labels and overrides")
            given = variant.get('labels', {})
            if not isinstance(given, Mapping):
                raise UserError(f"variant '{name}' has the labels {given!r}: they must be a mapping of axis -> value")
            labels = {str(axis): str(value) for axis, value in given.items()}
            yield labels or {'variant': name}, name, [variant['overrides']]
        return
    for axis, values in plain['axes'].items():
        if not isinstance(values, Mapping) or not all(isinstance(value, Mapping) for value in values.values()):
            raise UserError(f"axis '{axis}' must be a mapping of value name -> overrides")
    for names in itertools.product(*plain['axes'].values()):
        labels = dict(zip(plain['axes'], names, strict=True))
        yield labels, '', [plain['axes'][axis][name] for axis, name in labels.items()]


def _word(axis: str, value: str) -> str:
    """A value, behind its axis where it says nothing without it: 'Adam', 'layers_5'."""
    return f'{axis}_{value}' if says_little(value) else value
