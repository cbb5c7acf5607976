"""A process of its own for one side, one part of the ceiling, or the data: python -m benchmarks.compare.child TASK"""

import importlib
import json
import resource
import sys

from benchmarks.compare import ceiling, examples, machine
from benchmarks.compare.sides import SIDES
from benchmarks.compare.sides.task import Task
from seedwise.errors import UserError


def main(text: str) -> dict:
    """Returns what the task, a JSON object, measured."""
    task = json.loads(text)
    machine.pin(task['threads'])
    if 'examples' in task:
        return examples.write(task['examples'], task['images'], task['count'], task['file'])
    if 'ceiling' in task:
        return ceiling.measure(**task)
    module, _, function = SIDES[task.pop('side')].function.partition(':')
    found = getattr(importlib.import_module(f'benchmarks.compare.sides.{module}'), function)(Task(**task))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return found | {'peak_mb': round(peak), 'settings': machine.settings()}


if __name__ == '__main__':
    try:
        result = main(sys.argv[1])
    except UserError as error:
        result = {'reason': str(error)}
    print(json.dumps(result))
