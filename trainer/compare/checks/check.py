"""Can this study be judged and reported on? Answered before its first run trains, in one line.

What verdicts and the report would trip over at the end is looked for here: claims, tables and curves that name axes, values
or metrics which the study does not have, names that results or folders cannot have, and libraries that do not load.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ml_collections

from seedwise.errors import UserError, in_a_line, unknown
from trainer import metrics
from trainer.compare.analysis.claims import is_number
from trainer.compare.checks.check_claims import check_claim, check_reachable, measured, numbers, select
from trainer.compare.grid import Variant
from trainer.compare.tuning.space import AXIS

#: Fields of a study's `paper`, and of the rows of its curves; all are needed but those in `OPTIONAL`.
PAPER = ('reference', 'dataset', 'table', 'curves', 'claims')
CURVE = ('variant', 'metric', 'epochs', 'values')
OPTIONAL = ('dataset', 'table', 'curves', 'claims')

#: Columns of results, of trials and of tables that are no numbers: an axis of that name would be overwritten by them, or
#: would overwrite them.
COLUMNS = (
    'seed', 'seeds', 'status', 'history', 'versions', 'host', 'git_revision', 'dataset', 'config_hash',
    'weights_sha256', 'test_correct', 'test_examples', 'diverged', 'standing',
)  # fmt: skip

#: Those of a study that tunes.
OF_TUNING = (
    AXIS, 'learning_rate', 'low', 'high', 'replicate', 'rung', 'chosen', 'at_end', 'examples_granted', 'examples_seen',
    'tuning_examples',
)  # fmt: skip


def check_libraries() -> None:
    """Raises `UserError` where what writes the report cannot be loaded."""
    try:
        from trainer.compare.report.write import template

        template()
    except Exception as error:  # a library that is not there or is broken, or settings that it does not take
        reason = f'{type(error).__name__}: {in_a_line(error)}'
        raise UserError(f'the report cannot be written here ({reason}): mend that, or train with --noreport') from error


def check_report(study: ml_collections.ConfigDict, variants: Sequence[Variant]) -> None:
    """Raises `UserError` for the first thing that the study's verdicts or its report could not do.

    Args:
      study: the study, prepared.
      variants: all that will be compared; of those that trials choose, one trial each.
    """
    _check_names(study, variants)
    paper = study.get('paper') or {}
    if not isinstance(paper, Mapping | ml_collections.ConfigDict):
        raise UserError(f"the study's paper is {paper!r}: it must be a mapping with {', '.join(PAPER)}")
    if paper:
        _check_keys('paper', paper, PAPER)
    for key in ('reference', 'dataset'):
        if not isinstance(paper.get(key, ''), str):
            raise UserError(f'paper.{key} is {paper[key]!r}: it must be text')
    for i, row in enumerate(_rows('paper.table', paper.get('table', ()))):
        _check_row(f'row {i + 1} of paper.table', row, variants)
    for i, curve in enumerate(_rows('paper.curves', paper.get('curves', ()))):
        _check_curve(f'curve {i + 1} of paper.curves', curve, variants)
    _check_tiers(study, variants)
    _check_margins(study, numbers(variants))
    taken: set[str] = set()
    lists = (('paper.claims', paper.get('claims', ())), *((key, study.get(key, ())) for key in ('claims', 'checks')))
    for where, claims in lists:
        for claim in _rows(where, claims):
            name = check_claim(study, claim, variants)
            if name in taken:
                raise UserError(f"two claims are called '{name}': rename one")
            taken.add(name)


def _check_names(study: ml_collections.ConfigDict, variants: Sequence[Variant]) -> None:
    """Names of axes are no column's, and all names can be in the name of a file."""
    columns = {*COLUMNS, *numbers(variants), *(OF_TUNING if study.get('tune') else ())} - {AXIS}
    cells = tuple(f'test_{name}_' for name in metrics.measured(variants[0].config.metrics))
    for variant in variants:
        for axis, value in variant.labels.items():
            if axis in columns or axis.startswith(cells):
                raise UserError(f"an axis cannot be called '{axis}', as a column of the results is: rename it")
            if axis == 'variant' and study.get('axes') and value != variant.name:
                raise UserError(
                    "an axis cannot be called 'variant' here: that is what a combination of values is called"
                )
            for name in (axis, value, variant.name):
                _check_encodable(name)


def _check_tiers(study: ml_collections.ConfigDict, variants: Sequence[Variant]) -> None:
    """Each space of a tier is some variant's: another would be left out, and nobody would know."""
    values = dict.fromkeys(value for v in variants for axis, value in v.labels.items() if axis != AXIS)
    for tier, spaces in study.get('tune', {}).get('tiers', {}).items():
        for value in spaces:
            if value not in values:
                raise unknown(f'value of an axis in tune.tiers.{tier}', value, values)


def _check_margins(study: ml_collections.ConfigDict, columns: Sequence[str]) -> None:
    margins = study.get('margins') or {}
    if not isinstance(margins, Mapping | ml_collections.ConfigDict):
        raise UserError(f"the study's margins are {margins!r}: they must be a mapping of metric -> smallest difference")
    for metric, margin in margins.items():
        if metric not in columns:
            raise unknown('metric in margins', metric, columns)
        if not is_number(margin) or margin <= 0:
            raise UserError(f'margins.{metric} is {margin!r}: it must be a number above 0, in the unit of the metric')
        check_reachable(f'margins.{metric}', metric, margin)


def _check_encodable(name: str) -> None:
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise UserError(
            f"'{name}' cannot be in the name of a file here, where those are {sys.getfilesystemencoding()}: rename it, "
            'or set PYTHONUTF8=1'
        ) from error


def _rows(where: str, rows: Any) -> Iterable[Mapping[str, Any]]:
    """Returns the rows of a list of claims, or of a table."""
    if not isinstance(rows, tuple | list) or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(f'{where} must be a tuple of mappings')
    return rows


def _check_keys(
    where: str, row: Mapping[str, Any], accepted: Sequence[str], optional: Sequence[str] = OPTIONAL
) -> None:
    for key in row:
        if key not in accepted:
            raise unknown(f'field of {where}', key, accepted)
    for key in accepted:
        if key not in row and key not in optional:
            raise UserError(f"{where} has no '{key}'")


def _check_row(where: str, row: Mapping[str, Any], variants: Sequence[Variant]) -> None:
    tested = [f'test_{name}' for name in metrics.measured(variants[0].config.metrics)]
    _check_keys(where, row, ('variant', *tested), tested)
    select(where, row['variant'], variants)
    for metric in tested:
        if metric in row and not is_number(row[metric]):
            raise UserError(f'{metric} of {where} is {row[metric]!r}: it must be a number')


def _check_curve(where: str, curve: Mapping[str, Any], variants: Sequence[Variant]) -> None:
    _check_keys(where, curve, CURVE)
    select(where, curve['variant'], variants)
    if curve['metric'] not in measured(variants):
        raise unknown(f'metric of {where}', curve['metric'], measured(variants))
    for key in CURVE[2:]:
        if not isinstance(curve[key], tuple | list) or not all(map(is_number, curve[key])):
            raise UserError(f'{key} of {where} must be a tuple of numbers')
    if len(curve['epochs']) != len(curve['values']):
        raise UserError(
            f'{where} has {len(curve["epochs"])} epochs and {len(curve["values"])} values: as many are needed'
        )
