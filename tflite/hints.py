"""What would make a network faster on a device, but only who built it can change."""

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema


def hints(model: fb.ModelT) -> list[str]:
    """One sentence for each thing found in a checked model.

    * An int8 `MEAN` over height and width costs TFLM many times what `AVERAGE_POOL_2D` costs: it
      works out the place of every element anew, and no optimised kernel exists. It is not
      replaced here, as the two round differently: even with the same scales their results often
      differ by one step.
    """
    means = sum(
        schema.op_name(model, op) == "MEAN" and _over_map(model, graph, op)
        for graph in model.subgraphs
        for op in graph.operators
    )
    if not means:
        return []
    return [
        f"{means} MEAN over height and width: TFLM takes many times as long for it as for an "
        "AVERAGE_POOL_2D of the map's size, which the network could be built with"
    ]


def _over_map(model: fb.ModelT, graph: fb.SubGraphT, op: fb.OperatorT) -> bool:
    x, axes = (graph.tensors[index] for index in op.inputs)
    if x.type != fb.TensorType.INT8 or len(x.shape) != 4:
        return False
    return {int(axis) % 4 for axis in schema.constant(model, axes).reshape(-1)} == {1, 2}
