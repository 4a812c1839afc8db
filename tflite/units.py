"""Data in the units that a network takes: as loaded, or raw, as many from elsewhere do."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from eexit_tf.data import BYTES, Dataset, Samples
from eexit_tf.tflite import schema
from eexit_tf.tflite.interpreter import EarlyExitInterpreter


def in_units_of(model: Path | str, data: Dataset) -> Dataset:
    """The data as a network takes it that may have been trained on raw values.

    `eexit_tf.data` divides bytes by 255; many a network from elsewhere takes them as they are. An
    int8 input's quantisation tells: it was calibrated on what the network takes.

    Args:
        model: a self-exiting `.tflite` file, or its segments.
        data: divided by `data.divisor`.

    Returns:
        The same, or bytes as they are where the input's reach is closer to that. What is not
        bytes stays as it is, and so does everything for a float input.
    """
    taken = EarlyExitInterpreter(model).runtime.model
    scale, zero = schema.quantization(taken.subgraphs[0].tensors[taken.subgraphs[0].inputs[0]])
    reach = scale * max(zero + 128, 127 - zero)
    largest = float(np.abs(data.train.x).max())
    if data.divisor != BYTES or reach <= largest * data.divisor**0.5:
        return data
    train, validation, test = (
        Samples(part.x * np.float32(data.divisor), part.y)
        for part in (data.train, data.validation, data.test)
    )
    return replace(data, train=train, validation=validation, test=test, divisor=1.0)
