"""A finished run's model in the formats of other runtimes, with what comes before and after it inside.

An exported model takes inputs as they are stored (pixels from 0 to 255 as uint8, or numbers as float32), scales and
normalises them as in training, and returns probabilities. Each is read back and compared with the run's own model.
"""

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from seedwise import tensorflow_import
from seedwise.errors import UserError, writing
from seedwise.storage import files, paths
from trainer.trained.finished import Finished
from trainer.trained.model import Trained

#: Names of the input and the output of every exported model.
INPUT, OUTPUT = 'inputs', 'probabilities'

#: Inputs that an exported model is compared with the run's on.
_CHECKED = 16

#: A probability that differs by more is of another model, in the precision of the run's.
_TOLERANCE = {'float32': 1e-4, 'float64': 1e-4, 'mixed_float16': 0.05, 'mixed_bfloat16': 0.2}


class Exported(NamedTuple):
    """What was written.

    Attributes:
      path: of the model.
      classes: of the file with the names of its classes.
      difference: the largest between its probabilities and the run's; None: it was not checked.
    """

    path: Path
    classes: Path
    difference: float | None


def export(run: Finished, model: Trained, name: str, path: Path) -> Exported:
    """Writes a model with the names of its classes, all of it or nothing.

    Args:
      run: the run, of which `model` is the model.
      model: what is exported.
      name: of the format, one of `trainer.export.FORMATS`.
      path: a file; of `saved_model` a folder.

    Raises:
      UserError: the model cannot be converted, or what was converted computes something else.
      CannotWrite: there is no space for it.
    """
    precision = str(run.config['precision'])
    with contextlib.ExitStack() as stack:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            made = stack.enter_context(paths.scratch(path)) / path.name
        difference = _quietly(name, path, lambda: _write_and_compare(run, model, name, made))
        if difference is not None and not difference <= _TOLERANCE.get(precision, 1e-4):
            raise UserError(
                f"the exported model's probabilities differ by up to {difference:.2g} from the run's: nothing was written"
            )
        classes = path / 'classes.json' if name == 'saved_model' else path.with_name(f'{path.name}.json')
        with writing(path):
            if name == 'saved_model' and path.is_dir():
                shutil.rmtree(path)
            made.replace(path)
        files.write_json(classes, _facts(run, model, name))
    return Exported(path, classes, difference)


def _quietly(name: str, path: Path, convert: Callable[[], float | None]) -> float | None:
    """Returns what `convert` does; what converters print and raise, which may be anything, becomes one line."""
    failed = None
    with writing(path), tensorflow_import.stderr_held_back():
        try:
            return convert()
        except (OSError, UserError):
            raise
        except Exception as error:
            failed = error
    first = (str(failed).strip().splitlines() or [''])[0][:200]
    raise UserError(f'the model cannot be exported as {name}: {type(failed).__name__}: {first}') from failed


def _write_and_compare(run: Finished, model: Trained, name: str, path: Path) -> float | None:
    """Returns by how much probabilities differ at most from the run's on random inputs; None: no runtime is installed."""
    write, read = _FORMATS[name]
    # Other runtimes have few operations in other precisions.
    computes = model if name == 'saved_model' or model.precision == 'float32' else model.in_float32()
    write(computes, _endpoint(run, computes), path)
    inputs = _random_inputs(run)
    found = read(path, inputs)
    return None if found is None else float(np.abs(found - model.probabilities(inputs)).max())


def _endpoint(run: Finished, model: Trained) -> Any:
    """Returns the function that is exported, inputs as they are stored -> {'probabilities': ...}."""
    signature = [tf.TensorSpec([None, *run.shape], run.dtype, name=INPUT)]

    def compute(inputs):
        return {OUTPUT: model.compute(inputs)}

    return tf.function(compute, input_signature=signature, autograph=False)


def _facts(run: Finished, model: Trained, name: str) -> dict[str, Any]:
    """What a program needs to know to use an exported model."""
    if run.unscaled or not run.images:
        what = 'numbers as they are'
    else:
        what = 'pixels from 0 to 255' if run.dtype == 'uint8' else 'pixels in [0, 1]'
    return {
        'format': name,
        'class_names': list(model.class_names),
        'input': {'name': INPUT, 'shape': ['n', *run.shape], 'dtype': run.dtype, 'holds': what},
        'output': {'name': OUTPUT, 'shape': ['n', len(model.class_names)], 'dtype': 'float32'},
        **({'columns': list(run.columns)} if run.columns else {}),
        'dataset': run.dataset,
    }


def _random_inputs(run: Finished) -> np.ndarray:
    random = np.random.default_rng(0)
    shape = (_CHECKED, *run.shape)
    if run.dtype == 'uint8':
        return random.integers(0, 256, shape, np.uint8)
    if not (run.unscaled and run.moments):
        return random.random(shape, np.float32)
    mean, deviation = (np.asarray(x) for x in run.moments)
    return (mean + deviation * random.standard_normal(shape)).astype(np.float32)


def _write_saved_model(model: Trained, endpoint: Any, path: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model.model)
    archive.add_endpoint('serve', endpoint)
    archive.write_out(str(path), verbose=False)


def _read_saved_model(path: Path, inputs: np.ndarray) -> np.ndarray:
    loaded = tf.saved_model.load(str(path))  # holds the variables
    return loaded.serve(inputs)[OUTPUT].numpy()


def _write_litert(model: Trained, endpoint: Any, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _write_saved_model(model, endpoint, Path(folder, 'model'))
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(Path(folder, 'model'))).convert())


def _read_litert(path: Path, inputs: np.ndarray) -> np.ndarray:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # TensorFlow's own, which is deprecated
        Interpreter = tf.lite.Interpreter
    return Interpreter(model_path=str(path)).get_signature_runner()(**{INPUT: inputs})[OUTPUT]


def _write_onnx(model: Trained, endpoint: Any, path: Path) -> None:
    import tf2onnx

    tf2onnx.convert.from_function(endpoint, input_signature=endpoint.input_signature, output_path=str(path))


def _read_onnx(path: Path, inputs: np.ndarray) -> np.ndarray | None:
    if not importlib.util.find_spec('onnxruntime'):
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return session.run([OUTPUT], {INPUT: inputs})[0]


_FORMATS: dict[str, tuple[Callable, Callable]] = {
    'saved_model': (_write_saved_model, _read_saved_model),
    'litert': (_write_litert, _read_litert),
    'onnx': (_write_onnx, _read_onnx),
}
