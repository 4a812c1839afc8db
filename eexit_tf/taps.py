"""Where exits attach: taps that a conversion keeps clean, and far enough apart to be worth it."""

from collections.abc import Sequence
from typing import Any

from eexit_tf.network_costs import ancestors, layer_units

APART = 1.3
"""How many times what the tap before costs, a tap costs at least."""
MOST = 8
"""Taps of one network; with three kinds of heads, 24 exits are trained at once."""


def apart(trunk_macs: Sequence[int]) -> list[int]:
    """Which taps to keep so that each costs clearly more than the one before; always the last.

    All candidate exits are trained at once, so that each one makes training slower, and one that
    costs nearly what its neighbour costs adds next to nothing to the front.

    Args:
        trunk_macs: of the backbone up to each tap, rising, the first above 0.

    Returns:
        Ascending indices, at most `MOST`.
    """
    ratio = APART
    while len(kept := _spread(trunk_macs, ratio)) > MOST:
        ratio *= 1.1
    return kept


def _spread(trunk_macs: Sequence[int], ratio: float) -> list[int]:
    kept = [len(trunk_macs) - 1]
    for index in range(len(trunk_macs) - 2, -1, -1):
        if ratio * trunk_macs[index] <= trunk_macs[kept[-1]]:
            kept.append(index)
    return kept[::-1]


def clean_taps(model: Any) -> list[str]:
    """Where exits can attach in a `tf_keras` model that someone else made.

    A tap is a feature map behind which the rest of the network needs nothing else, and which a
    fusion leaves as it is: what a ReLU gives, or an addition, a concatenation or a batch norm
    without one behind it.
    Never between a convolution and its batch norm, nor between that and its ReLU.

    Returns:
        Names of layers in the order of execution, `apart` from one another and, if the model has
        a classifier of its own, from its end.

    Raises:
        UserError: a layer is called more than once.
    """
    ancestors(*model.outputs)
    needs = {layer.name: ancestors(layer.output) for layer in model.layers}
    readers: dict[str, list[Any]] = {layer.name: [] for layer in model.layers}
    for layer in model.layers:
        for source in _sources(layer):
            readers[source].append(layer)

    def is_cut(name: str) -> bool:
        return all(
            reader.name in needs[name] or source == name
            for source in needs[name]
            for reader in readers[source]
        )

    found = [
        layer.name
        for layer in model.layers
        if _is_map(layer) and _is_whole(layer, readers[layer.name]) and is_cut(layer.name)
    ]
    found.sort(key=lambda name: len(needs[name]))
    macs = {name: unit.macs for name, unit in layer_units(model).items()}
    trunks = [sum(macs[name] for name in needs[tap]) for tap in found]
    if not found or not trunks[0]:
        return []
    if len(model.output_shape) == 2:
        return [found[index] for index in apart([*trunks, sum(macs.values())])[:-1]]
    return [found[index] for index in apart(trunks)]


def _sources(layer: Any) -> list[str]:
    return [node.layer.name for node in layer.inbound_nodes[0].parent_nodes]


def _is_map(layer: Any) -> bool:
    shape = layer.output_shape
    return isinstance(shape, tuple) and len(shape) == 4 and shape[1:3] != (1, 1)


def _is_whole(layer: Any, readers: Sequence[Any]) -> bool:
    """Whether the layer's output is the end of what becomes one operator."""
    behind = {type(reader).__name__ for reader in readers}
    if behind & {"BatchNormalization", "ReLU", "Activation"}:
        return False
    kind, activation = type(layer).__name__, getattr(layer, "activation", None)
    relu = getattr(activation, "__name__", "") == "relu"
    return kind in ("ReLU", "Add", "Concatenate", "BatchNormalization") or relu
