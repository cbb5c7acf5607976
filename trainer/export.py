"""Exports the model of a finished run, with scaling, normalisation and softmax inside, for other runtimes:

python -m trainer.export WORKDIR --format=saved_model|litert|onnx [--output=PATH] [--trust]

Writes a TensorFlow SavedModel, a LiteRT file (.tflite) or an ONNX file, and next to it the names of the classes as JSON.
The file is read back by its own runtime, and compared with the run's model. Exit codes: 0 done, 2 the command or the run
is wrong, or the model cannot be exported.
"""

import importlib.util
import sys
from pathlib import Path

from absl import flags

from seedwise import commands, tensorflow_import
from seedwise.errors import UserError, unknown
from seedwise.storage import paths
from trainer.trained import finished

#: Format -> what its default path is called, in the run's folder.
FORMATS = {'saved_model': 'saved_model', 'litert': 'model.tflite', 'onnx': 'model.onnx'}

_FORMAT = flags.DEFINE_string('format', '', f'{", ".join(FORMATS)}.')
_OUTPUT = flags.DEFINE_string(
    'output', '', "File, or for saved_model a folder, to write. '': export/ in the run's folder."
)
_TRUST = flags.DEFINE_bool('trust', False, "Run a user's own code in the run's folder, if the model needs it.")

#: Packages that a format needs and that are not installed with the rest.
_NEEDS = {'onnx': ('tf2onnx', 'onnx')}


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    arguments = commands.parse_flags(argv, __doc__, positional=True)
    if len(arguments) != 1:
        raise UserError('one folder of a run is required: python -m trainer.export WORKDIR --format=saved_model')
    name = _FORMAT.value
    if not name:
        raise UserError(f'--format is required: one of {", ".join(FORMATS)}')
    if name not in FORMATS:
        raise unknown('--format', name, FORMATS)
    run = finished.find(arguments[0])
    path = _path(run.workdir, name)
    lacking = [package for package in _NEEDS.get(name, ()) if not importlib.util.find_spec(package)]
    if lacking:
        install = "pip install 'seedwise[export]', or pip install -e '.[export]' in a checkout"
        raise UserError(f'{name} needs {" and ".join(lacking)}: {install}')
    tensorflow_import.import_tensorflow()
    from trainer.trained.formats import export
    from trainer.trained.model import Trained

    done = export(run, Trained(run, trust=_TRUST.value), name, path)
    print(f'model    {done.path}')
    print(f'classes  {done.classes}')
    checked = f"differs by at most {done.difference:.1e} from the run's in a probability, on random inputs"
    print(f'checked  {checked if done.difference is not None else "no: its runtime is not installed"}')
    return 0


def _path(workdir: Path, name: str) -> Path:
    output = _OUTPUT.value or str(workdir / 'export' / FORMATS[name])
    if name != 'saved_model':
        return paths.file(output, '--output') if _OUTPUT.value else Path(output)
    path = paths.folder(output, '--output')
    if path.is_dir() and any(path.iterdir()) and not (path / 'saved_model.pb').exists():
        raise UserError(f'--output {path} holds something else than a SavedModel: choose another folder')
    return path


if __name__ == '__main__':
    sys.exit(commands.run(main, 'interrupted; nothing was written'))
