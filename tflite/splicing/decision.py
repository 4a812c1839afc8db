"""The decision at an exit, in operators that LiteRT and stock TFLM have, int8 in an int8 network.

With the confidence `max`:     REDUCE_MAX(scores) >= threshold.
With `margin`:                 first = ARG_MAX(scores); the second largest score is the
                               REDUCE_MAX of the scores without that one (EQUAL, SELECT_V2), and
                               the decision is SUB(largest, second) >= threshold.

`ARG_MAX` gives one class even where several share the largest score, so that their margin is 0.
Scores, thresholds and margins all have scale 1/256 and zero point -128: then `SUB` is exact, and
a margin's level minus 128 is its int8 value, just as that of a score.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.confidences import Confidence
from eexit_tf.tflite import schema
from eexit_tf.tflite.splicing.builder import Graph
from eexit_tf.tflite.splicing.spliced import LOWEST, THRESHOLD_TENSOR, threshold_values

_INT32 = fb.TensorType.INT32


def decide(graph: Graph, scores: int, confidence: Confidence, threshold: int) -> int:
    """The bool tensor that says whether to leave.

    Args:
        graph: where the operators are added.
        scores: a tensor of the source, (1, ..., 1, classes).
        confidence: the measure.
        threshold: a tensor of the graph, (1,), as from `constant_threshold` or `slice_threshold`.
    """
    sure = _largest(graph, scores, graph.tensor(scores))
    if confidence == "margin":
        sure = _margin(graph, scores, sure)
    decided = graph.new("leave", fb.TensorType.BOOL, (1,))
    graph.add(fb.BuiltinOperator.GREATER_EQUAL, [sure, threshold], [decided])
    return decided


def constant_threshold(graph: Graph, scores: int, k: int, level: int) -> int:
    """The threshold of exit k as a constant of its own, which `spliced.retune` can patch."""
    like = graph.source.tensors[scores]
    position = graph.like(like, f"{THRESHOLD_TENSOR}{k}", (1,))
    values = threshold_values(like.type, [level])
    graph.tensors[position].buffer = graph.builder.buffer(values)
    return position


def slice_threshold(graph: Graph, thresholds: int, k: int) -> int:
    """The threshold of exit k out of all; `thresholds` is a tensor of the source, (exits - 1,)."""
    begin = graph.constant("begin", _INT32, np.array([k], "<i4"))
    size = graph.constant("size", _INT32, np.array([1], "<i4"))
    one = graph.like(graph.source.tensors[thresholds], f"{THRESHOLD_TENSOR}{k}", (1,))
    inputs = [graph.tensor(thresholds), begin, size]
    graph.add(fb.BuiltinOperator.SLICE, inputs, [one])
    return one


def _largest(graph: Graph, like: int, scores: int) -> int:
    """The largest of scores, (1,); `like` is the tensor of the source that they resemble."""
    source = graph.source.tensors[like]
    axes = np.arange(1, len(schema.shape(source)), dtype="<i4")
    largest = graph.like(source, "largest", (1,))
    graph.add(
        fb.BuiltinOperator.REDUCE_MAX,
        [scores, graph.constant("axes", _INT32, axes)],
        [largest],
        fb.ReducerOptionsT(keepDims=False),
    )
    return largest


def _margin(graph: Graph, scores: int, largest: int) -> int:
    source = graph.source.tensors[scores]
    shape = schema.shape(source)
    first = graph.new("first", _INT32, shape[:-1])
    axis = graph.constant("axis", _INT32, np.array([len(shape) - 1], "<i4"))
    options = fb.ArgMaxOptionsT(outputType=_INT32)
    graph.add(fb.BuiltinOperator.ARG_MAX, [graph.tensor(scores), axis], [first], options)
    # One more dimension in front than `first` has, so that it is compared along the classes.
    numbers = np.arange(shape[-1], dtype="<i4").reshape(shape)
    is_first = graph.new("is_first", fb.TensorType.BOOL, shape)
    inputs = [graph.constant("classes", _INT32, numbers), first]
    graph.add(fb.BuiltinOperator.EQUAL, inputs, [is_first])
    nothing = graph.constant(
        "nothing", source.type, threshold_values(source.type, [LOWEST]), like=source
    )
    others = graph.like(source, "others")
    inputs = [is_first, nothing, graph.tensor(scores)]
    graph.add(fb.BuiltinOperator.SELECT_V2, inputs, [others])
    margin = graph.like(source, "margin", (1,))
    inputs = [largest, _largest(graph, scores, others)]
    graph.add(fb.BuiltinOperator.SUB, inputs, [margin], fb.SubOptionsT())
    return margin
