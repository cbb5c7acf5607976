"""What may be used of a machine: affinity, quotas and memory limits, by the files of Linux and on Linux itself."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from seedwise import machine
from tests.helpers import ROOT

GIB = 2**30

#: Own groups, files of groups -> cores that the quotas allow.
QUOTAS = {
    'no groups at all': ('', {}, None),
    'version 2, a container': ('0::/', {'cpu.max': '150000 100000'}, 1.5),
    'version 2, no limit': ('0::/', {'cpu.max': 'max 100000'}, None),
    'version 2, a unit of systemd': (
        '0::/system.slice/a.service',
        {'system.slice/a.service/cpu.max': '50000 100000'},
        0.5,
    ),
    'version 2, the least of all above': (
        '0::/a/b/c',
        {'a/cpu.max': '200000 100000', 'a/b/cpu.max': '100000 100000', 'a/b/c/cpu.max': 'max 100000'},
        1.0,
    ),
    'version 2, a path of the host': ('0::/docker/0123', {'cpu.max': '300000 100000'}, 3.0),
    'version 1, a container': (
        '4:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123',
        {'cpu/cpu.cfs_quota_us': '250000', 'cpu/cpu.cfs_period_us': '100000'},
        2.5,
    ),
    'version 1, both controllers in one folder': (
        '4:cpu,cpuacct:/slurm/job_1',
        {
            'cpu,cpuacct/slurm/job_1/cpu.cfs_quota_us': '400000',
            'cpu,cpuacct/slurm/job_1/cpu.cfs_period_us': '100000',
        },
        4.0,
    ),
    'version 1, no limit': ('4:cpu:/', {'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000'}, None),
    'both versions': ('1:cpu:/\n0::/a', {'unified/a/cpu.max': '100000 100000', 'cpu/cpu.cfs_quota_us': '-1'}, 1.0),
    'damaged': ('0::/\nnonsense', {'cpu.max': 'a b c'}, None),
}


def tree(folder: Path, groups: str, files: dict[str, str]) -> dict[str, Path]:
    (folder / 'own').write_text(groups, encoding='utf-8')
    for name, content in files.items():
        path = folder / 'cgroup' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{content}\n', encoding='utf-8')
    return {'cgroups': folder / 'cgroup', 'own': folder / 'own'}


@pytest.mark.parametrize('case', QUOTAS)
def test_quotas_of_control_groups(tmp_path, case):
    groups, files, cores = QUOTAS[case]
    assert machine.cpu_quota(**tree(tmp_path, groups, files)) == cores


#: Own groups, files -> GiB that are left, of 8 that the machine has.
MEMORY = {
    'no groups': ('', {}, 8),
    'version 2': ('0::/', {'memory.max': 4 * GIB, 'memory.current': GIB, 'memory.stat': 'anon 5\ninactive_file 0'}, 3),
    'version 2, files that nobody reads': (
        '0::/',
        {'memory.max': 4 * GIB, 'memory.current': 2 * GIB, 'memory.stat': f'inactive_file {GIB}'},
        3,
    ),
    'version 2, no limit': ('0::/', {'memory.max': 'max', 'memory.current': GIB}, 8),
    'version 2, more than there is': ('0::/', {'memory.max': 16 * GIB, 'memory.current': GIB}, 8),
    'version 2, above': ('0::/a/b', {'a/memory.max': 2 * GIB, 'a/memory.current': GIB, 'a/b/memory.max': 'max'}, 1),
    'version 1': (
        '3:memory:/x',
        {
            'memory/x/memory.limit_in_bytes': 4 * GIB,
            'memory/x/memory.usage_in_bytes': 3 * GIB,
            'memory/x/memory.stat': f'cache 7\ntotal_inactive_file {GIB}',
        },
        2,
    ),
    'version 1, no limit': (
        '3:memory:/',
        {'memory/memory.limit_in_bytes': 9223372036854771712, 'memory/memory.usage_in_bytes': GIB},
        8,
    ),
    'beyond the limit': ('0::/', {'memory.max': GIB, 'memory.current': 2 * GIB}, 0),
}


@pytest.mark.parametrize('case', MEMORY)
def test_memory_that_is_left(tmp_path, case):
    groups, files, left = MEMORY[case]
    (tmp_path / 'meminfo').write_text(f'MemTotal: 99 kB\nMemAvailable:   {8 * GIB // 1024} kB\n', encoding='utf-8')
    found = machine.memory(
        **tree(tmp_path, groups, {k: str(v) for k, v in files.items()}), meminfo=tmp_path / 'meminfo'
    )
    assert found == left * GIB


def test_elsewhere_than_on_linux_nothing_is_known_and_all_cores_are_taken(tmp_path, monkeypatch):
    nowhere = tmp_path / 'nowhere'
    assert machine.memory(nowhere, nowhere, nowhere) is None
    monkeypatch.delattr(os, 'sched_getaffinity', raising=False)
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    monkeypatch.setattr(machine, 'cpu_quota', lambda: None)
    assert machine.cores() == 1


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='this system has no CPU affinity')
def test_cores_are_those_of_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.cores() == 1
        assert not machine.cores_are_limited_by_quota()
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(('quota', 'given', 'threads'), [(1.5, None, '2'), (1.5, '7', '7'), (None, None, None)])
def test_openblas_keeps_to_a_quota(monkeypatch, quota, given, threads):
    monkeypatch.setattr(machine, '_cores_of_affinity', lambda: 4)
    monkeypatch.setattr(machine, 'cpu_quota', lambda: quota)
    # Set first, so that what the call sets is taken back.
    monkeypatch.setenv('OPENBLAS_NUM_THREADS', given or '')
    if given is None:
        del os.environ['OPENBLAS_NUM_THREADS']
    machine.limit_blas()
    assert os.environ.get('OPENBLAS_NUM_THREADS') == threads


@pytest.mark.skipif(not machine.MEMINFO.exists(), reason='this system has no /proc/meminfo')
def test_memory_is_at_most_what_the_system_has_available():
    assert 0 < machine.memory() <= 1.1 * psutil.virtual_memory().available


@contextlib.contextmanager
def group(controller: str, limits: dict[str, str]):
    """Makes a control group of version 1 or 2 with limits; yields its file of processes. Skips where that is impossible."""
    for root in (machine.CGROUPS / controller, machine.CGROUPS, machine.CGROUPS / 'unified'):
        folder = root / 'seedwise-test'
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            needed = {name: value for name, value in limits.items() if (folder / name).exists()}
            if needed:
                for name, value in needed.items():
                    (folder / name).write_text(value, encoding='utf-8')
                yield folder / 'cgroup.procs'
                return
        finally:
            folder.rmdir()
    pytest.skip('control groups cannot be made here: this takes root, and a hierarchy that is not read-only')


#: Joins a group, and prints what is then left.
JOIN = 'import os, sys; open(sys.argv[1], "w").write(str(os.getpid())); from seedwise import machine; print(machine.{})'


@pytest.mark.parametrize(
    ('controller', 'limits', 'call', 'most'),
    [
        ('cpu', {'cpu.max': '50000 100000', 'cpu.cfs_quota_us': '50000'}, 'cores()', 1),
        ('memory', {'memory.max': '300M', 'memory.limit_in_bytes': '300M'}, 'memory()', 300 * 2**20),
    ],
)
def test_limits_of_a_real_control_group(controller, limits, call, most):
    with group(controller, limits) as processes:
        done = subprocess.run(
            [sys.executable, '-c', JOIN.format(call), str(processes)], cwd=ROOT, capture_output=True, encoding='utf-8'
        )
        assert done.returncode == 0, done.stderr
        assert 0 < int(done.stdout) <= most
