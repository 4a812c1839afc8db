"""Backbone families: each a function of its hyperparameters, without a classifier.

The stem and every block end in a ReLU layer named `stem`, `block1`, `block2`, …: the taps where
exits attach. A tap after the ReLU is the only one that TFMOT fuses cleanly. Convolutions have no
bias because a batch norm, folded into them on conversion, follows each.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from eexit_tf.keras import keras

layers = keras.layers
Tensor = Any

BN_MOMENTUM = 0.9
"""Of the running statistics: Keras's 0.99 lags hundreds of steps behind, too slow for short
trials on small data."""


def residual(
    input_shape: Sequence[int],
    *,
    widths: Sequence[int] = (16, 32, 64),
    depth: int = 1,
    kernel: int = 3,
) -> keras.Model:
    """Residual network (He et al. 2015); the defaults are MLPerf Tiny's ResNet-8.

    Args:
        input_shape: (height, width, channels).
        widths: channels of each stage; every stage but the first halves the resolution.
        depth: residual blocks a stage, of two convolutions each.
        kernel: side of the block's convolutions; the stem is always 3 x 3.
    """

    def block(x: Tensor, width: int, stride: int, name: str) -> Tensor:
        y = _conv_bn(x, width, kernel, stride, f"{name}_conv1")
        y = layers.ReLU(name=f"{name}_relu1")(y)
        y = _conv_bn(y, width, kernel, 1, f"{name}_conv2")
        if stride > 1 or x.shape[-1] != width:
            x = _conv_bn(x, width, 1, stride, f"{name}_shortcut")
        return layers.ReLU(name=name)(layers.Add(name=f"{name}_add")([x, y]))

    return _stack("residual", input_shape, widths, depth, block)


def separable(
    input_shape: Sequence[int],
    *,
    widths: Sequence[int] = (64, 64),
    depth: int = 2,
    kernel: int = 3,
) -> keras.Model:
    """Depthwise-separable network (MobileNetV1, Howard et al. 2017).

    Args: as for `residual`; a block is one depthwise and one 1 x 1 convolution.
    """

    def block(x: Tensor, width: int, stride: int, name: str) -> Tensor:
        x = layers.DepthwiseConv2D(
            kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
        )(x)
        x = layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_depthwise_bn")(x)
        x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
        x = _conv_bn(x, width, 1, 1, f"{name}_pointwise")
        return layers.ReLU(name=name)(x)

    return _stack("separable", input_shape, widths, depth, block)


TAP = re.compile(r"stem|block\d+")

FAMILIES: dict[str, Callable[..., keras.Model]] = {"residual": residual, "separable": separable}


def taps(backbone: keras.Model) -> list[str]:
    """The names of the layers where exits can attach, in the order of execution."""
    return [layer.name for layer in backbone.layers if TAP.fullmatch(layer.name)]


def _conv_bn(x: Tensor, width: int, kernel: int, stride: int, name: str) -> Tensor:
    x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)


def _stack(
    family: str,
    input_shape: Sequence[int],
    widths: Sequence[int],
    depth: int,
    block: Callable[[Tensor, int, int, str], Tensor],
) -> keras.Model:
    inputs = keras.Input(tuple(input_shape), name="input")
    x = _conv_bn(inputs, widths[0], 3, 1, "stem_conv")
    x = layers.ReLU(name="stem")(x)
    number = 0
    for stage, width in enumerate(widths):
        for position in range(depth):
            number += 1
            stride = 2 if stage > 0 and position == 0 else 1
            x = block(x, width, stride, f"block{number}")
    return keras.Model(inputs, x, name=family)
