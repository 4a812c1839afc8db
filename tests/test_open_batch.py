"""Files that the converter made of networks with an open batch are compiled like others."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from networks import inputs_for, int8_inputs, order_of
from numpy.typing import NDArray
from one_operator import SOUND
from open_networks import BODIES, converted, dense, image, sensor, steps
from tflite_micro import runtime

from eexit_tf.errors import UserError
from eexit_tf.tflite import EarlyExitInterpreter, flatbuffer, schema
from eexit_tf.tflite.splicing.splice import splice


def operators(content: bytes) -> set[str]:
    """Those of the file itself, before anything of ours has read it."""
    model = fb.ModelT.InitFromObj(fb.Model.GetRootAs(content, 0))
    return {schema.op_name(model, op) for graph in model.subgraphs for op in graph.operators}


def static_scores(multi: bytes, x: NDArray) -> dict[str, NDArray]:
    """What TFLM makes of the converter's own file, (samples, classes) for each output."""
    tflm = runtime.Interpreter.from_bytes(multi, arena_size=1 << 18)
    model = flatbuffer.read(multi)
    places = {int(index): place for place, index in enumerate(model.subgraphs[0].outputs)}
    names = {name: places[index] for name, index in schema.outputs_by_name(model).items()}
    given: dict[str, list[NDArray]] = {name: [] for name in names}
    for sample in x:
        tflm.set_input(sample[None], 0)
        tflm.invoke()
        for name, place in names.items():
            given[name].append(tflm.get_output(place)[0].copy())
    return {name: np.array(rows) for name, rows in given.items()}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("int8", [True, False])
def test_they_do_what_the_converters_file_does(body: Callable, int8: bool) -> None:
    multi = converted(body, int8)
    assert "SHAPE" in operators(multi)
    x = int8_inputs(BODIES[body], 200)
    x = x if int8 else x.astype(np.float32) / 40
    static, order = static_scores(multi, x), order_of(multi)
    confidence = static[order[0]].max(axis=1)
    middle = float(np.median(confidence if int8 else confidence * 256 - 128))
    level = int(np.clip(middle, -127, 127))
    spliced = splice(multi, order, [level, 0])
    leaves = confidence >= (level if int8 else (level + 128) / 256)
    assert 0 < leaves.mean() < 1
    wanted = np.where(leaves[:, None], static[order[0]], static[order[1]])
    for name in ("litert", "tflm"):
        said = EarlyExitInterpreter(spliced, runtime=name).predict(x)
        np.testing.assert_array_equal(said.exits, ~leaves)
        np.testing.assert_allclose(said.raw_scores, wanted, rtol=0, atol=0 if int8 else 1e-5)


def test_what_is_computed_of_shapes_is_gone() -> None:
    for body in BODIES:
        read = flatbuffer.write(flatbuffer.read(converted(body, True)))
        assert not operators(read) & {"EXPAND_DIMS", "PACK", "SHAPE", "STRIDED_SLICE"}


def test_a_shape_that_is_given_out_is_refused() -> None:
    model = fb.ModelT.InitFromObj(fb.Model.GetRootAs(converted(image, True), 0))
    for buffer in model.buffers:
        buffer.data = [] if buffer.data is None else buffer.data
    main = model.subgraphs[0]
    shape = next(op for op in main.operators if schema.op_name(model, op) == "SHAPE")
    main.outputs = np.append(main.outputs, shape.outputs).astype(np.int32)
    with pytest.raises(UserError, match=r"SHAPE is not supported; convert with a batch of 1"):
        flatbuffer.read(flatbuffer.write(model))


def test_dense_layers_over_several_dimensions_get_their_rows() -> None:
    multi = converted(steps, True)
    if not {"GATHER", "REDUCE_PROD"} <= operators(multi):
        pytest.skip(f"Keras {keras.__version__} counts no rows")  # those for Python 3.10
    closed = flatbuffer.write(flatbuffer.read(multi))
    assert not operators(closed) & {"GATHER", "PACK", "REDUCE_PROD", "SHAPE"}
    x = inputs_for(multi, 50)
    said = []
    for content in (multi, closed):
        litert = Interpreter(
            model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        litert.allocate_tensors()
        for sample in x:
            litert.set_tensor(litert.get_input_details()[0]["index"], sample[None])
            litert.invoke()
            said += [litert.get_tensor(out["index"]).copy() for out in litert.get_output_details()]
    np.testing.assert_array_equal(said[:100], said[100:])
    assert EarlyExitInterpreter(splice(multi, order_of(multi), [0, 0])).predict(x).exits.any()


def test_other_operators_are_refused_with_a_hint() -> None:
    model = fb.ModelT.InitFromObj(fb.Model.GetRootAs(converted(dense, True), 0))
    for buffer in model.buffers:
        buffer.data = [] if buffer.data is None else buffer.data
    operators = model.subgraphs[0].operators
    softmax = next(op for op in operators if schema.op_name(model, op) == "SOFTMAX")
    softmax.opcodeIndex = schema.operator_code(model, fb.BuiltinOperator.ELU, 1)
    with pytest.raises(UserError, match="ELU is not supported; convert with a batch of 1"):
        flatbuffer.read(flatbuffer.write(model))


@pytest.mark.parametrize("signature", [[-1, -1, -1, 3], [1, -1, 2, 3]])
def test_more_than_the_batch_left_open_is_refused(signature: list[int]) -> None:
    model = flatbuffer.read(SOUND["AVERAGE_POOL_2D"].content("AVERAGE_POOL_2D"))
    image, pooled = model.subgraphs[0].tensors[:2]
    image.shape = np.array([1, 1, 2, 3], np.int32)
    pooled.shape = np.array([1, 1, 1, 3], np.int32)
    model.subgraphs[0].operators[0].builtinOptions = fb.Pool2DOptionsT(0, 2, 1, 1, 1)
    image.shapeSignature = np.array([-1, 1, 2, 3], np.int32)
    flatbuffer.read(flatbuffer.write(model))
    image.shapeSignature = np.array(signature, np.int32)
    with pytest.raises(UserError, match=r"input t has more .* left open .* fixed sizes"):
        flatbuffer.read(flatbuffer.write(model))


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_operators_that_lack_tensors_are_refused(side: str) -> None:
    model = fb.ModelT.InitFromObj(fb.Model.GetRootAs(converted(sensor, True), 0))
    for buffer in model.buffers:
        buffer.data = [] if buffer.data is None else buffer.data
    operators = model.subgraphs[0].operators
    last = [op for op in operators if schema.op_name(model, op) == "EXPAND_DIMS"][-1]
    setattr(last, side, np.zeros(0, np.int32))
    with pytest.raises(UserError):
        flatbuffer.read(flatbuffer.write(model))


def test_an_operator_that_gives_nothing_is_refused() -> None:
    model = flatbuffer.read(SOUND["RESHAPE"].content("RESHAPE"))
    model.operatorCodes.append(fb.OperatorCodeT(fb.BuiltinOperator.SQUEEZE, None, 1))
    more = fb.OperatorT(len(model.operatorCodes) - 1, model.subgraphs[0].inputs[:1])
    more.outputs = np.zeros(0, np.int32)
    model.subgraphs[0].operators.append(more)
    with pytest.raises(UserError, match="SQUEEZE"):
        flatbuffer.read(flatbuffer.write(model))
