"""The summary of one run on the screen."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from seedwise.streams import printable
from trainer.metrics import ALWAYS
from trainer.results import best_of, metrics_of


def print_summary(result: dict, workdir: Path) -> None:
    """Prints a short table of a result, where it lies, and how to look at it."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    data, where, seconds = result['dataset'], result['strategy'], result['seconds']
    table = Table(box=box.SIMPLE, show_header=True, pad_edge=False)
    table.add_column('split', no_wrap=True, min_width=len('validation'))
    names = ['loss', 'accuracy', *(name for name in metrics_of(result) if name not in ALWAYS)]
    for title in (*names, 'examples'):
        words = printable(title.replace('_', ' '))
        table.add_column(words, justify='right', min_width=max(map(len, words.split())))
    last, test = result['history'][-1] if result['history'] else {}, result['test']
    tested = {f'test_{name}': test.get(name) for name in names}
    for split, row in (('train', last), ('validation', best_of(result)), ('test', tested)):
        values = [row.get(f'{split}_{name}') for name in names]
        if values[0] is not None:
            count = test['examples'] if split == 'test' else data[split]
            table.add_row(split, *('' if value is None else f'{value:.4f}' for value in values), f'{count:,}')
    console.print(table)
    if result['status'] == 'diverged':
        first, final = result['diverged_steps']
        console.print(f'DIVERGED: the loss, or a weight, was not finite between steps {first:,} and {final:,}.')
    replicas = f'{where["replicas"]} replica{"s" * (where["replicas"] > 1)}'
    workers = f' on {where["workers"]} workers' if where['workers'] > 1 else ''
    name = printable(data['name'])
    console.print(
        f'{name}, {result["parameters"]:,} parameters, {result["steps"]:,} step{"s" * (result["steps"] != 1)} '
        f'of {where["global_batch_size"]} ({where["name"]}, {replicas}{workers}), {seconds["total"]:.1f} s'
    )
    console.print(f'results      {shlex.quote(str(workdir))}')
    if (workdir / 'tensorboard').is_dir():
        console.print(f'TensorBoard  {tensorboard_command(workdir)}')


def tensorboard_command(workdir: Path) -> str:
    """Returns the command that shows a folder, as it can be typed here, in an active environment or without one."""
    path = str(Path(sys.executable).with_name('tensorboard'))
    name = 'tensorboard' if shutil.which('tensorboard') else min(path, os.path.relpath(path), key=len)
    return f'{shlex.quote(name)} --logdir={shlex.quote(str(workdir))}'
