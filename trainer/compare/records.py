"""A study in three files that make its report again, anywhere and without its runs' folders.

    runs.csv     one row a run: axes, seed, status, metrics, and in `history`, `test_correct` and others what a run's folder
                 knows, as JSON
    trials.csv   one row a tuning trial, if there are any
    study.json   the study: base, axes, claims, the paper's numbers, and what the report says of itself

`test_correct` is a bit for each test example, 1 where the run was right: packed, compressed (zlib), in base 64.
"""

import base64
import io
import json
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
import pandas as pd

from seedwise import dotted
from seedwise.errors import UserError
from seedwise.storage.files import write_json, write_utf8
from trainer.compare.analysis.rules import ANYTIME

RUNS, TRIALS, STUDY = 'runs.csv', 'trials.csv', 'study.json'

#: What study.json has besides the study, and what its report needs: `report.write.write_report` says what they are.
ABOUT = ('command', 'about', 'unfinished', 'metrics', 'paired', 'stopping')

#: The column of bits, and how many there are.
BITS, COUNT = 'test_correct', 'test_examples'


def write(
    folder: Path, study: ml_collections.ConfigDict, runs: pd.DataFrame, trials: pd.DataFrame | None, **about: Any
):
    """Writes the three files into `folder`. `about`: what `write_report` needs besides, such as `study_name`."""
    write_json(folder / STUDY, {'study': json.loads(study.to_json_best_effort()), **about})
    write_utf8(folder / RUNS, to_csv(runs))
    if trials is not None and len(trials):
        write_utf8(folder / TRIALS, to_csv(trials))


def looks(folder: Path) -> tuple[list[int], bool]:
    """Returns how many seeds the reports in `folder` have judged so far, and whether one of them was by the anytime rule.

    A report that is damaged, or of the time before this was noted, says what can be read of it.
    """
    try:
        about = json.loads((folder / STUDY).read_text(encoding='utf-8'))
        stopping = about.get('stopping')
        if stopping:
            return [int(n) for n in stopping['looks']], stopping['rule'] == ANYTIME
        seeds = about['study']['seeds']
        return ([seeds if isinstance(seeds, int) else len(seeds)] if not about['unfinished'] else []), False
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [], False


def first_seeds(folder: Path) -> int:
    """Returns how many seeds were fixed before anybody looked, as the last report in `folder` says; 0: all, or not known."""
    try:
        return int(json.loads((folder / STUDY).read_text(encoding='utf-8'))['stopping'].get('first', 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0


def read(file: Path) -> tuple[ml_collections.ConfigDict, pd.DataFrame, pd.DataFrame | None, dict[str, Any]]:
    """Returns what `write` was given, from the path of runs.csv.

    Raises:
      UserError: a file is missing or damaged.
    """
    try:
        about = json.loads((file.parent / STUDY).read_text(encoding='utf-8'))
        study = ml_collections.ConfigDict(dotted.with_tuples(about.pop('study')), allow_dotted_keys=True)
        about = {'study_name': about['study_name'], 'dataset_name': about['dataset_name']} | {
            key: about[key] for key in ABOUT if key in about
        }
        names = [text.rpartition(':')[2] for text in (study.get('base') or {}).get('metrics', ())]
        variants = (study.get('variants') or {}).values()
        axes = {*(study.get('axes') or {}), *(axis for variant in variants for axis in variant.get('labels', {}))}
        runs, trials = from_csv(file.read_text(encoding='utf-8'), names, axes), file.parent / TRIALS
        return (
            study,
            runs,
            from_csv(trials.read_text(encoding='utf-8'), names, axes) if trials.exists() else None,
            about,
        )
    except OSError as error:
        raise UserError(f'{error.filename} cannot be read: {error.strerror}') from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise UserError(f'{file} or {STUDY} next to it is damaged: {type(error).__name__}: {error}') from error


def to_csv(runs: pd.DataFrame) -> str:
    """Returns runs as CSV; dicts and lists as JSON, bits as the module says."""
    frame = runs.copy()
    if BITS in frame:
        known = frame[BITS].map(lambda bits: isinstance(bits, np.ndarray))
        frame[COUNT] = [len(bits) if ok else 0 for bits, ok in zip(frame[BITS], known, strict=True)]
        frame[BITS] = [_packed(bits) if ok else '' for bits, ok in zip(frame[BITS], known, strict=True)]
    for column in frame:
        if frame[column].map(lambda value: isinstance(value, dict | list | tuple)).any():
            frame[column] = frame[column].map(json.dumps)
    return frame.to_csv(index=False, lineterminator='\n').rstrip()


def from_csv(text: str, metrics: Iterable[str] = (), axes: Collection[str] = ()) -> pd.DataFrame:
    """Returns the runs of `to_csv`; `metrics`: names of those that they have besides accuracy and loss; `axes`: columns of
    text, whatever they are called."""
    measured = {f'{split}_{name}' for split in ('validation', 'test') for name in metrics}
    # Axes are text, such as '0.10'; what is a number is known by its name.
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    for column in frame:
        values = frame[column]
        if column in axes:
            continue
        if values.str.startswith(('{', '[')).any():
            frame[column] = values.map(lambda value: json.loads(value) if value else None)
        elif column == 'seed' or column in measured or _is_number(column):
            frame[column] = pd.to_numeric(values.where(values != ''))
    if COUNT in frame:
        counts = frame.pop(COUNT).astype(int)
        frame[BITS] = pd.Series(
            [_unpacked(bits, n) if bits else None for bits, n in zip(frame[BITS], counts, strict=True)], dtype=object
        )
    return frame


def _is_number(column: str) -> bool:
    """Whether a column holds numbers: metrics, times, counts, and what was tuned, which has a dotted path."""
    named = (
        'parameters', 'steps', 'learning_rate', 'low', 'high', 'replicate', 'rung', 'at_end', 'examples_granted',
        'examples_seen', 'peak_memory_bytes',
    )  # fmt: skip
    return column in named or column.endswith(('_accuracy', '_loss')) or column.startswith('seconds_') or '.' in column


def _packed(bits: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes(), 9)).decode()


def _unpacked(text: str, count: int) -> np.ndarray:
    # Never more than is expected: compressed zeros of a stranger's file could fill the memory.
    packed = np.frombuffer(zlib.decompressobj().decompress(base64.b64decode(text), count // 8 + 1), np.uint8)
    if not 0 < count <= 8 * packed.size:
        raise ValueError(f'{BITS} has {8 * packed.size:,} bits, and {COUNT} says {count:,}')
    return np.unpackbits(packed, count=count).astype(bool)
