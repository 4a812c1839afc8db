"""Checks of the operators that have weights or windows, and of softmax and its like."""

import math
from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.checks.place import (
    FLOAT,
    INT4,
    INT8,
    INT32,
    Place,
    only_weights,
    same_quantisation,
    same_type,
)
from eexit_tf.tflite.lineage import producer
from eexit_tf.vocabulary import MOST_INT8_CLASSES


def window_output(size: int, window: int, stride: int, dilation: int, padding: int) -> int:
    """How many windows fit along one side."""
    if padding == fb.Padding.SAME:
        return -(-size // stride)
    return -(-(size - (window - 1) * dilation) // stride)


def convolution(place: Place, depthwise: bool) -> Iterator[str]:
    x, kernel, bias = (*place.inputs, None)[:3]
    y, options = place.outputs[0], place.options
    yield from _types(x, kernel, y)
    if len(schema.shape(x)) != 4 or len(schema.shape(kernel)) != 4 or len(schema.shape(y)) != 4:
        yield "not all of four dimensions"
    n, height, width, channels = schema.shape(x)
    yield from _constant(place, kernel)
    first, kernel_height, kernel_width, last = schema.shape(kernel)
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
        if channels % last == 0 and 1 < channels // last <= first:
            yield (
                f"grouped convolutions ({channels // last} groups) are not supported; use plain "
                "or depthwise ones"
            )
        if last != channels:
            yield "input channels differ from the kernel's"
    expected = (
        n,
        window_output(height, kernel_height, strides[0], dilations[0], options.padding),
        window_output(width, kernel_width, strides[1], dilations[1], options.padding),
        out_channels,
    )
    if schema.shape(y) != expected:
        yield f"the output should be {expected}"
    yield from _weights(x, kernel, bias, axis, out_channels)


def _types(x: fb.TensorT, kernel: fb.TensorT, y: fb.TensorT) -> Iterator[str]:
    if x.type == y.type == FLOAT and kernel.type in (INT4, INT8):
        yield only_weights(kernel)
    if (x.type, kernel.type) == (INT8, INT4):
        yield from same_type(x, y)
    else:
        yield from same_type(x, kernel, y)


def _constant(place: Place, kernel: fb.TensorT) -> Iterator[str]:
    if schema.is_constant(place.model, kernel):
        return
    before = producer(place.graph, place.operator.inputs[1])
    if before is not None and schema.op_name(place.model, before) == "DEQUANTIZE":
        stored = place.graph.tensors[before.inputs[0]]
        if schema.is_constant(place.model, stored):
            yield only_weights(stored)
    yield "the kernel is not a constant"


def _weights(
    x: fb.TensorT, kernel: fb.TensorT, bias: fb.TensorT | None, axis: int, channels: int
) -> Iterator[str]:
    if bias is not None:
        if schema.shape(bias) != (channels,):
            yield f"the bias should be ({channels},)"
        if bias.type != (INT32 if x.type == INT8 else FLOAT):
            yield "the bias has the wrong type"
    scales = kernel.quantization.scale
    if len(scales) > 1 and kernel.quantization.quantizedDimension != axis:
        yield "the kernel is quantised along the wrong dimension"
    if len(scales) and any(kernel.quantization.zeroPoint):
        yield "the kernel's zero point is not 0"


def dense(place: Place) -> Iterator[str]:
    x, kernel, bias = (*place.inputs, None)[:3]
    y, options = place.outputs[0], place.options
    yield from _types(x, kernel, y)
    if len(schema.shape(kernel)) != 2 or not schema.shape(x) or not schema.shape(y):
        yield "the kernel is not of two dimensions, or input or output are scalars"
    yield from _constant(place, kernel)
    units, reads = schema.shape(kernel)
    batch, rest = divmod(math.prod(schema.shape(x)), reads)
    if rest or math.prod(schema.shape(y)) != batch * units or schema.shape(y)[-1] != units:
        yield "the sizes do not fit"
    if options.keepNumDims and schema.shape(y)[:-1] != schema.shape(x)[:-1]:
        yield "the output does not keep the input's dimensions"
    if options.weightsFormat or options.asymmetricQuantizeInputs or options.quantSpec is not None:
        yield "weight formats other than the default are not supported"
    yield from _weights(x, kernel, bias, 0, units)


def pool(place: Place) -> Iterator[str]:
    x, y, options = place.inputs[0], place.outputs[0], place.options
    yield from same_type(x, y)
    yield from same_quantisation(place)
    if len(schema.shape(x)) != 4 or len(schema.shape(y)) != 4:
        yield "not all of four dimensions"
    numbers = (options.strideH, options.strideW, options.filterHeight, options.filterWidth)
    if not all(1 <= number <= 1 << 12 for number in numbers):
        yield f"strides and window {numbers} out of range"
    if options.padding not in (fb.Padding.SAME, fb.Padding.VALID):
        yield f"unknown padding {options.padding}"
    expected = (
        schema.shape(x)[0],
        window_output(schema.shape(x)[1], numbers[2], numbers[0], 1, options.padding),
        window_output(schema.shape(x)[2], numbers[3], numbers[1], 1, options.padding),
        schema.shape(x)[3],
    )
    if schema.shape(y) != expected:
        yield f"the output should be {expected}"


def same_shape(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    if schema.shape(x) != schema.shape(y) or not schema.shape(x):
        yield "input and output differ in shape"


def softmax(place: Place) -> Iterator[str]:
    yield from same_shape(place)
    x, y, beta = place.inputs[0], place.outputs[0], place.options.beta
    if not 1e-4 < beta < 1e4:
        yield f"beta {beta} out of range"
    if x.type == INT8:
        yield from _fixed_scale(y, 1 / 256, -128)
        yield from _representable(beta * x.quantization.scale[0])
        if schema.shape(x)[-1] > MOST_INT8_CLASSES:
            yield (
                f"in int8 the runtimes abort beyond {MOST_INT8_CLASSES} classes; leave the network "
                "float32"
            )


def _representable(scale: float) -> Iterator[str]:
    """Runtimes abort where an exponent's scale rounds to 0 in their fixed point."""
    if scale * (1 << 26) <= 1:
        yield "the input's scale is too small"


def log_softmax(place: Place) -> Iterator[str]:
    yield from same_shape(place)
    if place.inputs[0].type == INT8:
        yield from _fixed_scale(place.outputs[0], 1 / 16, 127)
        yield from _representable(place.inputs[0].quantization.scale[0])


def logistic(place: Place) -> Iterator[str]:
    yield from same_shape(place)
    if place.inputs[0].type == INT8:
        yield from _fixed_scale(place.outputs[0], 1 / 256, -128)


def tanh(place: Place) -> Iterator[str]:
    yield from same_shape(place)
    if place.inputs[0].type == INT8:
        yield from _fixed_scale(place.outputs[0], 1 / 128, 0)


def leaky_relu(place: Place) -> Iterator[str]:
    yield from same_shape(place)
    if not 0 <= place.options.alpha <= 1:
        yield f"alpha {place.options.alpha} is not from 0 to 1"


def hard_swish(place: Place) -> Iterator[str]:
    yield from same_shape(place)
    x, y = place.inputs[0], place.outputs[0]
    if x.type == INT8 and x.quantization.scale[0] >= 128 * y.quantization.scale[0]:
        yield "the output's scale is too small"


def _fixed_scale(tensor: fb.TensorT, scale: float, zero_point: int) -> Iterator[str]:
    if tensor.quantization.scale[0] != scale or tensor.quantization.zeroPoint[0] != zero_point:
        yield f"an int8 output that is not of scale 1/{1 / scale:.0f} and zero point {zero_point}"
