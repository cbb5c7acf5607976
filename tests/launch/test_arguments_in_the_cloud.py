"""Arguments reach the trainer unchanged: what each launcher writes is read here as its engine reads it."""

import ast
import contextlib
import io
import re
import subprocess
from collections.abc import Callable

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from launch.__main__ import main

#: The command prints its arguments, each with a NUL behind it. Ray wants a study with a folder of its own.
COMMAND = ['printf', '%s\\0', 'trainer.compare', '--workdir=/runs']
WORDS = st.lists(
    st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']) | st.sampled_from('$()\'"\\ \n'))
)


def printed(*argv: str) -> str:
    """Returns what `python -m launch` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(list(argv)) == 0
    return out.getvalue()


def shell(*argv: str, **options) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, check=True, timeout=20, **options).stdout.decode()


def expand(text: str) -> str:
    """Replaces $(NAME) as Kubernetes does in a container's command: $$ is $; an unknown name stays as it is."""
    return re.sub(r'\$(\$|\(JOB_COMPLETION_INDEX\))', lambda match: '$' if match[1] == '$' else '7', text)


def kubernetes(command: list[str]) -> list[str]:
    manifest = yaml.safe_load(printed('kubernetes', '--image=i', '--', *command))
    return [expand(word) for word in manifest['spec']['template']['spec']['containers'][0]['command']][2:]


def ray(command: list[str]) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(printed('ray', '--', *command))) if isinstance(node, ast.Call)]
    entrypoint = next(
        ast.literal_eval(word.value) for call in calls for word in call.keywords if word.arg == 'entrypoint'
    )
    *words, engine = shell('sh', '-c', entrypoint).removesuffix('\0').split('\0')
    assert engine == '--engine=ray'
    return words


def vertex(command: list[str]) -> list[str]:
    script = printed('vertex', '--bucket=bucket', '--', *command)
    spec = yaml.safe_load(script.partition("<<'END'\n")[2].removesuffix('END\n'))
    container = spec['workerPoolSpecs'][0]['containerSpec']
    (text,) = container['args']
    assert expand(text) == text  # whether Vertex AI replaces as Kubernetes does, or not at all
    return shell(*container['command'], f'pip() {{ :; }}; cd() {{ :; }}; {text}').removesuffix('\0').split('\0')


def tpu(command: list[str]) -> list[str]:
    script = printed('tpu', '--zone=us-west4-a', '--', *command)
    # The last of gcloud's own arguments in the last call is the command for the shell of the VM.
    stubs = 'python() { :; }; gcloud() { last="${@: -1}"; }; trap \'printf %s "$last"\' EXIT\n'
    remote = shell('bash', '-c', stubs + script).removeprefix('--command=')
    start, log = re.fullmatch(r'(.*) >> (\S+\.log) 2>&1 < /dev/null & echo \$! > \S+', remote, re.DOTALL).groups()
    return shell('sh', '-c', start).removesuffix('\0').split('\0')


@pytest.mark.parametrize('received', [kubernetes, ray, vertex, tpu])
@settings(max_examples=40, deadline=None)
@given(words=WORDS)
@example(words=['a b', '$HOME `id` $(id) $$ $((1))', 'two\nlines\r\n', '\'"\\', '', '1e3', '0o17', 'no', '~', '*', 'é'])
@example(words=['$(JOB_COMPLETION_INDEX)', 'END', '&', '-- --help'])
def test_arguments_reach_the_trainer_unchanged(received: Callable[[list[str]], list[str]], words):
    assert received([*COMMAND, *words]) == [*COMMAND[2:], *words]
