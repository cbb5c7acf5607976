"""The sides of the comparison: each trains the same network on the same data and says how long it took."""

import dataclasses
import importlib.util
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Side:
    """One side.

    Attributes:
      function: module of this folder and its function of a task.
      needs: package that it is written for.
      steps: network -> the steps of a pass, where it is so slow that as many as others take would last too long.
    """

    function: str
    needs: str
    steps: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def missing(self) -> str:
        """Returns why the side cannot run here, or ''."""
        if importlib.util.find_spec(self.needs):
            return ''
        return f'{self.needs} is not installed: pip install -r requirements-peers.txt'


SIDES = {
    'ours': Side('ours:run', 'tensorflow'),
    'keras': Side('keras_fit:run', 'tensorflow'),
    'pytorch': Side('pytorch:run', 'torch'),
    'pytorch_compile': Side('pytorch:run_compiled', 'torch'),
    'jax': Side('jax_compiled:run', 'jax', steps={'cnn': 24, 'resnet20': 2}),
}


def split(text: str) -> tuple[str, dict[str, str]]:
    """Returns (name, settings) of a side as flags name it: NAME, or NAME+SETTING=VALUE+..."""
    name, *settings = text.split('+')
    pairs = [setting.partition('=') for setting in settings]
    return name, {key: value for key, _, value in pairs}
