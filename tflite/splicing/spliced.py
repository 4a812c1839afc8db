"""A self-exiting file from outside: exits, labels, confidence and thresholds, read and patched.

Any program can read them: the metadata entry `eexit_tf` is JSON such as

    {"schema": 1, "thresholds_int8": [  10,  -28], "runtime_thresholds": false,
     "confidence": "max", "exits": ["block0", "block1", "block2"], "labels": ["cat", "dog"]}

with one threshold for each exit but the last, an int8 score (level - 128, see
`eexit_tf.vocabulary`) also in a float32 network. The exit's index that the network gives counts
within `exits`; `labels` may be missing. What the network compares with is the constant tensors
`threshold_0`, `threshold_1`, ... or, with `runtime_thresholds`, its last input `thresholds`,
(exits - 1,): then `thresholds_int8` is what to feed unless the application knows better.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from numbers import Real
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

from eexit_tf.confidences import CONFIDENCES, Confidence
from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.vocabulary import LEVELS, counted

METADATA = "eexit_tf"
SCORES, EXIT, THRESHOLDS = "scores", "exit", "thresholds"
THRESHOLD_TENSOR = "threshold_"
LOWEST, HIGHEST = -LEVELS // 2, LEVELS // 2 - 1
_STORED = re.compile(rb'"thresholds_int8": \[[^\]]*\]')  # quotes inside a name are escaped


@dataclass(frozen=True)
class Spliced:
    """What a self-exiting file says of itself.

    Attributes:
        exits: names, in the order in which they are asked.
        thresholds: int8 (level - 128), one an exit; the last is -128. A sample leaves where its
            confidence is at least that. The default, if they are set at run time.
        confidence: the measure of confidence.
        runtime_thresholds: whether thresholds are an input.
        labels: names of the classes, if the file has any.
    """

    exits: tuple[str, ...]
    thresholds: tuple[int, ...]
    confidence: Confidence
    runtime_thresholds: bool
    labels: tuple[str, ...] | None


def inspect(content: bytes) -> Spliced:
    """What a self-exiting file says of itself.

    Raises:
        UserError: not a file made by `splice`.
    """
    return _inspect(flatbuffer.read(content))


def retune(content: bytes, thresholds: Sequence[int]) -> bytes:
    """The same file with other thresholds: only they are patched, in place.

    Args:
        content: a file made by `splice`.
        thresholds: as for `splice`.

    Raises:
        UserError: not a file made by `splice`, or thresholds that do not fit.
    """
    model = flatbuffer.read(content)
    known = _inspect(model)
    check_thresholds(thresholds, len(known.exits))
    levels = [int(level) for level in thresholds[:-1]]
    patched = bytearray(content)
    entry = next(e for e in model.metadata if schema.text(e.name) == METADATA)
    described = bytes(model.buffers[entry.buffer].data)
    changed = _STORED.sub(_stored(levels).encode(), described)
    if len(changed) != len(described):
        raise UserError("the file's metadata was rewritten, so that it cannot be patched")
    _patch(patched, entry.buffer, changed)
    if not known.runtime_thresholds:
        tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
        used = [_place(content, tensor.buffer) for tensor in tensors]
        for tensor, level in zip(_threshold_tensors(model), levels, strict=True):
            if used.count(_place(content, tensor.buffer)) > 1:
                raise UserError(
                    "the file's thresholds share their memory, so that they cannot be patched"
                )
            _patch(patched, tensor.buffer, threshold_values(tensor.type, [level]).tobytes())
    return bytes(patched)


def metadata_content(
    exits: Sequence[str],
    thresholds: Sequence[int],
    confidence: Confidence,
    runtime_thresholds: bool,
    labels: Sequence[str] | None,
) -> bytes:
    """The content of the metadata entry; thresholds without the last one."""
    rest: dict[str, Any] = {
        "runtime_thresholds": runtime_thresholds,
        "confidence": confidence,
        "exits": list(exits),
    }
    if labels is not None:
        rest["labels"] = list(labels)
    return f'{{"schema": 1, {_stored(thresholds)}, {json.dumps(rest)[1:]}'.encode()


def check_thresholds(thresholds: Sequence[int], count: int) -> None:
    """Raise a `UserError` unless there are `count` integers from -128 to 127."""
    if len(thresholds) != count or any(
        not LOWEST <= t <= HIGHEST or int(t) != t for t in thresholds[: count - 1]
    ):
        raise UserError(
            f"expected {count} thresholds from {LOWEST} to {HIGHEST}, got {list(thresholds)}"
        )


def threshold_values(kind: int, thresholds: Sequence[int]) -> NDArray:
    """Thresholds as a tensor of that type holds them."""
    if kind == fb.TensorType.INT8:
        return np.array(thresholds, np.int8)
    return ((np.array(thresholds, "<f4") - LOWEST) / LEVELS).astype("<f4")


def threshold_inputs(model: fb.ModelT, known: Spliced) -> tuple[NDArray, ...]:
    """What to feed behind a sample: the thresholds, if they are set at run time."""
    if not known.runtime_thresholds:
        return ()
    main = model.subgraphs[0]
    kind = main.tensors[main.inputs[1]].type
    return (threshold_values(kind, known.thresholds[:-1]),)


def int8_threshold(confidence: float) -> int:
    """The smallest int8 score that is at least this confidence (127 for everything above).

    Raises:
        UserError: it is not a number from 0 to 1.
    """
    if not isinstance(confidence, Real):
        raise UserError(f"expected a number as a threshold, got {confidence!r}")
    if not 0 <= confidence <= 1:
        raise UserError(f"expected a threshold from 0 to 1, got {confidence}")
    return min(ceil(confidence * LEVELS), LEVELS - 1) - LEVELS // 2


def int8_thresholds(
    exits: Sequence[str], confidences: Iterable[float], advice: str = ""
) -> list[int]:
    """Thresholds as a file has them, one an exit, from confidences for all but the last.

    Args:
        exits: names, in the order in which they are asked.
        confidences: 0 to 1.
        advice: what else to do if there are too few or too many; ends the message.

    Raises:
        UserError: there are too few or too many, or one is not a number from 0 to 1.
    """
    try:
        given = list(confidences)
    except TypeError:
        raise UserError(f"expected a list of thresholds, got {confidences!r}") from None
    early = len(exits) - 1
    if len(given) != early:
        raise UserError(
            f"the network has {counted(len(exits), 'exit')} ({', '.join(exits)}): expected "
            f"{counted(early, 'threshold')}, got {len(given)}{advice}"
        )
    return [*map(int8_threshold, given), LOWEST]


def _stored(thresholds: Sequence[int]) -> str:
    """Always of the same length, so that it can be patched."""
    return f'"thresholds_int8": [{", ".join(f"{level:4d}" for level in thresholds)}]'


def _patch(content: bytearray, buffer: int, data: bytes) -> None:
    start = _place(content, buffer)
    content[start : start + len(data)] = data


def _place(content: bytes | bytearray, buffer: int) -> int:
    """Where a buffer's bytes begin, which two of them may share; 0 if it has none."""
    table = fb.Model.GetRootAs(content, 0).Buffers(buffer)._tab
    field = table.Offset(4)
    return int(table.Vector(field)) if field else 0


