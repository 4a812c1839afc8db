"""Dense layers as 1x1 convolutions, so that all runtimes agree to the last bit.

LiteRT's reference `FULLY_CONNECTED` requantises in floating point, TFLM's (and CMSIS-NN's) in
integers with two roundings: now and then they differ by one step of int8. Their reference
convolutions are the same code. So an int8 `FULLY_CONNECTED` becomes a `CONV_2D` with the same
weights, which computes what TFLM computes, everywhere.
"""

import copy
import math

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.lineage import prune

_CONV_VERSION = 3
_OF_EACH_POSITION = {
    *("ADD", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MUL"),
    *("RELU", "RELU6", "SOFTMAX", "SUB", "TANH"),
}
"""Compute the same of inputs of one shape, however many dimensions of 1 are in it."""


def dense_as_conv(model: fb.ModelT) -> None:
    """Make every int8 `FULLY_CONNECTED` of the main graph a `CONV_2D`, in place.

    Outputs in TFLM do not change by this; in LiteRT they become those of TFLM.
    """
    _Rewriter(model).run()


class _Rewriter:
    """Goes through the operators once and writes those of the heads on maps of one position.

    Every head written so ends in a `RESHAPE` to what it gave before; those that nothing reads
    are dropped in the end.
    """

    def __init__(self, model: fb.ModelT) -> None:
        self.model, self.graph = model, model.subgraphs[0]
        self.operators: list[fb.OperatorT] = []
        self.source: dict[int, int] = {}  # tensor -> the one that it is a reshaping of
        self.zeros: dict[int, int] = {}  # size -> buffer

    def run(self) -> None:
        for op in self.graph.operators:
            name = schema.op_name(self.model, op)
            x, y = int(op.inputs[0]), int(op.outputs[0])
            if self.graph.tensors[x].type != fb.TensorType.INT8:
                self.operators.append(op)
            elif name == "FULLY_CONNECTED":
                self._dense(op, x, y)
            elif name in _OF_EACH_POSITION and (maps := self._maps_before(op, y)):
                self._on_one_position(op, maps, y)
            elif name == "MEAN" and self._is_global(op):
                self._on_one_position(op, [x, int(op.inputs[1])], y)
                self.operators[-2].builtinOptions = fb.ReducerOptionsT(keepDims=True)
            else:
                if name == "RESHAPE":
                    self.source[y] = self.source.get(x, x)
                self.operators.append(op)
        self.graph.operators = self.operators
        prune(self.model)

    def _on_map(self, tensor: int) -> int | None:
        """A tensor of shape (n, 1, 1, c) with the same content as this one of shape (n, c)."""
        found, shape = self.source.get(tensor), schema.shape(self.graph.tensors[tensor])
        if found is None or len(shape) != 2:
            return None
        wanted = (shape[0], 1, 1, shape[-1])
        return found if schema.shape(self.graph.tensors[found]) == wanted else None

    def _maps_before(self, op: fb.OperatorT, y: int) -> list[int]:
        """The operator's inputs on maps of one position, if all are there and of y's shape."""
        tensors = self.graph.tensors
        alike = all(schema.shape(tensors[i]) == schema.shape(tensors[y]) for i in op.inputs)
        maps = [found for i in op.inputs if (found := self._on_map(int(i))) is not None]
        return maps if alike and len(maps) == len(op.inputs) else []

    def _is_global(self, op: fb.OperatorT) -> bool:
        axes = schema.constant(self.model, self.graph.tensors[op.inputs[1]])
        rank = len(self.graph.tensors[op.inputs[0]].shape)
        given = {int(axis) % rank for axis in axes.reshape(-1)}
        return rank == 4 and given == {1, 2} and not op.builtinOptions.keepDims

    def _on_one_position(self, op: fb.OperatorT, inputs: list[int], y: int) -> None:
        """The same operator, giving (n, 1, 1, c) instead of (n, c)."""
        batch, channels = schema.shape(self.graph.tensors[y])
        out = self._like(y, (batch, 1, 1, channels))
        op = copy.copy(op)
        op.inputs, op.outputs = np.array(inputs, np.int32), np.array([out], np.int32)
        self.operators.append(op)
        self._reshape(out, y)

    def _dense(self, op: fb.OperatorT, x: int, y: int) -> None:
        kernel = int(op.inputs[1])
        units, reads = schema.shape(self.graph.tensors[kernel])
        batch = math.prod(schema.shape(self.graph.tensors[x])) // reads
        flat = self.source.get(x, x)
        if schema.shape(self.graph.tensors[flat]) != (batch, 1, 1, reads):
            flat, before = self._like(x, (batch, 1, 1, reads)), flat
            self._reshape(before, flat)
        wide = self._like(kernel, (units, 1, 1, reads))
        out = self._like(y, (batch, 1, 1, units))
        bias = [int(i) for i in op.inputs[2:] if i >= 0] or [self._no_bias(x, kernel, units)]
        options = fb.Conv2DOptionsT(
            padding=fb.Padding.VALID,
            strideW=1,
            strideH=1,
            fusedActivationFunction=op.builtinOptions.fusedActivationFunction,
        )
        self._add(fb.BuiltinOperator.CONV_2D, _CONV_VERSION, [flat, wide, bias[0]], out, options)
        self._reshape(out, y)

    def _like(self, index: int, shape: tuple[int, ...]) -> int:
        tensor = copy.copy(self.graph.tensors[index])
        tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _no_bias(self, x: int, kernel: int, units: int) -> int:
        """Zeros: LiteRT's int8 convolution insists on a bias."""
        scale = schema.quantization(self.graph.tensors[x])[0]
        scales = (scale * self.graph.tensors[kernel].quantization.scale).astype(np.float32)
        if units not in self.zeros:
            self.zeros[units] = len(self.model.buffers)
            self.model.buffers.append(fb.BufferT(np.zeros(4 * units, np.uint8)))
        quantization = fb.QuantizationParametersT(
            scale=scales, zeroPoint=np.zeros(len(scales), np.int64)
        )
        self.graph.tensors.append(
            fb.TensorT(
                shape=np.array([units], np.int32),
                type=fb.TensorType.INT32,
                buffer=self.zeros[units],
                name="no_bias",
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self.graph.tensors) - 1

    def _reshape(self, before: int, after: int) -> None:
        """Without a second input, both runtimes take the new shape from the options."""
        shape = self.graph.tensors[after].shape
        options = fb.ReshapeOptionsT(newShape=np.array(shape, np.int32))
        self._add(fb.BuiltinOperator.RESHAPE, 1, [before], after, options)
        self.source[after] = self.source.get(before, before)

    def _add(
        self, builtin: int, version: int, inputs: list[int], output: int, options: object
    ) -> None:
        position = schema.operator_code(self.model, builtin, version)
        op = fb.OperatorT(position, np.array(inputs, np.int32), np.array([output], np.int32))
        kind = type(options).__name__.removesuffix("T")
        op.builtinOptions, op.builtinOptionsType = options, getattr(fb.BuiltinOptions, kind)
        self.operators.append(op)
