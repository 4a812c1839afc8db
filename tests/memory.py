"""An independent check of memory plans: follow values through the arena."""

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.splicing.memory_plan import METADATA, NOWHERE

Tensor = tuple[int, int]


def check_plan(model: fb.ModelT, offsets: dict[Tensor, int] | None = None) -> None:
    """Go through every path of a self-exiting network with memory poisoned by each write.

    Every byte of the arena holds the number of the value that was last written there. An
    operator may read a tensor only if all of its bytes hold the value that was written to it.

    Raises:
        AssertionError: a value was overwritten before its last use.
    """
    if offsets is None:
        content = schema.metadata(model, METADATA)
        assert content is not None
        version, _, count, *stored = np.frombuffer(content, "<i4").tolist()
        keys = [(n, i) for n, g in enumerate(model.subgraphs) for i in range(len(g.tensors))]
        assert version == 1
        assert count == len(stored) == len(keys)
        offsets = dict(zip(keys, stored, strict=True))
    branches = sum(schema.op_name(model, op) == "IF" for g in model.subgraphs for op in g.operators)
    for leaves_at in range(branches + 1):
        _Run(model, offsets, leaves_at).go()


class _Run:
    """One way through the network: past `leave` branches, then out.

    Attributes:
        arena: the number of the value that each byte holds; 0 is poison.
        wanted: the number of the value that each tensor was given.
    """

    def __init__(self, model: fb.ModelT, offsets: dict[Tensor, int], leave: int) -> None:
        self.model, self.offsets, self.passes = model, offsets, leave
        self.arena = np.zeros(1 << 20, np.int32)
        self.wanted: dict[Tensor, int] = {}
        self.values = 0

    def go(self) -> None:
        for index in self.model.subgraphs[0].inputs:
            self.write((0, int(index)), self.fresh())
        self.graph(0)

    def fresh(self) -> int:
        self.values += 1
        return self.values

    def place(self, key: Tensor) -> slice | None:
        """Its bytes in the arena; a constant has none."""
        tensor = self.model.subgraphs[key[0]].tensors[key[1]]
        if schema.is_constant(self.model, tensor):
            assert self.offsets[key] == NOWHERE
            return None
        assert self.offsets[key] >= 0
        assert self.offsets[key] % 16 == 0
        return slice(self.offsets[key], self.offsets[key] + schema.byte_size(tensor))

    def write(self, key: Tensor, value: int) -> None:
        self.arena[self.place(key)] = value
        self.wanted[key] = value

    def read(self, key: Tensor) -> int:
        place = self.place(key)
        if place is None:
            return self.fresh()
        assert (self.arena[place] == self.wanted[key]).all(), f"{key} is lost"
        return self.wanted[key]

    def graph(self, number: int) -> None:
        graph = self.model.subgraphs[number]
        for op in graph.operators:
            name = schema.op_name(self.model, op)
            inputs = [(number, int(index)) for index in op.inputs if index >= 0]
            outputs = [(number, int(index)) for index in op.outputs]
            values = [self.read(key) for key in inputs]
            if name == "IF":
                self.branch(op, inputs[1:], outputs)
                continue
            for key in outputs:
                self.write(key, values[0] if name == "RESHAPE" else self.fresh())
            for key in inputs:  # kernels read while they write
                self.read(key)
        for index in graph.outputs:
            self.read((number, int(index)))

    def branch(self, op: fb.OperatorT, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        options = op.builtinOptions
        target = options.elseSubgraphIndex if self.passes else options.thenSubgraphIndex
        self.passes -= 1
        graph = self.model.subgraphs[target]
        self.hand_over(inputs, [(target, int(index)) for index in graph.inputs])
        self.graph(target)
        self.hand_over([(target, int(index)) for index in graph.outputs], outputs)

    def hand_over(self, sources: list[Tensor], targets: list[Tensor]) -> None:
        """One after another, as TFLM does it."""
        for source, target in zip(sources, targets, strict=True):
            self.write(target, self.read(source))
        for target in targets:
            self.read(target)
