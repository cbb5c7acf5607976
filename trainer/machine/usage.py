"""What a run takes of its machine: memory, processors and GPUs."""

import contextlib
import resource
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from seedwise import machine
from trainer.machine import hardware

if TYPE_CHECKING:
    from trainer.loop.collectives import Collectives

#: Between looks at how busy the GPUs are, in seconds. NVIDIA's library averages over its last 1/6 to 1 second.
LOOK_SECONDS = 1.0

#: What is added up over the parts of a run and its workers, and what is the largest of them.
ADDED = ('cpu_seconds', 'core_seconds', 'gpu_looks', 'gpu_busy_looks')
LARGEST = ('peak_memory_bytes', 'gpu_peak_memory_bytes')


class Usage:
    """What this process has taken since this was made, and what earlier parts of the same run took."""

    def __init__(self) -> None:
        self._started, self._cpu = time.perf_counter(), time.process_time()
        self._cores, self._gpus = machine.cores(), _gpus_in_use()
        self._earlier: Mapping[str, float] = {}
        self._last: Mapping[str, float] = {}
        self._watch: _Watch | None = None

    def continue_from(self, earlier: Mapping[str, float]) -> None:
        """Takes over the `parts` of the process that trained the run before it was resumed."""
        self._earlier = self._last = earlier

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Looks at the GPUs meanwhile, if there are any. Not run on a GPU: none was at hand."""
        watch = self._watch = _Watch() if self._gpus else None
        if watch:
            watch.start()
        try:
            yield
        finally:
            if watch:
                watch.ended.set()

    def parts(self) -> dict[str, float]:
        """Returns what has been taken so far, as it is added up: `ADDED` and `LARGEST`."""
        now = {
            'cpu_seconds': time.process_time() - self._cpu,
            'core_seconds': (time.perf_counter() - self._started) * self._cores,
            'peak_memory_bytes': peak_memory(),
            'gpu_looks': self._watch.looks if self._watch else 0,
            'gpu_busy_looks': self._watch.busy if self._watch else 0,
            'gpu_peak_memory_bytes': max(map(_gpu_peak, self._gpus), default=0),
        }
        return _together([now, self._earlier])

    def scalars(self) -> dict[str, float | None]:
        """Returns what TensorBoard shows: peaks so far, and shares since the last call."""
        parts, last = self.parts(), self._last
        self._last = parts
        since = parts | {name: parts[name] - last.get(name, 0) for name in ADDED}
        named = {name: value for name, value in _in_words(since).items() if name != 'cpu_seconds'}
        return {f'resources/{name}': value for name, value in named.items()}

    def of_run(self, collectives: 'Collectives') -> dict[str, Any]:
        """Returns `resources` of a result, for all workers of the run together; each of them must call this."""
        names = (*ADDED, *LARGEST)
        parts = self.parts()
        every = collectives.of_all_workers(np.array([[parts[name] for name in names]], np.float64))
        return _in_words(
            _together([dict(zip(names, one, strict=True)) for one in every.reshape(-1, len(names)).tolist()])
        )


def _together(parts: list[Mapping[str, float]]) -> dict[str, float]:
    """Returns the parts of several processes as those of one."""
    return {name: sum(one.get(name, 0) for one in parts) for name in ADDED} | {
        name: max(one.get(name, 0) for one in parts) for name in LARGEST
    }


def _in_words(parts: Mapping[str, float]) -> dict[str, Any]:
    """Returns memory in bytes, processor seconds, and the shares of cores and GPUs in use, from 0 to 1."""
    found: dict[str, Any] = {
        'peak_memory_bytes': int(parts['peak_memory_bytes']),
        'cpu_seconds': round(parts['cpu_seconds'], 3),
        'cpu_utilization': round(parts['cpu_seconds'] / max(parts['core_seconds'], 1e-9), 4),
    }
    if parts['gpu_peak_memory_bytes']:
        found['gpu_peak_memory_bytes'] = int(parts['gpu_peak_memory_bytes'])
    if parts['gpu_looks']:
        found['gpu_utilization'] = round(parts['gpu_busy_looks'] / parts['gpu_looks'], 4)
    return found


def peak_memory(status: Path = Path('/proc/self/status')) -> int:
    """Returns the most memory that this process had resident, in bytes, since it began or since `forget_peak`."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = status.read_text(encoding='utf-8').split()
        return int(words[words.index('VmHWM:') + 1]) * 1024  # proc(5)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024  # getrusage(2): in kilobytes on Linux, in bytes on macOS


def forget_peak() -> None:
    """Starts the peaks of memory again from what is in use, where the system can do that."""
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5', encoding='utf-8')  # proc(5)
    for name in _gpus_in_use():
        with contextlib.suppress(ValueError, tf.errors.OpError):
            tf.config.experimental.reset_memory_stats(name)


def _gpu_peak(name: str) -> int:
    """Returns the most memory that TensorFlow took on a GPU, in bytes; 0: its allocator does not count."""
    with contextlib.suppress(ValueError, tf.errors.OpError):
        return tf.config.experimental.get_memory_info(name)['peak']
    return 0


def _gpus_in_use() -> list[str]:
    return [f'GPU:{i}' for i in range(len(tf.config.list_logical_devices('GPU')))]


class _Watch(threading.Thread):
    """Counts looks at this process's GPUs, and at how many of them they were busy: with this process or with another."""

    def __init__(self) -> None:
        super().__init__(name='gpus', daemon=True)
        self.ended = threading.Event()
        self.looks, self.busy = 0, 0.0

    def run(self) -> None:
        with hardware.nvidia_library() as nvml:
            handles = hardware.handles_of(nvml, hardware.visible_gpus().names) if nvml else []
            while handles and not self.ended.wait(LOOK_SECONDS):
                rates = [nvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles]
                self.busy += sum(rates) / 100 / len(rates)
                self.looks += 1
