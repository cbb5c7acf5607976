"""Damaged files: each file of a run and a study, in each way. The commands that read them go on, or say it in a line."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults import forked, small
from tests.helpers import hashes


def act(folder: Path, rng: random.Random) -> tuple[int, str]:
    """Damages one file and uses its folder; returns (1, the fault)."""
    what, fault = rng.choice([unfinished, unfinished, finished, finished, study])(folder, rng)
    return 1, f'{what}: {fault}' if fault else ''


def damage(root: Path, other: Path, rng: random.Random) -> tuple[str, bool]:
    """Damages a file below a folder; returns what was done, and whether the file is whole by itself but another one."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob('*') if path.is_file() and path.suffix != '.lock')
    name = rng.choice(names)
    file = root / name
    content = file.read_bytes()
    ways: dict[str, Callable[[], object]] = {
        'cut off': lambda: file.write_bytes(content[: rng.randrange(len(content) or 1)]),
        'bit flipped': lambda: file.write_bytes(flipped(content, rng)),
        'emptied': lambda: file.write_bytes(b''),
        'zeros': lambda: file.write_bytes(bytes(len(content))),
        'noise': lambda: file.write_bytes(rng.randbytes(len(content))),
        'longer': lambda: file.write_bytes(content + b'{"x": 1}\n'),
        'deleted': file.unlink,
        'a folder': lambda: (file.unlink(), file.mkdir()),
    }
    if (other / name).is_file():
        ways['of another run'] = lambda: shutil.copy(other / name, file)
    if file.suffix == '.json':
        ways['of another version'] = lambda: file.write_text(json.dumps(changed(json.loads(content), rng)))
    way = rng.choice([*ways])
    ways[way]()
    return f'{name} {way}', way in ('of another run', 'of another version', 'bit flipped')


def flipped(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return b'x'
    changed = bytearray(content)
    changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def changed(value, rng: random.Random):
    """Returns JSON with one value, somewhere in it, missing or of another type."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice([*value])
        if rng.random() < 0.4:
            return {name: inner for name, inner in value.items() if name != key}
        return value | {key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        return [*value[:i], changed(value[i], rng), *value[i + 1 :]]
    return rng.choice([None, 'x', -1, 0, 1.5, [], {}, True, {'x': {}}, ['a', 1], 10**30])


def unfinished(folder: Path, rng: random.Random) -> tuple[str, str]:
    """A run that was killed goes on to the same weights, or says what is wrong."""
    workdir = folder / 'run'
    shutil.copytree(small.unfinished(), workdir)
    if rng.random() < 0.15:
        shutil.rmtree(workdir / 'checkpoints')
        shutil.copytree(small.unfinished(1) / 'checkpoints', workdir / 'checkpoints')
        what = 'checkpoints of another run'
    else:
        what, _ = damage(workdir, small.unfinished(1), rng)
    ended = small.train(workdir)
    if fault := ended.fault((0,)):
        return what, f'{fault}: {ended.err[-2500:]}'
    return what, 'other weights' if ended.code == 0 and small.sha(workdir) != small.sha(small.finished()) else ''


def finished(folder: Path, rng: random.Random) -> tuple[str, str]:
    """A finished run is reported, judged and used, or the command says what is wrong."""
    workdir = folder / 'run'
    shutil.copytree(small.finished(), workdir)
    what, alike = damage(workdir, small.finished(1), rng)
    image = folder / 'image.csv'
    image.write_text('\n'.join(','.join(str((7 * i * j) % 256) for j in range(784)) for i in (1, 2)))
    commands = {
        'trainer.judge': [str(workdir)],
        'trainer.predict': [str(workdir), str(image), '--format=json'],
        'trainer.main': [*small.RUN, '--config.seed=0', f'--workdir={workdir}'],
    }
    for module, arguments in commands.items():
        ended = forked.run(module, arguments)
        if fault := ended.fault((0,)):
            return what, f'{module}: {fault}: {(ended.out + ended.err)[-2500:]}'
        if module == 'trainer.predict' and ended.code == 0 and not (alike and '.json' in what):
            whole = forked.run(module, [str(small.finished()), *arguments[1:]])
            if whole.out != ended.out:
                return what, f'other predictions: {ended.out[:200]}, not {whole.out[:200]}'
    return what, ''


def study(folder: Path, rng: random.Random) -> tuple[str, str]:
    """A study is judged, and goes on to the same runs, or the command says what is wrong."""
    shutil.copytree(small.study(), folder, dirs_exist_ok=True)
    others = folder / 'others'
    for run in (small.study() / 'work').glob('*/*/result.json'):  # each in the place of the other variant's
        shutil.copytree(run.parent, others / {'Adam': 'SGD', 'SGD': 'Adam'}[run.parts[-3]] / run.parts[-2])
    what, alike = damage(folder / 'work', others, rng)
    ended = forked.run('trainer.judge', [str(folder / 'work'), f'--report={folder}/judged'])
    if fault := ended.fault((0, 1, 3)):
        return what, f'trainer.judge: {fault}: {(ended.out + ended.err)[-2500:]}'
    ended = small.compare(folder)
    if fault := ended.fault((0, 1)):
        return what, f'trainer.compare: {fault}: {(ended.out + ended.err)[-2500:]}'
    if (
        ended.code == 0
        and not (alike and '.json' in what)
        and hashes(folder / 'work') != hashes(small.study() / 'work')
    ):
        return what, 'other weights'
    return what, ''
