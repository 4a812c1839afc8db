"""Bringing the exits of a file from anywhere to one form: softmax scores in the network's type.

* A float or uint8 input or output of an int8 network loses its `QUANTIZE` or `DEQUANTIZE`: the
  int8 tensor itself becomes the input or output.
* Logits get a `SOFTMAX`, and so do those that an exit is the `LOG_SOFTMAX` of. Its int8 output
  always has scale 1/256 and zero point -128, so exits of different quantisation become comparable.
  So does a float32 `SOFTMAX` of int8 logits, which converters leave that do not quantise it:
  otherwise an int8 network would end in float32.
* What LiteRT and TFLM compute differently is written as what they compute alike: see
  `dense_as_conv` and `relu6_as_relu`.
"""

import copy
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.lineage import drop_unread, producer, prune, resolve
from eexit_tf.tflite.splicing.dense_as_conv import dense_as_conv
from eexit_tf.tflite.splicing.relu6_as_relu import relu6_as_relu
from eexit_tf.vocabulary import MOST_INT8_CLASSES

ADVICE = "; if one of the outputs is no exit, name those that are with --exits"
"""Ends what is said where an output is, or may be, no exit."""
_BEFORE_CLASSES = ((1,), (1, 1, 1))
_SOFTMAX_VERSION = 2
_CONVERSIONS = {"DEQUANTIZE", "QUANTIZE"}
_SCORES = {"LOGISTIC", "SOFTMAX"}
_SOFTMAXES = {"LOG_SOFTMAX", "SOFTMAX"}
_WEIGHING = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def normalize(content: bytes) -> bytes:
    """The static multi-output file as `splice` sees it, dense layers as convolutions included.

    Doing it twice changes nothing. What the outputs say of a sample is, to the last bit, what
    the spliced file says of it at that exit.

    Raises:
        UserError: the file is not sound, or has an output that cannot be an exit.
    """
    model = flatbuffer.read(content)
    normalize_model(model)
    drop_unread(model)
    return flatbuffer.write(model)


def normalize_model(model: fb.ModelT, exits: Sequence[str] | None = None) -> None:
    """The same, in place, on a checked model without branches.

    Args:
        model: what `flatbuffer.read` gave.
        exits: outputs to keep; all if not given.
    """
    main = model.subgraphs[0]
    inputs = {name: _int8_input(model, i) for name, i in schema.inputs_by_name(model).items()}
    kept = [resolve(model, name) for name in exits] if exits is not None else main.outputs
    kinds = {main.tensors[index].type for index in inputs.values()}
    outputs = {
        name: _scores(model, name, index, stay_int8=kinds == {fb.TensorType.INT8})
        for name, index in schema.outputs_by_name(model).items()
        if index in kept
    }
    main.inputs = np.array(list(inputs.values()), np.int32)
    main.outputs = np.array(list(outputs.values()), np.int32)
    schema.sign(model, inputs, outputs)
    prune(model)
    relu6_as_relu(model)
    dense_as_conv(model)


def _int8_input(model: fb.ModelT, index: int) -> int:
    """The int8 tensor that an input is quantised to, if that is all it is used for.

    An int8 input keeps a `QUANTIZE` behind it: it gives the same numbers other values.
    """
    main = model.subgraphs[0]
    readers = [op for op in main.operators if index in op.inputs]
    if main.tensors[index].type == fb.TensorType.INT8 or len(readers) != 1:
        return index
    if schema.op_name(model, readers[0]) != "QUANTIZE":
        return index
    main.operators.remove(readers[0])
    return int(readers[0].outputs[0])


