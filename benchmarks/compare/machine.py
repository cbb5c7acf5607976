"""What a measurement depends on: processor, instruction sets, cores, versions and settings."""

import contextlib
import datetime
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from seedwise import machine
from trainer.machine import hardware, provenance

#: Flag of /proc/cpuinfo -> the instruction set's usual name, of those that decide how fast numbers are multiplied.
INSTRUCTION_SETS = {
    'sse4_2': 'SSE4.2',
    'avx': 'AVX',
    'fma': 'FMA',
    'avx2': 'AVX2',
    'avx_vnni': 'AVX-VNNI',
    'avx_ne_convert': 'AVX-NE-CONVERT',
    'avx512f': 'AVX-512',
    'avx512_vnni': 'AVX-512 VNNI',
    'avx512_bf16': 'AVX-512 bf16',
    'avx512_fp16': 'AVX-512 fp16',
    'amx_tile': 'AMX',
    'amx_int8': 'AMX int8',
    'amx_bf16': 'AMX bf16',
    'asimd': 'NEON',
    'asimddp': 'NEON dot product',
    'bf16': 'bf16',
    'i8mm': 'i8mm',
    'sve': 'SVE',
    'sve2': 'SVE2',
}

#: Packages whose versions are kept.
PACKAGES = ('tensorflow', 'tensorflow-cpu', 'keras', 'torch', 'jax', 'jaxlib', 'numpy', 'seedwise')

#: Environment variables that change speed, next to those that change rounding (`provenance.SETTINGS`).
SETTINGS = (
    *provenance.SETTINGS,
    *('MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE', 'KMP_AFFINITY', 'KMP_BLOCKTIME', 'NPROC'),
    *('TF_XLA_AUTO_JIT', 'TF_USE_LEGACY_KERAS', 'LD_PRELOAD', 'MALLOC_CONF', 'JAX_PLATFORMS'),
)

#: What two measurements must share for their ratio to be about the software.
SAME = ('cpu', 'instruction_sets', 'cores', 'threads')


def instruction_sets(cpuinfo: str) -> list[str]:
    """Returns the names of the instruction sets in the text of /proc/cpuinfo; [] where it lists none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(':')
        if key.strip().lower() in ('flags', 'features'):
            flags = set(value.split())
            return [name for flag, name in INSTRUCTION_SETS.items() if flag in flags]
    return []


def settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the environment variables that change speed, of those that are set."""
    return {name: environment[name] for name in SETTINGS if name in environment}


def cpuinfo() -> str:
    """Returns the text of /proc/cpuinfo, or '' on a system without that file."""
    with contextlib.suppress(OSError):
        return Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace')
    return ''


def describe(threads: int) -> dict:
    """Returns what is kept of this machine, with the number of threads that each side is given."""
    text = cpuinfo()
    return {
        'cpu': provenance.environment()['host']['cpu'],
        'instruction_sets': instruction_sets(text),
        'computes_bfloat16': bool(text) and hardware.computes_bfloat16(text),
        'cores': machine.cores(),
        'threads': threads,
        'memory_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9, 1),
        'system': platform.platform(),
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that are installed."""
    found = {'python': platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')


def pin(threads: int) -> None:
    """Leaves this process the last `threads` of its cores: what every framework, also one without a setting, obeys."""
    if hasattr(os, 'sched_setaffinity'):
        cores = sorted(os.sched_getaffinity(0))
        if threads < len(cores):
            os.sched_setaffinity(0, cores[-threads:])
