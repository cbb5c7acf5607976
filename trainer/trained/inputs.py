"""Images, arrays and tables that a user names, brought to a run's input as in training. Needs no TensorFlow."""

import dataclasses
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from data_pipeline import checks
from data_pipeline.own import arrays, image_files, names, table
from seedwise import machine
from seedwise.errors import UserError
from seedwise.storage import paths
from trainer.trained.finished import Finished

#: Files of several inputs.
ARRAYS = ('.npy', '.npz', '.csv')

#: What may be named, for errors.
ACCEPTED = f'an image ({", ".join(image_files.SUFFIXES)}), a folder of images, .npy, .npz or .csv'

#: An image whose outermost pixels have a median above this has a bright background (`data_pipeline/from_tfds/known.py`).
BRIGHT = 127


@dataclasses.dataclass
class Inputs:
    """Inputs of a run, which are read when they are needed.

    Attributes:
      names: what each is called.
      notes: what was done to them, a line each.
      bright: how many images that were read have a bright background.
    """

    names: list[str]
    notes: list[str]
    bright: int = 0
    _parts: list[tuple[int, Callable[[int, int], np.ndarray]]] = dataclasses.field(default_factory=list)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yields all inputs in their order, at most `size` at a time: uint8 or float32, [n, *shape].

        Raises:
          UserError: one cannot be read; it is named.
        """
        for count, read in self._parts:
            for first in range(0, count, size):
                yield read(first, min(first + size, count))


def gather(arguments: Sequence[str], run: Finished, *, invert: bool = False) -> Inputs:
    """Returns the inputs that a user names, all checked as far as that is possible without reading them whole.

    Args:
      arguments: files and folders.
      run: whose input they are brought to.
      invert: whether bright and dark are exchanged.

    Raises:
      UserError: one does not exist, cannot be read, or is not an input of this run; it is named.
    """
    _check_invert(run, invert)
    found = Inputs([], [])
    images: list[Path] = []
    for argument in arguments:
        path = paths.local(argument, 'input')
        kind = path.suffix.lower()
        if path.is_dir():
            inside = [file for file in names.files(path) if file.suffix.lower() in image_files.SUFFIXES]
            if not inside:
                raise UserError(f'{argument} has no image: accepted are {", ".join(image_files.SUFFIXES)}')
            images += inside
        elif not path.exists():
            raise paths.missing(
                argument, path, 'input', lambda path: path.suffix.lower() in (*image_files.SUFFIXES, *ARRAYS)
            )
        elif kind in ARRAYS:
            _add_images(found, images, run, invert)
            images = []
            array = _table(path, run) if kind == '.csv' else _array(path, run)
            _add_array(found, path, array, run, invert)
        else:
            images.append(path)
    _add_images(found, images, run, invert)
    return found


def of_array(array: np.ndarray, run: Finished, *, invert: bool = False) -> Inputs:
    """Returns an array as inputs, as `gather` does one in a file; they are called by their numbers. Raises `UserError`."""
    _check_invert(run, invert)
    found = Inputs([], [])
    _add_array(found, 'the array', array, run, invert)
    found.names = [*map(str, range(len(found.names)))]
    return found


def image(file: Path | BinaryIO, run: Finished, *, invert: bool = False) -> np.ndarray:
    """Returns an image as the run takes it, uint8 [height, width, channels]; raises one of `image_files.BROKEN`."""
    height, width, channels = run.shape
    pixels = image_files.pixels(file, (height, width), channels)
    return 255 - pixels if invert else pixels


def check_images(run: Finished, what: str, instead: str = 'give a .npy file') -> None:
    """Raises `UserError` if the run does not take images in files.

    Args:
      run: the run.
      what: is an image.
      instead: what the user can do.
    """
    if run.unscaled or not run.images or run.shape[2] not in (1, 3):
        raise UserError(f'{what} is an image, and the run in {run.workdir} takes {_takes(run)}: {instead}')


def changes(headers: Sequence[image_files.Header], run: Finished) -> dict[str, int]:
    """Returns what is done to images to bring them to the run's input, in words, and to how many."""
    height, width, channels = run.shape
    kinds = {
        f'resized to {height}x{width} (bilinear, without regard to proportions)': lambda h: h.size != (height, width),
        'turned as the EXIF orientation says': lambda h: h.turned,
        'made grey': lambda h: channels == 1 and not h.grey,
        'made colour, of grey': lambda h: channels == 3 and h.grey,
        'read as 8 bits, of more': lambda h: h.deep,
        'laid on black where transparent': lambda h: h.transparent,
    }
    counts = {what: sum(map(test, headers)) for what, test in kinds.items()}
    return {what: count for what, count in counts.items() if count}


