"""Data in the units that a network takes: divided as in its training, or raw."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eexit_tf.data import BYTES, Dataset, Samples
from eexit_tf.files import read_bytes
from eexit_tf.tflite import schema
from eexit_tf.tflite.cards import card_of, card_path, input_divisor
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.segments import Segments, is_segments


def in_units_of(model: Path | str, data: Dataset) -> Dataset:
    """The data as the network takes it, which may have been trained on other units.

    `eexit_tf.data` divides bytes by 255 and other numbers by a power of two; many a network from
    elsewhere takes them as they are. The card of a network that was searched says what its data
    was divided by. Otherwise an int8 input's quantisation tells: it was calibrated on what the
    network takes.

    Args:
        model: a self-exiting `.tflite` file, or its segments.
        data: divided by `data.divisor`.

    Returns:
        The same, divided by what the card says; else as it is, or raw where the input's reach is
        closer to that. A float input without such a card gets bytes divided, and other numbers
        raw.

    Raises:
        UserError: no such file, or its card is another file's or damaged.
    """
    divisor = _known_divisor(Path(model), data)
    if divisor is None:
        divisor = data.divisor if _takes_divided(model, data) else 1.0
    if divisor == data.divisor:
        return data
    factor = np.float32(data.divisor / divisor)
    train, validation, test = (
        Samples(part.x * factor, part.y) for part in (data.train, data.validation, data.test)
    )
    return replace(data, train=train, validation=validation, test=test, divisor=divisor)


def _known_divisor(model: Path, data: Dataset) -> float | None:
    """As the card says. `compile` knows of no division, so that its 1 says nothing.

    Nor does 255 of other numbers that need no division: they are pixels from 0 to 1.
    """
    card: Mapping[str, Any] | None
    if is_segments(model):
        card, beside = Segments.load(model).card, model
    else:
        card, beside = card_of(model, read_bytes(model)), card_path(model)
    if card is None:
        return None
    divisor = input_divisor(card, beside)
    if divisor == BYTES and data.divisor == 1:
        return None
    return divisor if divisor != 1 or card.get("origin") is not None else None


def _takes_divided(model: Path | str, data: Dataset) -> bool:
    """Whether divided data is closer to what the network was calibrated on than raw data."""
    graph = EarlyExitInterpreter(model).runtime.model.subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    if schema.dtype(tensor) == np.float32:
        return data.divisor == BYTES
    scale, zero = schema.quantization(tensor)
    reach = scale * max(zero + 128, 127 - zero)
    given = data.train.x if len(data.train.x) else data.test.x
    between = float(np.abs(given).max()) * data.divisor**0.5
    return bool(reach <= between if data.divisor > 1 else reach >= between)
