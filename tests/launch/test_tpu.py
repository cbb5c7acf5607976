"""`python -m launch tpu`: the script, and the pinned set that it installs."""

import subprocess

import pytest

from launch.tpu import main
from seedwise.errors import UserError
from tests.helpers import ROOT

TRAIN = ('--', 'python', '-m', 'trainer.main', '--config=configs/cnn_nadam.py')


@pytest.mark.parametrize(
    'flags', [(), ('--queued', '--spot', '--project=mine'), ('--runtime=tpu-vm-tf-2.20.0-pod-pjrt',)]
)
def test_the_script_creates_installs_on_all_vms_and_starts_on_the_first(capsys, flags):
    assert main(['--zone=us-west4-a', *flags, *TRAIN]) == 0
    script = capsys.readouterr().out
    stubs = (
        'gcloud() { [[ $3 = queued-resources && $4 = describe ]] && echo ACTIVE || echo "gcloud $*" >&2; }\n'
        'python() { echo "python $*" >&2; }\n'
    )
    done = subprocess.run(['bash', '-c', stubs + script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    create, sdist, copy, install, start = done.stderr.splitlines()
    assert ('queued-resources create' in create) == ('--queued' in flags)
    assert sdist == 'python setup.py --quiet sdist'
    assert 'requirements-tpu.txt' in copy
    assert '--worker=all' in install
    assert '--worker=0' in start
    assert ('TPU_LOAD_LIBRARY=0' in start) == any('-pod' in flag for flag in flags)
    assert all('--zone=us-west4-a' in line for line in (create, copy, install, start))


def test_the_pinned_set_for_tpus_is_the_tested_one_but_for_tensorflow():
    pinned, tpu = (
        {line for line in (ROOT / f'requirements{kind}.txt').read_text().splitlines() if not line.startswith('#')}
        for kind in ('', '-tpu')
    )
    assert sorted(line.partition('==')[0] for line in pinned - tpu) == ['tensorboard', 'tensorflow']
    assert sorted(line.partition('==')[0] for line in tpu - pinned) == ['libtpu', 'tensorboard', 'tensorflow-tpu']


def test_a_zone_is_required():
    with pytest.raises(UserError, match='--zone'):
        main([*TRAIN])
