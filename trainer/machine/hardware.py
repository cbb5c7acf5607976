"""What this machine's processor and graphics cards can do; needs no TensorFlow."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Flags of /proc/cpuinfo of processors that compute in bfloat16.
BFLOAT16_FLAGS = frozenset({'avx512_bf16', 'amx_bf16', 'avx_ne_convert', 'bf16'})

#: Device files of NVIDIA's, AMD's and Windows' (WSL) drivers.
_GPU_FILES = ('nvidia[0-9]*', 'kfd', 'dxg')


def has_gpu(devices: Path = Path('/dev')) -> bool:
    """Returns whether the driver of a graphics card is there."""
    return any(next(devices.glob(pattern), None) for pattern in _GPU_FILES)


@dataclass(frozen=True)
class Gpus:
    """GPUs that this process may use. `names`: as `variable` takes them, by which a process is given some of them."""

    names: tuple[str, ...] = ()
    variable: str = 'CUDA_VISIBLE_DEVICES'


def visible_gpus(environ: Mapping[str, str] = os.environ, root: Path = Path('/')) -> Gpus:
    """Returns the GPUs of the machine, or those of them that the environment names, if it names any.

    NVIDIA's library counts them where nvidia-ml-py is installed (the extra `gpu`), or else the driver's files do. AMD's are
    counted by the kernel's files; not run: no GPU was at hand.

    Sources: the CUDA C++ Programming Guide, CUDA_VISIBLE_DEVICES; ROCm's documentation, GPU isolation techniques.

    Args:
      environ: environment variables.
      root: of the file system.
    """
    if nvidia := _nvidia_gpus(root):
        return Gpus(_named(environ.get('CUDA_VISIBLE_DEVICES'), nvidia))
    nodes = root.glob('sys/class/kfd/kfd/topology/nodes/*/gpu_id')
    amd = _indices(sum(_text(node) not in ('', '0') for node in nodes))  # a processor is a node too, of GPU 0
    if not amd:
        return Gpus()
    visible = _indices(len(_named(environ.get('ROCR_VISIBLE_DEVICES'), amd)))  # HIP counts what is left from 0
    named = environ.get('HIP_VISIBLE_DEVICES', environ.get('CUDA_VISIBLE_DEVICES'))
    return Gpus(_named(named, visible), 'HIP_VISIBLE_DEVICES')


def _named(value: str | None, there: Sequence[str]) -> tuple[str, ...]:
    """Returns the GPUs that a list such as '0,2' or 'GPU-8932f937,MIG-...' makes visible; None: all that are there.

    As CUDA does, it ends at the first that is not one: '', '-1' and 'NoDevFiles' name none.
    """
    if value is None:
        return tuple(there)
    names: list[str] = []
    for name in map(str.strip, value.split(',')):
        known = name.isdecimal() and int(name) < len(there)
        if not known and not name.startswith(('GPU-', 'MIG-')):
            break
        if name not in names:
            names.append(name)
    return tuple(names)


def _nvidia_gpus(root: Path) -> tuple[str, ...]:
    """Returns the UUIDs of NVIDIA's GPUs; their numbers, if its library cannot be asked."""
    with nvidia_library() as nvml:
        if nvml:
            handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
            return tuple(nvml.nvmlDeviceGetUUID(handle) for handle in handles)
    files = [*root.glob('dev/nvidia[0-9]*')] or [*root.glob('proc/driver/nvidia/gpus/*')]
    return _indices(len(files))


@contextlib.contextmanager
def nvidia_library() -> Iterator[Any]:
    """Yields the module of nvidia-ml-py, its library started; None: it is not installed, or there is no driver.

    An error of the library ends the block silently: what it was to find out is then not known.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # NVMLError; or what a package of another maker under the same name raises
        yield None
        return
    try:
        with contextlib.suppress(pynvml.NVMLError):
            yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def handles_of(nvml: Any, names: tuple[str, ...], order: str | None = None) -> list[Any]:
    """Returns the library's handles of GPUs; [] where it is not known which they are.

    Args:
      nvml: the module of nvidia-ml-py, started.
      names: of GPUs, as in CUDA_VISIBLE_DEVICES.
      order: in place of CUDA_DEVICE_ORDER: CUDA numbers GPUs by their speed unless it is PCI_BUS_ID, and the library always
        does by their bus.
    """
    order = os.environ.get('CUDA_DEVICE_ORDER', '') if order is None else order
    every = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    same_order = order == 'PCI_BUS_ID' or len({nvml.nvmlDeviceGetName(one) for one in every}) == 1
    found = []
    for name in names:
        if name.isdecimal():
            found += every[int(name) : int(name) + 1] if same_order else []
        else:
            found += [one for one in every if nvml.nvmlDeviceGetUUID(one).startswith(name)]
    return found if len(found) == len(names) else []


def _indices(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding='utf-8').strip()
    except OSError:
        return ''


def computes_bfloat16(cpuinfo: str) -> bool:
    """Returns whether a processor computes in bfloat16, from the text of /proc/cpuinfo; if it holds no flags, True."""
    lines = [line for line in cpuinfo.splitlines() if line.lower().startswith(('flags', 'features'))]
    flags = [line.partition(':')[2].split() for line in lines]
    return not flags or bool(BFLOAT16_FLAGS & set(flags[0]))


def slow_precision(precision: str) -> str:
    """Returns the warning for a precision that this machine computes slowly, or ''."""
    if precision != 'mixed_bfloat16' or has_gpu():
        return ''
    try:
        cpuinfo = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
    if computes_bfloat16(cpuinfo):
        return ''
    return (
        'precision is mixed_bfloat16, which this processor does not compute (no avx512_bf16, no amx_bf16): a CNN took '
        '8 times as long as with float32 on such a processor; use --config.precision=float32'
    )
