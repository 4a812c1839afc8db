"""Files in which equal parts stand once say the same as files in which each stands alone."""

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from networks import multi_exit, order_of

from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.splicing import splice
from eexit_tf.tflite.thrifty_builder import ThriftyBuilder


def plain(value: Any) -> Any:
    """Everything below a table of the object API, to compare."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [plain(part) for part in value]
    if hasattr(value, "__dict__"):
        return {name: plain(part) for name, part in vars(value).items()}
    return value


def written(model: fb.ModelT, builder: flatbuffers.Builder) -> bytes:
    builder.Finish(model.Pack(builder), file_identifier=flatbuffer.IDENTIFIER)
    return bytes(builder.Output())


@pytest.mark.parametrize("int8", [True, False])
def test_a_file_says_the_same_in_fewer_bytes(int8: bool) -> None:
    multi = multi_exit(12, 5, True, int8)
    content = splice.splice(multi, order_of(multi), [1, 2, 3, 4, 0], confidence="margin")
    model = fb.ModelT.InitFromObj(fb.Model.GetRootAs(content, 0))
    # A builder of one byte has to grow again and again, in the middle of tables, too.
    thrifty, lavish = (written(model, kind(1)) for kind in (ThriftyBuilder, flatbuffers.Builder))
    assert len(thrifty) < 0.7 * len(lavish)
    read = (fb.ModelT.InitFromObj(fb.Model.GetRootAs(c, 0)) for c in (thrifty, lavish))
    assert plain(next(read)) == plain(next(read)) == plain(model)


def test_tables_are_one_only_if_every_field_is_equal() -> None:
    def tensor(**fields: Any) -> fb.TensorT:
        common = {"shape": np.array([1, 4], np.int32), "type": fb.TensorType.INT32, "buffer": 1}
        return fb.TensorT(**common | fields)

    others = [{}, {"buffer": 2}, {"type": fb.TensorType.INT8}, {"name": "x"}, {"isVariable": True}]
    graph = fb.SubGraphT(tensors=[tensor(**fields) for fields in 2 * others])
    table = fb.Model.GetRootAs(written(fb.ModelT(subgraphs=[graph]), ThriftyBuilder(1)), 0)
    places = [table.Subgraphs(0).Tensors(k)._tab.Pos for k in range(2 * len(others))]
    assert places[: len(others)] == places[len(others) :]
    assert len(set(places)) == len(others)
