"""Where the runs of a study are trained: the table of engines. `base.py` has what an engine is."""

import importlib

from data_pipeline.sources import Location
from trainer.compare.engines.base import Engine

#: Name -> 'module:class', loaded when asked for.
ENGINES = {
    'local': 'trainer.compare.engines.local:Pool',
    'ray': 'trainer.compare.engines.ray:RayEngine',
}


def start(name: str, workers: int, location: Location) -> Engine:
    """Returns an engine.

    Args:
      name: a row of `ENGINES`.
      workers: runs trained at a time; 0: the engine's choice.
      location: of the dataset.
    """
    module, _, cls = ENGINES[name].partition(':')
    return getattr(importlib.import_module(module), cls)(workers, location)
