"""Trials that cannot be run: those that a search goes on without, and those that stop it."""

import contextlib
from collections.abc import Iterator

import keras_tuner

from eexit_tf.keras import tf


class InfeasibleError(Exception):
    """A network that cannot be built or trained, and why; the search goes on without it."""


class TrialError(Exception):
    """A trial stopped the search; the message is what its worker said, of a bug its traceback."""


@contextlib.contextmanager
def infeasible_networks() -> Iterator[None]:
    """Around building or training one that there may be no memory for.

    Raises:
        InfeasibleError: there is none, or the user's code says that the network is infeasible.
    """
    try:
        yield
    except keras_tuner.errors.FailedTrialError as error:
        raise InfeasibleError(str(error) or "its code raised a FailedTrialError") from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        first_line, _, _ = str(error).partition("\n")
        raise InfeasibleError(f"out of memory: {first_line}") from error
