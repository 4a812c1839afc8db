"""Numbers that make no sense, given to what trains a network."""

import math
from collections.abc import Callable

import pytest

from eexit_tf.averaging import WeightAverage
from eexit_tf.backbones import Stage, Stem, residual
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits
from eexit_tf.losses import CascadeCrossEntropy, Distillation, JointCrossEntropy
from eexit_tf.slow_backbone import SlowBackbone
from eexit_tf.training import WarmUpCosine
from eexit_tf.vocabulary import Exit


def slow(rate: float) -> SlowBackbone:
    backbone = residual((8, 8, 1), stem=Stem(4), stages=(Stage(4, stride=1),))
    return SlowBackbone(attach_exits(backbone, [Exit("stem"), Exit("block1")], classes=3), rate)


@pytest.mark.parametrize(
    ("make", "bad", "good"),
    [
        (slow, (-1, 5, math.nan), (0, 1)),
        (WeightAverage, (-1, 2), (0.0, 1.0)),
        (lambda part: JointCrossEntropy(label_smoothing=part), (-0.1, 1.5), (0.0, 1.0)),
        (lambda part: CascadeCrossEntropy(share=part), (-1, 3), (0, 1)),
        (lambda value: CascadeCrossEntropy(sharpness=value), (0, -1, math.inf), (0.01,)),
        (lambda value: Distillation(weight=value), (-1, math.nan), (0, 2)),
        (lambda value: Distillation(temperature=value), (0, math.nan), (0.5,)),
        (lambda value: WarmUpCosine(value, 5), (-1, math.nan, math.inf), (0.0, 2.0)),
        (lambda value: WarmUpCosine(1e-3, value), (-1, 0), (1,)),
    ],
)
def test_numbers_out_of_range_are_refused_and_the_range_is_said(
    make: Callable[[float], object], bad: tuple[float, ...], good: tuple[float, ...]
) -> None:
    for value in bad:
        with pytest.raises(UserError, match=f"must be .*, but is {value}"):
            make(value)
    for value in good:
        make(value)
