"""How much scratch memory optimised kernels can ask of TFLM's arena.

TFLM's wheel runs reference kernels, which need next to none. The bounds here follow from what
the kernel libraries reserve, taken over all processors that they know: what a device really
uses is never more, and mostly less. Scratch memory lives during one operator only, so the
largest one counts.
"""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema

_CHANNEL_BLOCK = 124
"""Channels that CMSIS-NN's depthwise convolution handles at a time with vector instructions."""


def cmsis_nn_bytes(model: fb.ModelT) -> int:
    """The most that Arm's CMSIS-NN reserves for one operator of the network, in bytes."""
    return _largest(model, _CMSIS_NN)


def esp_nn_bytes(model: fb.ModelT) -> int:
    """The most that Espressif's ESP-NN reserves for one operator of the network, in bytes."""
    return _largest(model, _ESP_NN)


Tensors = list[fb.TensorT]
Rules = Mapping[str, Callable[[Tensors, fb.TensorT], int]]


def _largest(model: fb.ModelT, rules: Rules) -> int:
    found = [0]
    for graph in model.subgraphs:
        for op in graph.operators:
            rule = rules.get(schema.op_name(model, op))
            if rule is not None:
                inputs = [graph.tensors[index] for index in op.inputs[:2]]  # but for a bias
                found.append(rule(inputs, graph.tensors[op.outputs[0]]))
    return max(found)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _cmsis_convolution(inputs: Tensors, output: fb.TensorT) -> int:
    """Four columns of patches in int8, or two in int16."""
    _, height, width, channels = schema.shape(inputs[1])
    return 4 * _up(height * width * channels, 16)


def _cmsis_depthwise(inputs: Tensors, output: fb.TensorT) -> int:
    _, height, width, channels = schema.shape(inputs[1])
    window = height * width
    return max(4 * _CHANNEL_BLOCK * window, 2 * channels * window)


def _cmsis_dense(inputs: Tensors, output: fb.TensorT) -> int:
    """Sums of weights, or a multiplier and a shift a channel and two columns."""
    outputs, depth = schema.shape(inputs[1])
    return 8 * outputs + 4 * depth


def _cmsis_average(inputs: Tensors, output: fb.TensorT) -> int:
    return 4 * schema.shape(output)[-1]


def _padded(image: fb.TensorT, weights: fb.TensorT, channels: int) -> int:
    """An image with all the border that its windows can reach, channels filled up to 16."""
    (_, height, width, _), (_, rows, columns, _) = schema.shape(image), schema.shape(weights)
    return (height + 2 * rows) * (width + 2 * columns) * _up(channels, 16)


def _esp_convolution(inputs: Tensors, output: fb.TensorT) -> int:
    """The image twice, padded, and the weights twice, in whole vectors."""
    outputs, rows, columns, channels = schema.shape(inputs[1])
    weights = outputs * rows * columns * _up(channels, 16)
    image = _padded(inputs[0], inputs[1], channels)
    return 2 * image + 2 * weights + 4 * outputs + 16 * _up(channels, 16) + 128


def _esp_depthwise(inputs: Tensors, output: fb.TensorT) -> int:
    """Image and weights in int16, the output, and quantisation parameters a channel."""
    _, rows, columns, channels = schema.shape(inputs[1])
    filled = _up(channels, 16)
    positions = prod(schema.shape(output)[1:3])
    image = _padded(inputs[0], inputs[1], channels)
    return 2 * image + (2 * rows * columns + positions + 16) * filled + 128


def _esp_softmax(inputs: Tensors, output: fb.TensorT) -> int:
    return 4 * schema.shape(output)[-1]


_CMSIS_NN: Rules = MappingProxyType(
    {
        "AVERAGE_POOL_2D": _cmsis_average,
        "CONV_2D": _cmsis_convolution,
        "DEPTHWISE_CONV_2D": _cmsis_depthwise,
        "FULLY_CONNECTED": _cmsis_dense,
    }
)
_ESP_NN: Rules = MappingProxyType(
    {
        "CONV_2D": _esp_convolution,
        "DEPTHWISE_CONV_2D": _esp_depthwise,
        "SOFTMAX": _esp_softmax,
    }
)
