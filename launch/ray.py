"""Runs a study on a Ray cluster: `python -m launch ray [FLAG...] -- python -m trainer.compare ARG...`

    --address=URL      of the cluster's dashboard (default $RAY_ADDRESS, else http://127.0.0.1:8265)
    --folder=FOLDER    what the job is started in, sent to all nodes (default '.': the checkout; .gitignore is heeded).
                       '' sends nothing, for nodes that have the package installed
    --submit           submits the job; without it, the Python script that would do so is printed

The study's --workdir must be a folder that all nodes share, given from the root. --engine=ray is added to the command.
"""

import os
import re
import shlex
from collections.abc import Sequence

from launch import script
from seedwise.errors import UserError

EXAMPLE = 'python -m launch ray -- python -m trainer.compare --study=STUDY --workdir=/shared/folder'

SCRIPT = """\
# Submits a study to a Ray cluster, and prints the job's number: python FILE
# (Not with `ray job submit`, which in older versions of Ray loses quotes on the way.)
from ray.job_submission import JobSubmissionClient

client = JobSubmissionClient({address!r})
job = client.submit_job(
    entrypoint={entrypoint!r},
    runtime_env={runtime_env!r},
)
print(job)
"""


def main(argv: list[str]) -> int:
    """Prints the script or submits the job; returns the exit code."""
    parser = script.Parser(__doc__, EXAMPLE)
    parser.add_argument('--address', type=script.matching('https?://.+', 'http://127.0.0.1:8265'))
    parser.add_argument('--folder', default='.')
    parser.add_argument('--submit', action='store_true')
    options, command = parser.parse(argv)
    entrypoint = entrypoint_of(command)
    if options.folder and not os.path.isdir(options.folder):
        raise UserError(f'--folder={options.folder} is not a folder')
    runtime_env = {'working_dir': options.folder} if options.folder else {}
    if not options.submit:
        print(SCRIPT.format(address=options.address, entrypoint=entrypoint, runtime_env=runtime_env), end='')
        return 0
    job = _submit(options.address, entrypoint, runtime_env)
    place = f' --address={options.address}' if options.address else ''
    print(
        f'submitted: Ray job {job}\n'
        f'follow:    ray job logs --follow{place} {job}\n'
        f'stop:      ray job stop{place} {job}\n'
        'continue:  the same command again: finished runs are found in the study\'s folder'
    )  # fmt: skip
    return 0


def entrypoint_of(command: Sequence[str]) -> str:
    """Returns the job's command as /bin/sh will read it.

    Raises:
      UserError: it is not a study, or its folder is not one that all nodes can share.
    """
    if 'trainer.compare' not in command:
        raise UserError(
            'launch ray is for studies, -- python -m trainer.compare ...: one run takes slurm or kubernetes'
        )
    workdirs = [word.partition('=')[2] for word in command if re.match('--?workdir=', word)]
    if not workdirs or not os.path.isabs(workdirs[-1]):
        raise UserError('add --workdir=/...: a folder that all nodes of the Ray cluster share, given from the root')
    script.check_unicode(command, 'a Ray job')
    words = list(command)
    if not any(re.match('--?engine=', word) for word in command):
        words.append('--engine=ray')
    return shlex.join(words)


def _submit(address: str | None, entrypoint: str, runtime_env: dict) -> str:
    """Returns the job's number."""
    try:
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise UserError("--submit needs Ray: pip install 'ray[default]'; without --submit it is not needed") from error
    try:
        return JobSubmissionClient(address).submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f'Ray did not take the job: {str(error).strip().splitlines()[0]}') from error
