"""Multiply-accumulates and parameters of the operators of a `.tflite` graph.

The convention is that of `eexit_tf.costs`; here it is applied to operators.
"""

from collections.abc import Iterable, Sequence
from math import prod

from ai_edge_litert import schema_py_generated as fb

from eexit_tf import costs
from eexit_tf.confidences import Confidence
from eexit_tf.costs import ExitCosts
from eexit_tf.tflite import schema
from eexit_tf.tflite.lineage import Lineage, resolve
from eexit_tf.vocabulary import Exit

_FREE = {
    "CONCATENATION",
    "DEQUANTIZE",
    "IF",
    "PAD",
    "QUANTIZE",
    "RESHAPE",
    "SLICE",
    "SPLIT",
    "SPLIT_V",
    "STRIDED_SLICE",
    "TRANSPOSE",
}
_PARAMETERS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "ADD": (0, 1),
    "MUL": (0, 1),
    "PRELU": (1,),
    "SUB": (0, 1),
}
_TRUNK = {"ADD", "CONV_2D", "DEPTHWISE_CONV_2D"}


def operator_macs(model: fb.ModelT, subgraph: fb.SubGraphT, op: fb.OperatorT) -> int:
    """What one operator costs, in multiply-accumulates."""
    name = schema.op_name(model, op)
    if name in _FREE:
        return 0
    output = schema.shape(subgraph.tensors[op.outputs[0]])
    first = schema.shape(subgraph.tensors[op.inputs[0]])
    if name == "CONV_2D":
        kernel = schema.shape(subgraph.tensors[op.inputs[1]])
        return costs.conv_macs(output, kernel[1:3], kernel[3])
    if name == "DEPTHWISE_CONV_2D":
        kernel = schema.shape(subgraph.tensors[op.inputs[1]])
        return costs.depthwise_macs(output, kernel[1:3])
    if name == "FULLY_CONNECTED":
        units, reads = schema.shape(subgraph.tensors[op.inputs[1]])
        return prod(first) // reads * costs.dense_macs(reads, units)
    if name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        options = op.builtinOptions
        return costs.pool_macs(output, (options.filterHeight, options.filterWidth))
    if name in ("ARG_MAX", "MEAN", "REDUCE_MAX"):
        return prod(first)
    return costs.elementwise_macs(output)


def graph_macs(model: fb.ModelT, operators: Iterable[int]) -> int:
    """What these operators of the main graph cost together."""
    main = model.subgraphs[0]
    return sum(operator_macs(model, main, main.operators[i]) for i in operators)


def graph_params(model: fb.ModelT, operators: Iterable[int]) -> int:
    """Weights and biases that these operators of the main graph use, each counted once."""
    main = model.subgraphs[0]
    found: dict[int, int] = {}
    for i in operators:
        op = main.operators[i]
        for position in _PARAMETERS.get(schema.op_name(model, op), ()):
            index = int(op.inputs[position]) if position < len(op.inputs) else -1
            if index >= 0 and schema.is_constant(model, main.tensors[index]):
                found[index] = prod(schema.shape(main.tensors[index]))
    return sum(found.values())


def order_by_cost(model: fb.ModelT) -> list[str]:
    """The outputs' names, cheapest exit first."""
    lineage = Lineage(model)
    outputs = schema.outputs_by_name(model)

    def cost(name: str) -> tuple[int, int, int, str]:
        operators = lineage.ancestors(outputs[name])
        return (graph_macs(model, operators), len(operators), max(operators, default=-1), name)

    return sorted(outputs, key=cost)


def exit_costs(
    model: fb.ModelT, order: Sequence[str] | None = None, confidence: Confidence = "max"
) -> ExitCosts:
    """Costs of every exit of a multi-output network.

    An exit's trunk is what a later exit needs as well; its head is the rest. Of the last exit,
    the head is what follows the last convolution or addition on a map. Where exits share operators
    other than as a chain (a head that uses an earlier exit's head), sums for *subsets* of exits
    may be off; `stages.cut` is exact for any subset.

    Args:
        model: static network with one softmax output an exit.
        order: the exits' output names in the order of execution; by cost if not given.
        confidence: what decisions measure.
    """
    names = list(order) if order is not None else order_by_cost(model)
    lineage = Lineage(model)
    outputs = [resolve(model, name) for name in names]
    needs = [lineage.ancestors(index) for index in outputs]
    trunks: list[set[int]] = []
    for i, mine in enumerate(needs[:-1]):
        later = set().union(*needs[i + 1 :])
        trunks.append(mine & later | (trunks[-1] if trunks else set()))
    trunks.append(needs[-1] - _last_head(model, needs[-1]) | (trunks[-1] if trunks else set()))
    heads = [mine - trunk for mine, trunk in zip(needs, trunks, strict=True)]
    classes = schema.shape(model.subgraphs[0].tensors[outputs[0]])[-1]
    return ExitCosts(
        exits=tuple(Exit.parse(name) for name in names),
        trunk_macs=tuple(graph_macs(model, trunk) for trunk in trunks),
        head_macs=tuple(graph_macs(model, head) for head in heads),
        trunk_params=tuple(graph_params(model, trunk) for trunk in trunks),
        head_params=tuple(graph_params(model, head) for head in heads),
        decision=costs.decision_macs(classes, confidence),
    )


def _last_head(model: fb.ModelT, operators: set[int]) -> set[int]:
    main = model.subgraphs[0]

    def is_trunk(op: fb.OperatorT) -> bool:
        shape = schema.shape(main.tensors[op.outputs[0]])
        return schema.op_name(model, op) in _TRUNK and len(shape) == 4 and prod(shape[1:3]) > 1

    last = max((i for i in operators if is_trunk(main.operators[i])), default=-1)
    return {i for i in operators if i > last}
