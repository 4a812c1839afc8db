"""The card of a self-exiting file, read from the file itself."""

from eexit_tf.policies import PolicyScore
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.arena import measure
from eexit_tf.tflite.model import CompiledExit, CompiledInput, CompiledModel, Method
from eexit_tf.tflite.splicing.metadata import recorded_divisor
from eexit_tf.tflite.splicing.spliced import inspect
from eexit_tf.tflite.splicing.stages import cut
from eexit_tf.tflite.splicing.unsplice import unsplice
from eexit_tf.vocabulary import LEVELS, Exit


def describe(
    content: bytes,
    *,
    divisor: float | None = None,
    score: PolicyScore | None = None,
    quantization: Method | None = None,
) -> CompiledModel:
    """Everything that can be said of a self-exiting file.

    Args:
        content: a file made by `splice`.
        divisor: what raw input values were divided by; as the file says, if not given.
        score: what the file's policy does on validation data, if that is known.
        quantization: how the network came to int8, if that is known.

    Raises:
        UserError: not such a file.
    """
    known, model = inspect(content), flatbuffer.read(content)
    static = flatbuffer.read(unsplice(content))
    main = static.subgraphs[0]
    classes = schema.shape(main.tensors[main.outputs[0]])[-1]
    taken = main.tensors[main.inputs[0]]
    scale, zero_point = schema.quantization(taken)
    leave_macs = cut(static, known.exits, known.confidence).leave_macs
    return CompiledModel(
        content=content,
        classes=known.labels or tuple(map(str, range(classes))),
        input=CompiledInput(
            shape=schema.shape(taken)[1:],
            scale=scale or None,
            zero_point=zero_point if scale else None,
            divisor=recorded_divisor(model) if divisor is None else divisor,
        ),
        exits=tuple(
            CompiledExit(
                at=Exit.parse(name).at,
                head=Exit.parse(name).head,
                threshold_int8=threshold,
                threshold=(threshold + LEVELS // 2) / LEVELS,
                macs=macs,
                share=None if score is None else score.leaves[k] / score.samples,
            )
            for k, (name, threshold, macs) in enumerate(
                zip(known.exits, known.thresholds, leave_macs, strict=True)
            )
        ),
        confidence=known.confidence,
        runtime_thresholds=known.runtime_thresholds,
        static_macs=cut(static, known.exits[-1:]).leave_macs[0],
        mean_macs=None if score is None else score.mean_macs,
        val_accuracy=None if score is None else score.accuracy,
        arena_bytes=measure(model).needed_bytes,
        quantization=quantization,
    )
