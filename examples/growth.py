"""A network that begins with what another one has learnt."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from eexit_tf.backbones import Stage
from eexit_tf.keras import keras

BLOCK = re.compile(r"block(\d+)")
HEAD = "__"


def begin_with(
    net: keras.Model, source: keras.Model, counterpart: Callable[[str], str] = str
) -> None:
    """Give a network another one's weights, where their layers have the same names and shapes.

    Args:
        counterpart: the name that one of the network's layers has in the source.
    """
    layers = {layer.name: layer for layer in source.layers}
    for layer in net.layers:
        given = layers.get(counterpart(layer.name))
        if given and [w.shape for w in layer.weights] == [w.shape for w in given.weights]:
            layer.set_weights(given.get_weights())


def grow(
    net: keras.Model, stages: Sequence[Stage], source: keras.Model, before: Sequence[Stage]
) -> None:
    """Give inverted residuals the weights of a network whose stages are as deep or less.

    Blocks beyond those of the source's stage come last in the stage and begin as identities, their
    heads as that of the block before: at the same strides, every exit says what the source's does
    (Net2Net: Chen, Goodfellow and Shlens 2016, arXiv 1511.05641, section 3.2).

    Args:
        stages, before: of the network and of the source.
    """
    blocks = counterparts(stages, before)
    new = {number for number in blocks if blocks[number] == blocks.get(number - 1)}

    def counterpart(name: str) -> str:
        block = BLOCK.match(name)
        if not block:
            return name
        number, part = int(block[1]), name[block.end() :]
        if number in new and not part.startswith(HEAD):
            return ""
        return f"block{blocks[number]}{part}"

    begin_with(net, source, counterpart)
    for number in new:
        normalization = net.get_layer(f"block{number}_project")
        gamma, *others = normalization.get_weights()
        normalization.set_weights([np.zeros_like(gamma), *others])


def counterparts(stages: Sequence[Stage], before: Sequence[Stage]) -> dict[int, int]:
    """For each block its number in the source; for a block beyond that stage's, the last one's."""
    numbers: list[int] = []
    first = 1
    for stage, old in zip(stages, before, strict=True):
        numbers += [first + min(position, old.depth - 1) for position in range(stage.depth)]
        first += old.depth
    return dict(enumerate(numbers, 1))
