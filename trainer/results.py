"""A run's folder: config.json, result.json, and who may write there. Needs no TensorFlow."""

import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from data_pipeline.from_tfds import identity
from data_pipeline.own import names
from seedwise import dotted, references
from seedwise.errors import CannotWrite, UserError, writing
from seedwise.storage import locks
from seedwise.storage.files import read_json, write_bytes, write_json, write_utf8
from trainer import models, optimizers

if TYPE_CHECKING:
    import numpy as np

#: Folder of a run's folder: the user's files that its config names.
SOURCES = 'sources'

#: Files of `SOURCES`: SHA-256 of the user's own data, and of the initial weights of a model of keras.applications.
DATA, WEIGHTS = 'data.sha256', 'weights.sha256'

#: Fields of a result's `dataset` that say how its model is used, not what it was trained on.
FOR_PREDICTION = ('class_names', 'columns', 'input')

#: File of a run's folder that holds the model.
MODEL = 'model.keras'

#: File of a trial's folder: what it had come to when it paused.
PAUSED = 'paused.json'

#: File of a run's folder: which test examples it got right, a bit each.
CORRECT = 'test_correct.npy'

#: Fields that say where things are and what is kept of a run, not what it computes.
NOT_HASHED = ('checkpoint', 'tensorboard', 'data.data_dir', 'data.manual_dir', 'data.fallback', 'tpu')

#: Fields that were added to configs/default.py after version 0.1.0, with their defaults. They are hashed where they differ
#: from them, so that a new field changes the hash, and with it the folder, of no finished run.
ADDED: dict[str, Any] = {
    **{f'{section}.options': {} for section in ('model', 'loss', 'optimizer', 'schedule', 'data', 'data.augment')},
    'data.normalize': 'auto',
    'data.augment.flip': False,
    'data.augment.crop': 0,
    'data.augment.cutout': 0,
    'data.augment.mixup': 0.0,
    'data.augment.name': '',
    'loss.class_weights': [],
    'metrics': ['accuracy'],
    'metric_options': {},
    'monitor': 'loss',
}


def is_hashed(path: str) -> bool:
    """Returns whether the field at a dotted path is part of a config's hash."""
    return not any(path == unhashed or path.startswith(f'{unhashed}.') for unhashed in NOT_HASHED)


def config_hash(config) -> str:
    """Returns the SHA-256 of what decides the result: the resolved config without `NOT_HASHED` and unused `ADDED`."""
    fields = _with_arguments(json.loads(to_json(config)))
    for path, reference in references.of_config(config).items():
        # What it holds, not where it is.
        content = f'{references.digest(reference.file)}:{reference.name}'
        if path.startswith(f'{references.SEVERAL}.'):
            fields[references.SEVERAL][int(path.rpartition('.')[2])] = content
        else:
            dotted.put(fields, path, content)
    if names.kind_of(config.data.name) in names.FILED:
        options = fields['data']['options']
        fields['data'] |= {'name': names.digest(config.data.name, options), 'options': names.without_paths(options)}
    if weights := models.weights_file(config.model.name, config.model.options):
        fields['model']['options']['weights'] = _digest_of(weights)
    for path in (*NOT_HASHED, *ADDED):
        *parents, key = path.split('.')
        section = functools.reduce(lambda inner, parent: inner.get(parent, {}), parents, fields)
        if path in NOT_HASHED or section.get(key) == ADDED[path]:
            section.pop(key, None)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def to_json(config) -> str:
    """Returns a config as JSON, its keys sorted."""
    return json.dumps(json.loads(config.to_json()), indent=2, sort_keys=True)