def is_bright(images: np.ndarray) -> np.ndarray:
    """Returns which images, uint8 [n, height, width, channels], have a bright background: bool [n]."""
    edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    return np.median(np.concatenate([edge.reshape(len(images), -1) for edge in edges], 1), axis=1) > BRIGHT


def _check_invert(run: Finished, invert: bool) -> None:
    if invert and (run.unscaled or not run.images):
        raise UserError(f'--invert is for images: the run in {run.workdir} takes {_takes(run)}')


def _takes(run: Finished) -> str:
    what = f'images of {run.form}' if run.images else f'rows of {run.form}'
    return f'{what}, of numbers as they are (not in [0, 1])' if run.unscaled and run.images else what


def _add_images(found: Inputs, files: list[Path], run: Finished, invert: bool) -> None:
    if not files:
        return
    check_images(run, str(files[0]))
    with ThreadPoolExecutor(machine.cores()) as pool:
        headers = [*pool.map(image_files.header, files)]
    read = [header for header in headers if not isinstance(header, str)]
    for file, header in zip(files, headers, strict=True):
        if isinstance(header, str):
            known = file.suffix.lower() in image_files.SUFFIXES
            raise _unreadable(file, header if known else f'{header}; an input is {ACCEPTED}')
    changed = '; '.join(f'{count:,} {what}' for what, count in changes(read, run).items())
    if changed:
        found.notes.append(f'{len(files):,} image{"s" * (len(files) > 1)}: {changed}')

    def one(file: Path) -> np.ndarray:
        try:
            return image(file, run, invert=invert)
        except image_files.BROKEN as error:
            raise _unreadable(file, image_files.why(error)) from error

    def batch(first: int, last: int) -> np.ndarray:
        with ThreadPoolExecutor(machine.cores()) as pool:
            pixels = np.stack([*pool.map(one, files[first:last])])
        found.bright += int(is_bright(pixels).sum())
        return pixels

    found.names += map(str, files)
    found._parts.append((len(files), batch))


def _unreadable(file: Path, why: str) -> UserError:
    return UserError(f'{file} cannot be read: {why}')


def _add_array(found: Inputs, path: Path | str, array: np.ndarray, run: Finished, invert: bool) -> None:
    shapes = [run.shape, *([run.shape[:2]] if run.images and run.shape[2] == 1 else [])]
    if array.shape in shapes:
        array = array[np.newaxis]
    if array.shape[1:] not in shapes or not len(array):
        raise UserError(
            f'{path} has the shape {array.shape}: it must be {["n", *run.shape]}'.replace("'", '')
            + f', since the run in {run.workdir} takes {_takes(run)}'
        )
    if array.dtype.kind not in 'buif':
        raise UserError(f'{path} is of type {array.dtype}: it must hold numbers')

    def batch(first: int, last: int) -> np.ndarray:
        some = _handed_on(path, np.asarray(array[first:last]).reshape(last - first, *run.shape), first, run)
        if some.dtype == np.uint8:
            some = 255 - some if invert else some
            found.bright += int(is_bright(some).sum())
            return some
        return 1 - some if invert else some

    found.names += [f'{path}[{i}]' for i in range(len(array))]
    found._parts.append((len(array), batch))


