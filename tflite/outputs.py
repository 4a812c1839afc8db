"""What the exits of a static network say about labelled samples."""

from collections.abc import Sequence

from eexit_tf.confidences import Confidence
from eexit_tf.data import Samples, labelled
from eexit_tf.outputs import ExitOutputs
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.lineage import resolve
from eexit_tf.tflite.runtimes import LiteRT


def exit_outputs(
    content: bytes, exits: Sequence[str], samples: Samples, confidence: Confidence
) -> ExitOutputs:
    """Levels and correctness of every exit on every sample, as a spliced file would have them.

    Args:
        content: a static network in the form that `normalize` and `unsplice` give.
        exits: names of its outputs, also without TFMOT's `quant_`.
        samples: inputs as the network takes them, and labels.
        confidence: what is measured.

    Raises:
        UserError: unknown exits, or samples that do not fit.
    """
    model, samples = flatbuffer.read(content), Samples(*samples)
    outputs = schema.outputs_by_name(model)
    names = {index: name for name, index in outputs.items()}
    tensors = model.subgraphs[0].tensors
    classes = schema.shape(tensors[resolve(model, exits[0])])[-1]
    samples = labelled(samples, classes)
    said = LiteRT(content).run(quantise(model, samples.x))
    scores = [said[names[resolve(model, name)]] for name in exits]
    return ExitOutputs.from_file(scores, samples.y, confidence)
