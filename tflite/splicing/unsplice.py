"""The static multi-output network inside a self-exiting file: the inverse of `splice`."""

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.lineage import prune
from eexit_tf.tflite.splicing import spliced


def unsplice(content: bytes) -> bytes:
    """The network with all its stages in one graph and its exits as outputs, without decisions.

    Used to see what every exit says on every sample. The outputs have the exits' names.

    Raises:
        UserError: not a file made by `splice`.
    """
    exits = spliced.inspect(content).exits
    model = flatbuffer.read(content)
    names = schema.inputs_by_name(model)
    flat, scores = _flatten(model)
    flat.inputs = flat.inputs[:1]  # without thresholds
    model.subgraphs = [flat]
    model.metadata = []
    scores = [_as_vector(model, flat, index) for index in scores]
    flat.outputs = np.array(scores, np.int32)
    inputs = {name: i for name, i in names.items() if i == flat.inputs[0]}
    schema.sign(model, inputs, dict(zip(exits, scores, strict=True)))
    prune(model)
    return flatbuffer.write(model)


def _flatten(model: fb.ModelT) -> tuple[fb.SubGraphT, list[int]]:
    """All stages in one graph, and the tensors of the exits' scores in it."""
    flat = copy.copy(model.subgraphs[0])
    flat.tensors, flat.operators = [], []
    scores: list[int] = []
    graph, places = model.subgraphs[0], {}
    while True:
        for index, tensor in enumerate(graph.tensors):
            if index not in places:
                places[index] = len(flat.tensors)
                flat.tensors.append(tensor)
        if graph is model.subgraphs[0]:
            flat.inputs = _moved(graph.inputs, places)
        branch = None
        for op in graph.operators:
            if schema.op_name(model, op) == "IF":
                branch = op
                continue
            moved = copy.copy(op)
            moved.inputs, moved.outputs = _moved(op.inputs, places), _moved(op.outputs, places)
            flat.operators.append(moved)
        if branch is None:
            scores.append(places[int(graph.outputs[0])])
            return flat, scores
        _, *passed = (places[int(index)] for index in branch.inputs)
        scores.append(passed[0])
        graph = model.subgraphs[branch.builtinOptions.elseSubgraphIndex]
        places = {int(index): place for index, place in zip(graph.inputs, passed, strict=True)}


def _as_vector(model: fb.ModelT, flat: fb.SubGraphT, index: int) -> int:
    """The scores as (1, classes), which a spliced file reshapes them to only once, at its end."""
    classes = schema.shape(flat.tensors[index])[-1]
    if schema.shape(flat.tensors[index]) == (1, classes):
        return index
    reshape = copy.copy(next(op for op in flat.operators if schema.op_name(model, op) == "RESHAPE"))
    vector = copy.copy(flat.tensors[index])
    vector.shape = np.array((1, classes), np.int32)
    flat.tensors.append(vector)
    reshape.inputs = np.array([index], np.int32)
    reshape.outputs = np.array([len(flat.tensors) - 1], np.int32)
    reshape.builtinOptionsType = fb.BuiltinOptions.ReshapeOptions
    reshape.builtinOptions = fb.ReshapeOptionsT(newShape=vector.shape)
    flat.operators.append(reshape)
    return len(flat.tensors) - 1


def _moved(indices: np.ndarray, places: dict[int, int]) -> np.ndarray:
    return np.array([-1 if i < 0 else places[int(i)] for i in indices], np.int32)
