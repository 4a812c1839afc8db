"""Every operator that is handled, sound and with one thing wrong: it is read, or refused in words.

What runtimes do with files that pass is in `test_schema` and `test_fuzz`.
"""

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from one_operator import (
    FIVE,
    FLOAT,
    FOUR,
    IMAGE,
    INT4,
    INT8,
    INT32,
    KERNEL,
    PAIR,
    ROW,
    SAME,
    SOUND,
    UINT8,
    Change,
    Value,
    both,
    conv,
    fed,
    given,
    made,
    numbers,
    told,
)

from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.checks.operators import RULES

FLOATS = both(given(0, type=FLOAT), made(type=FLOAT))
ALSO_SOUND: list[tuple[str, Change]] = [
    ("ADD", both(fed(Value((1,)), Value((2, 1, 3))), made(shape=(2, 1, 3)))),
    ("ADD", both(given(1, scale=2.0), made(scale=1.5 * 2.0**-18))),
    ("ARG_MAX", given(1, data=[-1])),
    ("ARG_MAX", both(fed(FOUR, numbers(3)), made(shape=(1, 1, 2)))),
    ("AVERAGE_POOL_2D", both(told(padding=SAME), made(shape=(1, 3, 5, 3)))),
    ("AVERAGE_POOL_2D", both(told(strideW=4096), made(shape=(1, 2, 1, 3)))),
    ("CONCATENATION", both(fed(FOUR, FOUR), made(shape=(1, 1, 2, 6)))),
    ("CONV_2D", both(told(**vars(conv(SAME))), made(shape=(1, 8, 9, 4)))),
    ("CONV_2D", both(told(**vars(conv(strideH=2, strideW=3))), made(shape=(1, 3, 3, 4)))),
    ("CONV_2D", both(told(**vars(conv(dilationHFactor=3))), made(shape=(1, 2, 8, 4)))),
    ("CONV_2D", given(1, scale=[0.1, 0.2, 0.3, 0.4])),
    ("CONV_2D", given(1, type=INT4)),
    ("CONV_2D", fed(IMAGE, KERNEL)),
    ("CONV_2D", fed(IMAGE, KERNEL, None)),
    ("CONV_2D", both(FLOATS, given(1, type=FLOAT), given(2, type=FLOAT))),
    ("DEPTHWISE_CONV_2D", given(1, scale=[0.1] * 6, axis=3)),
    ("FULLY_CONNECTED", both(given(0, shape=(2, 3)), told(keepNumDims=False))),
    ("FULLY_CONNECTED", given(1, scale=[0.1] * 4)),
    (
        "FULLY_CONNECTED",
        both(given(0, shape=(5, 2, 6)), made(shape=(5, 2, 4)), told(keepNumDims=True)),
    ),
    ("FULLY_CONNECTED", both(given(0, shape=(5, 2, 6)), made(shape=(10, 4)))),
    ("LEAKY_RELU", told(alpha=0.0)),
    ("LEAKY_RELU", told(alpha=1.0)),
    ("MEAN", both(given(1, data=[-4, 2]), made(shape=(8, 3)))),
    ("MEAN", both(told(keepDims=True), made(shape=(1, 1, 1, 3)))),
    ("PAD", both(fed(FOUR, numbers(*[0] * 8, shape=(4, 2))), made(shape=FOUR.shape))),
    ("QUANTIZE", given(0, type=UINT8)),
    ("RELU", FLOATS),
    ("RESHAPE", given(1, data=[-1, 3])),
    ("RESHAPE", given(1, data=None)),  # as of an open batch
    ("RESHAPE", fed(ROW)),
    ("SPLIT_V", given(1, data=[1, -1])),
    ("STRIDED_SLICE", both(told(shrinkAxisMask=1), made(shape=(2,)))),
    ("STRIDED_SLICE", both(given(2, data=[0, -1]), told(endMask=1), made(shape=(1, 1)))),
    ("STRIDED_SLICE", both(given(1, data=[5, 1]), told(beginMask=1), made(shape=(2, 1)))),
    ("STRIDED_SLICE", both(given(2, data=[9, 9]), given(3, data=[4096, 1]), made(shape=(1, 3)))),
    (
        "STRIDED_SLICE",
        both(given(3, data=[-1, -4096]), told(beginMask=3, endMask=3), made(shape=(2, 1))),
    ),
    ("SLICE", both(fed(FOUR, numbers(0, 0, 1, 0), numbers(1, 1, 1, 2)), made(shape=(1, 1, 1, 2)))),
    ("SOFTMAX", both(given(0, shape=(1, 511)), made(shape=(1, 511)))),
    ("SOFTMAX", both(FLOATS, given(0, shape=(1, 600)), made(shape=(1, 600)))),
]

