"""What this process may use of its machine: cores and memory, not those that the machine has.

A scheduler or a container leaves a process a part of both: by CPU affinity (`taskset`, Slurm, cpusets) and by the quotas of
its control group, versions 1 and 2 (Docker, Kubernetes, systemd, Slurm). joblib's `cpu_count` reads only the root group's
quota: that of a container, but neither that of a systemd unit nor that of a Slurm job.

Sources: cgroups(7); the kernel's admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and scheduler/sched-bwc.rst.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS, OWN_CGROUPS, MEMINFO = Path('/sys/fs/cgroup'), Path('/proc/self/cgroup'), Path('/proc/meminfo')


def cores() -> int:
    """Returns the number of cores that this process may keep busy at once, at least 1."""
    quota = cpu_quota()
    return min(_cores_of_affinity(), math.ceil(quota) if quota else 10**6)


def cores_are_limited_by_quota() -> bool:
    """Returns whether a quota allows less than CPU affinity, which is all that TensorFlow and NumPy look at."""
    return cores() < _cores_of_affinity()


def limit_blas() -> None:
    """Keeps OpenBLAS, by which NumPy and SciPy multiply matrices, to a quota. To be called before NumPy is imported."""
    if cores_are_limited_by_quota():
        os.environ.setdefault('OPENBLAS_NUM_THREADS', str(cores()))


def cpu_quota(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float | None:
    """Returns how many cores' worth of processor time control groups allow, such as 1.5; None: they set no limit."""
    quotas = []
    for folder in _groups('cpu', cgroups, own):
        words = _words(folder / 'cpu.max')  # version 2: '150000 100000', or 'max 100000'
        if not words:  # version 1, where -1 means no quota
            words = _words(folder / 'cpu.cfs_quota_us') + _words(folder / 'cpu.cfs_period_us')
        with contextlib.suppress(ValueError, ZeroDivisionError):
            quota, period = map(int, words)
            if quota > 0:
                quotas.append(quota / period)
    return min(quotas, default=None)


def memory(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS, meminfo: Path = MEMINFO) -> int | None:
    """Returns the bytes that this process and those that it starts can still take; None: not known (not Linux)."""
    left = [_bytes_available(meminfo)]
    for folder in _groups('memory', cgroups, own):
        for limit, used, cache in (
            ('memory.max', 'memory.current', 'inactive_file'),
            ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
        ):
            with contextlib.suppress(ValueError):
                (most,), (taken,) = map(int, _words(folder / limit)), map(int, _words(folder / used))
                stat = _words(folder / 'memory.stat')
                # What the kernel keeps of files that nobody reads is given back first, as Kubernetes counts it too.
                taken -= int(dict(zip(stat[::2], stat[1::2], strict=False)).get(cache, 0))
                left.append(max(0, most - taken))
    return min((one for one in left if one is not None), default=None)


def _cores_of_affinity() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _bytes_available(meminfo: Path) -> int | None:
    words = _words(meminfo)
    with contextlib.suppress(ValueError, IndexError):
        return int(words[words.index('MemAvailable:') + 1]) * 1024
    return None


def _groups(controller: str, cgroups: Path, own: Path) -> Iterator[Path]:
    """Yields the folders of the process's control groups and of all above them, whose limits hold too."""
    with contextlib.suppress(OSError):
        for line in own.read_text(encoding='utf-8', errors='surrogateescape').splitlines():
            controllers, _, path = line.partition(':')[2].partition(':')
            if not controllers:  # version 2, of which systems with both have a folder of its own
                roots = [cgroups, cgroups / 'unified']
            elif controller in controllers.split(','):
                roots = [cgroups / controllers, cgroups / controller]
            else:
                continue
            # In a container, the path is the host's, and the container's own group is the root.
            relative = Path(path.lstrip('/'))
            for root in dict.fromkeys(roots):
                yield from (root / folder for folder in dict.fromkeys((relative, *relative.parents, Path())))


def _words(file: Path) -> list[str]:
    """Returns the words of a file; none where it cannot be read."""
    try:
        return file.read_text(encoding='utf-8').split()
    except OSError:
        return []
