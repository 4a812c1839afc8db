"""All exits' outputs as one tensor, so that one Keras loss sees them all."""

from collections.abc import Sequence
from typing import Any

from eexit_tf.keras import keras, tf


@keras.saving.register_keras_serializable("eexit_tf")
class Stack(keras.layers.Layer):
    """Rows (batch, n), one an exit, as one tensor (batch, exits, n).

    A layer of its own, since Keras loads no lambdas without being told that they are safe.
    """

    def call(self, rows: Sequence[Any]) -> Any:
        return tf.stack(rows, axis=1)