def _with_arguments(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a config, old or new, with the arguments of the optimizer in one form."""
    section = fields.get('optimizer')
    return {**fields} | ({'optimizer': optimizers.as_fields(section)} if isinstance(section, Mapping) else {})


def default_workdir(config_file: str, config) -> Path:
    """runs/<config name>-<first 8 digits of the hash>, below the current folder."""
    return Path('runs') / f'{Path(config_file).stem}-{config_hash(config)[:8]}'


def begin(workdir: Path, config) -> None:
    """Writes config.json, and keeps a copy of the user's files that the config names in sources/; of data and
    initial weights, their digests.

    Raises:
      UserError: the run in the folder was trained with another version of them.
    """
    trained = _trained(workdir)
    if not trained:
        if (workdir / 'config.json').exists():  # such as of a run whose file was refused, and mended
            shutil.rmtree(workdir / SOURCES, ignore_errors=True)
        # Before the sources: without a config.json next to it, a folder of that name is the user's own.
        write_utf8(workdir / 'config.json', to_json(config))
    references.copy(references.of_config(config).values(), workdir / SOURCES)
    if names.kind_of(config.data.name) in names.FILED:
        digest = names.digest(config.data.name, config.data.options)
        _keep_digest(workdir, DATA, names.path_of(config.data.name), digest)
    if weights := models.weights_file(config.model.name, config.model.options):
        _keep_digest(workdir, WEIGHTS, weights, _digest_of(weights))
    if trained:
        write_utf8(workdir / 'config.json', to_json(config))


def keep_fingerprint(workdir: Path, config, fingerprint: str) -> None:
    """Keeps the fingerprint of what a function of the user's own returned, which is known once it was called.

    Raises:
      UserError: it returned other data when the run began.
    """
    if names.kind_of(config.data.name) == 'function':
        _keep_digest(workdir, DATA, f'what {config.data.name} returns', fingerprint)


def _trained(workdir: Path) -> bool:
    """Whether a folder holds anything of a run that was trained for."""
    return any((workdir / name).exists() for name in ('checkpoints', 'result.json', PAUSED))


def _keep_digest(workdir: Path, name: str, path: Path | str, digest: str) -> None:
    kept = workdir / SOURCES / name
    if kept.exists() and kept.read_text(encoding='utf-8').strip() != digest:
        raise UserError(f'{path} has changed since the run in {workdir} began: undo that, or choose another --workdir')
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(kept, f'{digest}\n'.encode())


def _digest_of(weights: Path) -> str:
    try:
        return names.digest_of(weights)
    except OSError as error:
        raise UserError(f'model.options.weights: {weights} cannot be read: {error.strerror}') from error


def model_sha256(workdir: Path) -> str:
    """Returns the SHA-256 of the file that holds a run's model."""
    with open(workdir / MODEL, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _section(required: Mapping[str, str], **others: Any) -> dict[str, Any]:
    """Returns the JSON schema of an object with fields of these types."""
    return {
        'type': 'object',
        'required': [*required],
        'properties': {name: {'type': kind} for name, kind in required.items()},
        **others,
    }


_MEASURED = {'additionalProperties': {'type': ['number', 'null']}}

#: JSON schema of what the summary of a result is made of.
SUMMARISED = {
    'required': ['status', 'parameters', 'steps', 'dataset', 'strategy', 'seconds', 'history', 'test'],
    'properties': {
        'status': {'enum': ['completed', 'diverged']},
        'parameters': {'type': 'integer'},
        'steps': {'type': 'integer'},
        'dataset': _section({'name': 'string', 'train': 'integer', 'validation': 'integer', 'test': 'integer'}),
        'strategy': _section(
            {'name': 'string', 'replicas': 'integer', 'workers': 'integer', 'global_batch_size': 'integer'}
        ),
        'seconds': _section({'total': 'number'}),
        'history': {'type': 'array', 'items': _section({}, **_MEASURED)},
        'test': _section({'examples': 'integer'}, **_MEASURED),
        'diverged_steps': {'type': 'array', 'items': {'type': 'integer'}, 'minItems': 2, 'maxItems': 2},
    },
    'if': {'properties': {'status': {'const': 'diverged'}}},
    'then': {'required': ['diverged_steps']},
}


def read_result(workdir: Path, config=None) -> dict | None:
    """Returns the result of a finished run, or None; with a config, only if it is that config's.

    Raises:
      UserError: result.json is no result, or one of other data than it says.
    """
    remedy = 'delete it, and the same command trains the run again'
    result = read_json(workdir / 'result.json', remedy)
    dataset = (result or {}).get('dataset')
    dataset = dataset if isinstance(dataset, dict) else {}
    if other := identity.really(str(dataset.get('name', '')), str(dataset.get('fingerprint', ''))):
        raise UserError(
            f"the run in {workdir} was trained on '{other}' under the name '{dataset['name']}', since its data had been "
            'prepared from the wrong files: delete that folder and train it again'
        )
    if config is None or result is None:
        return result
    if result.get('config_hash') != config_hash(config):
        return None
    import jsonschema

    for error in jsonschema.Draft202012Validator(SUMMARISED).iter_errors(result):
        place = '.'.join(map(str, error.path))
        raise UserError(
            f'{workdir / "result.json"} is damaged: {place + ": " * bool(place)}{error.message[:200]}; {remedy}'
        )
    return result


def write_result(workdir: Path, result: Mapping[str, Any]) -> None:
    """Writes result.json, which says that the run is done; of a trial that has paused, `PAUSED`. Raises `CannotWrite`."""
    write_json(workdir / (PAUSED if result['status'] == 'paused' else 'result.json'), result)


def read_paused(workdir: Path, until: float) -> dict | None:
    """Returns what a trial that has paused after the share `until` of its training, or later, had come to; None: none has.

    It has the fields of a result. Raises `UserError` if the file is damaged.
    """
    if until == 1.0:
        return None
    remedy = f'delete {workdir}, and the same command trains the trial again'
    result = read_json(workdir / PAUSED, remedy)
    try:
        return result if result is not None and result['history'][-1]['rung'] >= until else None
    except (LookupError, TypeError) as error:
        raise UserError(f'{workdir / PAUSED} is damaged: its history does not end with a rung; {remedy}') from error


def check_workdir(workdir: Path, config, ignored: tuple[str, ...] = ()) -> None:
    """Raises `UserError` if `workdir` holds another config; `ignored` fields may differ.

    Args:
      workdir: a run's folder.
      config: the config of the run, or its fields as JSON has them.
      ignored: dotted paths.
    """
    fields = config if isinstance(config, dict) else json.loads(to_json(config))
    found = differences(workdir, fields, ignored)
    if found is None:
        if _trained(workdir):
            raise UserError(f'workdir {workdir} holds a run without its config.json: choose another --workdir')
    elif found:
        raise UserError(f'workdir {workdir} holds another config ({"; ".join(found[:3])}): choose another --workdir')


def differences(workdir: Path, fields: Mapping[str, Any], ignored: tuple[str, ...] = ()) -> list[str] | None:
    """Returns in words how the config in `workdir` differs from `fields`, as JSON has them; None: there is none."""
    remedy = f'delete {workdir} or choose another --workdir'
    other = read_json(workdir / 'config.json', remedy)
    if other is None:
        return None
    try:
        old = _with_arguments(other)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f'{workdir / "config.json"} is not the config of a run ({error}): {remedy}') from error
    return _differences(old, _with_arguments(fields), ignored=(*NOT_HASHED, *ignored))


def best_evaluation(history: Sequence[dict[str, Any]], monitor: str = 'loss', goal: str = 'min') -> dict[str, Any]:
    """Returns the evaluation with the best value of a metric on validation, the first of equals; without any the last one.

    Args:
      history: of a run.
      monitor: name of the metric.
      goal: which is better of it, 'max' or 'min'.
    """
    column, sign = f'validation_{monitor}', 1 if goal == 'min' else -1
    validated = [row for row in history if row.get(column) is not None]
    return min(validated, key=lambda row: sign * row[column]) if validated else ([*history] or [{}])[-1]


def best_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the evaluation of a result whose weights were kept and tested; {}: there is none."""
    monitor = result.get('monitor', 'loss')
    return best_evaluation(result['history'], monitor, metrics_of(result)[monitor])


def metrics_of(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns what a result's evaluations measured -> which is better, 'max' or 'min'."""
    return result.get('metrics') or {'accuracy': 'max', 'loss': 'min'}  # of a version before the field


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], ignored: tuple[str, ...], prefix: str = ''
) -> list[str]:
    found = []
    for key in sorted({*old, *new}):
        path = f'{prefix}{key}'
        if path in ignored or not is_hashed(path):
            continue
        before, now = (_without_folder(path, fields.get(key, ADDED.get(path))) for fields in (old, new))
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found += _differences(before, now, ignored, f'{path}.')
        elif before != now:
            found.append(f'{path} was {before!r}, is {now!r}')
    return found


