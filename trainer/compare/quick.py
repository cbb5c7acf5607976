"""A study without a file: the command line says what varies, and this makes the study file that it stands for.

python -m trainer.compare --config=configs/mlp_adam.py --vary=optimizer.name=Adam,SGD,Muon --seeds=5

--vary=FIELD=A,B,C             an axis with these values
--vary=FIELD=1e-3:1e-1:log5    five values at equal factors; lin5: at equal steps
--claim="Adam > SGD by 0.002"  as of `trainer.judge`, about values of an axis
"""

import ast
import contextlib
import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seedwise import config_files, dotted
from seedwise.commands import KINDS, option_value
from seedwise.errors import UserError, unknown, writing
from seedwise.storage import files
from trainer import metrics
from trainer.compare.analysis import claim_text
from trainer.config.numbers import known_fields, of_field

#: 'first:last:log5'.
RANGE = re.compile(r'([-+.\deE]+):([-+.\deE]+):(log|lin)(\d+)')

#: Values of a range: more is a typing mistake, which would fill the memory.
MOST_VALUES = 10_000

#: What a name of an axis leaves out: where something is ('mine.py:', 'folder:data/', 'keras.applications.') and its type.
PLACE = re.compile(r'^(?:.*[:/]|keras\.applications\.)(?=[^\W\d]\w*(?:\.\w+)?$)')
FILE_TYPE = re.compile(r'\.(?:csv|npy|npz)$')


def axis(text: str) -> tuple[str, dict[str, Any]]:
    """Returns the field and the values by name of a --vary.

    Raises:
      UserError: it has another form, the field does not exist, or a value is not one of it.
    """
    field, equals, values = text.partition('=')
    known = known_fields()
    if not equals or not values:
        raise UserError(f"--vary is '{text}': it must be FIELD=A,B,C or FIELD=1e-3:1e-1:log5")
    if field not in known and not dotted.is_option(field):
        raise unknown('field of --vary', field, known)
    if field == 'seed':
        raise UserError("--vary cannot be 'seed': --seeds=N trains every variant with N seeds")
    match = RANGE.fullmatch(values)
    words = _range(text, match) if match else _split(values)
    values_of = [_field_value(field, word, known) for word in words]
    for word, value in zip(words, values_of, strict=True):
        if value is not None and field in known and not isinstance(value, known[field]):
            hint = ', and a range is FIELD=1e-3:1e-1:log5' if ':' in word else ''
            raise UserError(f"--vary is '{text}': {word} is not {KINDS[known[field]]}{hint}")
    labels = (str(v) if isinstance(v, float) else word for v, word in zip(values_of, _labels(words), strict=True))
    found = dict(zip(labels, values_of, strict=True))
    if len(found) < 2:
        raise UserError(f"--vary is '{text}': an axis needs two values or more")
    return field, found


def _range(text: str, match: re.Match) -> list[str]:
    """Returns the values of a range as text: first, last, log or lin, and how many, as `RANGE` finds them in `text`."""
    try:
        first, last, count = float(match[1]), float(match[2]), int(match[4])
    except ValueError as error:
        raise UserError(f"--vary is '{text}': {match[1]} and {match[2]} must be numbers") from error
    if not (math.isfinite(first) and math.isfinite(last)) or count > MOST_VALUES:
        raise UserError(f"--vary is '{text}': a range has finite ends and at most {MOST_VALUES:,} values")
    if match[3] == 'log' and not (first > 0 and last > 0):
        raise UserError(f"--vary is '{text}': a log range must be above 0")
    space = np.geomspace if match[3] == 'log' else np.linspace
    return [f'{number:.6g}' for number in space(first, last, count)]


def _split(values: str) -> list[str]:
    """Splits at commas outside of brackets: '(64,),(128, 64)' are two values."""
    return [word.strip() for word in re.split(r',(?![^(]*\))', values) if word.strip()]


def _labels(words: Sequence[str]) -> list[str]:
    """Names the values of an axis, without dots: of FILE.py:NAME the name, of a path the last part, if no two are alike."""
    short = [FILE_TYPE.sub('', PLACE.sub('', word)) for word in words]
    return [
        (name if short.count(name) == 1 else word).replace('.', '_') for name, word in zip(short, words, strict=True)
    ]


