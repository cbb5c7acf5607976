"""What this machine's processor and graphics cards can do; needs no TensorFlow."""

from pathlib import Path

#: Flags of /proc/cpuinfo of processors that compute in bfloat16.
BFLOAT16_FLAGS = frozenset({'avx512_bf16', 'amx_bf16', 'avx_ne_convert', 'bf16'})

#: Device files of NVIDIA's, AMD's and Windows' (WSL) drivers.
_GPU_FILES = ('nvidia[0-9]*', 'kfd', 'dxg')


def has_gpu(devices: Path = Path('/dev')) -> bool:
    """Returns whether the driver of a graphics card is there."""
    return any(next(devices.glob(pattern), None) for pattern in _GPU_FILES)


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
