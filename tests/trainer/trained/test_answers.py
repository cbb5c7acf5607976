"""What is printed of probabilities."""

import csv
import io
import json

import numpy as np
import pytest

from trainer.trained.answers import as_csv, as_json, as_table

NAMES = ('a.png', 'long name.png')
CLASSES = ('cat', 'dog, "wet"', 'emu\x1b[31m')
FOUND = np.array([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]], np.float32)


def test_a_table_is_aligned_and_holds_no_commands_for_the_terminal():
    assert as_table(NAMES, FOUND, CLASSES, 2) == (
        'input          class       probability  2nd\n'
        'a.png          dog, "wet"  0.7000       cat          0.2000\n'
        'long name.png  cat         0.5000       emu\\x1b[31m  0.4000\n'
    )


def test_csv_and_json_have_all_classes():
    rows = [*csv.DictReader(io.StringIO(as_csv(NAMES, FOUND, CLASSES)))]
    assert [(row['input'], row['class']) for row in rows] == [('a.png', 'dog, "wet"'), ('long name.png', 'cat')]
    assert [float(rows[0][f'p_{name}']) for name in CLASSES] == pytest.approx([0.2, 0.7, 0.1])
    first, _ = json.loads(as_json(NAMES, FOUND, CLASSES))
    assert first['input'] == 'a.png'
    assert [one['name'] for one in first['classes']] == ['dog, "wet"', 'cat', 'emu\x1b[31m']
