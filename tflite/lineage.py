"""Where a tensor comes from, and what nothing needs."""

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.tflite import schema
from eexit_tf.vocabulary import Exit

_WITH_EFFECTS = ("ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "IF", "VAR_HANDLE", "WHILE")


class Lineage:
    """Which operators of the main graph a tensor comes from."""

    def __init__(self, model: fb.ModelT) -> None:
        main = model.subgraphs[0]
        self._needs: dict[int, set[int]] = {}
        for position, op in enumerate(main.operators):
            needed = {position}
            for index in op.inputs:
                needed |= self._needs.get(int(index), set())
            for index in op.outputs:
                self._needs[int(index)] = needed

    def ancestors(self, tensor: int) -> set[int]:
        """Positions of the operators that have to run for this tensor."""
        return self._needs.get(tensor, set())


def prune(model: fb.ModelT) -> None:
    """Drop operators of the main graph that none of its outputs needs, in place."""
    main, lineage = model.subgraphs[0], Lineage(model)
    needed = set().union(*(lineage.ancestors(int(index)) for index in main.outputs))
    main.operators = [main.operators[position] for position in sorted(needed)]


def drop_unread(model: fb.ModelT) -> None:
    """Drop operators whose outputs nothing reads, of all graphs, and empty tensors without use.

    Tensors keep their numbers, by which memory plans go.
    """
    for graph in model.subgraphs:
        read = {int(index) for index in graph.outputs}
        kept = []
        for op in reversed(graph.operators):
            unread = len(op.outputs) and read.isdisjoint(op.outputs)
            if unread and schema.op_name(model, op) not in _WITH_EFFECTS:
                continue
            read.update(int(index) for index in op.inputs)
            kept.append(op)
        graph.operators = kept[::-1]
        used = read.union(graph.inputs, *(op.outputs for op in kept))
        graph.tensors = [
            tensor if index in used else _empty() for index, tensor in enumerate(graph.tensors)
        ]


def _empty() -> fb.TensorT:
    """A tensor that no runtime takes offence at."""
    nothing = np.zeros(0, np.int64)
    none = fb.QuantizationParametersT(scale=np.zeros(0, np.float32), zeroPoint=nothing)
    return fb.TensorT(shape=np.zeros(0, np.int32), name="unused", quantization=none)


def producer(graph: fb.SubGraphT, tensor: int) -> fb.OperatorT | None:
    """The operator that writes a tensor."""
    return next((op for op in graph.operators if tensor in op.outputs), None)


def resolve(model: fb.ModelT, name: str) -> int:
    """The tensor of an output, by its name in the file or that of the exit behind it.

    The file's name may be that of a classifier that the backbone brought along, which `Exit.name`
    ends in `own`, or have TFMOT's `quant_` before it, if no other output has that very name.

    Raises:
        UserError: there is no such output.
    """
    outputs = schema.outputs_by_name(model)
    bare = {output.removeprefix("quant_"): index for output, index in outputs.items()}
    found: dict[str, int] = {}
    for known in (bare, outputs):
        found |= {Exit.parse(output).name: index for output, index in known.items()} | known
    if name in found:
        return found[name]
    raise UserError(f"no output {name!r} in the file; its outputs are {', '.join(outputs)}")
