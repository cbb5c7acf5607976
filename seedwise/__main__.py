"""The console command: `seedwise train|predict|export|serve|compare|judge|prepare|launch ARG...`

    seedwise train --config=configs/cnn_nadam.py                              python -m trainer.main
    seedwise predict WORKDIR IMAGE...                                         python -m trainer.predict
    seedwise export WORKDIR --format=onnx                                     python -m trainer.export
    seedwise serve WORKDIR                                                    python -m trainer.serve
    seedwise compare --study=configs/studies/raj_optimizers_losses.py         python -m trainer.compare
    seedwise judge results.csv                                                python -m trainer.judge
    seedwise prepare --dataset=mnist                                          python -m data_pipeline.prepare
    seedwise launch slurm -- COMMAND                                          python -m launch

Each does what the command next to it does, also in a folder that has a `configs/`, `trainer.py` or `launch.py` of its own.
`seedwise COMMAND --help` shows its flags.
"""

import os
import runpy
import sys

from seedwise import signals
from seedwise.errors import unknown

#: Name -> the module that runs as the main one.
COMMANDS = {
    'train': 'trainer.main',
    'predict': 'trainer.predict',
    'export': 'trainer.export',
    'serve': 'trainer.serve',
    'compare': 'trainer.compare',
    'judge': 'trainer.judge',
    'prepare': 'data_pipeline.prepare',
    'launch': 'launch',
}


def main() -> int:
    """Hands over to the command named by the first argument; returns the exit code if there is no such command."""
    signals.starting(True)
    name = sys.argv[1] if len(sys.argv) > 1 else ''
    if name in ('', '-h', '--help', '--helpfull'):
        print((__doc__ or '').strip())
        return 0 if name else 2
    if name not in COMMANDS:
        print(f'error: {unknown("command", name, COMMANDS)}', file=sys.stderr)
        return 2
    # Last, so that a config may import the modules of the user's folder, and none of them takes the place of ours.
    here = os.getcwd()
    sys.path = [*(path for path in sys.path if path not in ('', here)), here]
    del sys.argv[1]
    runpy.run_module(COMMANDS[name], run_name='__main__', alter_sys=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
