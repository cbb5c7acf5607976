"""What a run took of its machine: added up over its parts and workers, and the process's own peaks."""

import numpy as np
import pytest

from trainer.machine import usage


class Two:
    """The collectives of two workers, of which the other took this."""

    other = {
        'cpu_seconds': 2.0,
        'core_seconds': 10.0,
        'gpu_looks': 4,
        'gpu_busy_looks': 3.0,
        'peak_memory_bytes': 2**50,
    }

    def of_all_workers(self, local: np.ndarray) -> np.ndarray:
        every = [self.other.get(name, 0) for name in (*usage.ADDED, *usage.LARGEST)]
        return np.concatenate([local, [every]], 1)


def test_workers_and_parts_are_added_up(monkeypatch):
    used = usage.Usage()
    monkeypatch.setattr(usage.time, 'perf_counter', lambda: used._started + 5.0)
    monkeypatch.setattr(usage.time, 'process_time', lambda: used._cpu + 3.0)
    used._cores = 2
    assert used.scalars()['resources/cpu_utilization'] == 0.3
    used.continue_from({'cpu_seconds': 1.0, 'core_seconds': 10.0, 'peak_memory_bytes': 2**49})
    assert used.parts()['peak_memory_bytes'] == 2**49
    assert used.scalars() == {'resources/peak_memory_bytes': 2**49, 'resources/cpu_utilization': 0.3}
    assert used.of_run(Two()) == {
        'peak_memory_bytes': 2**50,
        'cpu_seconds': 6.0,
        'cpu_utilization': 0.2,  # 1 + 3 of the parts and 2 of the other, in 10 + 2 x 5 and 10 core seconds
        'gpu_utilization': 0.75,
    }


def test_peaks_are_of_this_process_and_can_be_forgotten():
    before = usage.peak_memory()
    assert 2**20 < before < 2**40
    np.ones(2**27, np.uint8).sum()
    peak = usage.peak_memory()
    assert peak > 2**27
    usage.forget_peak()
    if usage.peak_memory() == peak:
        pytest.skip('this system does not let a process forget its peak')
    assert usage.peak_memory() < peak


def test_without_proc_the_peak_is_that_of_getrusage(tmp_path):
    assert usage.peak_memory(tmp_path / 'status') == pytest.approx(usage.peak_memory(), rel=0.5)
