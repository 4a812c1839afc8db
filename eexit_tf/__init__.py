"""Early-exit networks for microcontrollers: search, train, quantise, compile, measure."""

from eexit_tf.version import __version__

__all__ = ["__version__"]
