"""Arguments reach the command unchanged through every launcher, whatever is in them.

A launcher joins with one line in LAUNCHERS: a function that takes a command, lets the launcher write what it would submit,
has that carried out as the engine would, and returns what the command printed.
"""

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from launch import kubernetes, ray, slurm, tpu, vertex
from seedwise.errors import UserError
from tests.launch.conftest import AWKWARD

SHOW = (sys.executable, '-I', '-S', '-c', 'import json, sys; print(json.dumps(sys.argv[1:]))')

#: Of one line in a shell function's body: drops srun's own flags, and runs the command that they are for.
SRUN = '() { while [ "$1" != -- ]; do shift; done; shift; "$@"; }'


def written(main, *arguments: str) -> str:
    """Returns what a launcher prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(list(arguments)) == 0
    return printed.getvalue()


def output(command: list[str], **options) -> str:
    done = subprocess.run(command, capture_output=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def through_slurm(command: list[str]) -> str:
    """The script in bash, with an srun that starts one task here. Through a real one: test_slurm.py."""
    text = written(slurm.main, '--nodes=2', '--', *command)
    return output(['/bin/bash'], input=os.fsencode(text), env=os.environ | {'BASH_FUNC_srun%%': SRUN})


def expanded(word: str) -> str:
    """Replaces $(NAME) as Kubernetes does in a container's command: $$ is $, and an unknown name stays as it is."""
    return re.sub(r'\$(\$|\(HOME\))', lambda match: '$' if match[1] == '$' else os.environ['HOME'], word)


def through_kubernetes(command: list[str]) -> str:
    manifest = yaml.safe_load(written(kubernetes.main, '--image=image', '--', *command))
    (container,) = manifest['spec']['template']['spec']['containers']
    return output([expanded(word) for word in container['command']])


def through_ray(command: list[str]) -> str:
    """The entrypoint of the job in sh, as Ray starts it. It must be a study with a folder."""
    study = [*SHOW, 'trainer.compare', '--workdir=/runs', *command[len(SHOW) :]]
    nodes = ast.walk(ast.parse(written(ray.main, '--', *study)))
    (entrypoint,) = (node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == 'entrypoint')
    _, _, *arguments, engine = json.loads(output(['/bin/sh', '-c', ast.literal_eval(entrypoint)]))
    assert engine == '--engine=ray'
    return json.dumps(arguments)


def through_tpu(command: list[str]) -> str:
    """The script in bash, with a gcloud whose last call's command for the TPU's first VM is then run in sh."""
    text = written(tpu.main, '--zone=us-west4-a', '--', *command)
    stubs = 'python() { :; }; gcloud() { last="${@: -1}"; }; trap \'printf %s "$last"\' EXIT\n'
    start = output(['/bin/bash'], input=os.fsencode(stubs + text)).removeprefix('--command=')
    there, _, _ = start.rpartition(' >> ')  # the file that the output goes to
    return output(['/bin/sh', '-c', there])


def through_vertex(command: list[str]) -> str:
    """The container's command, whether Vertex AI replaces $(NAME) in it or not, with a pip and a folder of its own."""
    text = written(vertex.main, '--bucket=bucket', '--', *command)
    spec = yaml.safe_load(text.partition("<<'END'\n")[2].removesuffix('END\n'))
    container = spec['workerPoolSpecs'][0]['containerSpec']
    (line,) = container['args']
    assert expanded(line) == line
    return output([*container['command'], f'pip() {{ :; }}; cd() {{ :; }}; {line}'])


LAUNCHERS = {
    'local': lambda command: output([sys.executable, '-m', 'launch', 'local', '--', *command]),
    'slurm': through_slurm,
    'kubernetes': through_kubernetes,
    'ray': through_ray,
    'tpu': through_tpu,
    'vertex': through_vertex,
}

#: Those that send a text, which must be Unicode.
TEXTS = ('kubernetes', 'ray', 'tpu', 'vertex')


@pytest.mark.parametrize('launcher', LAUNCHERS)
@given(st.lists(st.text(st.characters(codec='utf-8', exclude_characters='\0')), max_size=8))
@example(list(AWKWARD))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_arguments_reach_the_command_unchanged(launcher, arguments):
    if launcher in TEXTS and '\udcff' in arguments:
        with pytest.raises(UserError, match='not UTF-8'):
            LAUNCHERS[launcher]([*SHOW, *arguments])
        arguments = [argument for argument in arguments if argument != '\udcff']
    assert json.loads(LAUNCHERS[launcher]([*SHOW, *arguments])) == arguments


def test_a_study_is_told_its_shard(monkeypatch):
    text = written(slurm.main, '--array=8', '--', *SHOW, 'a b')
    environ = os.environ | {'BASH_FUNC_srun%%': SRUN, 'SLURM_ARRAY_TASK_ID': '3'}
    assert '#SBATCH --array=0-7\n' in text
    assert json.loads(output(['/bin/bash'], input=text.encode(), env=environ)) == ['a b', '--shard=3/8']
