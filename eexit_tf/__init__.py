"""Early-exit networks for microcontrollers: search, train, quantise, compile, measure.

The names below are loaded when asked for, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eexit_tf.version import __version__

if TYPE_CHECKING:
    from eexit_tf.bounds import Bounds
    from eexit_tf.data import Dataset, Samples, load
    from eexit_tf.errors import UserError
    from eexit_tf.exits import attach_exits, keep_exits
    from eexit_tf.keras import seed_everything
    from eexit_tf.pipeline import convert, policy_front, search
    from eexit_tf.training import fit
    from eexit_tf.vocabulary import Exit, Front, OperatingPoint

_HOMES = {
    "Bounds": "bounds",
    "Dataset": "data",
    "Exit": "vocabulary",
    "Front": "vocabulary",
    "OperatingPoint": "vocabulary",
    "Samples": "data",
    "UserError": "errors",
    "attach_exits": "exits",
    "convert": "pipeline",
    "fit": "training",
    "keep_exits": "exits",
    "load": "data",
    "policy_front": "pipeline",
    "search": "pipeline",
    "seed_everything": "keras",
}

__all__ = [
    "Bounds",
    "Dataset",
    "Exit",
    "Front",
    "OperatingPoint",
    "Samples",
    "UserError",
    "__version__",
    "attach_exits",
    "convert",
    "fit",
    "keep_exits",
    "load",
    "policy_front",
    "search",
    "seed_everything",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
