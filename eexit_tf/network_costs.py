"""Costs of a network's exits, built or described, with the formulas of `costs`.

Keras's layers are known by their class's name, so that this needs no TensorFlow to be imported.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

from eexit_tf import costs
from eexit_tf.blueprints import Kind, Unit
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.foreign_keras import refuse_keras3
from eexit_tf.memory_estimates import exit_memory
from eexit_tf.softmaxes import activation_name, has_softmax, passes_on
from eexit_tf.vocabulary import Exit

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
VANISHING = ("BatchNormalization", "Dropout", "SpatialDropout2D")
"""Layers that are not there when deployed."""
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "InputLayer": "input",
        "Conv2D": "conv",
        "SeparableConv2D": "conv",
        "DepthwiseConv2D": "depthwise",
        "Add": "add",
        "AveragePooling2D": "average",
        "GlobalAveragePooling2D": "average",
        "MaxPooling2D": "maximum",
        "GlobalMaxPooling2D": "maximum",
        "ZeroPadding2D": "move",
        "Concatenate": "move",
    }
)
"""What kinds of units layers are, but for those that may be classifiers."""
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
OTHERWISE = "; expected convolutions, dense layers, pooling, additions, ReLU and softmax"


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
        if layer.groups > 1:
            raise UserError(
                f"layer {layer.name!r} is a convolution in {layer.groups} groups, which TFLite "
                f"Micro does not have; use a plain or a depthwise one"
            )
        return own + costs.conv_macs(output, layer.kernel_size, inputs[-1])
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
    instead = INSTEAD.get(kind, OTHERWISE)
    raise UserError(
        f"layer {layer.name!r} is a {kind}, which the cost model does not know{instead}"
    )


def _norm_loads(net: Any, node: Any) -> tuple[int, int]:
    """MACs and parameters of a batch norm of a network as deployed.

    Of one that is folded into the layer before, a bias is left unless there is one already: that
    layer's own, or that of another batch norm between. What else reads that layer's output wants it
    as it was; then, as behind anything but a linear layer, a multiplication and an addition remain.
    """
    shape, source, norms = node.layer.output_shape[1:], node.parent_nodes[0], 0
    while (kind := type(source.layer).__name__) in VANISHING or passes_on(source.layer):
        norms += kind == "BatchNormalization"
        source = source.parent_nodes[0]
    before = source.layer
    if (
        not hasattr(before, "use_bias")
        or activation_name(before) != "linear"
        or len(readers(net, before)) > 1
    ):
        return 2 * costs.elementwise_macs(shape), 2 * shape[-1]
    return 0, 0 if norms or before.use_bias else shape[-1]


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
    ancestors(*net.outputs)  # refuses a layer that two exits call
    units = layer_units(net)
    return described_costs(
        {
            Exit.parse(name): units[output.node.layer.name]
            for name, output in zip(net.output_names, net.outputs, strict=True)
        }
    )


def layer_units(net: Any) -> dict[str, Unit]:
    """The layers of a functional model as units, by name, each behind those that it reads."""
    units: dict[str, Unit] = {}
    waiting = [output.node for output in reversed(net.outputs)]
    while waiting:
        node = waiting[-1]
        missing = [parent for parent in node.parent_nodes if parent.layer.name not in units]
        if missing:
            waiting.extend(reversed(missing))
            continue
        waiting.pop()
        if node.layer.name not in units:
            inputs = tuple(units[parent.layer.name] for parent in node.parent_nodes)
            units[node.layer.name] = _unit(net, node, inputs)
    return units


def _unit(net: Any, node: Any, inputs: tuple[Unit, ...]) -> Unit:
    layer = node.layer
    name = type(layer).__name__
    kind = KINDS.get(name, "folded")
    macs, params = layer_macs(layer), int(layer.count_params())
    if name == "BatchNormalization":
        macs, params = _norm_loads(net, node)
        kind = "move" if macs else "folded"
    if name == "Dense" or (kind == "folded" and has_softmax(layer)):
        kind = "classify" if has_softmax(layer) else "conv"
    height, width, channels = (1, 1, *layer.output.shape[1:])[-3:]
    shape = (height, width, channels)
    if name == "SeparableConv2D":  # whose costs are all the second operator's here
        between = (height, width, inputs[0].shape[2] * layer.depth_multiplier)
        inputs = (Unit("depthwise", f"{layer.name}_depthwise", inputs, between),)
    return Unit(kind, layer.name, inputs, shape, macs, params)


def described_costs(exits: Mapping[Exit, Unit]) -> ExitCosts:
    """As `exit_costs`, of a network that is only described: a classifier for each exit."""
    needs = _needs(exits.values())
    times = Counter(itertools.chain.from_iterable(needs[unit] for unit in exits.values()))
    shared = {part for part, count in times.items() if count > 1}
    entries = sorted(
        ((needs[unit] & shared, needs[unit] - shared, exit_) for exit_, unit in exits.items()),
        key=lambda entry: (len(entry[0]), _macs(entry[1]), entry[2].name),
    )
    for (earlier, _, first), (later, _, second) in itertools.pairwise(entries):
        if not earlier <= later:
            raise UserError(
                f"exits {first.name} and {second.name} sit on branches of which neither "
                f"contains the other, so neither comes first; tap the backbone along one path"
            )
    trunks, heads, in_order = zip(*entries, strict=True)
    classes = next(iter(exits.values())).shape[2]
    return ExitCosts(
        exits=in_order,
        trunk_macs=tuple(map(_macs, trunks)),
        head_macs=tuple(map(_macs, heads)),
        trunk_params=tuple(map(_params, trunks)),
        head_params=tuple(map(_params, heads)),
        decision=costs.decision_macs(classes),
        memory=exit_memory(list(needs), trunks, heads, classes),
    )


def trunk_macs(taps: Sequence[Unit]) -> list[int]:
    """What the network up to each of these units costs."""
    needs = _needs(taps)
    return [_macs(needs[tap]) for tap in taps]


def _needs(wanted: Iterable[Unit]) -> dict[Unit, frozenset[Unit]]:
    """What each unit needs, itself too, of all that the wanted ones need, in order."""
    needs: dict[Unit, frozenset[Unit]] = {}
    for last in wanted:
        # A loop, as Python's recursion ends before deep networks do.
        waiting = [last]
        while waiting:
            missing = [source for source in waiting[-1].inputs if source not in needs]
            if missing:
                waiting.extend(reversed(missing))
                continue
            unit = waiting.pop()
            if unit not in needs:
                needs[unit] = frozenset([unit]).union(*(needs[source] for source in unit.inputs))
    return needs


def _macs(units: Iterable[Unit]) -> int:
    return sum(unit.macs for unit in units)


def _params(units: Iterable[Unit]) -> int:
    return sum(unit.params for unit in units)


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
