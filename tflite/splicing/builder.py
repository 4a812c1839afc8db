"""Building a `.tflite` model whose graphs are made of another graph's operators and new ones."""

import copy
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema

_VERSIONS = {
    fb.BuiltinOperator.ARG_MAX: 2,
    fb.BuiltinOperator.GREATER_EQUAL: 2,
    fb.BuiltinOperator.REDUCE_MAX: 2,
    fb.BuiltinOperator.SLICE: 2,
    fb.BuiltinOperator.SUB: 2,
}
"""Versions that take int8 (and float32); other operators added here are at version 1."""


class Builder:
    """Collects graphs, buffers and operator codes of one new model.

    Args:
        model: where operators and tensors are copied from (its main graph).
    """

    def __init__(self, model: fb.ModelT) -> None:
        self.old = model
        self.source = model.subgraphs[0]
        self._graphs: list[Graph] = []
        self._buffers = [np.zeros(0, np.uint8)]
        self._copied_buffers: dict[int, int] = {}
        self._shared_buffers: dict[bytes, int] = {}
        self._codes: dict[tuple[int, int], int] = {}
        self._metadata: list[fb.MetadataT] = []

    def graph(self, name: str, inputs: Sequence[int]) -> "Graph":
        """A new, empty graph whose inputs are like these tensors of the source."""
        graph = Graph(self, name, len(self._graphs))
        self._graphs.append(graph)
        graph.inputs = [graph.tensor(int(index)) for index in inputs]
        return graph

    def metadata(self, name: str, content: bytes) -> None:
        """Add a metadata entry."""
        buffer = self.buffer(np.frombuffer(content, np.uint8))
        self._metadata.append(fb.MetadataT(name, buffer))

    def buffer(self, data: np.ndarray) -> int:
        """A new buffer's number."""
        self._buffers.append(np.frombuffer(data.tobytes(), np.uint8))
        return len(self._buffers) - 1

    def shared_buffer(self, data: np.ndarray) -> int:
        """The number of the one buffer with this content that all who ask here get."""
        content = data.tobytes()
        if content not in self._shared_buffers:
            self._shared_buffers[content] = self.buffer(data)
        return self._shared_buffers[content]

    def copied_buffer(self, number: int) -> int:
        """The number that one of the source's buffers has here; 0 if it holds nothing."""
        data = self.old.buffers[number].data
        if not len(data):
            return 0
        if number not in self._copied_buffers:
            self._copied_buffers[number] = self.buffer(np.asarray(data))
        return self._copied_buffers[number]

    def code(self, builtin: int, version: int) -> int:
        """The position of an operator code."""
        return self._codes.setdefault((builtin, version), len(self._codes))

    def finish(self, outputs: Sequence[str]) -> fb.ModelT:
        """The model; the first graph is its main graph, with outputs of these names."""
        model = fb.ModelT(version=3, description="self-exiting network by eexit-tf")
        model.subgraphs = [graph.finish() for graph in self._graphs]
        model.buffers = [fb.BufferT(data) for data in self._buffers]
        model.metadata = self._metadata
        model.operatorCodes = [
            fb.OperatorCodeT(
                deprecatedBuiltinCode=min(builtin, 127), version=version, builtinCode=builtin
            )
            for builtin, version in self._codes
        ]
        names = {index: name for name, index in schema.inputs_by_name(self.old).items()}
        main = self._graphs[0]
        inputs = [names[int(old)] for old in self.source.inputs]
        schema.sign(
            model,
            dict(zip(inputs, main.inputs, strict=True)),
            dict(zip(outputs, main.outputs, strict=True)),
        )
        return model


class Graph:
    """One graph under construction.

    Attributes:
        number: its position in the model.
        tensors: what it has so far.
        inputs, outputs: positions among the tensors.
    """

    def __init__(self, builder: Builder, name: str, number: int) -> None:
        self.builder, self.name, self.number = builder, name, number
        self.source = builder.source
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.tensors: list[fb.TensorT] = []
        self._operators: list[fb.OperatorT] = []
        self._copied: dict[int, int] = {}
        self._constants: dict[tuple[int, tuple[int, ...], bytes], int] = {}

    def tensor(self, index: int) -> int:
        """The position here of a tensor of the source, copied when first asked for.

        Names are flash that no runtime needs, in small networks more than weights: constants have
        none, and of the layers that were fused into one, maps are called after the first.
        """
        if index not in self._copied:
            old = self.source.tensors[index]
            constant = schema.is_constant(self.builder.old, old)
            name = "" if constant else schema.text(old.name).split(";")[0]
            self._copied[index] = self.like(old, name, buffer=old.buffer)
        return self._copied[index]

    def like(
        self, old: fb.TensorT, name: str, shape: Sequence[int] | None = None, buffer: int = 0
    ) -> int:
        """A new tensor with the type and quantisation of `old`."""
        position = self.new(name, old.type, schema.shape(old) if shape is None else shape)
        tensor = self.tensors[position]
        tensor.buffer = self.builder.copied_buffer(buffer)
        tensor.quantization = fb.QuantizationParametersT(
            scale=old.quantization.scale,
            zeroPoint=old.quantization.zeroPoint,
            quantizedDimension=old.quantization.quantizedDimension,
        )
        return position

    def new(self, name: str, kind: int, shape: Sequence[int]) -> int:
        """A new tensor without quantisation."""
        self.tensors.append(
            fb.TensorT(shape=np.array(shape, np.int32), type=kind, name=name, hasRank=True)
        )
        return len(self.tensors) - 1

    def constant(
        self, name: str, kind: int, values: np.ndarray, like: fb.TensorT | None = None
    ) -> int:
        """A constant tensor that shares its memory with equal ones, also of other graphs.

        New if it has the quantisation of `like`, otherwise one that the graph has already.
        """
        shape = values.shape
        if like is not None:
            position = self.like(like, name, shape)
            self.tensors[position].buffer = self.builder.shared_buffer(values)
            return position
        key = (kind, shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = self.new(name, kind, shape)
            self.tensors[self._constants[key]].buffer = self.builder.shared_buffer(values)
        return self._constants[key]

    def copy_operator(self, position: int) -> None:
        """Append an operator of the source, with its tensors."""
        old = self.source.operators[position]
        code = self.builder.old.operatorCodes[old.opcodeIndex]
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        op = copy.copy(old)
        op.opcodeIndex = self.builder.code(builtin, code.version)
        op.inputs = self._indices([-1 if i < 0 else self.tensor(int(i)) for i in old.inputs])
        op.outputs = self._indices([self.tensor(int(i)) for i in old.outputs])
        self._operators.append(op)

    def add(
        self,
        builtin: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: object | None = None,
    ) -> None:
        """Append a new operator."""
        op = fb.OperatorT(
            opcodeIndex=self.builder.code(builtin, _VERSIONS.get(builtin, 1)),
            inputs=self._indices(inputs),
            outputs=self._indices(outputs),
        )
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            op.builtinOptions, op.builtinOptionsType = options, getattr(fb.BuiltinOptions, kind)
        self._operators.append(op)

    def finish(self) -> fb.SubGraphT:
        return fb.SubGraphT(
            tensors=self.tensors,
            inputs=self._indices(self.inputs),
            outputs=self._indices(self.outputs),
            operators=self._operators,
            name=self.name,
        )

    @staticmethod
    def _indices(values: Sequence[int]) -> np.ndarray:
        return np.array(values, np.int32)
