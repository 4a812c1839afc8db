"""Files whose batch was left open: what they compute of shapes when they run is made constant.

Where a Keras model is converted with an open batch, the converter writes `SHAPE`, `STRIDED_SLICE`
and `PACK` (or `GATHER`, `REDUCE_PROD` and `CONCATENATION`) before every `RESHAPE`, and
`EXPAND_DIMS` around convolutions of one dimension. The tensors have their shapes for a batch of 1
nevertheless, and no other is run here: so all of these become `RESHAPE` to the shape that the
output has. Only before and behind dense layers over several dimensions shapes are missing; there
the weights tell them. Of another size that was left open, such as an image's height, nothing tells
what it should be: the converter's 1 would be a network of single pixels.
"""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.tflite import schema
from eexit_tf.tflite.lineage import drop_unread

_ONLY_RESHAPE = ("EXPAND_DIMS", "SQUEEZE")


def close_batch(model: fb.ModelT) -> None:
    """Rewrite the operators in place. The model's structure and tensors must have been checked.

    Raises:
        UserError: more than the batch of an input was left open.
    """
    main = model.subgraphs[0]
    for index in main.inputs:
        _check_sizes(main.tensors[index])
    for graph in model.subgraphs:
        for op in graph.operators:
            if not len(op.outputs) or -1 in op.inputs[:1] or not len(op.inputs):
                continue  # unsound, as the checks of operators will say
            name = schema.op_name(model, op)
            if name in _ONLY_RESHAPE or (name == "RESHAPE" and _computed(model, graph, op)):
                _tell_rows(model, graph, op)
                _reshape(model, graph, op)
    drop_unread(model)  # such as arithmetic on shapes


def _check_sizes(tensor: fb.TensorT) -> None:
    """Refuse an input with a size that the converter wrote as 1 because it did not know it."""
    if tensor.shapeSignature is None:
        return
    signature = [int(size) for size in tensor.shapeSignature]
    sizes = zip(signature, schema.shape(tensor), strict=False)
    if (-1, 1) in list(sizes)[1:]:
        raise UserError(
            f"the input {schema.text(tensor.name)} has more than its batch left open (shape "
            f"signature {signature}); expected fixed sizes but for the batch, which becomes 1: "
            "convert the network with an input of fixed sizes"
        )


def _computed(model: fb.ModelT, graph: fb.SubGraphT, op: fb.OperatorT) -> bool:
    """Whether the new shape is an input that is not constant."""
    shapes = [graph.tensors[index] for index in op.inputs[1:] if index != -1]
    return any(not schema.is_constant(model, tensor) for tensor in shapes)


def _tell_rows(model: fb.ModelT, graph: fb.SubGraphT, op: fb.OperatorT) -> None:
    """Give an output of unknown size the rows that the dense layers behind it take, and make."""
    size = math.prod(schema.shape(graph.tensors[op.inputs[0]]))
    output = graph.tensors[op.outputs[0]]
    if math.prod(schema.shape(output)) == size:
        return
    for reader in graph.operators:
        if op.outputs[0] not in reader.inputs[:1] or len(reader.inputs) < 2:
            continue
        weights = schema.shape(graph.tensors[reader.inputs[1]])
        if (
            schema.op_name(model, reader) == "FULLY_CONNECTED"
            and len(weights) == 2
            and len(reader.outputs)
        ):
            made, taken = weights
            rows = size // max(taken, 1)
            output.shape = np.array([rows, taken], np.int32)
            graph.tensors[reader.outputs[0]].shape = np.array([rows, made], np.int32)


def _reshape(model: fb.ModelT, graph: fb.SubGraphT, op: fb.OperatorT) -> None:
    """Make the operator a `RESHAPE` with its new shape in the options."""
    shape = np.array(schema.shape(graph.tensors[op.outputs[0]]), np.int32)
    op.inputs = op.inputs[:1]
    op.builtinOptionsType = fb.BuiltinOptions.ReshapeOptions
    op.builtinOptions = fb.ReshapeOptionsT(newShape=shape)
    op.opcodeIndex = schema.operator_code(model, fb.BuiltinOperator.RESHAPE, 1)