def _inspect(model: fb.ModelT) -> Spliced:
    try:
        value = json.loads(schema.metadata(model, METADATA) or b"")
        found = Spliced(
            exits=tuple(value["exits"]),
            thresholds=(*value["thresholds_int8"], LOWEST),
            confidence=value["confidence"],
            runtime_thresholds=value["runtime_thresholds"],
            labels=tuple(value["labels"]) if "labels" in value else None,
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            "expected a self-exiting .tflite file that eexit-tf made, got another one; `eexit-tf "
            "compile` makes one of a network with several exits"
        ) from None
    if (
        not all(isinstance(name, str) for name in (*found.exits, *(found.labels or ())))
        or len(found.thresholds) != len(found.exits)
        or not all(type(t) is int and LOWEST <= t <= HIGHEST for t in found.thresholds)
        or found.confidence not in CONFIDENCES
        or not isinstance(found.runtime_thresholds, bool)
    ):
        raise UserError(f"the file's metadata {METADATA} makes no sense")
    _check_fit(model, found)
    return found


def _check_fit(model: fb.ModelT, found: Spliced) -> None:
    """The network's stages, outputs and thresholds must be those of its metadata."""
    main, named = model.subgraphs[0], schema.outputs_by_name(model)
    fit = _stages(model) == len(found.exits)
    fit = fit and sorted(named) == sorted((SCORES, EXIT))
    fit = fit and schema.dtype(main.tensors[named[EXIT]]) == np.int32
    fit = fit and (
        found.labels is None
        or schema.shape(main.tensors[named[SCORES]])[-1:] == (len(found.labels),)
    )
    if found.runtime_thresholds:
        index = schema.inputs_by_name(model).get(THRESHOLDS)
        fit = fit and len(main.inputs) == 2 and index == int(main.inputs[1])
        fit = fit and schema.shape(main.tensors[main.inputs[1]]) == (len(found.exits) - 1,)
    else:
        stored = [schema.constant(model, tensor).tobytes() for tensor in _threshold_tensors(model)]
        kind = main.tensors[named[SCORES]].type if SCORES in named else 0
        fit = fit and stored == [
            threshold_values(kind, [level]).tobytes() for level in found.thresholds[:-1]
        ]
    if not fit:
        raise UserError("the file's exits and thresholds do not fit together")


def _stages(model: fb.ModelT) -> int:
    """How many there are if no sample leaves early."""
    graph, stages = model.subgraphs[0], 1
    while branches := [op for op in graph.operators if schema.op_name(model, op) == "IF"]:
        graph = model.subgraphs[branches[-1].builtinOptions.elseSubgraphIndex]
        stages += 1
    return stages


def _threshold_tensors(model: fb.ModelT) -> list[fb.TensorT]:
    """The constant thresholds, in order."""
    found = {
        schema.text(tensor.name): tensor
        for graph in model.subgraphs
        for tensor in graph.tensors
        if schema.text(tensor.name).startswith(THRESHOLD_TENSOR)
        and schema.is_constant(model, tensor)
    }
    names = [f"{THRESHOLD_TENSOR}{k}" for k in range(len(found))]
    return [found[name] for name in names if name in found]
