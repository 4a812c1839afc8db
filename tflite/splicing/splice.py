"""Stages and thresholds made into one network that leaves early by itself.

The main graph runs the first stage, then the decision (see `decision`), then an `IF`: its *then*
graph hands back the exit's scores and index, its *else* graph runs the next stage, and so on,
nested. Every operator is one that LiteRT and stock TFLM have. In an int8 network all of this is
int8.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.confidences import Confidence, check_confidence
from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.lineage import producer, resolve
from eexit_tf.tflite.splicing import spliced
from eexit_tf.tflite.splicing.builder import Builder, Graph
from eexit_tf.tflite.splicing.decision import constant_threshold, decide, slice_threshold
from eexit_tf.tflite.splicing.memory_plan import add_plan
from eexit_tf.tflite.splicing.normalize import ADVICE, normalize_model
from eexit_tf.tflite.splicing.stages import Stages, check_static, cut


def splice(
    multi: bytes,
    exits: Sequence[str],
    thresholds: Sequence[int],
    *,
    labels: Sequence[str] | None = None,
    confidence: Confidence = "max",
    runtime_thresholds: bool = False,
    memory_plan: bool = True,
) -> bytes:
    """One self-exiting `.tflite` file from a multi-output one.

    Its outputs, named in the signature `serving_default`: `scores`, (1, classes), softmax of
    the exit taken, and `exit`, int32 (1,), its index within `exits`. What it says of itself is
    in its metadata (see `spliced`).

    Args:
        multi: a static `.tflite` file with one output an exit, softmax scores, their logarithms
            or logits, int8 or float32; it is brought to one form first (see `normalize`).
        exits: output names in the order in which they are asked; others are left out, with
            everything that only they need.
        thresholds: int8, level - 128 (see `vocabulary`), one an exit; a sample leaves where
            its confidence is at least that. The last is ignored.
        labels: names of the classes, kept in the file's metadata.
        confidence: `max` or `margin` (see `confidences`).
        runtime_thresholds: make the thresholds an input, `thresholds`, (exits - 1,) in the type
            and quantisation of the scores, the network's last one. It must be set before each
            run, as TFLM reuses an input's memory; the thresholds given are the default in the
            metadata. No effect on a network with one exit, which has no thresholds.
        memory_plan: put a plan of the arena into the file (see `memory_plan`); without it TFLM
            plans for itself and copies what crosses an `IF`.

    Raises:
        UserError: the file, the names or the thresholds do not fit.
    """
    check_confidence(confidence)
    model = flatbuffer.read(multi)
    check_static(model)
    if len(model.subgraphs[0].inputs) != 1:
        raise UserError(f"expected a network with one input, got {len(model.subgraphs[0].inputs)}")
    normalize_model(model, exits)
    taken = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    if taken.type not in (fb.TensorType.INT8, fb.TensorType.FLOAT32):
        raise UserError(f"the network takes {schema.dtype(taken)}, expected int8 or float32")
    _check_alike(model, exits)
    spliced.check_thresholds(thresholds, len(exits))
    runtime_thresholds = runtime_thresholds and len(exits) > 1
    given = _add_thresholds(model) if runtime_thresholds else None
    _make_scores_alike(model, exits)
    stages = cut(model, exits, confidence)
    builder = Builder(model)
    levels = [int(level) for level in thresholds[:-1]]
    splicer = _Splicer(builder, stages, levels, confidence, given)
    main = splicer.graph(0, list(model.subgraphs[0].inputs))
    _flatten_scores(main)
    if labels is not None:
        classes = schema.shape(model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]])[-1]
        if len(labels) != classes:
            raise UserError(f"{len(labels)} labels for a network with {classes} classes")
    described = spliced.metadata_content(exits, levels, confidence, runtime_thresholds, labels)
    builder.metadata(spliced.METADATA, described)
    made = builder.finish((spliced.SCORES, spliced.EXIT))
    if memory_plan:
        add_plan(made)
    return flatbuffer.write(made)


def _check_alike(model: fb.ModelT, exits: Sequence[str]) -> None:
    """All exits must speak of the same classes in the same type."""
    tensors = [model.subgraphs[0].tensors[resolve(model, name)] for name in exits]
    kinds = [(schema.dtype(tensor), schema.shape(tensor)[-1]) for tensor in tensors]
    for name, (kind, classes) in zip(exits, kinds, strict=True):
        if (kind, classes) != kinds[0]:
            raise UserError(
                f"the exits differ: {exits[0]} gives {kinds[0][1]} classes in {kinds[0][0]}, "
                f"{name} gives {classes} in {kind}{ADVICE}"
            )


def _bare(model: fb.ModelT, tensor: int) -> int:
    """The tensor of shape (1, 1, 1, classes) that this one is a reshaping of, or itself."""
    op = producer(model.subgraphs[0], tensor)
    if op is None or schema.op_name(model, op) != "RESHAPE":
        return tensor
    before = int(op.inputs[0])
    shape = schema.shape(model.subgraphs[0].tensors[before])
    return before if len(shape) == 4 and shape[:3] == (1, 1, 1) else tensor


def _make_scores_alike(model: fb.ModelT, exits: Sequence[str]) -> None:
    """Give the exits' outputs one shape, so that the branches of an `IF` give back the same.

    They are taken before their last reshape, if every exit has one: a single `RESHAPE` at the end
    of the main graph then does for all. Otherwise convolutional heads among dense ones get one
    each.
    """
    main, indices = model.subgraphs[0], [resolve(model, name) for name in exits]
    alike = {index: _bare(model, index) for index in indices}
    if any(len(main.tensors[before].shape) != 4 for before in alike.values()):
        alike = {index: _vector(model, index) for index in indices}
    named = {name: alike.get(i, i) for name, i in schema.outputs_by_name(model).items()}
    main.outputs = np.array(list(named.values()), np.int32)
    schema.sign(model, schema.inputs_by_name(model), named)


def _vector(model: fb.ModelT, scores: int) -> int:
    """The scores as (1, classes), by a `RESHAPE` at the end of the main graph if need be."""
    main = model.subgraphs[0]
    shape = np.array((1, schema.shape(main.tensors[scores])[-1]), np.int32)
    if len(main.tensors[scores].shape) == len(shape):
        return scores
    vector = copy.copy(main.tensors[scores])
    vector.shape = shape
    main.tensors.append(vector)
    op = fb.OperatorT(schema.operator_code(model, fb.BuiltinOperator.RESHAPE, 1))
    op.inputs = np.array([scores], np.int32)
    op.outputs = np.array([len(main.tensors) - 1], np.int32)
    op.builtinOptions = fb.ReshapeOptionsT(newShape=shape)
    op.builtinOptionsType = fb.BuiltinOptions.ReshapeOptions
    main.operators.append(op)
    return len(main.tensors) - 1


def _add_thresholds(model: fb.ModelT) -> int:
    """Give the model a further input, the thresholds; returns its tensor."""
    main, inputs = model.subgraphs[0], schema.inputs_by_name(model)
    outputs = schema.outputs_by_name(model)
    if spliced.THRESHOLDS in inputs:
        raise UserError(
            f"the network has an input called {spliced.THRESHOLDS!r} already; rename it"
        )
    tensor = copy.copy(main.tensors[next(iter(outputs.values()))])
    tensor.name, tensor.shape = spliced.THRESHOLDS, np.array([len(outputs) - 1], np.int32)
    main.tensors.append(tensor)
    inputs[spliced.THRESHOLDS] = len(main.tensors) - 1
    main.inputs = np.array(list(inputs.values()), np.int32)
    schema.sign(model, inputs, outputs)
    return inputs[spliced.THRESHOLDS]


@dataclass(frozen=True)
class _Splicer:
    """Builds the nested graphs.

    Attributes:
        thresholds: without the last exit's.
        given: the tensor of the source with thresholds set at run time, if they are.
    """

    builder: Builder
    stages: Stages
    thresholds: Sequence[int]
    confidence: Confidence
    given: int | None

    def graph(self, k: int, inputs: list[int]) -> Graph:
        """The graph that runs stage k and everything behind it."""
        stage = self.stages.stages[k]
        graph = self.builder.graph(f"stage_{k}" if k else "main", inputs)
        for position in stage.operators:
            graph.copy_operator(position)
        if k == len(self.stages.stages) - 1:
            graph.outputs = [graph.tensor(stage.scores), _exit_index(graph, k)]
            return graph
        if self.given is None:
            limit = constant_threshold(graph, stage.scores, k, self.thresholds[k])
        else:
            limit = slice_threshold(graph, self.given, k)
        decided = decide(graph, stage.scores, self.confidence, limit)
        passed = self._passed(k)
        then = self.builder.graph(f"exit_{k}", passed)
        then.outputs = [then.tensor(stage.scores), _exit_index(then, k)]
        otherwise = self.graph(k + 1, passed)
        graph.outputs = [
            graph.like(self.builder.source.tensors[stage.scores], spliced.SCORES),
            graph.new(spliced.EXIT, fb.TensorType.INT32, (1,)),
        ]
        graph.add(
            fb.BuiltinOperator.IF,
            [decided, *(graph.tensor(i) for i in passed)],
            graph.outputs,
            fb.IfOptionsT(then.number, otherwise.number),
        )
        return graph

    def _passed(self, k: int) -> list[int]:
        """What stage k hands to both of its branches, its scores first."""
        scores, later = self.stages.stages[k].scores, self.stages.stages[k + 1]
        passed = [scores, *(i for i in later.receives if i != scores)]
        if self.given is not None and k + 2 < len(self.stages.stages):
            passed.append(self.given)
        return passed


def _flatten_scores(main: Graph) -> None:
    """Make the main graph's scores (1, classes)."""
    scores = main.tensors[main.outputs[0]]
    shape = (1, schema.shape(scores)[-1])
    if schema.shape(scores) != shape:
        flat = main.like(scores, spliced.SCORES, shape)
        options = fb.ReshapeOptionsT(newShape=np.array(shape, np.int32))
        main.add(fb.BuiltinOperator.RESHAPE, main.outputs[:1], [flat], options)
        main.outputs[0] = flat


def _exit_index(graph: Graph, k: int) -> int:
    return graph.constant(spliced.EXIT, fb.TensorType.INT32, np.array([k], "<i4"))
