"""Sound networks of one operator each, and ways to have something else with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import flatbuffer, schema

INT4, INT8, UINT8, INT32, FLOAT, BOOL = (
    getattr(fb.TensorType, name) for name in ("INT4", "INT8", "UINT8", "INT32", "FLOAT32", "BOOL")
)


SAME, VALID = fb.Padding.SAME, fb.Padding.VALID


@dataclass(frozen=True)
class Value:
    """A tensor; constant if it has data, or `weights`, which are all 0."""

    shape: tuple[int, ...]
    type: int = INT8
    data: Sequence[int] | None = None
    weights: bool = False
    scale: float | Sequence[float] = 0.5
    zero: int = 0
    axis: int = 0

    def add_to(self, model: fb.ModelT) -> int:
        tensor = fb.TensorT(list(self.shape), self.type, 0, b"t")
        tensor.quantization = fb.QuantizationParametersT(quantizedDimension=self.axis)
        if self.type in (INT4, INT8, UINT8):
            scales = np.atleast_1d(np.float32(self.scale))
            tensor.quantization.scale = scales
            tensor.quantization.zeroPoint = np.full(len(scales), self.zero, np.int64)
        if self.data is not None or self.weights:
            size = schema.byte_size(tensor)
            data = bytes(size) if self.data is None else np.array(self.data, "<i4").tobytes()
            model.buffers.append(fb.BufferT(np.frombuffer(data, np.uint8)))
            tensor.buffer = len(model.buffers) - 1
        model.subgraphs[0].tensors.append(tensor)
        return len(model.subgraphs[0].tensors) - 1


@dataclass(frozen=True)
class Operator:
    """A network of one operator."""

    inputs: tuple[Value | None, ...]
    output: Value
    options: Any = None
    more_outputs: int = 0

    def content(self, kind: str) -> bytes:
        graph = fb.SubGraphT(tensors=[])
        model = fb.ModelT(3, subgraphs=[graph], buffers=[fb.BufferT(np.zeros(0, np.uint8))])
        model.operatorCodes, model.metadata, model.signatureDefs = [], [], []
        code = schema.operator_code(model, getattr(fb.BuiltinOperator, kind), 1)
        read = [-1 if value is None else value.add_to(model) for value in self.inputs]
        written = np.int32([self.output.add_to(model) for _ in range(1 + self.more_outputs)])
        op = fb.OperatorT(code, inputs=np.array(read, np.int32), outputs=written)
        if self.options is not None:
            op.builtinOptions = self.options
            name = type(self.options).__name__.removesuffix("T")
            op.builtinOptionsType = getattr(fb.BuiltinOptions, name)
        fed = [
            index
            for index, value in zip(read, self.inputs, strict=True)
            if value is not None and value.data is None and not value.weights
        ]
        fed.append(Value((1,)).add_to(model))  # which nothing reads
        graph.inputs, graph.outputs = np.array(fed, np.int32), written
        graph.operators = [op]
        return flatbuffer.write(model)


def numbers(*data: int, shape: tuple[int, ...] | None = None) -> Value:
    return Value(shape or (len(data),), INT32, data)


def conv(padding: int = VALID, **changes: int) -> fb.Conv2DOptionsT:
    return fb.Conv2DOptionsT(**{"strideW": 1, "strideH": 1, **changes}, padding=padding)


IMAGE, ROW, PAIR, CELLS = Value((1, 8, 9, 3)), Value((1, 6)), Value((2, 3)), Value((1, 2, 3))
FOUR, FIVE = Value((1, 1, 2, 3)), Value((1, 1, 1, 2, 3))
KERNEL, BIAS = Value((4, 3, 2, 3), weights=True), Value((4,), INT32, weights=True)
SCORES = Value((1, 6), scale=1 / 256, zero=-128)
WINDOW = fb.Pool2DOptionsT(padding=VALID, strideW=2, strideH=3, filterWidth=4, filterHeight=5)
DEPTHWISE = fb.DepthwiseConv2DOptionsT(VALID, 1, 1, 2, dilationWFactor=1, dilationHFactor=1)
REDUCE = fb.ReducerOptionsT(keepDims=False)
TRUE = Value((1, 6), BOOL)

SOUND: Mapping[str, Operator] = {
    "ADD": Operator((ROW, ROW), ROW, fb.AddOptionsT()),
    "ARG_MAX": Operator((ROW, numbers(1)), Value((1,), INT32), fb.ArgMaxOptionsT(INT32)),
    "AVERAGE_POOL_2D": Operator((IMAGE,), Value((1, 2, 3, 3)), WINDOW),
    "CONCATENATION": Operator((PAIR, PAIR), Value((2, 6)), fb.ConcatenationOptionsT(-1)),
    "CONV_2D": Operator((IMAGE, KERNEL, BIAS), Value((1, 6, 8, 4)), conv()),
    "DEPTHWISE_CONV_2D": Operator(
        (IMAGE, Value((1, 3, 2, 6), weights=True), Value((6,), INT32, weights=True)),
        Value((1, 6, 8, 6)),
        DEPTHWISE,
    ),
    "DEQUANTIZE": Operator((ROW,), Value((1, 6), FLOAT)),
    "EQUAL": Operator((ROW, ROW), TRUE),
    "FULLY_CONNECTED": Operator(
        (ROW, Value((4, 6), weights=True), BIAS), Value((1, 4)), fb.FullyConnectedOptionsT()
    ),
    "GREATER_EQUAL": Operator((ROW, ROW), TRUE),
    "HARD_SWISH": Operator((ROW,), ROW),
    "LEAKY_RELU": Operator((ROW,), ROW, fb.LeakyReluOptionsT(0.25)),
    "LOGISTIC": Operator((ROW,), SCORES),
    "LOG_SOFTMAX": Operator((ROW,), Value((1, 6), scale=1 / 16, zero=127), fb.LogSoftmaxOptionsT()),
    "MAXIMUM": Operator((ROW, ROW), ROW),
    "MAX_POOL_2D": Operator((IMAGE,), Value((1, 2, 3, 3)), WINDOW),
    "MEAN": Operator((IMAGE, numbers(1, 2)), Value((1, 3)), REDUCE),
    "MINIMUM": Operator((ROW, ROW), ROW),
    "MUL": Operator((ROW, Value((1, 1))), ROW, fb.MulOptionsT()),
    "PAD": Operator((PAIR, numbers(1, 2, 0, 3, shape=(2, 2))), Value((5, 6))),
    "PRELU": Operator((ROW, ROW), ROW),
    "QUANTIZE": Operator((Value((1, 6), FLOAT),), ROW),
    "REDUCE_MAX": Operator((ROW, numbers(1)), Value((1,)), REDUCE),
    "RELU": Operator((ROW,), ROW),
    "RELU6": Operator((ROW,), ROW),
    "RESHAPE": Operator((ROW, numbers(2, 3)), PAIR, fb.ReshapeOptionsT([2, 3])),
    "SELECT_V2": Operator((TRUE, ROW, ROW), ROW),
    "SLICE": Operator((PAIR, numbers(1, 0), numbers(1, 2)), Value((1, 2))),
    "SOFTMAX": Operator((ROW,), SCORES, fb.SoftmaxOptionsT(1.0)),
    "SPLIT": Operator((numbers(-1), PAIR), Value((2, 1)), fb.SplitOptionsT(3), more_outputs=2),
    "SPLIT_V": Operator(
        (PAIR, numbers(1, 1), numbers(0)), Value((1, 3)), fb.SplitVOptionsT(2), more_outputs=1
    ),
    "STRIDED_SLICE": Operator(
        (PAIR, numbers(1, -3), numbers(2, 3), numbers(1, 2)),
        Value((1, 2)),
        fb.StridedSliceOptionsT(),
    ),
    "SUB": Operator((ROW, ROW), ROW, fb.SubOptionsT()),
    "TANH": Operator((ROW,), Value((1, 6), scale=1 / 128)),
    "TRANSPOSE": Operator((PAIR, numbers(1, 0)), Value((3, 2))),
}

Change = Callable[[Operator], Operator]


def given(place: int, **changes: Any) -> Change:
    """Another input."""

    def change(op: Operator) -> Operator:
        inputs = list(op.inputs)
        inputs[place] = replace(inputs[place], **changes)
        return replace(op, inputs=tuple(inputs))

    return change


def made(**changes: Any) -> Change:
    """Another output."""
    return lambda op: replace(op, output=replace(op.output, **changes))


def told(**changes: Any) -> Change:
    """Other options."""
    return lambda op: replace(op, options=type(op.options)(**{**vars(op.options), **changes}))


def fed(*inputs: Value | None) -> Change:
    """Other inputs."""
    return lambda op: replace(op, inputs=inputs)


def both(*changes: Change) -> Change:
    def change(op: Operator) -> Operator:
        for one in changes:
            op = one(op)
        return op

    return change
