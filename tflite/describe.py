"""The card of a self-exiting file, read from the file itself."""

from collections.abc import Sequence

import numpy as np

from eexit_tf.errors import UserError
from eexit_tf.policies import PolicyScore
from eexit_tf.tflite import schema, splice
from eexit_tf.tflite.model import CompiledExit, CompiledInput, CompiledModel, Method
from eexit_tf.tflite.runtimes import Tflm
from eexit_tf.tflite.stages import cut
from eexit_tf.tflite.unsplice import unsplice
from eexit_tf.vocabulary import LEVELS, Exit


def describe(
    content: bytes,
    *,
    class_names: Sequence[str] | None = None,
    divisor: float = 1.0,
    score: PolicyScore | None = None,
    quantization: Method | None = None,
) -> CompiledModel:
    """Everything that can be said of a self-exiting file.

    Args:
        content: a file made by `splice`.
        class_names: in the order of the scores; numbers if not given.
        divisor: what raw input values were divided by.
        score: what the file's policy does on validation data, if that is known.
        quantization: how the network came to int8, if that is known.

    Raises:
        UserError: not such a file, or class names that do not fit it.
    """
    names = splice.exits(content)
    static = schema.read(unsplice(content))
    main = static.subgraphs[0]
    classes = schema.shape(main.tensors[main.outputs[0]])[-1]
    if class_names is None:
        class_names = [str(number) for number in range(classes)]
    if len(class_names) != classes:
        raise UserError(f"{len(class_names)} class names for a network with {classes} classes")
    return CompiledModel(
        content=content,
        classes=tuple(class_names),
        input=CompiledInput(
            schema.shape(main.tensors[main.inputs[0]])[1:],
            *schema.quantization(main.tensors[main.inputs[0]]),
            divisor,
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
                zip(names, splice.thresholds(content), cut(static, names).leave_macs, strict=True)
            )
        ),
        static_macs=cut(static, names[-1:]).leave_macs[0],
        mean_macs=None if score is None else score.mean_macs,
        val_accuracy=None if score is None else score.accuracy,
        arena_bytes=_arena_bytes(content, static.subgraphs[0].tensors[main.inputs[0]]),
        quantization=quantization,
    )


def _arena_bytes(content: bytes, taken: object) -> int:
    """Measured after a run, when TFLM knows what it needed."""
    runtime = Tflm(content)
    runtime.run(np.zeros(schema.shape(taken), schema.dtype(taken)))
    return runtime.arena_bytes
