"""Starts `child` in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping


def child(task: dict, environment: Mapping[str, str] | None = None) -> dict:
    """Returns what a task measured in a process of its own, with more environment variables; {'reason': ...}: it failed."""
    command = [sys.executable, '-m', 'benchmarks.compare.child', json.dumps(task)]
    done = subprocess.run(command, capture_output=True, encoding='utf-8', env={**os.environ, **(environment or {})})
    if done.returncode:
        return {'reason': (done.stderr.strip().splitlines() or [f'ended with {done.returncode}'])[-1]}
    return json.loads(done.stdout.splitlines()[-1])
