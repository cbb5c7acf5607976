"""Writes a Slurm batch script: `python -m launch slurm [FLAG...] -- COMMAND ARG...`, or submits it with --submit.

    --nodes=N       one run on N nodes, a worker on each (default 1)
    --array=N       a study in N shards, each a task of a job array: COMMAND is python -m trainer.compare ...
    --restarts=N    times that all workers are started again within a job after one failed (default 3)
    --save=SECONDS  ahead of the time limit at which the run is told to save, to be continued by Slurm (default 120)
    --submit        hand the script to sbatch; without it the script is printed

and these of sbatch, with its meaning: --time, --partition, --account, --qos, --constraint, --gpus-per-node,
--cpus-per-task, --mem, --job-name.

The job runs in the folder and with the environment (PATH, virtual environment, TFDS_DATA_DIR, ...) it is submitted from.
"""

import re
from collections.abc import Sequence

from launch import script
from launch.script import Parser, whole_number
from seedwise.errors import UserError

#: sbatch's own options that are handed on as they are.
HANDED_ON = (
    'job-name', 'time', 'partition', 'account', 'qos', 'constraint', 'gpus-per-node', 'cpus-per-task', 'mem'
)  # fmt: skip


def main(argv: list[str]) -> int:
    """Prints or submits the script for the command after `--`; returns the exit code."""
    parser = Parser(__doc__, 'python -m launch slurm --nodes=2 -- python -m trainer.main --config=...')
    parser.add_argument('--nodes', type=whole_number(1, 10_000), default=1)
    parser.add_argument('--array', type=whole_number(1, 100_000), default=0)
    parser.add_argument('--restarts', type=whole_number(0, 1000), default=3)
    parser.add_argument('--save', type=whole_number(1, 65535), default=120)
    parser.add_argument('--submit', action='store_true')
    for name in HANDED_ON:
        parser.add_argument(f'--{name}', type=_plain)
    options, command = parser.parse(argv)
    if options.array and options.nodes > 1:
        raise UserError('--array is for a study, each of its runs on one node: --nodes must be 1 with it')
    if options.array and any(re.match('--?shard\\b', argument) for argument in command):
        raise UserError('--array gives each of its tasks a --shard of its own: leave --shard out of the command')
    given = {name: getattr(options, name.replace('-', '_')) for name in HANDED_ON}
    text = batch_script(
        command,
        nodes=options.nodes,
        array=options.array,
        restarts=options.restarts,
        save_seconds=options.save,
        sbatch={name: value for name, value in given.items() if value},
    )
    if options.submit:
        print(_submit(text, options.array))
    else:
        print(text, end='')
    return 0


def batch_script(
    command: Sequence[str], *, nodes: int, array: int, restarts: int, save_seconds: int, sbatch: dict[str, str]
) -> str:
    """Returns the script.

    Args:
      command: what to run, on every node.
      nodes: number of nodes.
      array: number of shards of a study, 0 for one run.
      restarts: times that all is started again within the job after a failure.
      save_seconds: from SIGTERM to the job's time limit.
      sbatch: more options of sbatch, name -> value.
    """
    log = 'slurm-%A_%a' if array else 'slurm-%j'
    directives = {
        'job-name': 'seedwise',
        'nodes': str(nodes),
        'ntasks-per-node': '1',
        **({'array': f'0-{array - 1}'} if array else {}),
        **sbatch,
        'output': f'{log}.out',
        'open-mode': 'append',
        'signal': f'TERM@{save_seconds}',
    }
    lines = [f'#SBATCH --{name}={value}' for name, value in directives.items()]
    words = script.join(command) + (f' --shard="$SLURM_ARRAY_TASK_ID/{array}"' if array else '')
    srun = 'srun --wait=120'  # seconds from the end of the first worker to that of the last: none may hang
    if 'cpus-per-task' in sbatch:
        srun += f' --cpus-per-task={sbatch["cpus-per-task"]}'  # since Slurm 22.05 it does not take it from sbatch
    if nodes > 1:
        srun += f' --open-mode=append --output={log}-worker-%t.out'
    about, final, why = ARRAY if array else RUN
    return SCRIPT.format(
        about=about, directives='\n'.join(lines), command=words, srun=srun, restarts=restarts, final=final, why=why
    )


#: For one run: what its script says about itself, which exit codes are the last word, and why.
RUN = (
    """\
# Submit:    sbatch FILE
# Follow:    tail -F slurm-JOB*.out
# Stop:      scancel JOB       (it saves first)
# Continue:  sbatch FILE       (a finished run is reported, not trained again)""",
    '0 | 2 | 3',
    'done, a mistake in the command, or the training diverged: the same again would end the same',
)

#: The same for a study.
ARRAY = (
    """\
# Submit:    sbatch FILE, and once more with --dependency=afterany:JOB
#            The second round trains what the first had to leave: runs that failed, and runs of tuned values, which are
#            known when all shards have ended. Whichever task finds all runs finished writes the report.
# Follow:    tail -F slurm-JOB_*.out
# Stop:      scancel JOB       (the runs under way save first)
# Continue:  the same as to submit""",
    '0 | 1 | 2',
    'done, runs have failed (the second round tries them again), or a mistake in the command',
)

SCRIPT = """\
#!/bin/bash
{about}
{directives}
# After the loss of a node, Slurm starts the job again.
#SBATCH --requeue

unset TF_CONFIG  # each worker finds its own place among the variables of Slurm
command=({command})

for ((restart = 0; restart <= {restarts}; restart++)); do
    ((restart > 0)) && echo "$(date +%FT%T) exit code $code: starting all workers again ($restart of {restarts})" >&2
    {srun} -- "${{command[@]}}"
    code=$?
    case $code in
    {final})  # {why}
        exit $code ;;
    75 | 143)  # saved ahead of the time limit, or asked to before there was anything new to save: Slurm is to continue it
        scontrol requeue "$SLURM_JOB_ID"
        exit $code ;;
    esac
done
exit $code
"""


def _submit(text: str, array: int) -> str:
    """Submits the script and returns what to print about it."""
    jobs = [_sbatch(text)]
    if array:
        jobs.append(_sbatch(text, f'--dependency=afterany:{jobs[0]}'))
    first, ids = jobs[0], ','.join(jobs)
    lines = [
        f'submitted: Slurm job {first}',
        f'follow:    tail -F slurm-{first}*.out    (squeue --jobs={ids} while it waits)',
        f'stop:      scancel {ids}    (it saves first)',
        'continue:  the same command again; ahead of its time limit Slurm continues it by itself',
    ]
    if array:
        lines[0] += f', {array} shards, and job {jobs[1]} for what they have to leave, with the report'
    return '\n'.join(lines)


def _sbatch(text: str, *options: str) -> str:
    """Returns the number of the job that it becomes (with --parsable: number, or number;cluster)."""
    return script.submit(['sbatch', '--parsable', *options], text).split(';')[0].strip()


def _plain(value: str) -> str:
    """A value that stands in a line of the script as it is."""
    if not re.fullmatch(r'[\w.,:+/@=&|*()\[\]-]+', value, re.ASCII):
        raise UserError(
            f'{script.quote(value)} cannot stand in a #SBATCH line: letters, digits and .,:+/@=&|*()[]-_ can'
        )
    return value
