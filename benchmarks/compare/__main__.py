"""This project compared with what users would pick instead, on the machine at hand, and with what the machine can do:

python -m benchmarks.compare [--models=mlp,mlp512,cnn,resnet20] [--sides=ours,keras,pytorch,jax] [--out=FILE.json]
    [--against=FILE.json]

All sides train the same network on the same examples, in batches of 128, float32, with the same optimizer (Nadam, learning
rate 0.001, epsilon 1e-7), for the same number of steps, and say what accuracy they reached. Each is a process of its own;
they take turns, for several rounds, so that a machine that slows down slows all. A pass over the examples is timed, except
the first one, which compiles. Evaluation is not timed. All sides do what a user of theirs gets: Keras's `fit` with its
accuracy metric; ours from its tf.data pipeline, with accuracy, gradient norm and TensorBoard events.

A side may have settings: `ours+jit=off` sets a field of this project's config, and `keras+TF_ENABLE_ONEDNN_OPTS=1`, with a
name in capitals, a variable of the environment. So `--sides=ours,ours+jit=off` measures one change, in turn with none.
"""

import ast
import sys
import tempfile
from pathlib import Path

from absl import flags

from benchmarks.compare import ceiling, machine, records
from benchmarks.compare.networks import NETWORKS
from benchmarks.compare.processes import child
from benchmarks.compare.sides import SIDES, split
from seedwise import commands
from seedwise import machine as limits
from seedwise.errors import UserError, unknown
from trainer.machine import provenance

_MODELS = flags.DEFINE_list('models', list(NETWORKS), f'Which of {", ".join(NETWORKS)}.')
_SIDES = flags.DEFINE_list(
    'sides', ['ours', 'keras', 'pytorch', 'jax'], f'Which of {", ".join(SIDES)}, best ours first.'
)
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Times that all sides take their turn.', lower_bound=1)
_EPOCHS = flags.DEFINE_integer('epochs', 3, 'Passes of each process; the first is not counted.', lower_bound=2)
_STEPS = flags.DEFINE_integer(
    'steps', 0, 'Steps of a pass. 0: 468 of MLPs, 117 of the CNN, 16 of ResNet-20, fewer of JAX.', 0
)
_THREADS = flags.DEFINE_integer('threads', 0, 'Threads of each side. 0: all cores that this process may use.', 0)
_IMAGES = flags.DEFINE_string('images', '', 'Dataset of 32x32x3 for ResNet-20, such as cifar10. Empty: random images.')
_OUT = flags.DEFINE_string('out', '', 'File to write every measurement to, with the machine it was made on.')
_AGAINST = flags.DEFINE_string('against', '', 'An older file of --out, to which ratios are printed.')
_CEILING = flags.DEFINE_bool('ceiling', True, 'Measure the matrix product and the memory copy of this machine.')

BATCH = 128


def measure(record: dict, threads: int, rounds: int, epochs: int, steps: int, images: str, show) -> None:
    """Adds the measurements of all networks and sides to a record, and writes it after each, for it may take long."""
    with tempfile.TemporaryDirectory() as folder:
        for name in record['models']:
            network, file = NETWORKS[name], Path(folder, f'{name}.npz')
            count = (steps or network.steps) * BATCH
            made = child({'examples': name, 'images': images, 'count': count, 'file': str(file), 'threads': threads})
            if 'reason' in made:
                raise UserError(made['reason'])
            task = {'network': name, 'data': str(file), 'passes': epochs, 'batch': BATCH, 'threads': threads}
            for number in range(rounds):
                for text in record['sides']:
                    if any((row['model'], row['side']) == (name, text) for row in record['missing']):
                        continue
                    show(f'{network.title}, {text}, round {number + 1} of {rounds}')
                    side, settings = split(text)
                    reason = SIDES[side].missing()
                    fewer = 0 if steps else SIDES[side].steps.get(name, 0)
                    own = {
                        'side': side,
                        'fields': {key: _value(value) for key, value in settings.items() if not key.isupper()},
                        'steps': fewer,
                    }
                    environment = {key: value for key, value in settings.items() if key.isupper()}
                    found = {'reason': reason} if reason else child(task | own, environment)
                    key = {'model': name, 'side': text}
                    if 'reason' in found:
                        record['missing'].append(key | found | {'failed': not reason})
                        continue
                    if fewer or not made['real']:
                        found['accuracy'] = None
                    record['measurements'].append(key | {'round': number, 'steps': fewer or count // BATCH} | found)
                    if _OUT.value:
                        records.write(Path(_OUT.value), record)


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main(argv: list[str]) -> int:
    """Measures, prints and writes."""
    commands.parse_flags(argv, __doc__)
    for name in _MODELS.value:
        if name not in NETWORKS:
            raise unknown('model', name, NETWORKS)
    for text in _SIDES.value:
        if split(text)[0] not in SIDES:
            raise unknown('side', split(text)[0], SIDES)
    older = records.read(Path(_AGAINST.value)) if _AGAINST.value else None
    threads = _THREADS.value or limits.cores()
    record = {
        'format': records.FORMAT,
        'date': machine.now(),
        'revision': provenance.environment()['git_revision'],
        'machine': machine.describe(threads),
        'versions': machine.versions(),
        'settings': machine.settings(),
        'models': _MODELS.value,
        'sides': _SIDES.value,
        'batch': BATCH,
        'ceilings': [],
        'measurements': [],
        'missing': [],
    }

    def show(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    for what, library in ceiling.parts(record['machine']['computes_bfloat16']) if _CEILING.value else ():
        show(f'ceiling: {what}, {library}')
        found = child({'ceiling': what, 'library': library, 'threads': threads})
        if 'reason' not in found:
            record['ceilings'].append({'what': what, 'library': library} | found)
    measure(record, threads, _ROUNDS.value, _EPOCHS.value, _STEPS.value, _IMAGES.value, show)
    if _OUT.value:
        records.write(Path(_OUT.value), record)
    print(records.heading(record), records.table(record), sep='\n\n')
    if older:
        print('', records.against(record, older, Path(_AGAINST.value).name), sep='\n')
    return 1 if any(row['failed'] for row in record['missing']) else 0


if __name__ == '__main__':
    sys.exit(commands.run(main, 'interrupted'))