def _field_value(path: str, word: str, known: Mapping[str, type]) -> Any:
    """Returns the value of a field, or of an option, from its text on the command line."""
    return option_value(word) if path not in known else of_field(path, known[path], _value(word, known[path]))


def _value(word: str, kind: type) -> Any:
    if kind is str:
        return word
    try:
        return ast.literal_eval({'true': 'True', 'false': 'False', 'none': 'None'}.get(word.lower(), word))
    except (ValueError, SyntaxError):
        return word


def study_text(
    config: str,
    overrides: Mapping[str, Any],
    vary: Sequence[str],
    seeds: int,
    claims: Sequence[str] = (),
    margins: Mapping[str, float] | None = None,
) -> str:
    """Returns the text of the study file that the flags stand for.

    Args:
      config: the file of the base run.
      overrides: fields of the base run that the command line sets.
      vary: the --vary flags.
      seeds: how many.
      claims: the --claim flags.
      margins: metric -> the largest difference that does not matter.
    """
    axes = dict(axis(text) for text in vary)
    names = _names(list(axes))
    lines = [
        '"""'
        + ', '.join(f'{names[field]}: {", ".join(values)}' for field, values in axes.items())
        + f', on {Path(config).name}."""',
        '',
        'from pathlib import Path',
        '',
        'import ml_collections',
        '',
        'from seedwise import config_files',
        '',
        '',
        'def get_config():',
        '    config = ml_collections.ConfigDict()',
        f'    config.base = config_files.load(Path({str(Path(config).resolve())!r}), [])',
        *(f'    {_assignment(path, value)}' for path, value in overrides.items()),
        '    config.axes = {',
        *(
            f'        {names[field]!r}: {{'
            + ', '.join(f'{_key(name, value)}: {dotted.nest({field: value})!r}' for name, value in values.items())
            + '},'
            for field, values in axes.items()
        ),
        '    }',
        f'    config.seeds = {seeds}',
        *([f'    config.margins = {dict(margins)!r}'] if margins else []),
        *(['    config.claims = ('] if claims else []),
        *(f'        {_claim(text, i, axes, names)!r},' for i, text in enumerate(claims)),
        *(['    )'] if claims else []),
        '    return config',
        '',
    ]
    return '\n'.join(lines)


def _assignment(path: str, value: Any) -> str:
    """Returns the statement that sets a field of the base run, or an option, which may be new."""
    if not dotted.is_option(path):
        return f'config.base.{path} = {value!r}'
    before, _, rest = path.partition('options.')
    section, (option, *inner) = f'config.base.{before}options', rest.split('.', 1)
    new = f'{{**{section}.get({option!r}, {{}}), {inner[0]!r}: {value!r}}}' if inner else repr(value)
    return f'{section} = {{**{section}, {option!r}: {new}}}'


def _key(name: str, value: Any) -> str:
    """A value's name as a key of a ConfigDict, where text must not have a dot."""
    return repr(value) if isinstance(value, float) else repr(name)


#: Field -> the name of its axis, where its own name is a column of the results.
OTHER_NAMES = {'steps': 'training_steps'}


def _names(fields: Sequence[str]) -> dict[str, str]:
    """Names axes by what they vary: 'optimizer' for optimizer.name, 'learning_rate' for optimizer.learning_rate."""
    short = {field: field.split('.')[-2] if field.endswith('.name') else field.split('.')[-1] for field in fields}
    short = {field: OTHER_NAMES.get(name, name) for field, name in short.items()}
    taken = list(short.values())
    return {field: name if taken.count(name) == 1 else field.replace('.', '_') for field, name in short.items()}


