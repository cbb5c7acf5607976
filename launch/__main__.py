"""Starts a command on a cluster: `python -m launch LAUNCHER [FLAG...] -- COMMAND ARG...`

LAUNCHER is one of
    local         worker processes on this machine
    slurm         a Slurm batch script
    kubernetes    a Kubernetes manifest: a JobSet of workers, or an Indexed Job of a study's shards
    ray           a job of a Ray cluster
    tpu           gcloud commands for a Cloud TPU
    vertex        a Vertex AI custom job

`python -m launch LAUNCHER --help` tells the flags of each.
"""

import importlib
import sys

from seedwise.errors import UserError, unknown

# Name -> module, loaded when asked for, with `main(argv) -> exit code`.
LAUNCHERS = {
    'local': 'launch.local',
    'slurm': 'launch.slurm',
    'kubernetes': 'launch.kubernetes',
    'ray': 'launch.ray',
    'tpu': 'launch.tpu',
    'vertex': 'launch.vertex',
}


def main(argv: list[str]) -> int:
    """Hands over to the launcher named by the first argument; returns its exit code."""
    try:
        if not argv:
            raise UserError(f'no launcher given: accepted are {", ".join(LAUNCHERS)}')
        if argv[0] in ('-h', '--help'):
            print(__doc__.strip())
            return 0
        if argv[0] not in LAUNCHERS:
            raise unknown('launcher', argv[0], LAUNCHERS)
        return importlib.import_module(LAUNCHERS[argv[0]]).main(argv[1:])
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
