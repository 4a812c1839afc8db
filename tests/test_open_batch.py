"""Files that the converter made of networks with an open batch are compiled like others."""

from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from networks import int8_inputs, order_of
from numpy.typing import NDArray
from open_networks import BODIES, converted, image
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
