"""Starts a command on a cluster: `python -m launch LAUNCHER [FLAG...] -- COMMAND ARG...`

`python -m launch LAUNCHER --help` lists the flags of each.
"""

import importlib
import sys

from seedwise import signals, streams
from seedwise.errors import UserError, unknown

#: Name -> (module with `main(argv) -> exit code`, loaded when asked for; what it starts).
LAUNCHERS = {
    'local': ('launch.local', 'worker processes on this machine'),
    'slurm': ('launch.slurm', 'a Slurm batch script'),
    'ray': ('launch.ray', 'a job of a Ray cluster'),
    'kubernetes': ('launch.kubernetes', "a JobSet of workers, or an Indexed Job of a study's shards (experimental)"),
    'tpu': ('launch.tpu', 'gcloud commands for a Cloud TPU (experimental)'),
    'vertex': ('launch.vertex', 'a Vertex AI custom job (experimental)'),
}


def usage() -> str:
    """Returns the help. Experimental launchers follow their documentation, and were not run on the real thing."""
    listed = '\n'.join(f'    {name:<13} {what}' for name, (_, what) in LAUNCHERS.items())
    head, _, rest = (__doc__ or '').strip().partition('\n\n')
    return f'{head}\n\nLAUNCHER is one of\n{listed}\n\n{rest}'


def main(argv: list[str]) -> int:
    """Hands over to the launcher named by the first argument; returns its exit code."""
    signals.started()
    try:
        if not argv:
            raise UserError(f'no launcher given: accepted are {", ".join(LAUNCHERS)}')
        if argv[0] in ('-h', '--help'):
            print(usage())
            return 0
        if argv[0] not in LAUNCHERS:
            raise unknown('launcher', argv[0], LAUNCHERS)
        return importlib.import_module(LAUNCHERS[argv[0]][0]).main(argv[1:])
    except UserError as error:
        print(streams.error_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
