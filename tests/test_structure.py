"""What holds files together, broken: indices, buffers, tensors, order, signatures, counts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from one_operator import FLOAT, ROW, SOUND, UINT8, Operator, fed

from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema

X, Y = 0, 1
"""What the operator reads and what it writes."""
Change = Callable[[fb.ModelT], Any]


def sound() -> fb.ModelT:
    """A network of one operator, to be changed."""
    model = flatbuffer.read(Operator((ROW,), ROW).content("RELU"))
    schema.sign(model, {"x": X}, {"y": Y})
    model.metadata = [fb.MetadataT(b"anything", 0)]
    return model


def tensor(index: int = X, **changes: Any) -> Change:
    return lambda model: vars(model.subgraphs[0].tensors[index]).update(changes)


def stored(content: bytes) -> Change:
    """A buffer for what is read."""

    def change(model: fb.ModelT) -> None:
        model.buffers.append(fb.BufferT(np.frombuffer(content, np.uint8)))
        tensor(buffer=len(model.buffers) - 1)(model)

    return change


def constant(content: bytes) -> Change:
    """The same for a network that is given something else."""
    changes = (stored(content), graph(inputs=[2]), model(signatureDefs=[]))
    return lambda model: [change(model) for change in changes]


def unused(kind: int) -> Change:
    """A tensor of a type that is not handled, which nothing reads or writes."""
    return lambda model: model.subgraphs[0].tensors.append(fb.TensorT(np.int32([1]), kind, 0))


def scales(*values: float, zeros: tuple[int, ...] = (0,), axis: int = 0, **changes: Any) -> Change:
    """Another quantisation of what is read."""
    made = fb.QuantizationParametersT(quantizedDimension=axis)
    made.scale, made.zeroPoint = np.float32(values), np.int64(zeros)

    def change(model: fb.ModelT) -> None:
        tensor(quantization=made, **changes)(model)

    return change


def graph(**changes: list[int]) -> Change:
    arrays = {name: np.int32(indices) for name, indices in changes.items()}
    return lambda model: vars(model.subgraphs[0]).update(arrays)


def operator(**changes: Any) -> Change:
    return lambda model: vars(model.subgraphs[0].operators[0]).update(changes)


def custom(name: bytes) -> Change:
    number = fb.BuiltinOperator.CUSTOM
    changes = {"customCode": name, "builtinCode": number, "deprecatedBuiltinCode": number}
    return lambda model: vars(model.operatorCodes[0]).update(changes)


def signature(**changes: Any) -> Change:
    return lambda model: vars(model.signatureDefs[0]).update(changes)


def model(**changes: Any) -> Change:
    return lambda model: vars(model).update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: None,
        lambda model: [tensor(i, shape=np.int32([1, 1, 1, 1, 6]))(model) for i in (X, Y)],
        scales(0.5, zeros=(127,)),
        scales(0.5, zeros=(-128,)),
        scales(*[0.5] * 6, zeros=(0,) * 6, axis=1),
        unused(fb.TensorType.INT16),
        unused(fb.TensorType.STRING),
        lambda model: model.operatorCodes.append(fb.OperatorCodeT(32, b"unused", 1, 32)),
        lambda model: vars(model.operatorCodes[0]).update(customCode=b"RELU"),
    ],
)
def test_sound_files_are_read(change: Change) -> None:
    made = sound()
    change(made)
    flatbuffer.read(flatbuffer.write(made))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (model(version=2), "expected a .tflite file of version 3, got version 2"),
        (model(subgraphs=[]), "no graph or no buffers"),
        (model(metadata=[fb.MetadataT(b"a", 9)]), "metadata b'a', buffer is 9, but there are 1"),
        (model(metadata=[fb.MetadataT(b"COMPRESSION_METADATA", 0)]), "compressed models are not"),
        (model(externalBuffers=[fb.ExternalBufferT()]), "keeps weights in other files"),
        (model(externalBufferGroups=[fb.ExternalBufferGroupT()]), "keeps weights in other files"),
        (custom(b"mine"), "operator 0: custom operator 'mine' is not supported"),
        (custom(b"FlexElu"), "'FlexElu' is not supported; convert .* without SELECT_TF_OPS"),
        (
            lambda model: model.subgraphs.append(model.subgraphs[0]),
            r"graphs \[1\] are never called",
        ),
        (tensor(shape=np.int32([0, 6])), r"graph 0, tensor 0: shape \[0, 6\] is not a static one"),
        (tensor(shape=np.int32([1] * 6)), "not a static one of at most 5 dimensions"),
        (tensor(shape=np.int32([2**15, 2**14])), "536870912 bytes are more than the 268435456"),
        (tensor(buffer=7), "tensor 0, its buffer is 7, but there are 1"),
        (stored(b"abc"), "input 0 is a constant"),
        (constant(b"abc"), r"its buffer has 3 bytes where shape \[1, 6\] needs 6"),
        (tensor(isVariable=True), "variables and external tensors are not supported"),
        (tensor(externalBuffer=1), "variables and external tensors are not supported"),
        (tensor(type=fb.TensorType.INT4), "int4 is for constant weights only"),
        (scales(0.5, 0.5, zeros=(0,)), "2 scales but 1 zero points"),
        (scales(0.5, 0.5, zeros=(0, 0), axis=2), "2 scales along dimension 2"),
        (scales(0.5, 0.5, zeros=(0, 0), axis=-1), "2 scales along dimension -1"),
        (scales(0.5, 0.5, zeros=(0, 0), axis=1), "2 scales along dimension 1"),
        (scales(0.0), "a scale is not a positive number"),
        (scales(*[0.5] * 5, 0.0, zeros=(0,) * 6, axis=1), "a scale is not a positive number"),
        (scales(-1.0), "a scale is not a positive number"),
        (scales(np.inf), "a scale is not a positive number"),
        (scales(0.5, zeros=(128,)), "a zero point is not from -128 to 127"),
        (scales(0.5, zeros=(-129,)), "a zero point is not from -128 to 127"),
        (scales(0.5, zeros=(256,), type=UINT8), "a zero point is not from 0 to 255"),
        (scales(0.5, zeros=(-1,), type=UINT8), "a zero point is not from 0 to 255"),
        (scales(0.5, zeros=(1,), type=FLOAT), "a zero point is not from 0 to 0"),
        (scales(zeros=()), "an int8 tensor without a scale"),
        (graph(inputs=[9]), "graph 0, an input is 9, but there are 3"),
        (graph(inputs=[X, X]), "input 0 is a constant or named twice"),
        (graph(inputs=[]), "reads tensor 0 before anything has written it"),
        (graph(outputs=[-1]), "graph 0, an output is -1"),
        (graph(outputs=[]), "the network has no inputs or no outputs"),
        (graph(inputs=[X], outputs=[2]), "graph 0: nothing writes output 2"),
        (operator(opcodeIndex=3), "its code is 3, but there are 1"),
        (operator(inputs=np.int32([3])), "operator 0, an input is 3, but there are 3"),
        (operator(outputs=np.int32([-1])), "operator 0, an output is -1"),
        (operator(outputs=np.int32([X])), "writes tensor 0, which has its value already"),
        (signature(subgraphIndex=1), "a signature's graph is 1, but there are 1"),
        (signature(outputs=[fb.TensorMapT(b"y", X)]), "neither the graph's nor written in it"),
        (graph(outputs=[2]), "names tensors that are not among its graph's outputs"),
        (signature(inputs=[fb.TensorMapT(None, X)]), "names that are missing or used twice"),
        (signature(outputs=[fb.TensorMapT(b"y", Y)] * 2), "names that are missing or used twice"),
    ],
)
def test_broken_files_are_refused(change: Change, said: str) -> None:
    made = sound()
    change(made)
    with pytest.raises(UserError, match=said):
        flatbuffer.read(flatbuffer.write(made))


@pytest.mark.parametrize("kind", SOUND)
def test_operators_read_and_write_as_much_as_they_should(kind: str) -> None:
    sound = SOUND[kind]
    *first, last = sound.inputs
    wrong = [fed(*[None] * len(sound.inputs))]
    if not sound.more_outputs:
        wrong.append(lambda op: replace(op, more_outputs=1))
    if kind != "CONCATENATION":
        wrong.append(fed(*sound.inputs, last))
    if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "RESHAPE", "CONCATENATION"):
        wrong.append(fed(*first))
    for change in wrong:
        with pytest.raises(UserError, match=f"{kind} has . (inputs|outputs), expected"):
            flatbuffer.read(change(sound).content(kind))


OPTIONAL = ("LOG_SOFTMAX", "RESHAPE")
"""Operators that may do without theirs."""


@pytest.mark.parametrize("kind", SOUND)
def test_options_are_of_the_operators_own_kind_or_dropped(kind: str) -> None:
    sound = SOUND[kind]
    for other in (fb.GatherOptionsT(), None):
        content = replace(sound, options=other).content(kind)
        if sound.options is None or (kind in OPTIONAL and other is None):
            (op,) = flatbuffer.read(content).subgraphs[0].operators
            assert op.builtinOptions is None
        else:
            with pytest.raises(UserError, match=f"{kind} has no options of its own kind"):
                flatbuffer.read(content)
