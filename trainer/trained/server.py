"""A page on which a user draws or drops an image and sees what the model makes of it, and the same for programs.

    GET  /            the page; it loads page.js, page.css and model.json from here, and nothing from elsewhere
    GET  /model.json  what the model takes and what its classes are
    POST /predict     an image, as the body or as a form's file -> {"classes": [{"name": ..., "probability": ...}, ...]}

Werkzeug serves it, as it serves TensorBoard.
"""

import base64
import io
import ipaddress
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from data_pipeline.own import image_files
from seedwise.errors import UserError
from trainer.trained import answers, inputs
from trainer.trained.finished import Finished

#: Largest image that is taken, in bytes of its file and in pixels.
MOST_BYTES, MOST_PIXELS = 10 * 2**20, 40_000_000

#: Largest side of grey images that can be drawn, in pixels.
MOST_DRAWN = 64

#: A class other than the first that has this probability is named as one that the model was unsure of.
UNSURE = 0.1

#: Data sets whose digits were scaled to 20x20 pixels and centred by their mass (LeCun, Cortes & Burges, "The MNIST database
#: of handwritten digits"). Drawings are brought to the same form.
CENTRED = ('mnist',)

#: Width of a stroke as a part of the image's width. Digits are of 8x8 pixels, where a stroke takes one or two.
PEN, PENS = 0.07, {'digits': 0.17}

#: File of the page -> its type.
_FILES = {
    'page.html': 'text/html; charset=utf-8',
    'page.js': 'text/javascript; charset=utf-8',
    'page.css': 'text/css; charset=utf-8',
}

_HEADERS = {
    'Content-Security-Policy': (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
}

#: Seconds that a client may take to send the next part of a request.
_PATIENCE = 30

#: Hosts by which a server on this machine alone is addressed. Another name that leads here is a page of somebody else's
#: that wants to use it (DNS rebinding).
_HERE = re.compile(r'(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?', re.IGNORECASE)


class Site:
    """The page and the predictions, a WSGI application that several threads may call once it is `ready`."""

    def __init__(self, run: Finished, *, here: bool = True):
        """`here`: whether the server is addressed from this machine alone.

        Raises:
          UserError: the run does not take images.
        """
        inputs.check_images(run, 'what a page sends', 'use python -m trainer.predict')
        self._run, self._here = run, here
        self._lock = threading.Lock()
        folder = resources.files('trainer.trained') / 'page'
        self._files = {name: (folder / name).read_bytes() for name in _FILES}

    def ready(self, predict: Callable[[np.ndarray], np.ndarray], class_names: Sequence[str]) -> None:
        """Sets what predicts: inputs [n, ...] -> probabilities [n, classes]. One thread at a time calls it."""
        self._predict, self._class_names = predict, class_names

    def __call__(self, environ: dict[str, Any], start: Callable) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._answer(request)
        except HTTPException as error:
            response = _json({'error': error.description or error.name}, error.code or 500)
        response.headers.extend(_HEADERS)
        return response(environ, start)

    def _answer(self, request: Request) -> Response:
        if self._here and not _HERE.fullmatch(request.headers.get('Host', '')):
            raise BadRequest('this server answers to localhost, 127.0.0.1 and [::1]')
        name = request.path.removeprefix('/') or 'page.html'
        method = 'POST' if name == 'predict' else 'GET'
        if name not in (*_FILES, 'model.json', 'predict'):
            raise NotFound('there is no such page: see / and POST /predict')
        if request.method not in (method, *(['HEAD'] if method == 'GET' else [])):
            raise MethodNotAllowed([method], f'{request.path} takes {method}')
        if name == 'predict':
            return _json(self._predictions(request))
        if name == 'model.json':
            return _json(self._facts())
        return Response(self._files[name], content_type=_FILES[name])

    def _facts(self) -> dict[str, Any]:
        height, width, channels = self._run.shape
        return {
            'dataset': self._run.dataset,
            'model': self._run.config['model']['name'],
            'height': height,
            'width': width,
            'class_names': self._class_names,
            'draw': channels == 1 and max(height, width) <= MOST_DRAWN,
            'centred': self._run.dataset in CENTRED,
            'pen': PENS.get(self._run.dataset, PEN),
            'most_bytes': MOST_BYTES,
        }

    def _predictions(self, request: Request) -> dict[str, Any]:
        content = _image_of(request)
        with self._lock:  # one image in memory, and one call of the model, at a time
            header = image_files.header(io.BytesIO(content))
            if isinstance(header, str):
                raise BadRequest(f'the image cannot be read: {header}')
            if header.size[0] * header.size[1] > MOST_PIXELS:
                raise BadRequest(f'the image has more than {MOST_PIXELS:,} pixels')
            try:
                pixels = inputs.image(io.BytesIO(content), self._run, invert=_is_set(request, 'invert'))
            except image_files.BROKEN as error:
                raise BadRequest(f'the image cannot be read: {image_files.why(error)}') from error
            probabilities = self._predict(pixels[np.newaxis])[0]
        classes = answers.classes(probabilities, self._class_names)
        found: dict[str, Any] = {'classes': classes}
        found['unsure'] = [one['name'] for one in classes[1:] if one['probability'] >= UNSURE]
        found['changes'] = [*inputs.changes([header], self._run)]
        found['bright_background'] = bool(self._run.dark and inputs.is_bright(pixels[np.newaxis])[0])
        if _is_set(request, 'seen'):
            found['seen'] = _png(pixels)
        return found


def _image_of(request: Request) -> bytes:
    """Returns the file that a request holds: its body, or the first file of a form."""
    request.max_content_length = MOST_BYTES
    request.max_form_memory_size = MOST_BYTES
    try:
        if request.mimetype == 'multipart/form-data':
            content = next((file.read() for file in request.files.values()), b'')
        else:
            content = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise RequestEntityTooLarge(f'an image may have {MOST_BYTES:,} bytes') from error
    if not content:
        raise BadRequest('there is no image: send the file as the body, or as a file of a form')
    return content


def _is_set(request: Request, name: str) -> bool:
    return request.args.get(name, '') in ('1', 'true')


def _png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, 'PNG')
    return f'data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'


def _json(content: dict[str, Any], code: int = 200) -> Response:
    return Response(f'{json.dumps(content, ensure_ascii=False)}\n', code, content_type='application/json')


class _Quiet(WSGIRequestHandler):
    timeout = _PATIENCE

    def log(self, type: str, message: str, *arguments: Any) -> None:
        """Says nothing of single requests."""


def listen(run: Finished, host: str, port: int) -> tuple[Site, BaseWSGIServer]:
    """Returns the site and a server that listens for it, and answers once `serve_forever` is called.

    Raises:
      UserError: the port is taken, or the address is not one of this machine; or the run does not take images.
    """
    site = Site(run, here=is_here(host))
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family, backlog=128) as listening:
            port = listening.getsockname()[1]
            server = make_server(
                host, port, site, threaded=True, request_handler=_Quiet, fd=listening.fileno()
            )  # on a copy
    except OSError as error:
        # `create_server` adds the address to the system's words; of a name that does not resolve, the number is below 0.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror
        raise UserError(
            f'--host={host} --port={port} cannot be listened on: {why}; choose another, or --port=0 for any'
        ) from error
    return site, server


def is_here(host: str) -> bool:
    """Returns whether an address is reached from this machine alone."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
