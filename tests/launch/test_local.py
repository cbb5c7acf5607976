"""`python -m launch local` with real processes: small ones, without TensorFlow."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.helpers import ROOT

PYTHON = (sys.executable, '-c')
INDEX = "import json, os, signal, sys, time; index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
# Notes its process id and waits to be ended.
WAIT = INDEX + "open(f'{sys.argv[1]}/pid{index}', 'w').write(str(os.getpid())); print('ready'); time.sleep(60)"


def start(*arguments: str, program: tuple[str, ...] = ('-m', 'launch')) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *program, 'local', *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The tests may themselves run under nohup.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def launch(*arguments: str, code: str, give: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Runs Python code in the workers; returns exit code, standard output and standard error."""
    process = start(*arguments, '--', *PYTHON, code, *give)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def wait_until_ready(process: subprocess.Popen, workers: int) -> None:
    assert process.stdout is not None
    assert sorted(process.stdout.readline() for _ in range(workers)) == [
        f'[worker {i}] ready\n' for i in range(workers)
    ]


def running(process_id: str | int) -> bool:
    try:
        return psutil.Process(int(process_id)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_worker_knows_all_addresses_and_its_own_index():
    code, out, _ = launch('--workers=3', code='import os; print(os.environ["TF_CONFIG"])')
    found = [json.loads(line.partition('] ')[2]) for line in out.splitlines()]
    assert code == 0
    assert sorted((config['task']['type'], config['task']['index']) for config in found) == [
        ('worker', 0),
        ('worker', 1),
        ('worker', 2),
    ]
    addresses = found[0]['cluster']['worker']
    assert len(set(addresses)) == 3
    assert all(address.startswith('127.0.0.1:') for address in addresses)
    assert all(config['cluster'] == {'worker': addresses} for config in found)


def test_a_lone_worker_has_a_TF_CONFIG_and_prints_as_it_would_without_the_launcher():
    code, out, err = launch(code=INDEX + "print('index', index, end=''); print('oops', file=sys.stderr)")
    assert (code, out, err) == (0, 'index 0', 'oops\n')


def test_every_line_bears_its_workers_name_on_the_stream_it_was_printed_on():
    code, out, err = launch(
        '--workers=2', code=INDEX + "print('one\\n\\ntwo', end=''); print('oops\\r', file=sys.stderr)"
    )
    assert code == 0
    for index in (0, 1):
        lines = [line for line in out.splitlines(keepends=True) if line.startswith(f'[worker {index}]')]
        assert lines == [f'[worker {index}] {text}\n' for text in ('one', '', 'two')]
    assert sorted(err.splitlines()) == ['[worker 0] oops', '[worker 1] oops']


def test_of_a_progress_bar_a_file_gets_the_last_state():
    _, out, _ = launch(
        '--workers=2', code="for i in range(5): print(f'\\rstep {i}', end='', flush=True)\nprint(' done')"
    )
    assert sorted(out.splitlines()) == ['[worker 0] step 4 done', '[worker 1] step 4 done']


def test_on_a_terminal_progress_is_drawn_in_place_and_ctrl_c_reaches_every_worker_once():
    code = INDEX + (
        'signal.signal(signal.SIGINT, lambda *_: (print("caught"), time.sleep(0.3), sys.exit(75)))\n'
        'print("ready")\n'
        'if index == 0: print("\\rstep 1\\rstep 2", end="", flush=True)\n'
        'time.sleep(60)'
    )
    process_id, terminal = pty.fork()
    if process_id == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, '-m', 'launch', 'local', '--workers=2', '--', *PYTHON, code])
    shown = b''
    while shown.count(b'ready') < 2 or b'step 2' not in shown:
        shown += os.read(terminal, 1000)
    assert b'\r\x1b[2K[worker 0] step 2' in shown
    os.write(terminal, b'\x03')
    with contextlib.suppress(OSError):  # how Linux tells the end of a terminal
        while chunk := os.read(terminal, 1000):
            shown += chunk
    assert os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]) == 75
    assert shown.count(b'caught\r\n') == 2


