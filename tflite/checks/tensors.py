"""Checks of the operators that add, compare, reduce, reshape or branch."""

import math
from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.checks.place import (
    BOOL,
    FLOAT,
    INT4,
    INT8,
    INT32,
    UINT8,
    Place,
    only_weights,
    same_quantisation,
    same_type,
)


def _conversion(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    if schema.shape(x) != schema.shape(y):
        yield "input and output differ in shape"


def quantise(place: Place) -> Iterator[str]:
    yield from _conversion(place)
    kinds = (place.inputs[0].type, place.outputs[0].type)
    if kinds not in ((FLOAT, INT8), (INT8, INT8), (UINT8, INT8), (INT8, UINT8)):
        yield "not from float32, int8 or uint8 to int8, nor from int8 to uint8"


def dequantise(place: Place) -> Iterator[str]:
    yield from _conversion(place)
    if place.inputs[0].type == INT4:
        yield only_weights(place.inputs[0])
    if place.inputs[0].type != INT8 or place.outputs[0].type != FLOAT:
        yield "not from int8 to float32"


def _broadcast(place: Place) -> Iterator[str]:
    y = place.outputs[0]
    try:
        expected = np.broadcast_shapes(*(schema.shape(tensor) for tensor in place.inputs))
    except ValueError:
        yield "the inputs' shapes do not fit"
        return
    if schema.shape(y) != expected or len(expected) > 4:
        yield f"the output should be {expected}, of at most four dimensions"


def elementwise(place: Place) -> Iterator[str]:
    yield from same_type(*place.inputs, place.outputs[0])
    yield from _broadcast(place)


def largest_or_smallest(place: Place) -> Iterator[str]:
    yield from elementwise(place)
    yield from same_quantisation(place)


def add(place: Place) -> Iterator[str]:
    yield from elementwise(place)
    a, b, y = *place.inputs, place.outputs[0]
    if a.type == INT8:
        largest = 2 * max(a.quantization.scale[0], b.quantization.scale[0])
        if largest / ((1 << 20) * y.quantization.scale[0]) >= 1:
            yield "the output's scale is too small"


def compare(place: Place) -> Iterator[str]:
    yield from same_type(*place.inputs, types=(INT8, FLOAT, INT32))
    yield from _broadcast(place)
    if place.outputs[0].type != BOOL:
        yield "the output is not bool"
    if place.inputs[0].type == INT8 and any(t.quantization.scale[0] >= 1 for t in place.inputs):
        yield "a scale is not below 1"


def select(place: Place) -> Iterator[str]:
    condition, *values = place.inputs
    yield from same_type(*values, place.outputs[0])
    yield from _broadcast(place)
    if condition.type != BOOL:
        yield "the condition is not bool"


def arg_max(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x)
    rank = len(schema.shape(x))
    axes = _axes(place, place.inputs[1], rank) if rank <= 4 else None
    if axes is None or len(axes) != 1:
        yield "the axis is not the constant number of a dimension"
        return
    if y.type != INT32 or place.options.outputType != INT32:
        yield "the output is not int32"
    expected = tuple(size for i, size in enumerate(schema.shape(x)) if i != axes[0])
    if schema.shape(y) != expected:
        yield f"the output should be {expected}"


def reshape(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y, types=(INT8, FLOAT, INT32))
    if math.prod(schema.shape(x)) != math.prod(schema.shape(y)):
        yield "input and output differ in size"
    if x.type == y.type == INT8 and schema.quantization(x) != schema.quantization(y):
        yield "input and output differ in quantisation, which takes a QUANTIZE beside it"
    wanted = None
    if len(place.inputs) > 1:
        wanted = place.data(place.inputs[1]) if place.inputs[1] is not None else None
        if wanted is None:
            yield "the new shape is not constant"
            return
    elif place.options is not None:
        wanted = place.options.newShape
    if wanted is None or isinstance(wanted, int):
        yield "no new shape"
        return
    sizes = [int(size) for size in wanted]
    known = [(a, b) for a, b in zip(sizes, schema.shape(y), strict=False) if a != -1]
    if len(sizes) != len(schema.shape(y)) or any(a != b for a, b in known):
        yield f"the new shape {sizes} is not the output's"
    if sizes.count(-1) > 1:
        yield f"the new shape {sizes} leaves two sizes open"


def _axes(place: Place, tensor: fb.TensorT, rank: int) -> list[int] | None:
    axes = place.data(tensor)
    if axes is None or any(not -rank <= axis < rank for axis in axes):
        return None
    found = [int(axis) % rank for axis in axes]
    return found if len(set(found)) == len(found) else None


def reduce(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    rank = len(schema.shape(x))
    axes = _axes(place, place.inputs[1], rank) if rank <= 4 else None
    if axes is None:
        yield "the axes are not constant numbers of dimensions"
        return
    keep = place.options.keepDims
    expected = [
        1 if i in axes else size for i, size in enumerate(schema.shape(x)) if keep or i not in axes
    ]
    if list(schema.shape(y)) != expected:
        yield f"the output should be {expected}"


def maximum(place: Place) -> Iterator[str]:
    yield from reduce(place)
    yield from same_quantisation(place)


def concatenate(place: Place) -> Iterator[str]:
    y = place.outputs[0]
    if any(tensor is None for tensor in place.inputs):
        yield "an input is missing"
        return
    yield from same_type(*place.inputs, y)
    if place.options.fusedActivationFunction != fb.ActivationFunctionType.NONE:
        yield "an activation of its own, which TFLM does not take"
    yield from same_quantisation(place)
    rank, axis = len(schema.shape(y)), place.options.axis
    if rank > 4 or not -rank <= axis < rank:
        yield f"there is no dimension {axis}"
        return
    axis %= rank
    total = 0
    for tensor in place.inputs:
        if len(schema.shape(tensor)) != rank:
            yield "the inputs' shapes do not fit"
            return
        total += schema.shape(tensor)[axis]
        if any(schema.shape(tensor)[i] != schema.shape(y)[i] for i in range(rank) if i != axis):
            yield "the inputs' shapes do not fit"
    if total != schema.shape(y)[axis]:
        yield "the output has the wrong size"


def transpose(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    yield from same_quantisation(place)
    order, shape = place.data(place.inputs[1]), schema.shape(x)
    if order is None or sorted(order.tolist()) != list(range(len(shape))):
        yield "the order of the dimensions is not a constant one"
        return
    expected = tuple(shape[i] for i in order)
    if schema.shape(y) != expected:
        yield f"the output should be {expected}"


def pad(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    pads = place.data(place.inputs[1])
    if (
        pads is None
        or schema.shape(place.inputs[1]) != (len(schema.shape(x)), 2)
        or len(schema.shape(x)) > 4
    ):
        yield "the padding is not a constant (dimensions, 2)"
        return
    expected = tuple(
        size + int(before) + int(after)
        for size, (before, after) in zip(schema.shape(x), pads.reshape(-1, 2), strict=True)
    )
    if pads.min() < 0 or schema.shape(y) != expected:
        yield f"the output should be {expected}"


def branch(place: Place) -> Iterator[str]:
    condition, *given = place.inputs
    if condition.type != BOOL or math.prod(schema.shape(condition)) != 1 or None in given:
        yield "the condition is not one bool, or an input is missing"
        return
    for target in (place.options.thenSubgraphIndex, place.options.elseSubgraphIndex):
        if not place.number < target < len(place.model.subgraphs) or target in place.called:
            yield f"graph {target} does not exist, comes earlier, or is called twice"
            return
        place.called.add(target)
        graph = place.model.subgraphs[target]
        inner = [[graph.tensors[i] for i in side] for side in (graph.inputs, graph.outputs)]
        for mine, theirs in ((given, inner[0]), (place.outputs, inner[1])):
            if [(t.type, schema.shape(t)) for t in mine] != [
                (t.type, schema.shape(t)) for t in theirs
            ]:
                yield f"types or shapes differ from those of graph {target}"
