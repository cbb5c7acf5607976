"""How time and memory grow with the number of examples, the width of the model, and the number of runs in a study:

python -m benchmarks.growth [--examples=60000,200000,600000,2000000] [--widths=128,512,2048] [--runs=10,100,1000,10000]
    [--variants=10] [--plot=growth.png] [--out=growth.json]

Examples are synthetic and like MNIST's, read as a user's own: a .npz file in memory, the same file streamed from disk, and
a function. The runs of a study are synthetic too: nothing is trained, and the commands that plan it, write its board and
its report, and judge it are timed from their start to their end. Each is a process of its own; memory is its peak. The
exponent p says that time grew as size ** p from one size to the next: 1 is linear. An empty list leaves a part out.
"""

import sys
import tempfile
from pathlib import Path

from absl import flags

from benchmarks.compare import machine, records
from benchmarks.growth import plot, studies, training
from benchmarks.growth.measured import Measured, table
from seedwise import commands
from seedwise import machine as limits
from seedwise.errors import UserError

_EXAMPLES = flags.DEFINE_list('examples', ['60000', '200000', '600000', '2000000'], 'Numbers of training examples.')
_WIDTHS = flags.DEFINE_list('widths', ['128', '512', '2048'], 'Units of both hidden layers of a model.')
_RUNS = flags.DEFINE_list('runs', ['10', '100', '1000', '10000'], 'Numbers of runs in a study.')
_VARIANTS = flags.DEFINE_integer(
    'variants', 10, 'Variants of a study; more runs are more seeds of each.', lower_bound=2
)
_THREADS = flags.DEFINE_integer('threads', 0, 'Threads that train. 0: all cores that this process may use.', 0)
_PLOT = flags.DEFINE_string('plot', '', 'File of a figure of it all, such as growth.png.')
_OUT = flags.DEFINE_string('out', '', 'File to write every number to, with the machine it was measured on.')

#: Training examples for models of different widths.
EXAMPLES_OF_WIDTHS = 12_800

Columns = dict[str, dict[int, Measured]]


def of_examples(counts: list[int], threads: int, show) -> Columns:
    """Returns reader -> number of examples -> an epoch of 784-128-10; '..., first epoch' with reading and compiling."""
    found: Columns = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, 'images.npz')
            training.write(file, count)
            for name, fields in training.readers(file).items():
                show(f'{count:,} examples, {name}')
                epoch, first = training.measure(file, fields, threads)
                found.setdefault(name, {})[count] = epoch
                found.setdefault(f'{name}, first epoch', {})[count] = Measured(first, epoch.peak_mb)
    return found


def of_widths(widths: list[int], threads: int, show) -> Columns:
    """Returns {'784-w-w-10': width -> an epoch of 12,800 examples}."""
    found: dict[int, Measured] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'images.npz')
        training.write(file, EXAMPLES_OF_WIDTHS)
        for width in widths:
            show(f'784-{width}-{width}-10')
            found[width], _ = training.measure(file, {'model.hidden': (width, width)}, threads)
    return {'784-w-w-10': found}


def of_runs(counts: list[int], variants: int, show) -> Columns:
    """Returns part of a study -> number of runs -> what the command took."""
    found: Columns = {part: {} for part in studies.COMMANDS}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            size = studies.split(count, variants)
            show(f'writing {size["variants"]} variants with {size["seeds"]} seeds')
            study, workdir = studies.write(Path(folder), **size)
            for part in studies.COMMANDS:
                show(f'{count:,} runs, {part}')
                found[part][size['variants'] * size['seeds']] = studies.measure(part, study, workdir)
    return found


def main(argv: list[str]) -> int:
    """Measures, prints, plots and writes."""
    commands.parse_flags(argv, __doc__)
    sizes = [sorted(map(_number, flag.value)) for flag in (_EXAMPLES, _WIDTHS, _RUNS)]
    threads = _THREADS.value or limits.cores()

    def show(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    parts = {
        'examples': of_examples(sizes[0], threads, show),
        'width': of_widths(sizes[1], threads, show) if sizes[1] else {},
        'runs': of_runs(sizes[2], _VARIANTS.value, show) if sizes[2] else {},
    }
    for what, columns in parts.items():
        if columns:
            print(table(what, 's' if what == 'runs' else 's an epoch', columns), end='\n\n')
    if parts['examples']:
        for count, streamed in parts['examples']['streamed'].items():
            share = parts['examples']['in memory'][count].seconds / streamed.seconds
            print(f'{count:,} examples streamed: {share:.2f} of the speed in memory')
    if _OUT.value:
        measured = {
            what: {name: {size: studies.as_dict(one) for size, one in of.items()} for name, of in columns.items()}
            for what, columns in parts.items()
        }
        about = {'format': records.FORMAT, 'date': machine.now(), 'machine': machine.describe(threads)}
        records.write(Path(_OUT.value), about | {'versions': machine.versions(), 'growth': measured})
    if _PLOT.value:
        plot.write(parts, Path(_PLOT.value))
    return 0


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f'{text!r} is not a size: a whole number from 1 on is expected')
    return int(text)


if __name__ == '__main__':
    sys.exit(commands.run(main, 'interrupted'))
