"""Choosing one of a file's signatures, a graph each or several on one graph, and of its outputs."""

import copy
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.tflite import schema
from eexit_tf.tflite.lineage import prune, resolve
from eexit_tf.tflite.splicing.stages import check_without_branches


def select(
    model: fb.ModelT, name: str | None = None, exits: Sequence[str] | None = None
) -> fb.ModelT:
    """The model with one signature, the graph of that one, and what its outputs need.

    Args:
        model: of sound structure; it is not changed. Without signatures it is returned.
        name: of the signature; not needed if there is only one.
        exits: names of outputs, which are kept where a tensor has several.

    Raises:
        UserError: no such signature, several and none named, or one that cannot be cut out.
    """
    check_without_branches(model)
    signatures = {schema.text(found.signatureKey): found for found in model.signatureDefs}
    known = ", ".join(signatures)
    if name is None and not signatures:
        return model
    if name is None and len(signatures) > 1:
        raise UserError(f"the file has several signatures: {known}; choose one with --signature")
    name = next(iter(signatures)) if name is None else name
    if name not in signatures:
        raise UserError(f"no signature {name!r} in the file; it has {known or 'none'}")
    model, chosen = copy.copy(model), signatures[name]
    graph = copy.copy(model.subgraphs[chosen.subgraphIndex])
    inputs, outputs = _named(chosen.inputs), _named(chosen.outputs, exits or ())
    if not inputs or not outputs:
        raise UserError(f"signature {name} has no inputs or no outputs")
    left_out = {int(index) for index in graph.inputs} - set(inputs.values())
    graph.inputs = np.array(list(inputs.values()), np.int32)
    graph.outputs = np.array(list(outputs.values()), np.int32)
    model.subgraphs = [graph]
    prune(model)
    read = {int(i) for op in graph.operators for i in op.inputs} | set(outputs.values())
    for index in sorted(read & left_out):
        tensor = schema.text(graph.tensors[index].name)
        raise UserError(f"signature {name} leaves out the input {tensor}, which its outputs need")
    schema.sign(model, inputs, outputs)
    return model


def keep(model: fb.ModelT, exits: Sequence[str]) -> fb.ModelT:
    """The model with these outputs alone, and what they need.

    Args:
        model: with one graph; it is not changed.
        exits: names of outputs, see `resolve`.

    Raises:
        UserError: there is no such output.
    """
    chosen = {resolve(model, name) for name in exits}
    outputs = {n: i for n, i in schema.outputs_by_name(model).items() if i in chosen}
    inputs = schema.inputs_by_name(model)
    model = copy.copy(model)
    main = copy.copy(model.subgraphs[0])
    main.outputs = np.array(list(outputs.values()), np.int32)
    model.subgraphs = [main, *model.subgraphs[1:]]
    schema.sign(model, inputs, outputs)
    prune(model)
    return model


def _named(entries: list[fb.TensorMapT], preferred: Sequence[str] = ()) -> dict[str, int]:
    """Name -> tensor, one name for each tensor: the first, or a preferred one."""
    named: dict[int, str] = {}
    for entry in entries:
        index, name = int(entry.tensorIndex), schema.text(entry.name)
        if index not in named or name in preferred:
            named[index] = name
    return {name: index for index, name in named.items()}
