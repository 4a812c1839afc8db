"""How sure an exit is of its answer: two measures of its class scores, both with 256 levels.

==========  =====================================================================
``max``     the largest score
``margin``  the largest score less the second largest; 0 if two classes share it
==========  =====================================================================

Softmax scores are levels / 256 (see `vocabulary`), hence so are their differences: with either
measure a sample leaves where its level, 0 to 255, is at least the exit's threshold.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.vocabulary import LEVELS

Confidence = Literal["max", "margin"]
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)


def check_confidence(name: str) -> None:
    """Raise a `UserError` unless there is a measure of this name."""
    if name not in CONFIDENCES:
        raise UserError(f"unknown confidence {name!r}; there are {', '.join(CONFIDENCES)}")


def measured(scores: NDArray, confidence: Confidence) -> NDArray:
    """The confidences of scores, (..., classes) of any type that can hold them, (...)."""
    if confidence == "max":
        return scores.max(axis=-1)
    ascending = np.partition(scores, -2, axis=-1)
    return ascending[..., -1] - ascending[..., -2]


def levels(scores: NDArray, confidence: Confidence = "max") -> NDArray[np.uint8]:
    """The levels that a `.tflite` file compares with thresholds.

    Args:
        scores: (..., classes); int8 softmax scores (scale 1/256, zero point -128) or float32.
        confidence: the measure.
    """
    if scores.dtype == np.int8:
        return measured(scores.astype(np.int16) + LEVELS // 2, confidence).astype(np.uint8)
    # c >= level / 256 exactly where floor(256 c) >= level.
    steps = np.floor(measured(scores, confidence) * LEVELS)
    return np.clip(steps, 0, LEVELS - 1).astype(np.uint8)
