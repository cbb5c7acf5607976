"""Where and with what a result was made: data, versions, git revision and host. Needs no TensorFlow."""

import contextlib
import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedwise import machine

if TYPE_CHECKING:
    from data_pipeline.sources import Dataset
    from trainer.loop.scaling import Moments


def data(dataset: 'Dataset', moments: 'Moments | None') -> dict[str, Any]:
    """Returns what a run was trained on, and what must be known to use its model: the inputs that it takes, the names of its
    classes, and the `moments` by which inputs are normalised, if they are."""
    examples = {'train': dataset.train, 'validation': dataset.validation, 'test': dataset.test}
    facts: dict[str, Any] = {'name': dataset.name, 'source': dataset.source, 'fingerprint': dataset.fingerprint}
    facts |= {split: own.count if own is not None else 0 for split, own in examples.items()}
    optional = {
        'notes': dataset.notes,
        'class_names': dataset.class_names or tuple(map(str, range(dataset.classes))),
        'columns': dataset.columns,
    }
    facts |= {key: value for key, value in optional.items() if value}
    facts['input'] = {'shape': dataset.image_shape, 'dtype': dataset.train.dtype, 'unscaled': dataset.unscaled}
    if moments is not None:
        mean, deviation = (array.tolist() for array in moments)
        facts['normalization'] = {'mean': mean, 'deviation': deviation}
    return facts


@functools.cache
def environment() -> dict[str, Any]:
    """Returns what a result is to be reproduced with: versions, git revision and host."""
    packages = ('tensorflow', 'tensorflow-cpu', 'keras', 'tensorflow-datasets', 'numpy', 'ml-collections', 'seedwise')
    versions = {'python': platform.python_version()}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {'versions': versions, 'git_revision': _git_revision(), 'host': _host()}


def _git_revision() -> str | None:
    """Returns the revision of this source tree, with '+' if files differ from it.

    None if this is no checkout of our own: a package that is installed inside of somebody's repository is not part of it.
    """
    root = Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith('GIT_')}

    def git(*words: str) -> str:
        done = subprocess.run(
            ['git', *words],
            cwd=root,
            env=environment,
            capture_output=True,
            encoding='utf-8',
            errors='replace',
            timeout=10,
            check=True,
        )
        return done.stdout.strip()

    try:
        if Path(git('rev-parse', '--show-toplevel')).resolve() != root:
            return None
        git('ls-files', '--error-unmatch', str(Path(__file__).resolve()))
        changed = git('status', '--porcelain', '--untracked-files=no')
        return git('rev-parse', 'HEAD') + ('+' if changed else '')
    except (OSError, subprocess.SubprocessError):
        return None


#: Environment variables of libraries that change how numbers are rounded. A result keeps those that were set.
SETTINGS = (
    'TF_ENABLE_ONEDNN_OPTS', 'TF_XLA_FLAGS', 'XLA_FLAGS', 'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS',
    'OMP_NUM_THREADS', 'ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA', 'NVIDIA_TF32_OVERRIDE', 'TF_DETERMINISTIC_OPS',
)  # fmt: skip


def _host() -> dict[str, Any]:
    model = platform.processor()
    settings = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace').splitlines():
            if line.startswith('model name'):
                model = line.partition(':')[2].strip()
                break
    return {'name': platform.node(), 'system': platform.platform(), 'cpu': model, 'cores': machine.cores()} | (
        {'settings': settings} if settings else {}
    )
