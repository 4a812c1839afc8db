"""Data in the units that a network takes: divided as in its training, raw, or around 0."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eexit_tf.data import BYTES, Dataset
from eexit_tf.errors import UserError
from eexit_tf.files import read_bytes
from eexit_tf.raw_checks import largest
from eexit_tf.reporter import SILENT, Reporter
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.cards import card_of, card_path, input_divisor
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.segments import Segments, is_segments
from eexit_tf.tflite.splicing.metadata import recorded_divisor

_HALF = 127.5
"""What bytes are divided by to reach from 0 to 2, and from -1 to 1 once 1 is taken off."""
_AROUND = 0.15
"""How far from -1 and 1 an input may reach that was calibrated on images between them."""
_BELOW = 0.05
"""How far below 0, as a part of its reach, an input may go that takes nothing below 0."""


def in_units_of(model: Path | str, data: Dataset, reporter: Reporter = SILENT) -> Dataset:
    """The data as the network takes it, which may have been trained on other units.

    `eexit_tf.data` divides bytes by 255 and other numbers by a power of two; many a network from
    elsewhere takes them as they are, or bytes from -1 to 1. The card of a network that was
    searched says what its data was divided by, and without a card the file itself. Otherwise an
    int8 input's quantisation tells: it was calibrated on what the network takes.

    Args:
        model: a self-exiting `.tflite` file, or its segments.
        data: divided by `data.divisor`.
        reporter: told where bytes are divided without anything that says so.

    Returns:
        The same, divided by what the card says; else as it is, or raw where the input's reach is
        closer to that. Bytes become x / 127.5 - 1, with 127.5 as the divisor, where the input
        reaches from about -1 to about 1. A float input without such a card tells nothing: it gets
        bytes divided, and other numbers raw.

    Raises:
        UserError: no such file, its card is another file's or damaged, or the input reaches below
            0 in a way that does not tell what it takes bytes for.
    """
    divisor = _known_divisor(Path(model), data)
    if divisor is None:
        reach = _reach(model)
        if reach is None:
            divisor = BYTES if data.divisor == BYTES else 1.0
            if divisor == BYTES:
                reporter.say(
                    f"hint: nothing says what {model} takes bytes for; they are divided by 255. If "
                    f"it takes something else, give {data.name} as floats in its own units, in an "
                    f".npz or by module:function"
                )
        elif data.divisor == BYTES and reach[0] < -_BELOW * reach[1]:
            _check_around_0(model, data, *reach)
            return replace(data, divisor=_HALF, offset=-1.0)
        else:
            divisor = data.divisor if _takes_divided(max(-reach[0], reach[1]), data) else 1.0
    return data if divisor == data.divisor else replace(data, divisor=divisor)


def _known_divisor(model: Path, data: Dataset) -> float | None:
    """As the card says, or the file itself. `compile` knows of no division: its 1 says nothing.

    Nor does 255 of other numbers that need no division: they are pixels from 0 to 1.
    """
    card: Mapping[str, Any] | None
    if is_segments(model):
        card, beside = Segments.load(model).card, model
    else:
        content = read_bytes(model)
        card, beside = card_of(model, content), card_path(model)
    if card is None:
        divisor = recorded_divisor(flatbuffer.read(content))
    else:
        divisor = input_divisor(card, beside)
    if divisor == BYTES and data.divisor == 1:
        return None
    searched = card is not None and card.get("origin") is not None
    return divisor if divisor != 1 or searched else None


def _reach(model: Path | str) -> tuple[float, float] | None:
    """The least and the largest number that an int8 input can take; none of a float input."""
    graph = EarlyExitInterpreter(model).runtime.model.subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    if schema.dtype(tensor) == np.float32:
        return None
    scale, zero = schema.quantization(tensor)
    return scale * (-128 - zero), scale * (127 - zero)


def _check_around_0(model: Path | str, data: Dataset, low: float, high: float) -> None:
    """Refuse bytes for an input that was calibrated on neither 0 to something nor -1 to 1."""
    if abs(low + 1) > _AROUND or abs(high - 1) > _AROUND:
        raise UserError(
            f"{model} takes numbers from {low:.3g} to {high:.3g}, and what bytes from 0 to 255 are "
            f"among them cannot be known: give {data.name} in the network's own units, as floats "
            f"in an .npz or by module:function"
        )


def _takes_divided(reach: float, data: Dataset) -> bool:
    """Whether divided data is closer to what the network was calibrated on than raw data."""
    (train, _), (test, _) = data.raw["train"], data.raw["test"]
    between = largest(train if len(train) else test) / data.divisor**0.5
    return bool(reach <= between if data.divisor > 1 else reach >= between)
