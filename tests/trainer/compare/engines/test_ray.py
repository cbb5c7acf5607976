"""The Ray engine on a real cluster of two nodes on this machine: it does what the local engine does, and outlives a node."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from configs import default
from data_pipeline import sources
from seedwise.errors import UserError
from tests.helpers import ROOT, study_text
from trainer.compare.engines import ray as ray_engine

ray = pytest.importorskip('ray', reason="Ray is not installed: pip install -e '.[ray]'")

#: Three runs, each long enough for its node to be lost under it.
STUDY = study_text(
    'config.base.model.hidden = (32,)',
    'config.base.epochs = 100',
    'config.base.checkpoint.every_seconds = 0',
    'config.base.checkpoint.every_steps = 50',
    "config.axes = {'optimizer': {'Adam': {'optimizer': {'name': 'Adam'}}}}",
    'config.seeds = 3',
)


@pytest.fixture(scope='module')
def cluster():
    """Two nodes of one CPU each and, as Ray is told, one GPU."""
    from ray.cluster_utils import Cluster

    node = {'num_cpus': 1, 'num_gpus': 1, 'object_store_memory': 100 * 2**20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('RAY_worker_niceness', '0')  # on a machine that is shared, its workers would be the last to run
        try:
            cluster = Cluster(initialize_head=True, head_node_args={**node, 'include_dashboard': False})
            cluster.add_node(**node)
        except Exception as error:  # Ray's own kind
            if 'timed out during startup' not in str(error):
                raise
            pytest.skip('this machine is too busy: a node of Ray did not start within the 30 s that Ray gives it')
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope='module')
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('study') / 'small.py'
    path.write_text(STUDY)
    return path


def compare(engine: str, file: Path, workdir: Path, environ: dict[str, str] | None = None) -> subprocess.Popen:
    words = ['-m', 'trainer.compare', f'--engine={engine}', f'--study={file}', f'--workdir={workdir}', '--noreport']
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=os.environ | (environ or {}), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen, code: int = 0) -> str:
    out, err = process.communicate(timeout=400)
    assert process.returncode == code, f'exit code {process.returncode}\n{out}\n{err}'
    return out + err


def hashes(workdir: Path) -> dict[str, str]:
    return {
        str(path.parent.relative_to(workdir)): json.loads(path.read_text())['weights_sha256']
        for path in workdir.glob('*/*/result.json')
    }


def under_way(workdir: Path) -> list[Path]:
    """Returns the folders of runs that have saved and are not finished."""
    saved = {path.parent.parent for path in workdir.glob('*/*/checkpoints/*.index')}
    return [folder for folder in saved if not (folder / 'result.json').exists()]


def wait_for(condition, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'it did not happen in time'
        time.sleep(0.02)


@pytest.mark.slow
def test_a_study_outlives_the_loss_of_a_node_and_ends_as_it_would_have(cluster, file, tmp_path):
    process = compare('ray', file, tmp_path / 'ray', {'RAY_ADDRESS': cluster.address})
    wait_for(lambda: len(under_way(tmp_path / 'ray')) == 2 or process.poll() is not None)
    workers = [
        one
        for one in psutil.process_iter(['cmdline'])
        if 'trainer.compare.engines.worker' in (one.info['cmdline'] or ())
    ]
    ours = [one for one in workers if str(tmp_path) in ' '.join(file.path for file in one.open_files())]
    assert [one.environ().get('CUDA_VISIBLE_DEVICES') for one in ours] == ['0', '0']  # each the only one of its node
    cluster.remove_node(list(cluster.worker_nodes)[0], allow_graceful=False)
    said = finish(process)
    assert 'its node was lost, will be tried again' in said
    finish(compare('local', file, tmp_path / 'local'))
    assert len(hashes(tmp_path / 'ray')) == 3
    assert hashes(tmp_path / 'ray') == hashes(tmp_path / 'local')


@pytest.mark.slow
def test_a_signal_saves_and_the_same_command_continues(cluster, file, tmp_path):
    """Slow: minutes of Ray starting actors, on a cluster that the test above has left with one node."""
    environ = {'RAY_ADDRESS': cluster.address}
    process = compare('ray', file, tmp_path / 'ray', environ)
    wait_for(lambda: under_way(tmp_path / 'ray') or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    assert 'the same command continues' in finish(process, code=75)
    assert len(hashes(tmp_path / 'ray')) < 3
    finish(compare('ray', file, tmp_path / 'ray', environ))
    finish(compare('local', file, tmp_path / 'local'))
    assert hashes(tmp_path / 'ray') == hashes(tmp_path / 'local')


def test_a_node_without_the_folder_says_so(tmp_path):
    assert 'must be the same one on all nodes' in ray_engine.Holder(None).run(None, tmp_path / 'none', True)[1]


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(UserError, match='pip install'):
        ray_engine.RayEngine(0, None)


@pytest.mark.slow
def test_a_worker_process_is_replaced_before_it_holds_too_many_programs(monkeypatch, tmp_path):
    """Slow: it starts TensorFlow three times."""
    monkeypatch.setattr(ray_engine.local, 'MOST_PROGRAMS', 1)
    holder = ray_engine.Holder(sources.locate('digits'))
    processes = []
    for number, hidden in enumerate([(), (), (8,), (16,)]):
        config = default.get_config()
        config.data.name, config.model.hidden, config.epochs, config.threads = 'digits', hidden, 1, 1
        config.seed = number
        (folder := tmp_path / str(number)).mkdir()
        assert holder.run(config, folder, True) == ('finished', '')
        processes.append(holder._worker)
    holder.stop()
    assert processes[0] is processes[1]
    assert len(set(processes)) == 3