def test_a_failing_worker_ends_the_others_at_once_and_has_the_last_word(tmp_path):
    fail = "if index == 1: print(*range(100, 120), sep='\\n'); sys.exit(7)\n"
    begin = time.monotonic()
    code, _, err = launch('--workers=3', code=WAIT.replace('\n', '\n' + fail, 1), give=(str(tmp_path),))
    assert time.monotonic() - begin < 5
    assert code == 7
    assert err.splitlines() == [
        '[launch] worker 1 failed with exit code 7; its last lines:',
        *(f'[worker 1] {number}' for number in range(105, 120)),
    ]
    # Ended before they could say so, perhaps; running, never.
    assert not any(running(file.read_text()) for file in tmp_path.iterdir() if file.read_text())


@pytest.mark.parametrize('workers', [1, 2])
def test_a_signal_that_kills_a_worker_is_named(workers):
    code, _, err = launch(f'--workers={workers}', code=INDEX + 'index or os.kill(os.getpid(), 9); time.sleep(60)')
    assert code == 128 + 9
    assert err == '[launch] worker 0 was killed by SIGKILL\n'


def test_workers_that_hang_are_killed_in_the_end(tmp_path):
    stubborn = INDEX + (
        'if index == 0: signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], "w"); time.sleep(60)\n'
        'while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n'
        'sys.exit(7)'
    )
    hurry = 'import launch.local as local, sys; local.END_SECONDS = 0.3; sys.exit(local.main(sys.argv[2:]))'
    process = start('--workers=2', '--', *PYTHON, stubborn, str(tmp_path / 'deaf'), program=('-c', hurry))
    _, err = process.communicate(timeout=10)
    assert process.returncode == 7
    assert '[launch] worker 0 did not end in time: killed' in err


@pytest.mark.parametrize(('sent', 'received'), [('SIGINT', 'SIGINT'), ('SIGTERM', 'SIGTERM'), ('SIGHUP', 'SIGTERM')])
def test_a_signal_reaches_every_worker_once_and_each_has_time_to_save(sent, received):
    save = (
        'import signal, sys, time\n'
        'def save(*_): print("saving"); time.sleep(0.3); print("saved"); sys.exit(75)\n'
        f'signal.signal(signal.{received}, save)\n'
        'print("ready"); time.sleep(60)'
    )
    process = start('--workers=2', '--restarts=1', '--', *PYTHON, save)
    wait_until_ready(process, workers=2)
    process.send_signal(getattr(signal, sent))
    out, err = process.communicate(timeout=10)
    assert process.returncode == 75
    assert sorted(out.splitlines()) == [f'[worker {i}] {text}' for i in (0, 1) for text in ('saved', 'saving')]
    assert err == ''


def test_a_launcher_killed_with_9_leaves_no_process_behind(tmp_path):
    # Behind a shell, as the training often is: the worker's own child must go too.
    process = start('--workers=2', '--', 'sh', '-c', '"$@"; echo', 'sh', *PYTHON, WAIT, str(tmp_path))
    wait_until_ready(process, workers=2)
    python = [int(file.read_text()) for file in tmp_path.iterdir()]
    shells = [psutil.Process(number).ppid() for number in python]
    guards = [child.pid for child in psutil.Process(process.pid).children()]
    assert all(running(number) for number in python)
    process.kill()
    process.communicate(timeout=10)
    end = time.monotonic() + 5
    while any(running(number) for number in python + shells + guards) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(running(number) for number in python + shells + guards)


def test_nobody_reading_any_more_ends_the_workers(tmp_path):
    process = start('--workers=2', '--', *PYTHON, 'while True: print("line")')
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=10) == 128 + signal.SIGTERM


