"""A backbone that moves more slowly than the heads on it."""

import numpy as np

from eexit_tf.backbones import Stage, Stem, residual
from eexit_tf.data import Samples
from eexit_tf.exits import attach_exits
from eexit_tf.keras import keras, seed_everything, tf
from eexit_tf.slow_backbone import SlowBackbone
from eexit_tf.training import fit
from eexit_tf.vocabulary import Exit

RNG = np.random.default_rng(0)
TRAIN = Samples(RNG.normal(size=(32, 8, 8, 1)).astype(np.float32), RNG.integers(0, 3, 32))
KERNELS = ("stem", "block1", "stem__conv3_dense_1", "stem__conv3_dense", "block1__pool_dense")
"""Layers by the beginning of their names: of the backbone, then of the heads."""


def moved(rate: float, epochs: int = 1) -> list[np.ndarray]:
    """How far training moves the kernels that `KERNELS` names."""
    seed_everything(0)
    backbone = residual((8, 8, 1), stem=Stem(4), stages=(Stage(4, stride=1),))
    net = attach_exits(backbone, [Exit("stem", "conv3_dense"), Exit("block1")], classes=3)
    kernels = [_kernel(net, name) for name in KERNELS]
    before = [kernel.numpy() for kernel in kernels]
    optimizer = keras.optimizers.legacy.Adam(0.01)
    slow = [SlowBackbone(net, rate)]
    fit(net, TRAIN, epochs=epochs, batch_size=32, optimizer=optimizer, callbacks=slow)
    return [kernel.numpy() - old for kernel, old in zip(kernels, before, strict=True)]


def _kernel(net: keras.Model, name: str) -> tf.Variable:
    return next(w for w in net.trainable_weights if w.name.startswith(name) and "kernel" in w.name)


def test_one_step_is_the_rate_as_far_in_the_backbone_and_as_far_in_the_heads() -> None:
    for name, slow, full in zip(KERNELS, moved(0.25), moved(1.0), strict=True):
        expected = full if "__" in name else 0.25 * full
        np.testing.assert_allclose(slow, expected, atol=1e-6, err_msg=name)
        assert np.abs(full).max() > 1e-3


def test_a_rate_of_0_trains_the_heads_alone() -> None:
    for name, step in zip(KERNELS, moved(0.0, epochs=3), strict=True):
        assert ("__" in name) == bool(step.any()), name
