"""Costs of a Keras network's exits, counted layer by layer with the formulas of `costs`.

Layers are known by their class's name, so that this needs no TensorFlow to be imported.
"""

import itertools
from collections.abc import Iterable
from math import prod
from typing import Any

from eexit_tf import costs
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.vocabulary import Exit

FREE = {
    "InputLayer",
    "BatchNormalization",
    "ReLU",
    "Flatten",
    "Reshape",
    "Dropout",
    "ZeroPadding2D",
}
"""Layers that cost nothing: folded into the layer before, active in training alone, or moving
data. (A ReLU behind an addition is fused into it as well.)"""


def layer_macs(layer: Any) -> int:
    """MACs of one layer of a functional model.

    Raises:
        UserError: a kind of layer that has no cost yet.
    """
    kind = type(layer).__name__
    if kind in FREE:
        return 0
    output = layer.output_shape[1:]
    inputs = layer.input_shape
    own = costs.elementwise_macs(output) if _has_softmax(layer) else 0
    if kind == "Conv2D":
        channels = inputs[-1] // layer.groups
        return own + costs.conv_macs(output, layer.kernel_size, channels)
    if kind == "DepthwiseConv2D":
        return own + costs.depthwise_macs(output, layer.kernel_size)
    if kind == "SeparableConv2D":
        between = (*output[:2], inputs[-1] * layer.depth_multiplier)
        depthwise = costs.depthwise_macs(between, layer.kernel_size)
        return own + depthwise + costs.conv_macs(output, (1, 1), between[-1])
    if kind == "Dense":
        return own + costs.dense_macs(inputs[-1], prod(output))
    if kind in ("AveragePooling2D", "MaxPooling2D"):
        return costs.pool_macs(output, layer.pool_size)
    if kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        return costs.pool_macs(output[-1:], inputs[1:3])
    if kind == "Add":
        return costs.elementwise_macs(output) * (len(inputs) - 1)
    if kind in ("Activation", "Softmax"):
        return own
    raise UserError(f"layer {layer.name!r} is a {kind}, which the cost model does not know")


def layer_params(layer: Any) -> int:
    """Weights and biases of one layer as deployed, with batch norm folded into a bias."""
    if type(layer).__name__ == "BatchNormalization":
        return int(layer.output_shape[-1])
    return int(layer.count_params())


def exit_costs(net: Any) -> ExitCosts:
    """Costs of all exits of a network, in the order of execution.

    What several exits need is the trunk; what one alone needs is its head.

    Args:
        net: a functional model with one softmax output an exit.

    Raises:
        UserError: the exits' trunks do not contain one another, so that no exit comes first.
    """
    needs = [_ancestors(output) for output in net.outputs]
    shared = {name for name in set().union(*needs) if sum(name in need for need in needs) > 1}
    layers = {layer.name: layer for layer in net.layers}
    macs = {name: layer_macs(layers[name]) for name in set().union(*needs)}
    params = {name: layer_params(layers[name]) for name in macs}

    def total(table: dict[str, int], names: Iterable[str]) -> int:
        return sum(table[name] for name in names)

    entries = sorted(
        (
            (need & shared, need - shared, Exit.parse(name))
            for need, name in zip(needs, net.output_names, strict=True)
        ),
        key=lambda entry: (len(entry[0]), total(macs, entry[1]), entry[2].name),
    )
    for (earlier, _, first), (later, _, second) in itertools.pairwise(entries):
        if not earlier <= later:
            raise UserError(
                f"exits {first.name} and {second.name} sit on branches of which neither "
                f"contains the other, so neither comes first; tap the backbone along one path"
            )
    return ExitCosts(
        exits=tuple(exit_ for _, _, exit_ in entries),
        trunk_macs=tuple(total(macs, trunk) for trunk, _, _ in entries),
        head_macs=tuple(total(macs, head) for _, head, _ in entries),
        trunk_params=tuple(total(params, trunk) for trunk, _, _ in entries),
        head_params=tuple(total(params, head) for _, head, _ in entries),
        decision=costs.decision_macs(int(net.outputs[0].shape[-1])),
    )


def _has_softmax(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return type(layer).__name__ == "Softmax" or getattr(activation, "__name__", "") == "softmax"


def _ancestors(tensor: Any) -> set[str]:
    """Names of the layers that compute a tensor of a functional model."""
    found: set[str] = set()
    waiting = [tensor.node]
    while waiting:
        node = waiting.pop()
        if node.layer.name not in found:
            found.add(node.layer.name)
            waiting.extend(node.parent_nodes)
    return found
