"""Costs of a network's exits, built or described, with the formulas of `costs`.

Keras's layers are known by their class's name, so that this needs no TensorFlow to be imported.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from math import prod
from typing import Any, TypeVar

from eexit_tf import costs
from eexit_tf.blueprints import Unit
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.foreign_keras import refuse_keras3
from eexit_tf.vocabulary import Exit

Part = TypeVar("Part")
"""Of a network: the name of a layer, or a unit of a description."""

FREE = {
    "InputLayer",
    "BatchNormalization",
    "ReLU",
    "Flatten",
    "Reshape",
    "Dropout",
    "SpatialDropout2D",
    "ZeroPadding2D",
    "Concatenate",
}
"""Layers that cost nothing: folded into the layer before, active in training alone, or moving
data. (A ReLU behind an addition is fused into it as well.)"""
SCORES = ("Dense", "Activation")
"""Layers that classifiers end in."""
NO_SOFTMAX = ("linear", "relu", "sigmoid", "tanh")
"""Keras's activations that are seen behind classifiers and make no probabilities of classes."""

_ITS_LAYERS = "; build with its layers, such as Model(base.input, head(base.output)) around a base"
_SCALED = (
    "; leave it out: inputs are scaled already, and a model for inputs that are N times larger "
    "takes --input-scale N"
)
INSTEAD = {
    "Functional": _ITS_LAYERS,
    "Sequential": _ITS_LAYERS,
    "Normalization": _SCALED,
    "Rescaling": _SCALED,
}
"""What to do about kinds of layers that can be done without."""


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
    own = costs.elementwise_macs(output) if has_softmax(layer) else 0
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
    instead = INSTEAD.get(kind, "")
    raise UserError(
        f"layer {layer.name!r} is a {kind}, which the cost model does not know{instead}"
    )


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
        UserError: the exits' trunks do not contain one another, so that no exit comes first, a
            layer is called more than once, or the network is one of Keras 3.
    """
    refuse_keras3(net)
    exits = [Exit.parse(name) for name in net.output_names]
    ancestors(*net.outputs)  # refuses a layer that two exits call
    needs = [ancestors(output) for output in net.outputs]
    layers = {layer.name: layer for layer in net.layers}
    loads = {
        name: (layer_macs(layers[name]), layer_params(layers[name])) for name in set().union(*needs)
    }
    return _in_order(exits, needs, loads, int(net.outputs[0].shape[-1]))


def described_costs(exits: Mapping[Exit, Unit]) -> ExitCosts:
    """As `exit_costs`, of a network that is only described: a classifier for each exit."""
    needed: dict[Unit, frozenset[Unit]] = {}
    needs = [_units(unit, needed) for unit in exits.values()]
    loads = {unit: (unit.macs, unit.params) for unit in needed}
    return _in_order(list(exits), needs, loads, next(iter(exits.values())).shape[2])


def trunk_macs(taps: Iterable[Unit]) -> list[int]:
    """What the network up to each of these units costs."""
    needed: dict[Unit, frozenset[Unit]] = {}
    return [sum(unit.macs for unit in _units(tap, needed)) for tap in taps]


def _in_order(
    exits: Sequence[Exit],
    needs: Sequence[Set[Part]],
    loads: Mapping[Part, tuple[int, int]],
    classes: int,
) -> ExitCosts:
    """Costs from the parts that each exit needs, and the MACs and parameters of each part."""
    times = Counter(itertools.chain.from_iterable(needs))
    shared = {part for part, count in times.items() if count > 1}

    def total(parts: Set[Part]) -> tuple[int, int]:
        return sum(loads[part][0] for part in parts), sum(loads[part][1] for part in parts)

    entries = sorted(
        (
            (need & shared, total(need - shared), exit_)
            for need, exit_ in zip(needs, exits, strict=True)
        ),
        key=lambda entry: (len(entry[0]), entry[1][0], entry[2].name),
    )
    for (earlier, _, first), (later, _, second) in itertools.pairwise(entries):
        if not earlier <= later:
            raise UserError(
                f"exits {first.name} and {second.name} sit on branches of which neither "
                f"contains the other, so neither comes first; tap the backbone along one path"
            )
    trunks = [total(trunk) for trunk, _, _ in entries]
    return ExitCosts(
        exits=tuple(exit_ for _, _, exit_ in entries),
        trunk_macs=tuple(macs for macs, _ in trunks),
        head_macs=tuple(head[0] for _, head, _ in entries),
        trunk_params=tuple(params for _, params in trunks),
        head_params=tuple(head[1] for _, head, _ in entries),
        decision=costs.decision_macs(classes),
    )


def _units(unit: Unit, needed: dict[Unit, frozenset[Unit]]) -> frozenset[Unit]:
    """A unit and all that it needs."""
    if unit not in needed:
        before = [_units(source, needed) for source in unit.inputs]
        needed[unit] = frozenset().union([unit], *before)
    return needed[unit]


def has_softmax(layer: Any) -> bool:
    """Whether a Keras layer ends in a softmax."""
    activation = getattr(layer, "activation", None)
    return type(layer).__name__ == "Softmax" or getattr(activation, "__name__", "") == "softmax"


def check_softmax(net: Any) -> None:
    """Refuse a network with an output that is seen to be no softmax.

    What a nested network, a layer of someone's own or an activation of theirs gives is not seen.

    Raises:
        UserError: says which output.
    """
    for name, output in zip(net.output_names, net.outputs, strict=True):
        node = output.node
        while _passes_on(node.layer):
            node = node.parent_nodes[0]
        activation = getattr(getattr(node.layer, "activation", None), "__name__", "")
        if type(node.layer).__name__ in SCORES and activation in NO_SOFTMAX:
            raise UserError(
                f"output {name!r} of {net.name} ends in {node.layer.name!r} without a softmax "
                f"(its activation is {activation}), where each exit must give a softmax over the "
                f"classes; end it with one"
            )


def _passes_on(layer: Any) -> bool:
    """Whether a layer gives what it takes, as those do that name an output or set its type."""
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return type(layer).__name__ == "Activation" and activation == "linear"


def readers(net: Any, layer: Any) -> list[Any]:
    """The layers of a network that take what a layer gives: it may be part of others as well."""
    return [node.layer for node in layer.outbound_nodes if node.layer in net.layers]


def ancestors(*tensors: Any) -> set[str]:
    """Names of the layers that compute tensors of a functional model.

    Raises:
        UserError: a layer is called more than once, so that its name does not tell its cost.
    """
    found: dict[str, Any] = {}
    waiting = [tensor.node for tensor in tensors]
    while waiting:
        node = waiting.pop()
        name = node.layer.name
        if name not in found:
            found[name] = node
            waiting.extend(node.parent_nodes)
        elif found[name] is not node:
            raise UserError(
                f"layer {name!r} is called more than once, where costs are counted once a layer; "
                f"make another layer for each call"
            )
    return set(found)
