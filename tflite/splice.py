"""Stages and thresholds made into one network that leaves early by itself.

The main graph runs the first stage, then `REDUCE_MAX(scores) >= threshold`, then an `IF`: its
*then* graph hands back the exit's scores and index, its *else* graph runs the next stage, and
so on, nested. Every operator is one that LiteRT and stock TFLM have. In an int8 network all of
this is int8.
"""

import copy
import json
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.tflite import schema
from eexit_tf.tflite.builder import Builder, Graph
from eexit_tf.tflite.lineage import resolve
from eexit_tf.tflite.normalize import normalized, producer
from eexit_tf.tflite.plan import add_plan
from eexit_tf.tflite.stages import Stage, Stages, check_static, cut
from eexit_tf.vocabulary import LEVELS

METADATA = "eexit_tf"
SCORES, EXIT = "scores", "exit"
_THRESHOLD = "threshold_"
_LOW, _HIGH = -LEVELS // 2, LEVELS // 2 - 1


def splice(
    multi: bytes,
    exits: Sequence[str],
    thresholds: Sequence[int],
    *,
    labels: Sequence[str] | None = None,
    memory_plan: bool = True,
) -> bytes:
    """One self-exiting `.tflite` file from a multi-output one.

    Its outputs, named in the signature `serving_default`: `scores`, (1, classes), softmax of
    the exit taken, and `exit`, int32 (1,), its index within `exits`.

    Args:
        multi: a static `.tflite` file with one output an exit, softmax scores or logits, int8
            or float32; it is brought to one form first (see `normalize`).
        exits: output names in the order in which they are asked; others are left out, with
            everything that only they need.
        thresholds: int8, level - 128 (see `vocabulary`), one an exit; a sample leaves where
            the largest score is at least that. The last is ignored.
        labels: names of the classes, kept in the file's metadata.
        memory_plan: put a plan of the arena into the file (see `plan`); without it TFLM plans
            for itself and copies what crosses an `IF`.

    Raises:
        UserError: the file, the names or the thresholds do not fit.
    """
    model = schema.read(multi)
    check_static(model)
    model = normalized(model, exits)
    _check_alike(model, exits)
    stages = cut(_with_bare_scores(model, exits), exits)
    check_thresholds(thresholds, len(stages.stages))
    builder = Builder(model)
    main = _stage_graph(builder, stages, 0, thresholds, list(model.subgraphs[0].inputs))
    _flatten_scores(main)
    described = {"schema": 1, "exits": list(exits)}
    if labels is not None:
        classes = schema.shape(model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]])[-1]
        if len(labels) != classes:
            raise UserError(f"{len(labels)} labels for a network with {classes} classes")
        described["labels"] = list(labels)
    builder.metadata(METADATA, json.dumps(described).encode())
    spliced = builder.finish((SCORES, EXIT))
    if memory_plan:
        add_plan(spliced)
    return schema.write(spliced)


def thresholds(content: bytes) -> list[int]:
    """The int8 thresholds (level - 128) in a self-exiting file; the last exit's is -128.

    Raises:
        UserError: not a file made by `splice`.
    """
    model = schema.read(content)
    values = [schema.constant(model, tensor).reshape(-1)[0] for tensor in _thresholds(model)]
    return [int(v if v.dtype == np.int8 else round(float(v) * LEVELS) + _LOW) for v in values] + [
        _LOW
    ]


def exits(content: bytes) -> list[str]:
    """The exits' names in a self-exiting file, in order.

    Raises:
        UserError: not a file made by `splice`.
    """
    return _described(schema.read(content))["exits"]


def labels(content: bytes) -> list[str] | None:
    """The classes' names in a self-exiting file, if it has any.

    Raises:
        UserError: not a file made by `splice`.
    """
    found = _described(schema.read(content)).get("labels")
    return [str(label) for label in found] if isinstance(found, list) else None


def retune(content: bytes, thresholds: Sequence[int]) -> bytes:
    """The same file with other thresholds: a byte for each is patched, nothing else changes.

    Args:
        content: a file made by `splice`.
        thresholds: as for `splice`.

    Raises:
        UserError: not a file made by `splice`, or thresholds that do not fit.
    """
    model = schema.read(content)
    tensors = _thresholds(model)
    check_thresholds(thresholds, len(tensors) + 1)
    patched = bytearray(content)
    table = fb.Model.GetRootAs(patched, 0)
    for tensor, level in zip(tensors, thresholds, strict=False):
        start = table.Buffers(tensor.buffer)._tab.Vector(
            table.Buffers(tensor.buffer)._tab.Offset(4)
        )
        value = _threshold_value(tensor.type, level).tobytes()
        patched[start : start + len(value)] = value
    return bytes(patched)


def check_thresholds(thresholds: Sequence[int], count: int) -> None:
    """Raise a `UserError` unless there are `count` integers from -128 to 127."""
    if len(thresholds) != count or any(
        int(t) != t or not _LOW <= t <= _HIGH for t in thresholds[: count - 1]
    ):
        raise UserError(
            f"expected {count} thresholds from {_LOW} to {_HIGH}, got {list(thresholds)}"
        )


def _described(model: fb.ModelT) -> dict:
    described = schema.metadata(model, METADATA)
    try:
        value = json.loads(described or b"")
        if isinstance(value["exits"], list) and all(isinstance(e, str) for e in value["exits"]):
            return value
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError("expected a self-exiting .tflite file that eexit-tf made, got another one")


