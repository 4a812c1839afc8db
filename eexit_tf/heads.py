"""Heads: the small classifiers behind a tap, from the cheapest to the strongest.

Pooling is written as average pooling over a fixed window, never as a mean: all runtimes round
it alike, so a file gives the same bits everywhere.
"""

from collections.abc import Callable
from typing import Any

from eexit_tf.backbones import BN_MOMENTUM
from eexit_tf.keras import keras

layers = keras.layers
Tensor = Any


def pool_dense(x: Tensor, classes: int, name: str) -> Tensor:
    """Global average pooling and a dense softmax."""
    return _classify(_pool_to(x, 1, name), classes, name)


def grid_dense(x: Tensor, classes: int, name: str) -> Tensor:
    """Average pooling to a grid of 4 x 4, which keeps where things are, and a dense softmax.

    With maximum pooling it is the head of the hardware-aware search (arXiv 2512.04705).
    """
    return _classify(_pool_to(x, 4, name), classes, name)


def conv_dense(x: Tensor, classes: int, name: str) -> Tensor:
    """A 3 x 3 convolution with stride 2, then as `pool_dense` (a module of AEBNAS)."""
    x = layers.Conv2D(x.shape[-1], 3, 2, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    return pool_dense(x, classes, name)


HEADS: dict[str, Callable[[Tensor, int, str], Tensor]] = {
    "pool_dense": pool_dense,
    "grid_dense": grid_dense,
    "conv_dense": conv_dense,
}


def _pool_to(x: Tensor, grid: int, name: str) -> Tensor:
    height, width = x.shape[1:3]
    window = max(1, height // grid), max(1, width // grid)
    return x if window == (1, 1) else layers.AveragePooling2D(window, name=f"{name}_pool")(x)


def _classify(x: Tensor, classes: int, name: str) -> Tensor:
    x = layers.Flatten(name=f"{name}_flatten")(x)
    return layers.Dense(classes, activation="softmax", name=name)(x)
