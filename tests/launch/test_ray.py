"""`python -m launch ray`: what it prints, and a job submitted to a real cluster."""

import json
import subprocess
import sys
import time

import portpicker
import pytest

from launch.ray import main
from seedwise.errors import UserError
from tests.helpers import ROOT, study_text

STUDY = ('--', 'python', '-m', 'trainer.compare', '--study=configs/studies/tuned_optimizers.py')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--', 'python', '-m', 'trainer.main', '--workdir=/runs'), 'is for studies'),
        (STUDY, 'add --workdir=/'),
        ((*STUDY, '--workdir=runs'), 'add --workdir=/'),
        (('--address=head', *STUDY), 'http://127.0.0.1:8265'),
        (('--folder=/nowhere', *STUDY, '--workdir=/runs'), 'is not a folder'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        main(list(arguments))
    assert '\n' not in str(error.value)


def test_what_is_printed_is_python(capsys):
    assert main(['--address=http://head:8265', *STUDY, '--workdir=/runs']) == 0
    compile(printed := capsys.readouterr().out, 'script', 'exec')
    assert "JobSubmissionClient('http://head:8265')" in printed
    assert '--engine=ray' in printed


STUDY_FILE = study_text(
    'config.base.model.hidden, config.base.epochs = (), 1',
    "config.axes = {'optimizer': {\"it's $HOME\": {'optimizer': {'name': 'SGD'}}}}",
    'config.seeds = 2',
)


@pytest.mark.slow
def test_a_study_submitted_as_a_job(tmp_path, monkeypatch):
    """Slow: it starts a Ray cluster with its dashboard."""
    pytest.importorskip('ray.job_submission', reason="Ray is not installed: pip install -e '.[ray]'")
    from ray.cluster_utils import Cluster
    from ray.job_submission import JobSubmissionClient

    monkeypatch.setenv('RAY_worker_niceness', '0')  # on a machine that is shared, its workers would be the last to run
    (tmp_path / 'my study.py').write_text(STUDY_FILE)
    node = {'num_cpus': 1, 'object_store_memory': 100 * 2**20, 'dashboard_port': portpicker.pick_unused_port()}
    cluster = Cluster(initialize_head=True, head_node_args={**node, 'include_dashboard': True})
    try:
        address = f'http://{cluster.head_node.webui_url}'
        workdir = tmp_path / 'a b'
        command = [sys.executable, '-m', 'trainer.compare', f'--study={tmp_path}/my study.py', f'--workdir={workdir}']
        words = ['-m', 'launch', 'ray', f'--address={address}', '--folder=', '--submit', '--', *command]
        deadline = time.monotonic() + 400
        while True:
            done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
            if done.returncode == 0:
                break
            assert 'No available agent' in done.stderr, done.stderr  # it comes some time after the dashboard
            assert time.monotonic() < deadline, done.stderr
        job, client = done.stdout.split()[3], JobSubmissionClient(address)
        while not client.get_job_status(job).is_terminal():
            assert time.monotonic() < deadline, client.get_job_logs(job)
            time.sleep(1)
        assert client.get_job_status(job) == 'SUCCEEDED', client.get_job_logs(job)
        results = [json.loads(path.read_text()) for path in workdir.glob('*/*/result.json')]
        assert [result['status'] for result in results] == ['completed'] * 2
        assert (workdir / 'report' / 'index.html').exists()
    finally:
        cluster.shutdown()