def _thresholds(model: fb.ModelT) -> list[fb.TensorT]:
    """The threshold tensors, in order."""
    found = {
        schema.text(tensor.name): tensor
        for graph in model.subgraphs
        for tensor in graph.tensors
        if schema.text(tensor.name).startswith(_THRESHOLD)
    }
    names = [f"{_THRESHOLD}{k}" for k in range(len(_described(model)["exits"]) - 1)]
    if sorted(names) != sorted(found) or not all(
        schema.is_constant(model, t) and schema.shape(t) == (1,) for t in found.values()
    ):
        raise UserError("the file's exits and thresholds do not fit together")
    return [found[name] for name in names]


def _check_alike(model: fb.ModelT, exits: Sequence[str]) -> None:
    """All exits must speak of the same classes in the same type."""
    tensors = [model.subgraphs[0].tensors[resolve(model, name)] for name in exits]
    kinds = [(schema.dtype(tensor), schema.shape(tensor)[-1]) for tensor in tensors]
    for name, (kind, classes) in zip(exits, kinds, strict=True):
        if (kind, classes) != kinds[0]:
            raise UserError(
                f"the exits differ: {exits[0]} gives {kinds[0][1]} classes in {kinds[0][0]}, "
                f"{name} gives {classes} in {kind}"
            )


def _bare(model: fb.ModelT, tensor: int) -> int:
    """The tensor of shape (1, 1, 1, classes) that this one is a reshaping of, or itself."""
    op = producer(model.subgraphs[0], tensor)
    if op is None or schema.op_name(model, op) != "RESHAPE":
        return tensor
    before = int(op.inputs[0])
    shape = schema.shape(model.subgraphs[0].tensors[before])
    return before if len(shape) == 4 and shape[:3] == (1, 1, 1) else tensor


def _with_bare_scores(model: fb.ModelT, exits: Sequence[str]) -> fb.ModelT:
    """The model with outputs before their last reshape, if every exit has one.

    One `RESHAPE` at the end of the main graph then does for all exits.
    """
    bare = {resolve(model, name): _bare(model, resolve(model, name)) for name in exits}
    tensors = model.subgraphs[0].tensors
    if any(len(tensors[before].shape) != 4 for before in bare.values()):
        return model
    model = copy.copy(model)
    main = copy.copy(model.subgraphs[0])
    named = {name: bare.get(i, i) for name, i in schema.outputs_by_name(model).items()}
    main.outputs = np.array(list(named.values()), np.int32)
    inputs = [fb.TensorMapT(name, i) for name, i in schema.inputs_by_name(model).items()]
    outputs = [fb.TensorMapT(name, i) for name, i in named.items()]
    model.signatureDefs = [fb.SignatureDefT(inputs, outputs, "serving_default", 0)]
    model.subgraphs = [main]
    return model


def _threshold_value(kind: int, level: int) -> np.ndarray:
    """A threshold as its tensor stores it."""
    if kind == fb.TensorType.INT8:
        return np.array([level], np.int8)
    return np.array([(level - _LOW) / LEVELS], "<f4")


def _stage_graph(
    builder: Builder, stages: Stages, k: int, thresholds: Sequence[int], inputs: list[int]
) -> Graph:
    """Build the graph that runs stage k and everything behind it."""
    stage = stages.stages[k]
    graph = builder.graph(f"stage_{k}" if k else "main", inputs)
    for position in stage.operators:
        graph.copy_operator(position)
    if k == len(stages.stages) - 1:
        graph.outputs = [graph.tensor(stage.scores), _exit_index(graph, k)]
        return graph
    later = stages.stages[k + 1]
    passed = [stage.scores, *(i for i in later.receives if i != stage.scores)]
    decided = _decision(graph, stage, k, thresholds[k])
    then = builder.graph(f"exit_{k}", passed)
    then.outputs = [then.tensor(stage.scores), _exit_index(then, k)]
    otherwise = _stage_graph(builder, stages, k + 1, thresholds, passed)
    graph.outputs = [
        graph.like(builder.source.tensors[stage.scores], SCORES),
        graph.new(EXIT, fb.TensorType.INT32, (1,)),
    ]
    graph.add(
        fb.BuiltinOperator.IF,
        [decided, *(graph.tensor(i) for i in passed)],
        graph.outputs,
        fb.IfOptionsT(then.number, otherwise.number),
    )
    return graph


def _flatten_scores(main: Graph) -> None:
    """Make the main graph's scores (1, classes)."""
    scores = main.tensors[main.outputs[0]]
    shape = (1, schema.shape(scores)[-1])
    if schema.shape(scores) != shape:
        flat = main.like(scores, SCORES, shape)
        options = fb.ReshapeOptionsT(newShape=np.array(shape, np.int32))
        main.add(fb.BuiltinOperator.RESHAPE, main.outputs[:1], [flat], options)
        main.outputs[0] = flat


def _exit_index(graph: Graph, k: int) -> int:
    return graph.constant(EXIT, fb.TensorType.INT32, np.array([k], "<i4"))


def _decision(graph: Graph, stage: Stage, k: int, threshold: int) -> int:
    """The bool tensor that says whether to leave."""
    scores = graph.source.tensors[stage.scores]
    largest = graph.like(scores, "confidence", (1,))
    axes = np.arange(1, len(schema.shape(scores)), dtype="<i4")
    axis = graph.constant("axes", fb.TensorType.INT32, axes)
    limit = graph.constant(
        f"{_THRESHOLD}{k}", scores.type, _threshold_value(scores.type, threshold), like=scores
    )
    decided = graph.new("leave", fb.TensorType.BOOL, (1,))
    graph.add(
        fb.BuiltinOperator.REDUCE_MAX,
        [graph.tensor(stage.scores), axis],
        [largest],
        fb.ReducerOptionsT(keepDims=False),
    )
    graph.add(fb.BuiltinOperator.GREATER_EQUAL, [largest, limit], [decided])
    return decided
