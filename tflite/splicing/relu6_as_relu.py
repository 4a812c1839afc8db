"""A `RELU6` of its own as a `RELU`, so that all runtimes agree.

Where the converter cannot fuse it with what comes before, its output may be quantised otherwise
than its input. LiteRT then brings one to the other, TFLM only clamps the numbers. Both do so in a
`RELU`, whose largest int8 number mostly is the 6; where it stands for more, a `MINIMUM` follows.
"""

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.vocabulary import LEVELS

_RELU_VERSION = 2
_MINIMUM_VERSION = 2
_LARGEST = LEVELS // 2 - 1


def relu6_as_relu(model: fb.ModelT) -> None:
    """Rewrite every int8 `RELU6` of the main graph, in place, that rescales.

    What LiteRT gives does not change by this; TFLM then gives the same.
    """
    main = model.subgraphs[0]
    main.operators = [made for op in main.operators for made in _rewritten(model, op)]


def _rewritten(model: fb.ModelT, op: fb.OperatorT) -> list[fb.OperatorT]:
    if schema.op_name(model, op) != "RELU6":
        return [op]
    tensors = model.subgraphs[0].tensors
    x, y = (tensors[indices[0]] for indices in (op.inputs, op.outputs))
    if x.type != fb.TensorType.INT8 or schema.quantization(x) == schema.quantization(y):
        return [op]
    relu = copy.copy(op)
    relu.opcodeIndex = schema.operator_code(model, fb.BuiltinOperator.RELU, _RELU_VERSION)
    scale, zero_point = schema.quantization(y)
    six = zero_point + int(np.floor(np.float32(6) / np.float32(scale) + np.float32(0.5)))
    if six >= _LARGEST:
        return [relu]
    model.buffers.append(fb.BufferT(np.array([six], np.int8).view(np.uint8)))
    limit, unlimited = copy.copy(y), copy.copy(y)
    limit.shape, limit.shapeSignature = np.ones(1, np.int32), None
    limit.buffer, limit.name = len(model.buffers) - 1, "six"
    tensors += [limit, unlimited]
    relu.outputs = np.array([len(tensors) - 1], np.int32)
    minimum = fb.OperatorT(
        schema.operator_code(model, fb.BuiltinOperator.MINIMUM, _MINIMUM_VERSION),
        np.array([len(tensors) - 1, len(tensors) - 2], np.int32),
        op.outputs,
    )
    minimum.builtinOptions = fb.MaximumMinimumOptionsT()
    minimum.builtinOptionsType = fb.BuiltinOptions.MaximumMinimumOptions
    return [relu, minimum]
