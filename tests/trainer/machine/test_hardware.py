"""What is known of a machine's processor and GPUs before TensorFlow is imported."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from trainer.machine import hardware
from trainer.machine.hardware import Gpus

#: Files of a machine, environment -> its GPUs.
MACHINES = {
    'none': ((), {}, Gpus()),
    'none, whatever is named': ((), {'CUDA_VISIBLE_DEVICES': '0,1'}, Gpus()),
    'NVIDIA': (('dev/nvidia0', 'dev/nvidia1', 'dev/nvidiactl'), {}, Gpus(('0', '1'))),
    'NVIDIA, without device files': (('proc/driver/nvidia/gpus/0000:01:00.0',), {}, Gpus(('0',))),
    'a part of them': (('dev/nvidia0', 'dev/nvidia1'), {'CUDA_VISIBLE_DEVICES': '1'}, Gpus(('1',))),
    'in another order': (('dev/nvidia0', 'dev/nvidia1'), {'CUDA_VISIBLE_DEVICES': '1, 0'}, Gpus(('1', '0'))),
    'the same twice': (('dev/nvidia0', 'dev/nvidia1'), {'CUDA_VISIBLE_DEVICES': '1,1'}, Gpus(('1',))),
    'by UUID': (('dev/nvidia0',), {'CUDA_VISIBLE_DEVICES': 'GPU-8932f937,MIG-1'}, Gpus(('GPU-8932f937', 'MIG-1'))),
    'switched off': (('dev/nvidia0',), {'CUDA_VISIBLE_DEVICES': ''}, Gpus()),
    'switched off by -1': (('dev/nvidia0',), {'CUDA_VISIBLE_DEVICES': '-1'}, Gpus()),
    'switched off by Slurm': (('dev/nvidia0',), {'CUDA_VISIBLE_DEVICES': 'NoDevFiles'}, Gpus()),
    'up to the first that is none': (('dev/nvidia0', 'dev/nvidia1'), {'CUDA_VISIBLE_DEVICES': '1,7,0'}, Gpus(('1',))),
    'AMD': (('kfd 0', 'kfd 51', 'kfd 52'), {}, Gpus(('0', '1'), 'HIP_VISIBLE_DEVICES')),
    'AMD, a part': (('kfd 51', 'kfd 52'), {'HIP_VISIBLE_DEVICES': '1'}, Gpus(('1',), 'HIP_VISIBLE_DEVICES')),
    'AMD, counted from 0': (('kfd 51', 'kfd 52'), {'ROCR_VISIBLE_DEVICES': '1'}, Gpus(('0',), 'HIP_VISIBLE_DEVICES')),
    'AMD, switched off': (('kfd 51',), {'ROCR_VISIBLE_DEVICES': ''}, Gpus((), 'HIP_VISIBLE_DEVICES')),
}


@pytest.mark.parametrize('case', MACHINES)
def test_gpus_are_those_that_may_be_used(tmp_path, monkeypatch, case):
    files, environ, found = MACHINES[case]
    monkeypatch.setitem(sys.modules, 'pynvml', None)
    for number, file in enumerate(files):
        amd, _, gpu = file.partition('kfd ')
        path = tmp_path / (amd or f'sys/class/kfd/kfd/topology/nodes/{number}/gpu_id')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{gpu}\n')
    assert hardware.visible_gpus(environ, tmp_path) == found


#: A library of two GPUs in the place of NVIDIA's driver, which nvidia-ml-py calls: of the two, one is busy.
DRIVER = """
#include <stdio.h>
static char devices[2];
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = devices + index; return index > 1 ? 2 : 0; }
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length)
{ return snprintf(uuid, length, "GPU-%c", 'a' + (int)((char *)device - devices)) < 0; }
int nvmlDeviceGetName(void *device, char *name, unsigned length) { return snprintf(name, length, "Tesla T4") < 0; }
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates)
{ rates[0] = (char *)device == devices ? 80 : 0; rates[1] = 0; return 0; }
"""


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
    """Returns a function that runs code with that library and returns what it prints."""
    pytest.importorskip('pynvml', reason='nvidia-ml-py is not installed')
    compiler = shutil.which('cc') or shutil.which('gcc')
    if not compiler:
        pytest.skip('there is no C compiler')
    folder = tmp_path_factory.mktemp('driver')
    (folder / 'driver.c').write_text(DRIVER)
    library = folder / 'libnvidia-ml.so.1'
    subprocess.run([compiler, '-shared', '-fPIC', '-o', library, folder / 'driver.c'], check=True)

    def run(code: str, **environ: str) -> str:
        done = subprocess.run(
            [sys.executable, '-c', code], cwd=ROOT, env=os.environ | {'LD_LIBRARY_PATH': str(folder)} | environ,
            capture_output=True, encoding='utf-8',
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.mark.parametrize(('environ', 'found'), [({}, "('GPU-a', 'GPU-b')"), ({'CUDA_VISIBLE_DEVICES': '1'}, "('1',)")])
def test_gpus_are_counted_by_the_drivers_library(driver, environ, found):
    assert driver('from trainer.machine.hardware import visible_gpus; print(visible_gpus().names)', **environ) == found


#: Names of GPUs -> how busy they are; none: it is not known which these are.
BUSY = {"('0', '1')": '[80, 0]', "('GPU-b',)": '[0]', "('GPU-',)": '[]', "('MIG-1',)": '[]', "('0', '7')": '[]'}


@pytest.mark.parametrize(('names', 'busy'), BUSY.items())
def test_how_busy_gpus_are(driver, names, busy):
    code = f"""
from trainer.machine.hardware import handles_of, nvidia_library
with nvidia_library() as nvml:
    print([nvml.nvmlDeviceGetUtilizationRates(one).gpu for one in handles_of(nvml, {names})])
"""
    assert driver(code) == busy


@pytest.mark.parametrize(
    ('cpuinfo', 'computes'),
    [
        ('processor\t: 0\nflags\t\t: fpu avx2 fma\n', False),
        ('processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 fma\n', True),
        ('flags\t\t: amx_bf16\n', True),
        ('Features\t: fp asimd bf16\n', True),
        ('Features\t: fp asimd\n', False),
        ('', True),
    ],
)
def test_bfloat16_by_the_flags_of_the_processor(cpuinfo, computes):
    assert hardware.computes_bfloat16(cpuinfo) == computes


def test_a_gpu_is_seen_by_its_driver(tmp_path):
    assert not hardware.has_gpu(tmp_path)
    (tmp_path / 'nvidia0').touch()
    assert hardware.has_gpu(tmp_path)


@pytest.mark.parametrize('computes', [True, False])
def test_slow_bfloat16_is_reported_before_it_starts(monkeypatch, computes):
    monkeypatch.setattr(hardware, 'computes_bfloat16', lambda text: computes)
    monkeypatch.setattr(hardware, 'has_gpu', lambda: False)
    assert ('use --config.precision=float32' in hardware.slow_precision('mixed_bfloat16')) == (not computes)
    assert hardware.slow_precision('float32') == ''