def _claim(text: str, number: int, axes: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    """Returns the claim of a study file that a --claim stands for."""
    typed = claim_text.parse(text)
    field_of = {value: field for field, found in axes.items() for value in found}
    named = {str(value): name for found in axes.values() for name, value in found.items()}  # 'mine.py:Lion': 'Lion'
    a, b = (name if name in field_of else named.get(name, name) for name in (typed.a, typed.b))
    for name in (a, b):
        if name not in field_of:
            raise unknown('value in --claim', name, field_of)
    claim: dict[str, Any] = {'id': f'claim_{number + 1}', 'kind': typed.kind, 'quote': text}
    claim |= {side: {names[field_of[value]]: value} for side, value in (('a', a), ('b', b))}
    return (
        claim | ({'margin': typed.margin} if typed.margin else {}) | ({'metric': typed.metric} if typed.metric else {})
    )


@dataclasses.dataclass
class Typed:
    """A study without a file: the file that it stands for, and the command line that names it."""

    argv: list[str]  # with --study in place of --config and the flags of this module
    text: str
    file: Path  # --save, or else below runs/studies/ by its content
    shown: bool = False

    def show(self) -> None:
        """Prints the study file, once the study has been found right."""
        print(f'{self.text}\n{self.file}: the study that this command stands for')
        self.shown = True

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Writes the study file; what was there before comes back if the study is refused before it was shown."""
        before = self.file.read_bytes() if self.file.is_file() else None
        content = self.text.encode()
        if content != before:
            with writing(self.file):
                self.file.parent.mkdir(parents=True, exist_ok=True)
                # Shards that are typed at once each write it, while others read it.
                with files.replacing(self.file, self.file.with_name(f'.{self.file.name}.{os.getpid()}')) as partial:
                    partial.write_bytes(content)
        try:
            yield
        except UserError:
            if not self.shown:
                self.file.unlink() if before is None else self.file.write_bytes(before)
            raise


def from_argv(argv: list[str]) -> Typed | None:
    """Returns the study that the flags of this module stand for; None: the command line has none of them.

    Raises:
      UserError: --study is given too, or a flag is wrong.
    """
    own: dict[str, list[str]] = {name: [] for name in ('config', 'vary', 'claim', 'margin', 'seeds', 'save')}
    overrides, rest, words = {}, [argv[0]], iter(argv[1:])
    known = known_fields()
    for word in words:
        name, equals, value = word.lstrip('-').partition('=')
        if word.startswith('-') and name in own:
            own[name].append(value if equals else next(words, ''))
        elif word.startswith('-') and name.startswith('config.'):
            path = name.removeprefix('config.')
            if path not in known and not dotted.is_option(path):
                raise unknown('field of --config', path, known)
            overrides[path] = _field_value(path, value if equals else next(words, ''), known)
        else:
            rest.append(word)
    until_decided = any(word.lstrip('-').replace('-', '_').startswith('until_decided') for word in rest[1:])
    if not own['config']:
        if any(own[name] for name in own if not (name == 'seeds' and until_decided)):
            given = next(name for name in own if own[name])
            raise UserError(f'--{given} is for a study without a file: add --config=FILE and --vary=FIELD=A,B')
        return None
    if any(word.lstrip('-').startswith('study') for word in rest[1:]):
        raise UserError('give either --study, or --config with --vary')
    for name in ('config', 'seeds', 'save'):
        if len(set(own[name])) > 1:
            raise UserError(f"--{name} is given twice, as '{own[name][0]}' and '{own[name][1]}': give one")
    if not own['vary']:
        raise UserError(
            '--config without --vary is one run: python -m trainer.main; add --vary=optimizer.name=Adam,SGD'
        )
    seeds = (own['seeds'] or ['5'])[0]
    if not (seeds.isascii() and seeds.isdecimal()):
        raise UserError(f'--seeds is {seeds}: it must be a whole number')
    if until_decided and own['seeds']:  # the most seeds of a variant: no part of the study
        rest, seeds = [*rest, f'--seeds={seeds}'], '5'
    file = config_files.find(Path(own['config'][0]), 'config', 'configs/cnn_nadam.py')
    margins = dict(_margin(text, file, overrides) for text in own['margin'])
    text = study_text(str(file), overrides, own['vary'], int(seeds), own['claim'], margins)
    name = f'{file.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.py'
    saved = Path(own['save'][0]) if own['save'] else Path('runs') / 'studies' / name.replace('-', '_')
    return Typed([*rest, f'--study={saved}'], text, saved)


def _margin(text: str, file: Path, overrides: Mapping[str, Any]) -> tuple[str, float]:
    """Returns the metric and the margin of a --margin, without a metric that of the first which the config names."""
    metric, equals, number = text.rpartition('=')
    try:
        if not equals:
            named = overrides.get('metrics') or config_files.load(file, []).metrics
            metric = f'test_{metrics.of(named[0]).name}'
        return metric, float(number)
    except ValueError as error:
        raise UserError(f"--margin is '{text}': it must be METRIC=NUMBER, or a number") from error