UNSOUND: list[tuple[str, Change, str]] = [
    ("ADD", fed(ROW), "has 1 inputs, expected 2 to 2"),
    ("ADD", fed(None, ROW), "has 2 inputs, expected 2 to 2"),
    ("ADD", lambda op: replace(op, options=fb.SubOptionsT()), "no options of its own kind"),
    ("ADD", told(fusedActivationFunction=4), "an activation that is not supported"),
    ("ADD", given(1, type=FLOAT), "float32 and int8 where all should be the same"),
    ("ADD", both(given(0, type=INT32), given(1, type=INT32), made(type=INT32)), "int32 where all"),
    ("ADD", given(1, shape=(1, 5)), "the inputs' shapes do not fit"),
    ("ADD", made(shape=(2, 6)), r"the output should be \(1, 6\)"),
    ("ADD", both(given(0, shape=(1,) * 5), made(shape=(1, 1, 1, 1, 6))), "at most four dimensions"),
    ("ADD", both(given(1, scale=2.0), made(scale=2.0**-18)), "the output's scale is too small"),
    ("ARG_MAX", given(1, data=[2]), "the axis is not the constant number"),
    ("ARG_MAX", given(1, data=[-3]), "the axis is not the constant number"),
    ("ARG_MAX", given(0, shape=()), "the axis is not the constant number"),
    ("ARG_MAX", given(1, data=None), "the axis is not the constant number"),
    ("ARG_MAX", both(given(1, shape=(2,), data=[0, 1]), made(shape=())), "the axis is not the"),
    ("ARG_MAX", both(fed(FIVE, numbers(4)), made(shape=(1, 1, 1, 2))), "the axis is not the"),
    ("ARG_MAX", told(outputType=fb.TensorType.INT64), "the output is not int32"),
    ("ARG_MAX", made(shape=(6,)), r"the output should be \(1,\)"),
    ("AVERAGE_POOL_2D", given(0, shape=(8, 9, 3)), "not all of four dimensions"),
    ("AVERAGE_POOL_2D", made(shape=(3, 4, 3)), "not all of four dimensions"),
    ("AVERAGE_POOL_2D", made(type=FLOAT), "float32 and int8 where"),
    ("AVERAGE_POOL_2D", made(scale=0.25), "differ in quantisation"),
    ("AVERAGE_POOL_2D", told(strideW=0), "strides and window .* out of range"),
    ("AVERAGE_POOL_2D", told(filterHeight=4097), "strides and window .* out of range"),
    ("AVERAGE_POOL_2D", told(padding=2), "unknown padding 2"),
    ("AVERAGE_POOL_2D", made(shape=(1, 3, 5, 3)), r"the output should be \(1, 2, 3, 3\)"),
    ("CONCATENATION", fed(PAIR, None), "an input is missing"),
    ("CONCATENATION", told(fusedActivationFunction=1), "an activation of its own"),
    ("CONCATENATION", given(1, scale=0.25), "differ in quantisation"),
    ("CONCATENATION", given(1, type=FLOAT), "float32 and int8 where"),
    ("CONCATENATION", both(fed(FIVE, FIVE), made(shape=(1, 1, 1, 2, 6))), "no dimension -1"),
    ("CONCATENATION", both(fed(Value(()), Value(())), made(shape=())), "there is no dimension -1"),
    ("CONCATENATION", told(axis=2), "there is no dimension 2"),
    ("CONCATENATION", told(axis=-3), "there is no dimension -3"),
    ("CONCATENATION", given(1, shape=(2, 3, 1)), "the inputs' shapes do not fit"),
    ("CONCATENATION", given(1, shape=(3, 3)), "the inputs' shapes do not fit"),
    ("CONCATENATION", made(shape=(2, 7)), "the output has the wrong size"),
    ("CONV_2D", given(0, shape=(8, 9, 3)), "not all of four dimensions"),
    ("CONV_2D", given(1, shape=(4, 3, 2)), "not all of four dimensions"),
    ("CONV_2D", made(shape=(6, 8, 4)), "not all of four dimensions"),
    ("CONV_2D", given(1, weights=False), "the kernel is not a constant"),
    ("CONV_2D", told(strideW=0), "strides .* out of range"),
    ("CONV_2D", told(dilationHFactor=4097), "dilations .* out of range"),
    ("CONV_2D", told(padding=2), "unknown padding 2"),
    ("CONV_2D", given(1, shape=(4, 3, 2, 2)), "input channels differ from the kernel's"),
    ("CONV_2D", made(shape=(1, 8, 9, 4)), r"the output should be \(1, 6, 8, 4\)"),
    ("CONV_2D", made(shape=(1, 6, 8, 3)), r"the output should be \(1, 6, 8, 4\)"),
    ("CONV_2D", given(1, shape=(4, 3, 2, 1)), r"grouped convolutions \(3 groups\) are not"),
    ("CONV_2D", given(2, shape=(3,)), r"the bias should be \(4,\)"),
    ("CONV_2D", given(2, type=FLOAT), "the bias has the wrong type"),
    ("CONV_2D", both(FLOATS, given(1, type=FLOAT)), "the bias has the wrong type"),
    ("CONV_2D", given(1, zero=3), "the kernel's zero point is not 0"),
    ("CONV_2D", given(1, scale=[0.1, 0.2, 0.3], axis=1), "quantised along the wrong dimension"),
    ("CONV_2D", given(1, type=FLOAT), "float32 and int8 where"),
    ("CONV_2D", both(given(1, type=INT4), made(type=FLOAT)), "float32 and int8 where"),
    ("CONV_2D", both(FLOATS, given(1, type=INT4)), "only the weights are int4"),
    ("CONV_2D", FLOATS, "only the weights are int8"),
    ("CONV_2D", made(type=FLOAT), "float32 and int8 where"),
    ("DEPTHWISE_CONV_2D", told(depthMultiplier=3), "depth multiplier 3 does not fit"),
    ("DEPTHWISE_CONV_2D", given(1, shape=(2, 3, 2, 6)), "depth multiplier 2 does not fit"),
    ("DEPTHWISE_CONV_2D", given(1, scale=[0.1], zero=1), "the kernel's zero point is not 0"),
    ("DEQUANTIZE", made(shape=(6,)), "input and output differ in shape"),
    ("DEQUANTIZE", given(0, type=INT4, weights=True), "only the weights are int4"),
    ("DEQUANTIZE", made(type=INT32), "not from int8 to float32"),
    ("DEQUANTIZE", given(0, type=UINT8), "not from int8 to float32"),
    ("EQUAL", made(type=INT8), "the output is not bool"),
    ("EQUAL", given(1, scale=1.0), "a scale is not below 1"),
    ("EQUAL", given(1, type=INT32), "where all should be the same"),
    ("EQUAL", made(shape=(1, 7)), r"the output should be \(1, 6\)"),
    ("FULLY_CONNECTED", given(1, shape=(4, 6, 1)), "the kernel is not of two dimensions"),
    ("FULLY_CONNECTED", given(0, shape=()), "input or output are scalars"),
    ("FULLY_CONNECTED", given(1, scale=[0.1] * 6, axis=1), "along the wrong dimension"),
    ("FULLY_CONNECTED", given(1, weights=False), "the kernel is not a constant"),
    ("FULLY_CONNECTED", given(0, shape=(1, 7)), "the sizes do not fit"),
    ("FULLY_CONNECTED", given(0, shape=(2, 6)), "the sizes do not fit"),
    ("FULLY_CONNECTED", made(shape=(4, 1)), "the sizes do not fit"),
    (
        "FULLY_CONNECTED",
        both(given(0, shape=(2, 3)), told(keepNumDims=True)),
        "does not keep the input's dimensions",
    ),
    ("FULLY_CONNECTED", told(weightsFormat=1), "weight formats other than the default"),
    ("FULLY_CONNECTED", told(asymmetricQuantizeInputs=True), "weight formats other than the"),
    ("FULLY_CONNECTED", given(2, shape=(6,)), r"the bias should be \(4,\)"),
    ("HARD_SWISH", both(given(0, scale=64.0), made(scale=0.5)), "the output's scale is too small"),
    ("HARD_SWISH", made(shape=(6,)), "input and output differ in shape"),
    ("LEAKY_RELU", told(alpha=1.5), "alpha 1.5 is not from 0 to 1"),
    ("LEAKY_RELU", told(alpha=-0.5), "alpha -0.5 is not from 0 to 1"),
    ("LOGISTIC", made(scale=1 / 128), "not of scale 1/256 and zero point -128"),
    ("LOGISTIC", made(zero=0), "not of scale 1/256 and zero point -128"),
    ("MAXIMUM", given(1, scale=0.25), "differ in quantisation"),
    ("MAXIMUM", made(zero=1), "differ in quantisation"),
    ("MEAN", given(0, shape=()), "the axes are not constant numbers of dimensions"),
    ("MEAN", given(1, data=[1, 1]), "the axes are not constant numbers of dimensions"),
    ("MEAN", given(1, data=[1, 4]), "the axes are not constant numbers of dimensions"),
    ("MEAN", told(keepDims=True), r"the output should be \[1, 1, 1, 3\]"),
    ("MEAN", made(type=FLOAT), "float32 and int8 where"),
    ("MUL", given(1, shape=(1, 5)), "the inputs' shapes do not fit"),
    ("PAD", given(1, shape=(4,)), r"the padding is not a constant \(dimensions, 2\)"),
    ("PAD", given(1, data=None), r"the padding is not a constant \(dimensions, 2\)"),
    (
        "PAD",
        both(fed(FIVE, numbers(*[0] * 10, shape=(5, 2))), made(shape=FIVE.shape)),
        "the padding is not a constant",
    ),
    ("PAD", both(given(1, data=[-1, 0, 0, 0]), made(shape=(1, 3))), "the output should be"),
    ("PAD", made(shape=(5, 7)), r"the output should be \(5, 6\)"),
    ("QUANTIZE", given(0, type=INT32), "not from float32, int8 or uint8 to int8"),
    ("QUANTIZE", made(shape=(6,)), "input and output differ in shape"),
    ("REDUCE_MAX", made(scale=0.25), "differ in quantisation"),
    ("RELU", made(shape=(6,)), "input and output differ in shape"),
    ("RESHAPE", given(1, data=[3, 2]), r"the new shape \[3, 2\] is not the output's"),
    ("RESHAPE", given(1, data=[6], shape=(1,)), "is not the output's"),
    ("RESHAPE", given(1, data=[-1, -1]), "leaves two sizes open"),
    ("RESHAPE", given(1, type=FLOAT), "the new shape is not constant"),
    ("RESHAPE", fed(ROW, None), "the new shape is not constant"),
    ("RESHAPE", both(fed(ROW), lambda op: replace(op, options=None)), "no new shape"),
    ("RESHAPE", both(fed(ROW), told(newShape=[3, 2])), "is not the output's"),
    ("RESHAPE", made(scale=0.25), "input and output differ in quantisation, which takes a"),
    ("RESHAPE", made(zero=1), "input and output differ in quantisation, which takes a"),
    ("RESHAPE", given(0, shape=(1, 7)), "input and output differ in size"),
    ("SELECT_V2", given(0, type=INT8), "the condition is not bool"),
    ("SELECT_V2", given(2, type=FLOAT), "float32 and int8 where"),
    ("SLICE", given(1, data=None), "begin and size are not constant"),
    (
        "SLICE",
        both(fed(FIVE, numbers(*[0] * 5), numbers(*FIVE.shape)), made(shape=FIVE.shape)),
        "more than four dimensions",
    ),
    ("SLICE", given(1, data=[1], shape=(1,)), "begin and size are not of 2 numbers"),
    ("SLICE", given(1, data=[2, 0]), r"from \[2, 0\] on there are no \[1, 2\]"),
    ("SLICE", given(1, data=[-1, 0]), "there are no"),
    ("SLICE", both(given(2, data=[0, 2]), made(shape=(1, 2))), "there are no"),
    ("SLICE", made(shape=(2, 2)), r"the output should be \[1, 2\]"),
    ("SOFTMAX", told(beta=0.0), "beta 0.0 out of range"),
    ("SOFTMAX", told(beta=1e4), "beta 10000.0 out of range"),
    ("SOFTMAX", given(0, scale=2.0**-26), "the input's scale is too small"),
    ("SOFTMAX", made(zero=0), "not of scale 1/256 and zero point -128"),
    ("SOFTMAX", both(given(0, shape=(1, 512)), made(shape=(1, 512))), "abort beyond 511 classes"),
    ("LOG_SOFTMAX", made(zero=0), "not of scale 1/16 and zero point 127"),
    ("LOG_SOFTMAX", given(0, scale=2.0**-26), "the input's scale is too small"),
    ("SPLIT", told(numSplits=2), "2 parts are told, 3 are there"),
    ("SPLIT", given(0, data=None), "the axis is not a constant one"),
    ("SPLIT", given(0, data=[2]), "the axis is not a constant one"),
    ("SPLIT", given(0, data=[-3]), "the axis is not a constant one"),
    ("SPLIT", given(0, data=[0]), "the parts are not along one axis"),
    ("SPLIT", made(shape=(6,)), "the parts are not along one axis"),
    ("SPLIT", made(shape=(2, 2)), "the parts are not 3 together"),
    ("SPLIT", made(scale=1.0), "differ in quantisation"),
    ("SPLIT", made(type=FLOAT), "int8 where all should be the same"),
    ("SPLIT_V", given(1, data=[1, 2]), r"the parts should be of \[1, 2\]"),
    ("SPLIT_V", given(1, data=None), "the sizes are not 2 constant numbers"),
    ("SPLIT_V", given(1, shape=(1, 2)), "the sizes are not 2 constant numbers"),
    ("SPLIT_V", given(1, data=[-1, 2]), r"the parts should be of \[-1, 2\]"),
    ("SPLIT_V", given(1, data=[-1, -1]), r"the parts should be of \[-1, -1\]"),
    ("SPLIT_V", given(2, data=[1]), "the parts are not along one axis"),
    ("STRIDED_SLICE", given(3, data=None), "begin, end and strides are not constant"),
    (
        "STRIDED_SLICE",
        both(fed(FIVE, *[numbers(*[1] * 5)] * 3), made(shape=FIVE.shape)),
        "more than four dimensions",
    ),
    ("STRIDED_SLICE", given(1, data=[1], shape=(1,)), "are not of 2 numbers"),
    (
        "STRIDED_SLICE",
        both(
            fed(FOUR, *[numbers(*data, shape=(2, 2)) for data in ([0] * 4, FOUR.shape, [1] * 4)]),
            made(shape=FOUR.shape),
        ),
        "are not of 4 numbers",
    ),
    ("STRIDED_SLICE", given(3, data=[1, 0]), "a stride of 0"),
    ("STRIDED_SLICE", given(3, data=[4097, 2]), "a stride of 4097, where up to 4096"),
    ("STRIDED_SLICE", given(3, data=[-4097, 2]), "a stride of -4097"),
    ("STRIDED_SLICE", both(given(1, data=[2, 0]), told(shrinkAxisMask=1)), "no single one from 2"),
    ("STRIDED_SLICE", told(shrinkAxisMask=1, beginMask=1), "no single one from 1"),
    ("STRIDED_SLICE", told(shrinkAxisMask=2), "no single one from -3 on in steps of 2"),
    ("STRIDED_SLICE", told(ellipsisMask=1), "an ellipsis, a new axis or an offset"),
    ("STRIDED_SLICE", told(newAxisMask=1), "an ellipsis, a new axis or an offset"),
    ("STRIDED_SLICE", told(offset=True), "an ellipsis, a new axis or an offset"),
    ("STRIDED_SLICE", made(shape=(1, 3)), r"the output should be \[1, 2\]"),
    ("STRIDED_SLICE", made(scale=1.0), "differ in quantisation"),
    ("TANH", made(scale=1 / 256), "not of scale 1/128 and zero point 0"),
    ("TRANSPOSE", given(1, data=[1, 1]), "the order of the dimensions is not a constant one"),
    ("TRANSPOSE", given(1, data=None), "the order of the dimensions is not a constant one"),
    ("TRANSPOSE", made(shape=(2, 3)), r"the output should be \(3, 2\)"),
    ("TRANSPOSE", made(scale=0.25), "differ in quantisation"),
]


