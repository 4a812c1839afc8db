"""Keras layers from the descriptions of `blueprints`."""

from collections.abc import Iterable
from typing import Any

from eexit_tf.blueprints import Blueprint, Unit
from eexit_tf.keras import keras

layers = keras.layers
Tensor = Any

BN_MOMENTUM = 0.9
"""Of the running statistics: Keras's 0.99 lags hundreds of steps behind, too slow for short
trials on small data."""


def build(blueprint: Blueprint) -> keras.Model:
    """The backbone as a `tf_keras` functional model, without a classifier."""
    tensors = {blueprint.input: keras.Input(blueprint.input.shape, name=blueprint.input.name)}
    last = extend(tensors, blueprint.taps)[-1]
    return keras.Model(tensors[blueprint.input], last, name=blueprint.name)


def extend(tensors: dict[Unit, Tensor], wanted: Iterable[Unit]) -> list[Tensor]:
    """Build the layers that the wanted units need beyond those that are there.

    Args:
        tensors: the units built so far; new ones are added.
        wanted: the units whose outputs are returned.
    """
    return [_tensor(unit, tensors) for unit in wanted]


def _tensor(unit: Unit, tensors: dict[Unit, Tensor]) -> Tensor:
    # A loop, as Python's recursion ends before deep networks do.
    waiting = [unit]
    while waiting:
        missing = [source for source in waiting[-1].inputs if source not in tensors]
        if missing:
            waiting.extend(missing)
        else:
            here = waiting.pop()
            if here not in tensors:
                tensors[here] = _layers(here, [tensors[source] for source in here.inputs])
    return tensors[unit]


def _layers(unit: Unit, inputs: list[Tensor]) -> Tensor:
    """The unit's layers; the last one has its name."""
    x = inputs[0]
    if unit.kind == "classify":
        x = layers.Flatten(name=f"{unit.name}_flatten")(x)
        return layers.Dense(unit.shape[2], activation="softmax", name=unit.name)(x)
    if unit.kind == "average":
        return layers.AveragePooling2D(unit.kernel, name=unit.name)(x)
    if unit.kind == "maximum":
        return layers.MaxPooling2D(unit.kernel, name=unit.name)(x)
    last = f"{unit.name}_linear" if unit.relu else unit.name
    if unit.kind == "add":
        x = layers.Add(name=last)(inputs)
    else:
        same = {"padding": "same", "use_bias": False, "name": f"{unit.name}_{unit.kind}"}
        if unit.kind == "conv":
            x = layers.Conv2D(unit.shape[2], unit.kernel, unit.stride, **same)(x)
        else:
            x = layers.DepthwiseConv2D(unit.kernel, unit.stride, **same)(x)
        x = layers.BatchNormalization(momentum=BN_MOMENTUM, name=last)(x)
    return layers.ReLU(name=unit.name)(x) if unit.relu else x
