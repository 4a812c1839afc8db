"""Backbone families: each a function of its hyperparameters, without a classifier.

A family is a kind of block; a backbone is a stem and stages of such blocks. The stem and every
block give a map named `stem`, `block1`, `block2`, …: the taps where exits attach.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from eexit_tf.blueprints import Blueprint, Sides, Unit, add, conv, depthwise, image, pool
from eexit_tf.errors import UserError

TAP = re.compile(r"stem|block\d+")


@dataclass(frozen=True)
class Stem:
    """The convolution that a backbone begins with.

    Attributes:
        width: channels.
        kernel: side of the convolution, or (height, width).
        stride: 2 halves the resolution.
        shrink: side of the windows over which the input is averaged first. It divides the
            input's sides; a height of 1 stays. This is how a lower input resolution is had
            without resizing, which TFMOT cannot take; average pooling it can, and all runtimes
            round it alike.
    """

    width: int = 16
    kernel: int | Sides = 3
    stride: int = 1
    shrink: int = 1

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Stage:
    """Blocks of one width and resolution.

    Attributes:
        width: channels that each block gives.
        depth: blocks.
        kernel: side of the blocks' convolutions (1 x k on a map of height 1), or (height, width).
        stride: of the first block; 2 halves the resolution.
        expansion: how many times wider than its input an inverted residual is inside.

    Raises:
        UserError: no whole number, or one below 1; a stem raises it too.
    """

    width: int
    depth: int = 1
    kernel: int | Sides = 3
    stride: int = 2
    expansion: int = 4

    def __post_init__(self) -> None:
        _check(self)


def _check(part: Stem | Stage) -> None:
    """Refuse other numbers than whole ones from 1 on; NumPy's integers become Python's."""
    for name, value in list(vars(part).items()):
        try:
            two = name == "kernel" and np.shape(value) == (2,)
            number = tuple(map(index, value)) if two else index(value)
        except (TypeError, ValueError):
            number = 0
        if np.min(number) < 1:
            kind = "a whole number, or two," if name == "kernel" else "a whole number"
            raise UserError(f"{name} must be {kind} of 1 or more, but there is {part}")
        object.__setattr__(part, name, number)


Block = Callable[[Unit, Stage, int, str], Unit]
"""Of its input, its stage, its stride and its name."""


def residual(
    input_shape: Sequence[int],
    *,
    stem: Stem = Stem(16),
    stages: Sequence[Stage] = (Stage(16, stride=1), Stage(32), Stage(64)),
) -> Any:
    """Residual network (He et al. 2015); the defaults are MLPerf Tiny's ResNet-8.

    Args:
        input_shape: (height, width, channels).
        stem, stages: see there.

    Returns:
        A `tf_keras` functional model.

    Raises:
        UserError: an input that does not fit, or something else than a stem and stages.
    """
    return _build("residual", input_shape, stem, stages)


def separable(
    input_shape: Sequence[int],
    *,
    stem: Stem = Stem(64, (10, 4), stride=2),
    stages: Sequence[Stage] = (Stage(64, depth=4, stride=1),),
) -> Any:
    """Depthwise-separable network (MobileNetV1, Howard et al. 2017).

    The defaults are MLPerf Tiny's DS-CNN. MobileNetV1 x 0.25 has a stem of 8 with stride 2 and
    the stages 16, 32 x 2, 64 x 2, 128 x 6 and 256 x 2, all but the first with stride 2.

    Args, returns and raises: as of `residual`.
    """
    return _build("separable", input_shape, stem, stages)


def inverted_residual(
    input_shape: Sequence[int],
    *,
    stem: Stem = Stem(16, stride=2),
    stages: Sequence[Stage] = (Stage(24, depth=2, stride=1), Stage(40, depth=2), Stage(80)),
) -> Any:
    """Inverted residuals with linear bottlenecks (MobileNetV2, Sandler et al. 2018).

    Without squeeze-and-excite, which TFMOT cannot take. NACHOS's backbones are five stages with
    depths from 2 to 4, kernels of 3, 5 or 7 and expansions of 3, 4 or 6.

    Args, returns and raises: as of `residual`.
    """
    return _build("inverted_residual", input_shape, stem, stages)


def plain(
    input_shape: Sequence[int],
    *,
    stem: Stem = Stem(16),
    stages: Sequence[Stage] = (Stage(16, stride=1), Stage(32, depth=2), Stage(64, depth=2)),
) -> Any:
    """Convolutions one behind the other (VGG, Simonyan and Zisserman 2014).

    Args, returns and raises: as of `residual`.
    """
    return _build("plain", input_shape, stem, stages)


def _residual_block(x: Unit, stage: Stage, stride: int, name: str) -> Unit:
    y = conv(x, stage.width, stage.kernel, stride, name=f"{name}_a")
    y = conv(y, stage.width, stage.kernel, name=f"{name}_b", relu=False)
    if stride > 1 or x.shape[2] != stage.width:
        x = conv(x, stage.width, 1, stride, name=f"{name}_shortcut", relu=False)
    return add(x, y, name=name, relu=True)


def _separable_block(x: Unit, stage: Stage, stride: int, name: str) -> Unit:
    x = depthwise(x, stage.kernel, stride, name=f"{name}_spatial")
    return conv(x, stage.width, 1, name=name)


def _inverted_residual_block(x: Unit, stage: Stage, stride: int, name: str) -> Unit:
    y = conv(x, x.shape[2] * stage.expansion, 1, name=f"{name}_expand")
    y = depthwise(y, stage.kernel, stride, name=f"{name}_spatial")
    if stride > 1 or x.shape[2] != stage.width:
        return conv(y, stage.width, 1, name=name, relu=False)
    y = conv(y, stage.width, 1, name=f"{name}_project", relu=False)
    return add(x, y, name=name, relu=False)


def _plain_block(x: Unit, stage: Stage, stride: int, name: str) -> Unit:
    return conv(x, stage.width, stage.kernel, stride, name=name)


FAMILIES: dict[str, Block] = {
    "residual": _residual_block,
    "separable": _separable_block,
    "inverted_residual": _inverted_residual_block,
    "plain": _plain_block,
}


def blueprint(
    family: str, input_shape: Sequence[int], stem: Stem, stages: Sequence[Stage]
) -> Blueprint:
    """A backbone of a family, described.

    Raises:
        UserError: no such family, an input that does not fit, or something else than a stem and
            stages.
    """
    if family not in FAMILIES:
        raise UserError(f"unknown family {family!r}; expected one of {', '.join(FAMILIES)}")
    if not isinstance(stem, Stem):
        raise UserError(f"expected a Stem, such as Stem(16), but got {stem!r}")
    if not isinstance(stages, Sequence) or not all(isinstance(stage, Stage) for stage in stages):
        raise UserError(f"expected a sequence of stages, such as [Stage(16)], but got {stages!r}")
    inputs = x = image(input_shape)
    if stem.shrink > 1:
        x = _shrink(x, stem.shrink)
    x = conv(x, stem.width, stem.kernel, stem.stride, name="stem")
    taps = [x]
    for stage in stages:
        for position in range(stage.depth):
            stride = stage.stride if position == 0 else 1
            x = FAMILIES[family](x, stage, stride, f"block{len(taps)}")
            taps.append(x)
    return Blueprint(family, inputs, tuple(taps))


def _shrink(x: Unit, shrink: int) -> Unit:
    height, width = (shrink if side > 1 else 1 for side in x.shape[:2])
    if x.shape[0] % height or x.shape[1] % width:
        raise UserError(
            f"windows of {shrink} do not divide an input of {x.shape[0]} x {x.shape[1]}"
        )
    return pool(x, (height, width), name="shrink", kind="average")


def taps(backbone: Any) -> list[str]:
    """The names of a built backbone's taps, in the order of execution."""
    return [layer.name for layer in backbone.layers if TAP.fullmatch(layer.name)]


def _build(family: str, input_shape: Sequence[int], stem: Stem, stages: Sequence[Stage]) -> Any:
    from eexit_tf.building import build  # imports TensorFlow

    return build(blueprint(family, input_shape, stem, stages))
