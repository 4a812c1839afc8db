"""Shapes, types and scales of each operator that this project handles.

A check yields what is wrong, as a sentence. An operator without a check is refused: what has
not been thought through does not reach native code.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType

import numpy as np
from ai_edge_litert import schema_py_generated as fb

INT8, FLOAT, INT32, BOOL = (
    fb.TensorType.INT8,
    fb.TensorType.FLOAT32,
    fb.TensorType.INT32,
    fb.TensorType.BOOL,
)
_FUSABLE = {
    fb.ActivationFunctionType.NONE,
    fb.ActivationFunctionType.RELU,
    fb.ActivationFunctionType.RELU_N1_TO_1,
    fb.ActivationFunctionType.RELU6,
}


@dataclass(frozen=True)
class Place:
    """An operator where it stands: what a check needs to know."""

    model: fb.ModelT
    graph: fb.SubGraphT
    number: int
    operator: fb.OperatorT
    called: set[int]

    @property
    def inputs(self) -> list[fb.TensorT | None]:
        return [None if i == -1 else self.graph.tensors[i] for i in self.operator.inputs]

    @property
    def outputs(self) -> list[fb.TensorT]:
        return [self.graph.tensors[i] for i in self.operator.outputs]

    @property
    def options(self) -> object:
        return self.operator.builtinOptions

    def data(self, tensor: fb.TensorT) -> np.ndarray | None:
        """Values of a constant int32 tensor, `None` if it is anything else."""
        data = self.model.buffers[tensor.buffer].data
        return np.asarray(data).view("<i4") if tensor.type == INT32 and len(data) else None


def sizes(tensor: fb.TensorT) -> tuple[int, ...]:
    return tuple(int(size) for size in tensor.shape)


def check_operator(
    model: fb.ModelT, graph: fb.SubGraphT, operator: fb.OperatorT, number: int, called: set[int]
) -> Iterator[str]:
    """What is wrong with an operator; graphs that it calls are added to `called`."""
    from eexit_tf.tflite.schema import op_name

    name = op_name(model, operator)
    rule = RULES.get(name)
    if rule is None:
        yield f"{name} is not supported; supported are {', '.join(sorted(RULES))}"
        return
    place = Place(model, graph, number, operator, called)
    fewest, most, writes, options, check = rule
    reads = len(operator.inputs)
    if not fewest <= reads <= most or any(i == -1 for i in operator.inputs[:fewest]):
        yield f"{name} has {reads} inputs, expected {fewest} to {most}"
    if writes and len(operator.outputs) != writes:
        yield f"{name} has {len(operator.outputs)} outputs, expected {writes}"
    if options is not None and not isinstance(place.options, options):
        yield f"{name} has no options of its own kind"
    if options is None and place.options is not None:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
    if getattr(place.options, "fusedActivationFunction", 0) not in _FUSABLE:
        yield f"{name} has an activation that is not supported"
    for problem in check(place):
        shapes = [sizes(t) for t in place.inputs if t is not None]
        outputs = [sizes(t) for t in place.outputs]
        yield f"{name}: {problem} (inputs {shapes}, outputs {outputs})"


def same_type(*tensors: fb.TensorT | None, types: Iterable[int] = (INT8, FLOAT)) -> Iterator[str]:
    kinds = {tensor.type for tensor in tensors if tensor is not None}
    if len(kinds) > 1 or not kinds <= set(types):
        yield f"type numbers {sorted(kinds)} where all should be the same, int8 or float32"


def window_output(size: int, window: int, stride: int, dilation: int, padding: int) -> int:
    """How many windows fit along one side."""
    if padding == fb.Padding.SAME:
        return -(-size // stride)
    return -(-(size - (window - 1) * dilation) // stride)


def _convolution(place: Place, depthwise: bool) -> Iterator[str]:
    x, kernel, bias = (*place.inputs, None)[:3]
    y, options = place.outputs[0], place.options
    yield from same_type(x, kernel, y)
    if len(sizes(x)) != 4 or len(sizes(kernel)) != 4 or len(sizes(y)) != 4:
        yield "not all of four dimensions"
    n, height, width, channels = sizes(x)
    if not len(place.model.buffers[kernel.buffer].data):
        yield "the kernel is not a constant"
    first, kernel_height, kernel_width, last = sizes(kernel)
    strides = (options.strideH, options.strideW)
    dilations = (options.dilationHFactor, options.dilationWFactor)
    if not all(1 <= step <= 1 << 12 for step in strides + dilations):
        yield f"strides {strides} or dilations {dilations} out of range"
    if options.padding not in (fb.Padding.SAME, fb.Padding.VALID):
        yield f"unknown padding {options.padding}"
    if depthwise:
        out_channels, axis = last, 3
        if first != 1 or options.depthMultiplier * channels != last:
            yield f"depth multiplier {options.depthMultiplier} does not fit"
    else:
        out_channels, axis = first, 0
        if last != channels:
            yield "input channels differ from the kernel's"
    expected = (
        n,
        window_output(height, kernel_height, strides[0], dilations[0], options.padding),
        window_output(width, kernel_width, strides[1], dilations[1], options.padding),
        out_channels,
    )
    if sizes(y) != expected:
        yield f"the output should be {expected}"
    yield from _weights(x, kernel, bias, axis, out_channels)


def _weights(
    x: fb.TensorT, kernel: fb.TensorT, bias: fb.TensorT | None, axis: int, channels: int
) -> Iterator[str]:
    if bias is not None:
        if sizes(bias) != (channels,):
            yield f"the bias should be ({channels},)"
        if bias.type != (INT32 if x.type == INT8 else FLOAT):
            yield "the bias has the wrong type"
    scales = kernel.quantization.scale
    if len(scales) > 1 and kernel.quantization.quantizedDimension != axis:
        yield "the kernel is quantised along the wrong dimension"
    if len(scales) and any(kernel.quantization.zeroPoint):
        yield "the kernel's zero point is not 0"


def _dense(place: Place) -> Iterator[str]:
    x, kernel, bias = (*place.inputs, None)[:3]
    y, options = place.outputs[0], place.options
    yield from same_type(x, kernel, y)
    if len(sizes(kernel)) != 2 or not sizes(x) or not sizes(y):
        yield "the kernel is not of two dimensions, or input or output are scalars"
    if not len(place.model.buffers[kernel.buffer].data):
        yield "the kernel is not a constant"
    units, reads = sizes(kernel)
    batch, rest = divmod(math.prod(sizes(x)), reads)
    if rest or math.prod(sizes(y)) != batch * units or sizes(y)[-1] != units:
        yield "the sizes do not fit"
    if options.keepNumDims and sizes(y)[:-1] != sizes(x)[:-1]:
        yield "the output does not keep the input's dimensions"
    if options.weightsFormat or options.asymmetricQuantizeInputs or options.quantSpec is not None:
        yield "weight formats other than the default are not supported"
    yield from _weights(x, kernel, bias, 0, units)


def _pool(place: Place) -> Iterator[str]:
    x, y, options = place.inputs[0], place.outputs[0], place.options
    yield from same_type(x, y)
    if len(sizes(x)) != 4 or len(sizes(y)) != 4:
        yield "not all of four dimensions"
    numbers = (options.strideH, options.strideW, options.filterHeight, options.filterWidth)
    if not all(1 <= number <= 1 << 12 for number in numbers):
        yield f"strides and window {numbers} out of range"
    if options.padding not in (fb.Padding.SAME, fb.Padding.VALID):
        yield f"unknown padding {options.padding}"
    expected = (
        sizes(x)[0],
        window_output(sizes(x)[1], numbers[2], numbers[0], 1, options.padding),
        window_output(sizes(x)[2], numbers[3], numbers[1], 1, options.padding),
        sizes(x)[3],
    )
    if sizes(y) != expected:
        yield f"the output should be {expected}"


def _same_shape(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    if sizes(x) != sizes(y) or not sizes(x):
        yield "input and output differ in shape"


def _softmax(place: Place) -> Iterator[str]:
    yield from _same_shape(place)
    x, y, beta = place.inputs[0], place.outputs[0], place.options.beta
    if not 1e-4 < beta < 1e4:
        yield f"beta {beta} out of range"
    if x.type == INT8:
        yield from _unit_scale(y)
        if beta * x.quantization.scale[0] * (1 << 26) <= 1:
            yield "the input's scale is too small"


def _logistic(place: Place) -> Iterator[str]:
    yield from _same_shape(place)
    if place.inputs[0].type == INT8:
        yield from _unit_scale(place.outputs[0])


def _unit_scale(tensor: fb.TensorT) -> Iterator[str]:
    if tensor.quantization.scale[0] != 1 / 256 or tensor.quantization.zeroPoint[0] != -128:
        yield "an int8 output that is not of scale 1/256 and zero point -128"


def _requantise(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    if sizes(x) != sizes(y):
        yield "input and output differ in shape"
    if not {x.type, y.type} <= {INT8, FLOAT} or (x.type, y.type) == (FLOAT, FLOAT):
        yield "only between int8 and float32, or int8 and int8"


def _quantise(place: Place) -> Iterator[str]:
    yield from _requantise(place)
    if place.outputs[0].type != INT8:
        yield "the output is not int8"


def _dequantise(place: Place) -> Iterator[str]:
    yield from _requantise(place)
    if place.inputs[0].type != INT8 or place.outputs[0].type != FLOAT:
        yield "not from int8 to float32"


def _broadcast(place: Place) -> Iterator[str]:
    a, b, y = *place.inputs, place.outputs[0]
    try:
        expected = np.broadcast_shapes(sizes(a), sizes(b))
    except ValueError:
        yield "the inputs' shapes do not fit"
        return
    if sizes(y) != expected or len(expected) > 4:
        yield f"the output should be {expected}, of at most four dimensions"


def _elementwise(place: Place) -> Iterator[str]:
    yield from same_type(*place.inputs, place.outputs[0])
    yield from _broadcast(place)


def _add(place: Place) -> Iterator[str]:
    yield from _elementwise(place)
    a, b, y = *place.inputs, place.outputs[0]
    if a.type == INT8:
        largest = 2 * max(a.quantization.scale[0], b.quantization.scale[0])
        if largest / ((1 << 20) * y.quantization.scale[0]) >= 1:
            yield "the output's scale is too small"


def _compare(place: Place) -> Iterator[str]:
    yield from same_type(*place.inputs)
    yield from _broadcast(place)
    if place.outputs[0].type != BOOL:
        yield "the output is not bool"
    if place.inputs[0].type == INT8 and any(t.quantization.scale[0] >= 1 for t in place.inputs):
        yield "a scale is not below 1"


def _reshape(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y, types=(INT8, FLOAT, INT32))
    if math.prod(sizes(x)) != math.prod(sizes(y)):
        yield "input and output differ in size"
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
    known = [(int(a), b) for a, b in zip(wanted, sizes(y), strict=False) if a != -1]
    if len(wanted) != len(sizes(y)) or any(a != b for a, b in known):
        yield f"the new shape {list(wanted)} is not the output's"
    if list(wanted).count(-1) > 1:
        yield f"the new shape {list(wanted)} leaves two sizes open"


def _axes(place: Place, tensor: fb.TensorT, rank: int) -> list[int] | None:
    axes = place.data(tensor)
    if axes is None or not len(axes) or len(axes) > 4:
        return None
    if any(not -rank <= axis < rank for axis in axes):
        return None
    found = [int(axis) % rank for axis in axes]
    return found if len(set(found)) == len(found) else None


def _reduce(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    rank = len(sizes(x))
    axes = _axes(place, place.inputs[1], rank) if 0 < rank <= 4 else None
    if axes is None:
        yield "the axes are not constant numbers of dimensions"
        return
    keep = place.options.keepDims
    expected = [
        1 if i in axes else size for i, size in enumerate(sizes(x)) if keep or i not in axes
    ]
    if list(sizes(y)) != expected:
        yield f"the output should be {expected}"


def _concatenate(place: Place) -> Iterator[str]:
    y = place.outputs[0]
    if any(tensor is None for tensor in place.inputs):
        yield "an input is missing"
        return
    yield from same_type(*place.inputs, y)
    rank, axis = len(sizes(y)), place.options.axis
    if not 0 < rank <= 4 or not -rank <= axis < rank:
        yield f"there is no dimension {axis}"
        return
    axis %= rank
    total = 0
    for tensor in place.inputs:
        if len(sizes(tensor)) != rank:
            yield "the inputs' shapes do not fit"
            return
        total += sizes(tensor)[axis]
        if any(sizes(tensor)[i] != sizes(y)[i] for i in range(rank) if i != axis):
            yield "the inputs' shapes do not fit"
    if total != sizes(y)[axis]:
        yield "the output has the wrong size"


def _pad(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    pads = place.data(place.inputs[1])
    if pads is None or sizes(place.inputs[1]) != (len(sizes(x)), 2) or len(sizes(x)) > 4:
        yield "the padding is not a constant (dimensions, 2)"
        return
    expected = tuple(
        size + int(before) + int(after)
        for size, (before, after) in zip(sizes(x), pads.reshape(-1, 2), strict=True)
    )
    if pads.min() < 0 or sizes(y) != expected:
        yield f"the output should be {expected}"


def _if(place: Place) -> Iterator[str]:
    condition, *given = place.inputs
    if condition.type != BOOL or math.prod(sizes(condition)) != 1 or None in given:
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
            if [(t.type, sizes(t)) for t in mine] != [(t.type, sizes(t)) for t in theirs]:
                yield f"types or shapes differ from those of graph {target}"


Rule = tuple[int, int, int, type | tuple[type, ...] | None, Callable[[Place], Iterable[str]]]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # inputs at least and at most, outputs (0: any), options, check
        "ADD": (2, 2, 1, fb.AddOptionsT, _add),
        "AVERAGE_POOL_2D": (1, 1, 1, fb.Pool2DOptionsT, _pool),
        "CONCATENATION": (1, 64, 1, fb.ConcatenationOptionsT, _concatenate),
        "CONV_2D": (2, 3, 1, fb.Conv2DOptionsT, lambda p: _convolution(p, False)),
        "DEPTHWISE_CONV_2D": (
            2,
            3,
            1,
            fb.DepthwiseConv2DOptionsT,
            lambda p: _convolution(p, True),
        ),
        "DEQUANTIZE": (1, 1, 1, None, _dequantise),
        "FULLY_CONNECTED": (2, 3, 1, fb.FullyConnectedOptionsT, _dense),
        "GREATER_EQUAL": (2, 2, 1, None, _compare),
        "IF": (1, 256, 0, fb.IfOptionsT, _if),
        "LOGISTIC": (1, 1, 1, None, _logistic),
        "MAX_POOL_2D": (1, 1, 1, fb.Pool2DOptionsT, _pool),
        "MEAN": (2, 2, 1, fb.ReducerOptionsT, _reduce),
        "MUL": (2, 2, 1, fb.MulOptionsT, _elementwise),
        "PAD": (2, 2, 1, None, _pad),
        "QUANTIZE": (1, 1, 1, None, _quantise),
        "REDUCE_MAX": (2, 2, 1, fb.ReducerOptionsT, _reduce),
        "RELU": (1, 1, 1, None, _same_shape),
        "RELU6": (1, 1, 1, None, _same_shape),
        "RESHAPE": (1, 2, 1, (fb.ReshapeOptionsT, NoneType), _reshape),
        "SOFTMAX": (1, 1, 1, fb.SoftmaxOptionsT, _softmax),
        "SUB": (2, 2, 1, fb.SubOptionsT, _add),
    }
)
