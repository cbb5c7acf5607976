"""Probabilities for a reader and for programs."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from seedwise.streams import printable


def classes(probabilities: np.ndarray, class_names: Sequence[str], top: int | None = None) -> list[dict[str, Any]]:
    """Returns the classes of one input, the most probable first: `name` and `probability` of each.

    Args:
      probabilities: [classes].
      class_names: in the order of the labels.
      top: how many; None: all.
    """
    order = np.argsort(-probabilities, kind='stable')[:top]
    return [{'name': class_names[i], 'probability': float(probabilities[i])} for i in order]


def as_table(names: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str], top: int) -> str:
    """Returns aligned lines: an input, its class with its probability, and the next ones, `top` in all."""
    rows = []
    for name, row in zip(names, probabilities, strict=True):
        best = classes(row, class_names, top)
        cells = [cell for one in best for cell in (printable(one['name']), f'{one["probability"]:.4f}')]
        rows.append([printable(name), *cells])
    places = min(top, len(class_names))
    head = ['input', 'class', 'probability', *(cell for i in range(2, places + 1) for cell in (_ordinal(i), ''))]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows])
    return ''.join(f'{line.rstrip()}\n' for line in lines)


def _ordinal(number: int) -> str:
    ending = 'th' if number // 10 % 10 == 1 else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')
    return f'{number}{ending}'


def as_csv(names: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str], top: int = 0) -> str:
    """Returns a row an input: `input`, `class`, `probability`, and a column `p_<name>` for each class."""
    del top
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['input', 'class', 'probability', *(f'p_{name}' for name in class_names)])
    for name, row in zip(names, probabilities, strict=True):
        best = int(row.argmax())
        writer.writerow([name, class_names[best], f'{row[best]:.9g}', *(f'{value:.9g}' for value in row)])
    return file.getvalue()


def as_json(names: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str], top: int = 0) -> str:
    """Returns a list with an object for each input: `input`, and `classes`, the most probable first."""
    del top
    every = zip(names, probabilities, strict=True)
    found = [{'input': name, 'classes': classes(row, class_names)} for name, row in every]
    return json.dumps(found, indent=1, ensure_ascii=False) + '\n'


FORMATS = {'table': as_table, 'csv': as_csv, 'json': as_json}
