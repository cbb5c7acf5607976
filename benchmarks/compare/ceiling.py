"""The most that this machine computes and copies: a large matrix product in float32 and bfloat16, and a copy of memory."""

import concurrent.futures
import importlib.util
import time
from collections.abc import Callable

#: Libraries that multiply matrices; the fastest of those that are installed is the ceiling.
LIBRARIES = ('tensorflow', 'torch', 'numpy')

#: Side of the square matrices: 4096 takes about a second at 140 GFLOP/s.
SIZE = 4096

#: Bytes that each thread copies, far more than caches hold.
COPIED = 256 * 2**20


def measure(ceiling: str, library: str, threads: int, size: int = SIZE, seconds: float = 3.0) -> dict:
    """Returns {'value', 'unit'} of 'float32', 'bfloat16' (GFLOP/s) or 'copy' (GB/s): the best try.

    A copy of n bytes reads n and writes n, and counts as 2 n, as in McCalpin's STREAM.
    """
    if ceiling == 'copy':
        return {'value': 2 * COPIED * threads / 1e9 / _best(_copy(threads), seconds), 'unit': 'GB/s'}
    product = {'tensorflow': _tensorflow, 'torch': _torch, 'numpy': _numpy}[library](ceiling, threads, size)
    return {'value': 2 * size**3 / 1e9 / _best(product, seconds), 'unit': 'GFLOP/s'}


def parts(bfloat16: bool) -> list[tuple[str, str]]:
    """Returns (what, library) of all that is measured here; `bfloat16`: whether the processor computes it."""
    libraries = [library for library in LIBRARIES if importlib.util.find_spec(library)]
    found = [('float32', library) for library in libraries]
    found += [('bfloat16', library) for library in libraries if bfloat16 and library != 'numpy']
    return [*found, ('copy', 'numpy')]


def _best(once: Callable[[], object], seconds: float) -> float:
    once()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        once()
        times.append(time.perf_counter() - started)
    return min(times)


def _copy(threads: int) -> Callable:
    import numpy as np

    pairs = [(np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)) for _ in range(threads)]
    pool = concurrent.futures.ThreadPoolExecutor(threads)  # NumPy copies outside of Python's lock
    return lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))


def _tensorflow(dtype: str, threads: int, size: int) -> Callable:
    from seedwise import tensorflow_import

    tf = tensorflow_import.import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    left, right = (tf.cast(tf.random.stateless_normal((size, size), (0, seed)), dtype) for seed in (1, 2))
    return lambda: tf.matmul(left, right).numpy()


def _torch(dtype: str, threads: int, size: int) -> Callable:
    import torch

    torch.set_num_threads(threads)
    left, right = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(left)
    return lambda: torch.matmul(left, right, out=out)


def _numpy(dtype: str, threads: int, size: int) -> Callable:
    import numpy as np
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads)
    left, right = (np.random.default_rng(seed).normal(size=(size, size)).astype(dtype) for seed in (1, 2))
    out = np.empty_like(left)
    return lambda: np.matmul(left, right, out=out)
