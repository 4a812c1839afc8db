"""Files whose batch was left open: what they compute of shapes when they run is made constant.

Where a Keras model is converted with an open batch, the converter writes `SHAPE`, `STRIDED_SLICE`
and `PACK` before every `RESHAPE`, and `EXPAND_DIMS` around convolutions of one dimension. The
tensors have their shapes for a batch of 1 nevertheless, and no other is run here: so all of these
become `RESHAPE` to the shape that the output has.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema

_SHAPE_ARITHMETIC = ("PACK", "SHAPE", "STRIDED_SLICE")
_ONLY_RESHAPE = ("EXPAND_DIMS", "SQUEEZE")


def close_batch(model: fb.ModelT) -> None:
    """Rewrite the operators in place. The structure of the model must have been checked."""
    for graph in model.subgraphs:
        for op in graph.operators:
            name = schema.op_name(model, op)
            if name in _ONLY_RESHAPE or (name == "RESHAPE" and _computed(model, graph, op)):
                _reshape(model, graph, op)
        _drop_unread(model, graph)


def _computed(model: fb.ModelT, graph: fb.SubGraphT, op: fb.OperatorT) -> bool:
    """Whether the new shape is an input that is not constant."""
    shapes = [graph.tensors[index] for index in op.inputs[1:] if index != -1]
    return any(not schema.is_constant(model, tensor) for tensor in shapes)


def _reshape(model: fb.ModelT, graph: fb.SubGraphT, op: fb.OperatorT) -> None:
    """Make the operator a `RESHAPE` with its new shape in the options."""
    shape = np.array(schema.shape(graph.tensors[op.outputs[0]]), np.int32)
    op.inputs = op.inputs[:1]
    op.builtinOptionsType = fb.BuiltinOptions.ReshapeOptions
    op.builtinOptions = fb.ReshapeOptionsT(newShape=shape)
    op.opcodeIndex = schema.operator_code(model, fb.BuiltinOperator.RESHAPE, 1)


def _drop_unread(model: fb.ModelT, graph: fb.SubGraphT) -> None:
    """Drop arithmetic on shapes that nothing reads any more."""
    read = {int(index) for index in graph.outputs}
    kept = []
    for op in reversed(graph.operators):
        if schema.op_name(model, op) in _SHAPE_ARITHMETIC and read.isdisjoint(op.outputs):
            continue
        read.update(int(index) for index in op.inputs)
        kept.append(op)
    graph.operators = kept[::-1]
