"""Networks of one operator, to have something wrong with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import flatbuffer, schema

INT8, UINT8, INT32, FLOAT, BOOL = (
    getattr(fb.TensorType, name) for name in ("INT8", "UINT8", "INT32", "FLOAT32", "BOOL")
)


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
        if self.type in (INT8, UINT8):
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

    def content(self, kind: str) -> bytes:
        graph = fb.SubGraphT(tensors=[])
        model = fb.ModelT(3, subgraphs=[graph], buffers=[fb.BufferT(np.zeros(0, np.uint8))])
        model.operatorCodes, model.metadata, model.signatureDefs = [], [], []
        code = schema.operator_code(model, getattr(fb.BuiltinOperator, kind), 1)
        read = [-1 if value is None else value.add_to(model) for value in self.inputs]
        written = self.output.add_to(model)
        op = fb.OperatorT(code, inputs=np.array(read, np.int32), outputs=np.int32([written]))
        if self.options is not None:
            op.builtinOptions = self.options
            name = type(self.options).__name__.removesuffix("T")
            op.builtinOptionsType = getattr(fb.BuiltinOptions, name)
        fed = [
            index
            for index, value in zip(read, self.inputs, strict=True)
            if value is not None and value.data is None and not value.weights
        ]
        graph.inputs, graph.outputs = np.array(fed, np.int32), np.int32([written])
        graph.operators = [op]
        return flatbuffer.write(model)


def numbers(*data: int, shape: tuple[int, ...] | None = None) -> Value:
    return Value(shape or (len(data),), INT32, data)


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