def _scores(model: fb.ModelT, name: str, index: int, stay_int8: bool) -> int:
    """The tensor of softmax scores behind an output.

    Args:
        stay_int8: do not go back from int8 to float32, which some converters compute a head in.
    """
    main = model.subgraphs[0]
    if (found := _int8_logits(model, index)) is not None:
        return _add_softmax(model, *found)
    op = producer(main, index)
    while op is not None and schema.op_name(model, op) in _CONVERSIONS:
        before = int(op.inputs[0])
        if stay_int8 and main.tensors[before].type == fb.TensorType.FLOAT32:
            break
        index = before
        op = producer(main, index)
    tensor, shape = main.tensors[index], schema.shape(main.tensors[index])
    if tensor.type not in (fb.TensorType.INT8, fb.TensorType.FLOAT32):
        raise UserError(
            f"output {name} is {schema.dtype(tensor)}, expected int8 or float32{ADVICE}"
        )
    if len(shape) > 1 and shape[0] > 1 and shape[1:-1] in ((), (1, 1)):
        raise UserError(
            f"output {name} is of shape {shape}, of {shape[0]} samples at once; convert the "
            f"network with a batch of 1"
        )
    if shape[:-1] not in _BEFORE_CLASSES or shape[-1] < 2:
        raise UserError(
            f"output {name} is of shape {shape}, expected (1, classes) with two classes or more"
            f"{ADVICE}"
        )
    op = _behind_reshapes(model, index)
    made_by = "" if op is None else schema.op_name(model, op)
    if op is not None and made_by in _SOFTMAXES:
        over = schema.shape(main.tensors[op.outputs[0]])[-1]
        if over != shape[-1]:
            raise UserError(
                f"output {name} holds {shape[-1] // over} softmaxes over {over} scores each, "
                f"expected one over all {shape[-1]}{ADVICE}"
            )
        if made_by == "SOFTMAX":
            return index
        index = int(op.inputs[0])
        if schema.shape(main.tensors[index])[:-1] not in _BEFORE_CLASSES:
            raise UserError(
                f"output {name} is the logarithm of a softmax over a tensor of shape "
                f"{schema.shape(main.tensors[index])}, expected (1, classes){ADVICE}"
            )
    if op is None or _is_made_of_scores(model, index):
        said = "an input" if op is None else f"{made_by}, with softmax or sigmoid scores behind it"
        raise UserError(
            f"output {name} comes from {said}; expected a softmax, its logarithm or logits{ADVICE}"
        )
    if tensor.type == fb.TensorType.INT8 and shape[-1] > MOST_INT8_CLASSES:
        raise UserError(
            f"output {name} gives int8 logits of {shape[-1]} classes, but in int8 the runtimes "
            f"abort beyond {MOST_INT8_CLASSES}; leave the network float32{ADVICE}"
        )
    return _add_softmax(model, index)


def _int8_logits(model: fb.ModelT, index: int) -> tuple[int, float] | None:
    """Int8 logits behind an output that is their softmax in float32, and its beta."""
    main = model.subgraphs[0]
    op = producer(main, index)
    while op is not None and schema.op_name(model, op) in {*_CONVERSIONS, "RESHAPE"}:
        op = producer(main, int(op.inputs[0]))
    if op is None or schema.op_name(model, op) not in _SOFTMAXES:
        return None
    before = producer(main, int(op.inputs[0]))
    if before is None or schema.op_name(model, before) != "DEQUANTIZE":
        return None
    logits = int(before.inputs[0])
    shape = schema.shape(main.tensors[logits])
    if shape[:-1] not in _BEFORE_CLASSES or not 2 <= shape[-1] <= MOST_INT8_CLASSES:
        return None
    return logits, getattr(op.builtinOptions, "beta", 1.0)


def _behind_reshapes(model: fb.ModelT, index: int) -> fb.OperatorT | None:
    """The operator that a tensor comes from, but for reshapes; none of an input."""
    op = producer(model.subgraphs[0], index)
    while op is not None and schema.op_name(model, op) == "RESHAPE":
        op = producer(model.subgraphs[0], int(op.inputs[0]))
    return op


def _is_made_of_scores(model: fb.ModelT, index: int) -> bool:
    """Whether softmaxes and sigmoids become this without weights: no logits, but their mean, say.

    A softmax of that would make every exit unsure.
    """
    main, todo = model.subgraphs[0], [index]
    seen: set[int] = set()
    while todo:
        op = producer(main, todo.pop())
        name = "" if op is None else schema.op_name(model, op)
        if op is None or name in _WEIGHING:
            return False
        if name not in _SCORES:
            new = {int(i) for i in op.inputs if not schema.is_constant(model, main.tensors[i])}
            todo += new - seen
            seen |= new
    return True


def _add_softmax(model: fb.ModelT, logits: int, beta: float = 1.0) -> int:
    main = model.subgraphs[0]
    scores = copy.copy(main.tensors[logits])
    scores.name = schema.text(scores.name) + "/softmax"
    if scores.type == fb.TensorType.INT8:
        scores.quantization = fb.QuantizationParametersT(
            scale=np.array([1 / 256], np.float32), zeroPoint=np.array([-128], np.int64)
        )
    main.tensors.append(scores)
    softmax = fb.BuiltinOperator.SOFTMAX
    op = fb.OperatorT(schema.operator_code(model, softmax, _SOFTMAX_VERSION))
    op.inputs = np.array([logits], np.int32)
    op.outputs = np.array([len(main.tensors) - 1], np.int32)
    op.builtinOptions = fb.SoftmaxOptionsT(beta=beta)
    op.builtinOptionsType = fb.BuiltinOptions.SoftmaxOptions
    main.operators.append(op)
    return int(op.outputs[0])