# Fails until it has been started `argv[2]` times, in the way of `argv[3]`; notes each start's TF_CONFIG.
FLAKY = INDEX + (
    'if index == 0:\n'
    '    notes = open(sys.argv[1], "a+"); notes.write(os.environ["TF_CONFIG"] + "\\n"); notes.seek(0)\n'
    '    if len(notes.readlines()) < int(sys.argv[2]): exec(sys.argv[3])\n'
    '    sys.exit(0)\n'
)


def test_after_a_crash_all_are_started_again_on_new_ports(tmp_path):
    notes = tmp_path / 'notes'
    code, _, err = launch(
        '--workers=2', '--restarts=3', code=FLAKY, give=(str(notes), '3', 'notes.close(); os.kill(os.getpid(), 11)')
    )
    assert code == 0
    assert len({tuple(json.loads(line)['cluster']['worker']) for line in notes.read_text().splitlines()}) == 3
    assert '[launch] starting all workers again (2 of 3)' in err


@pytest.mark.parametrize(('exit_code', 'starts'), [(1, 3), (2, 1), (3, 1), (75, 1)])
def test_only_what_may_go_better_is_tried_again(tmp_path, exit_code, starts):
    notes = tmp_path / 'notes'
    code, _, _ = launch(
        '--workers=2', '--restarts=2', code=FLAKY, give=(str(notes), '9', f'notes.close(); os._exit({exit_code})')
    )
    assert code == exit_code
    assert len(notes.read_text().splitlines()) == starts


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        ([], 'accepted are '),
        (['locla', '--', 'true'], "Did you mean 'local'?"),
        (['local'], 'no -- before the command'),
        (['local', '--workers=2', 'true'], 'no -- before the command'),
        (['local', '--'], 'no command after --'),
        (['local', '--workers=0', '--', 'true'], 'from 1 to 64'),
        (['local', '--workers=-1', '--', 'true'], 'from 1 to 64'),
        (['local', '--workers=1e9', '--', 'true'], 'from 1 to 64'),
        (['local', '--workers=' + '9' * 5000, '--', 'true'], 'from 1 to 64'),
        (['local', '--workers', '--', 'true'], '--workers: expected one argument'),
        (['local', '--restarts=many', '--', 'true'], "'many' is not a whole number from 0"),
        (['local', '--wrokers=2', '--', 'true'], "Did you mean '--workers'?"),
        (['local', 'true', '--', 'true'], "unknown flag 'true'"),
        (['local', '--', 'no-such-command'], "command not found: 'no-such-command'"),
        (['local', '--', 'configs'], "command not found: 'configs'"),
        (['local', '--', ''], "command not found: ''"),
        (['slurm', '--nodes=0', '--', 'true'], 'from 1 to 10000'),
        (['slurm', '--nodes=2', '--array=2', '--', 'true'], '--nodes must be 1'),
        (['slurm', '--array=2', '--', 'true', '--shard=0/2'], 'leave --shard out'),
        (['slurm', '--partiton=gpu', '--', 'true'], "Did you mean '--partition'?"),
        (['slurm', '--account=a b', '--', 'true'], 'cannot stand in a #SBATCH line'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, told):
    done = subprocess.run([sys.executable, '-m', 'launch', *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.startswith('error: ')
    assert told in done.stderr
    assert done.stderr.count('\n') == 1


def test_a_file_that_is_no_program_is_told_in_one_line(tmp_path):
    file = tmp_path / 'program'
    file.write_bytes(b'\x7fELF nothing of the kind')
    file.chmod(0o755)
    process = start('--workers=2', '--', str(file))
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert err == f"error: cannot start '{file}': Exec format error\n"


def test_the_launcher_does_without_tensorflow():
    code = "import launch.__main__, launch.local, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([*PYTHON, code], cwd=ROOT, env={**os.environ, 'PYTHONPATH': ''}).returncode == 0