def _without_folder(path: str, value: Any) -> Any:
    """Returns the value of a field; of one that names a user's file, what is left without its folder."""
    if path == references.SEVERAL and isinstance(value, list):
        return [os.path.basename(text) if isinstance(text, str) else text for text in value]
    if path not in (*references.FIELDS, 'model.options.weights') or not isinstance(value, str):
        return value
    folder = value.startswith((names.FOLDER, names.HUGGINGFACE))
    return value if folder and not os.path.basename(value) else os.path.basename(value)


class InUse(UserError):
    """Another process works on the run."""


def check_path(workdir: Path) -> None:
    """Raises `CannotWrite` for a path that TensorFlow does not take: it must be UTF-8, in a locale that knows UTF-8."""
    try:
        str(workdir).encode()
    except UnicodeEncodeError as error:
        reason = f'its name is not {sys.getfilesystemencoding()}'
        raise CannotWrite(f'workdir {workdir}', reason, 'choose another --workdir, or set PYTHONUTF8=1') from error


@contextlib.contextmanager
def locked(workdir: Path):
    """Holds `workdir` for this process.

    Raises:
      InUse: another process has it.
      CannotWrite: it cannot be made, or nothing can be written in it.
    """
    check_path(workdir)
    with contextlib.ExitStack() as stack:
        with writing(f'workdir {workdir}', 'choose another --workdir'):
            workdir.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locks.held(workdir / '.lock', timeout=0))
            except filelock.Timeout as error:
                raise InUse(f'workdir {workdir} is in use by another process: wait for it or choose another') from error
        yield


def write_correct(workdir: Path, correct: 'np.ndarray') -> None:
    """Writes which test examples the run got right (bool, shape [test examples], in the order of the data): a bit each."""
    import numpy as np

    content = io.BytesIO()
    np.save(content, np.packbits(correct))
    write_bytes(workdir / CORRECT, content.getvalue())


def read_correct(workdir: Path, examples: int) -> 'np.ndarray | None':
    """Returns what `write_correct` wrote, or None: the run is of an earlier version, or the file is damaged."""
    import numpy as np

    try:
        packed = np.load(workdir / CORRECT, allow_pickle=False)
        return np.unpackbits(packed, count=examples).astype(bool) if packed.size * 8 >= examples > 0 else None
    except (OSError, ValueError, EOFError, TypeError):
        return None
