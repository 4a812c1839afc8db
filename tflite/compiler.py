"""The last step: choose exits and thresholds on the int8 network's own outputs, then splice."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.bounds import Bounds
from eexit_tf.confidences import Confidence
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.files import read_bytes
from eexit_tf.policies import TOLERANCE, Policy, PolicyScore, search_policies
from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.costs import exit_costs, order_by_cost
from eexit_tf.tflite.describe import describe
from eexit_tf.tflite.model import CompiledModel, MultiExit
from eexit_tf.tflite.outputs import exit_outputs
from eexit_tf.tflite.splicing import spliced
from eexit_tf.tflite.splicing.metadata import add_metadata
from eexit_tf.tflite.splicing.normalize import ADVICE, normalize
from eexit_tf.tflite.splicing.signatures import keep, select
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.vocabulary import LEVELS, Exit, OperatingPoint


def compile(
    multi: MultiExit,
    point: OperatingPoint,
    *,
    calibrate_on: Samples | None = None,
    bounds: Bounds | None = None,
    class_names: Sequence[str] | None = None,
    divisor: float = 1.0,
    confidence: Confidence = "max",
    runtime_thresholds: bool = False,
) -> CompiledModel:
    """Make one `.tflite` that leaves early by itself.

    Quantising moves samples to other exits, so the policy is searched again on what the int8
    network itself says of `calibrate_on`, over the point's exits and every subset of them: the
    most accurate one that on average costs no more than the bound, or than the point if there is
    no such bound. Accuracy and mean MACs are then exactly what the file does on that data, in
    both runtimes.

    Args:
        multi: the int8 network, from `quantize`.
        point: which exits to use.
        calibrate_on: validation samples; without them the point's own thresholds are kept, and
            accuracy and mean MACs stay unknown.
        bounds: to keep.
        class_names: in the order of the scores; numbers if not given.
        divisor: what raw input values were divided by, for the card.
        confidence: what decisions measure, `max` or `margin`.
        runtime_thresholds: make thresholds an input, with these as the default (see `splice`).

    Raises:
        UserError: the network lacks an exit of the point, or no policy keeps the bounds, or the
            file does not.
    """
    exits = [use.exit for use in point.exits]
    missing = [exit_.name for exit_ in exits if exit_ not in multi.exits]
    if missing:
        having = ", ".join(exit_.name for exit_ in multi.exits)
        raise UserError(f"the network has no exit {missing[0]}; it has {having}")
    score: PolicyScore | None = None
    if calibrate_on is None:
        thresholds = [spliced.int8_threshold(use.threshold) for use in point.exits]
    else:
        limits = (bounds or Bounds()).of_policies
        limits = replace(limits, max_mean_macs=limits.max_mean_macs or point.mean_macs)
        policy, score = _calibrate(multi, exits, calibrate_on, limits, confidence)
        exits = [exits[index] for index in policy.exits]
        thresholds = [level - LEVELS // 2 for level in policy.thresholds]
    content = splice(
        multi.content,
        [exit_.name for exit_ in exits],
        thresholds,
        labels=class_names,
        confidence=confidence,
        runtime_thresholds=runtime_thresholds,
    )
    model = describe(
        add_metadata(content, divisor),
        divisor=divisor,
        score=score,
        quantization=multi.quantization,
    )
    if bounds and not bounds.allow(flash_bytes=model.flash_bytes, arena_bytes=model.arena_bytes):
        raise UserError(
            f"the file needs {model.flash_bytes:,} bytes of flash and {model.arena_bytes:,} bytes "
            f"of arena, which does not keep {bounds}; pick a smaller point"
        )
    return model


def _calibrate(
    multi: MultiExit,
    exits: Sequence[Exit],
    samples: Samples,
    bounds: Bounds,
    confidence: Confidence,
) -> tuple[Policy, PolicyScore]:
    """The most accurate policy within the bounds; the cheapest of equals."""
    content = normalize(multi.content)  # as it will run, to the last bit
    names = [exit_.name for exit_ in exits]
    outputs = exit_outputs(content, names, samples, confidence)
    costs = exit_costs(flatbuffer.read(content), names, confidence)
    found = search_policies(outputs, costs, bounds, TOLERANCE).found
    if not found:
        raise UserError(
            f"no policy on the int8 network keeps {bounds}; pick another point or looser ones"
        )
    return found[-1]


def compile_file(
    path: Path | str,
    thresholds: Sequence[float],
    *,
    exits: Sequence[str] | None = None,
    signature: str | None = None,
    class_names: Sequence[str] | None = None,
    confidence: Confidence = "max",
    runtime_thresholds: bool = False,
) -> CompiledModel:
    """Make a static multi-exit file from anywhere self-exiting; exits in the order of cost.

    Args:
        path: an int8 or float32 `.tflite` with one output an exit, softmax scores, their
            logarithms or logits; it may have other outputs.
        thresholds: confidence to leave at, 0 to 1, for each exit but the last; rounded up to a
            multiple of 1/256, 255/256 at most, in a float32 network, too.
        exits: which outputs are exits, in any order; all if not given. Others, such as an
            embedding, are left out with everything that only they need.
        signature: whose graph and outputs to take; not needed if the file has only one.
        class_names: in the order of the scores; numbers if not given.
        confidence: what decisions measure, `max` or `margin`.
        runtime_thresholds: make thresholds an input, with these as the default (see `splice`).

    Raises:
        UserError: not such a file, an output that it does not have, or thresholds that do not fit
            its exits.
    """

    def chosen(model: fb.ModelT) -> fb.ModelT:
        model = select(model, signature, exits)
        return model if exits is None else keep(model, exits)

    model = flatbuffer.read(read_bytes(path), chosen)
    names = order_by_cost(model)
    if len(names) < 2:
        having = "one output" if exits is None else f"{len(names)} of its outputs named as exits"
        raise UserError(
            f"{path} has {having}; expected a network with one softmax output for each exit, "
            f"at least two"
        )
    content = splice(
        flatbuffer.write(model),
        names,
        spliced.int8_thresholds(names, thresholds, ADVICE if exits is None else ""),
        labels=class_names,
        confidence=confidence,
        runtime_thresholds=runtime_thresholds,
    )
    return describe(add_metadata(content))