def _handed_on(path: Path | str, some: np.ndarray, first: int, run: Finished) -> np.ndarray:
    """Returns numbers as training hands them on: uint8 or float32."""
    checks.check_finite(str(path), some, first)
    if run.unscaled or not run.images:
        return np.ascontiguousarray(some, np.float32)
    if some.dtype.kind in 'iu' and some.dtype not in (np.uint8, np.uint16):
        if some.min() < 0 or some.max() > 255:
            raise UserError(f'{path} has numbers from {some.min()} to {some.max()}: pixels must be from 0 to 255')
        some = some.astype(np.uint8)
    some = checks.handed_on(some)
    if some.dtype == np.float32 and not (some.min() >= 0 and some.max() <= 1):
        raise UserError(
            f'{path} has numbers from {some.min():g} to {some.max():g}: the run in {run.workdir} was trained on numbers in '
            '[0, 1], or on whole numbers from 0 to 255'
        )
    return some


def _array(path: Path, run: Finished) -> np.ndarray:
    try:
        if path.suffix.lower() == '.npy':
            return np.load(path, mmap_mode='r', allow_pickle=False)
        with np.load(path, allow_pickle=False) as stored:
            return stored[_name_of_inputs(path, stored.files)]
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        pickled = 'allow_pickle' in str(error) or 'Python objects' in str(error)
        what = 'it holds Python objects: store numbers' if pickled else image_files.why(error)
        raise UserError(f'{path} cannot be read: {what}') from error


def _name_of_inputs(path: Path, stored: Sequence[str]) -> str:
    """Returns which array of an .npz file holds the inputs: the only one, or else one called as those of data are."""
    if len(stored) == 1:
        return stored[0]
    known = [*(x for x, _ in arrays.SINGLE), *(x.format('test') for x, _ in arrays.PAIRS)]
    for name in known:
        if name in stored:
            return name
    raise UserError(
        f'{path} has the arrays {", ".join(sorted(stored)) or "none"}: it must have one, or one of {", ".join(known)}'
    )


def _table(path: Path, run: Finished) -> np.ndarray:
    """Returns the rows of a table as inputs; columns of the label and of sample weights are left out."""
    width = int(np.prod(run.shape))
    named = bool(run.columns) or _has_names(path)
    rows = table.frame(path, named)
    if not len(rows):
        raise UserError(f'{path} has no rows')
    options: dict[str, Any] = dict(run.config['data'].get('options', {}))
    columns = [str(column) for column in rows.columns]
    label, weight = options.get('label', ''), options.get('weight', '')
    places = [place for place in (label, weight) if isinstance(place, int)]
    if named and run.columns:
        rows.columns = columns
        lacking = [name for name in run.columns if name not in columns]
        labels = [label] if label else [name for name in columns if name.strip().lower() in table.LABELS]
        if isinstance(weight, int):
            weight = columns[weight] if -len(columns) <= weight < len(columns) else ''
        others = [name for name in columns if name not in (*run.columns, *labels, weight)]
        if lacking or others:
            what = [f'lacks {", ".join(lacking[:3])}{", ..." * (len(lacking) > 3)}'] if lacking else []
            what += [f'has {", ".join(others[:3])}{", ..." * (len(others) > 3)} too'] if others else []
            raise UserError(
                f'{path} {" and ".join(what)}: the run in {run.workdir} was trained on the {width:,} columns '
                f'{", ".join(run.columns[:4])}{", ..." * (width > 4)}'
            )
        rows = rows[list(run.columns)]
    elif places and len(columns) == width + len(places):
        rows = rows.drop(columns=rows.columns[places])
    elif len(columns) != width:
        raise UserError(f'{path} has {len(columns):,} columns: the run in {run.workdir} takes {width:,}, {_takes(run)}')
    table.check_cells(path, rows, named)
    numbers = rows.to_numpy(np.float32)
    if run.images and run.dtype == 'uint8':
        if not (numbers.min() >= 0 and numbers.max() <= 255 and (numbers == np.round(numbers)).all()):
            raise UserError(f'{path} has numbers that are not pixels: they must be whole numbers from 0 to 255')
        numbers = numbers.astype(np.uint8)
    return numbers.reshape(len(numbers), *run.shape)


def _has_names(path: Path) -> bool:
    """Returns whether the first line of a table holds something else than numbers."""
    try:
        first = path.read_text(encoding='utf-8-sig').partition('\n')[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f'{path} cannot be read: {image_files.why(error)}') from error
    separator = max(',;\t', key=first.count)
    try:
        [float(cell) for cell in first.split(separator)]
    except ValueError:
        return True
    return False
