"""What the packages share, and what a Python user imports: `seedwise.train`, `predict`, `compare`, `plan` and `judge`."""

import importlib
from typing import Any

#: Public call -> where it is. Loaded when it is first used: `import seedwise` takes no time.
_CALLS = {
    'train': 'trainer.calls',
    'predict': 'trainer.calls',
    'compare': 'trainer.calls',
    'plan': 'trainer.calls',
    'judge': 'trainer.judge',
}

__all__ = [*_CALLS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _CALLS:
        raise AttributeError(f"module 'seedwise' has no attribute '{name}'")
    return getattr(importlib.import_module(_CALLS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_CALLS])