def test_all_but_branches_is_here() -> None:
    assert set(SOUND) == set(RULES) - {"IF"}  # for which see `test_splice`


@pytest.mark.parametrize("kind", SOUND)
def test_sound_operators_are_read(kind: str) -> None:
    content = SOUND[kind].content(kind)
    model = flatbuffer.read(content)
    assert [schema.op_name(model, op) for op in model.subgraphs[0].operators] == [kind]


@pytest.mark.parametrize(("kind", "change"), ALSO_SOUND)
def test_other_sound_operators_are_read_as_well(kind: str, change: Change) -> None:
    flatbuffer.read(change(SOUND[kind]).content(kind))


@pytest.mark.parametrize(("kind", "change", "said"), UNSOUND)
def test_unsound_operators_are_refused(kind: str, change: Change, said: str) -> None:
    with pytest.raises(UserError, match=f"graph 0, operator 0: {kind}.*{said}"):
        flatbuffer.read(change(SOUND[kind]).content(kind))


@pytest.mark.parametrize("stored", [INT4, INT8])
def test_weights_that_are_dequantised_are_called_so(stored: int) -> None:
    dense = both(FLOATS, given(1, type=FLOAT), given(2, type=FLOAT))(SOUND["FULLY_CONNECTED"])
    model = flatbuffer.read(dense.content("FULLY_CONNECTED"))
    main = model.subgraphs[0]
    kernel = main.tensors[1]
    kernel.buffer = 0
    op = fb.OperatorT(schema.operator_code(model, fb.BuiltinOperator.DEQUANTIZE, 1))
    op.inputs = np.int32([Value(schema.shape(kernel), stored, weights=True).add_to(model)])
    op.outputs = np.int32([1])
    main.operators.insert(0, op)
    with pytest.raises(UserError, match=f"only the weights are {schema.type_name(stored)}"):
        flatbuffer.read(flatbuffer.write(model))
