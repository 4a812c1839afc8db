"""Files with several signatures, on a graph each or on one."""

import copy
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as fb
from networks import int8_inputs, multi_exit, order_of

from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.runtimes import LiteRT
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.metadata import add_metadata
from eexit_tf.tflite.splicing.signatures import select


def several(graph_each: bool) -> bytes:
    """`all` has every exit, `first_two` the first two and, on a graph of its own, other names."""
    multi = multi_exit(10, 3)
    model, order = flatbuffer.read(multi), order_of(multi)
    whole = model.signatureDefs[0]
    whole.signatureKey = "all"
    outputs = [copy.copy(e) for e in whole.outputs if schema.text(e.name) in order[:2]]
    for entry in outputs:
        entry.name = f"{'my_' if graph_each else ''}{schema.text(entry.name)}"
    part = fb.SignatureDefT(whole.inputs, outputs, "first_two", int(graph_each))
    model.signatureDefs = [whole, part]
    if graph_each:
        graph = copy.copy(model.subgraphs[0])
        graph.outputs = np.array([e.tensorIndex for e in outputs], np.int32)
        model.subgraphs.append(graph)
    return flatbuffer.write(model)


@pytest.mark.parametrize("graph_each", [False, True])
def test_one_of_several_signatures_is_taken(graph_each: bool, tmp_path: Path) -> None:
    multi, content = multi_exit(10, 3), several(graph_each)
    order, path = order_of(multi), tmp_path / "multi.tflite"
    path.write_bytes(content)
    expected = add_metadata(splice.splice(multi, order, [20, 30, 0]))
    thresholds = [(t + 128) / 256 for t in (20, 30)]
    assert compile_file(path, thresholds, signature="all").content == expected
    taken = compile_file(path, thresholds[:1], signature="first_two").content
    prefix = "my_" if graph_each else ""
    assert spliced.inspect(taken).exits == tuple(prefix + name for name in order[:2])
    main = flatbuffer.read(multi).subgraphs[0]
    x = int8_inputs(schema.shape(main.tensors[main.inputs[0]])[1:], 60)
    fewer = LiteRT(splice.splice(multi, order[:2], [20, 0]))
    for name, values in LiteRT(taken).run(x).items():
        np.testing.assert_array_equal(values, fewer.run(x)[name])


@pytest.mark.parametrize("graph_each", [False, True])
def test_which_one_must_be_said(graph_each: bool, tmp_path: Path) -> None:
    path = tmp_path / "multi.tflite"
    path.write_bytes(several(graph_each))
    with pytest.raises(UserError, match="several signatures: all, first_two; choose one with"):
        compile_file(path, [0.5, 0.5])
    with pytest.raises(UserError, match="no signature 'some' in the file; it has all, first_two"):
        compile_file(path, [0.5, 0.5], signature="some")
    if graph_each:
        with pytest.raises(UserError, match="a graph for each of several signatures"):
            splice.splice(several(graph_each), order_of(multi_exit(10, 3)), [0, 0, 0])


def test_no_or_one_signature_needs_no_name() -> None:
    multi = multi_exit(10, 3)
    model = flatbuffer.read(multi)
    assert flatbuffer.write(select(model)) == flatbuffer.write(select(model, "serving_default"))
    order = order_of(multi)
    assert splice.splice(flatbuffer.write(select(model)), order, [1, 2, 3]) == splice.splice(
        multi, order, [1, 2, 3]
    )
    model.signatureDefs = []
    assert select(model) is model
    with pytest.raises(UserError, match="no signature 'x' in the file; it has none"):
        select(model, "x")


def test_a_signature_without_a_needed_input_is_refused() -> None:
    model = flatbuffer.read(multi_exit(10, 3))
    model.subgraphs[0].tensors.append(copy.copy(model.subgraphs[0].tensors[0]))
    other = len(model.subgraphs[0].tensors) - 1
    model.subgraphs[0].inputs = np.array([*model.subgraphs[0].inputs, other], np.int32)
    model.signatureDefs[0].inputs = [fb.TensorMapT("image", other)]
    with pytest.raises(UserError, match=r"leaves out the input .*, which its outputs need"):
        select(flatbuffer.read(flatbuffer.write(model)))


def test_a_signature_that_gives_out_an_input_must_take_it() -> None:
    model = flatbuffer.read(multi_exit(10, 3))
    main, signature = model.subgraphs[0], model.signatureDefs[0]
    main.tensors.append(copy.copy(main.tensors[0]))
    main.inputs = np.array([*main.inputs, len(main.tensors) - 1], np.int32)
    signature.outputs.append(fb.TensorMapT("same", len(main.tensors) - 1))
    with pytest.raises(UserError, match=r"leaves out the input .*, which its outputs need"):
        select(model)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_signature_must_take_and_give_something(side: str) -> None:
    model = flatbuffer.read(multi_exit(10, 3))
    setattr(model.signatureDefs[0], side, [])
    with pytest.raises(UserError, match="has no inputs or no outputs"):
        select(model)


def test_a_tensor_of_two_names_goes_by_the_first() -> None:
    model = flatbuffer.read(multi_exit(10, 3))
    outputs = model.signatureDefs[0].outputs
    outputs.append(fb.TensorMapT("again", outputs[0].tensorIndex))
    names = [schema.text(entry.name) for entry in outputs]
    assert list(schema.outputs_by_name(select(model))) == names[:-1]


def test_a_graph_that_leaves_early_is_refused() -> None:
    multi = multi_exit(10, 3)
    with pytest.raises(UserError, match="expected a network without IF"):
        select(flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 3])))


def test_a_signature_may_give_out_what_the_graph_does_not(tmp_path: Path) -> None:
    multi = multi_exit(10, 3)
    model, order = flatbuffer.read(multi), order_of(multi)
    main, path = model.subgraphs[0], tmp_path / "multi.tflite"
    main.outputs = main.outputs[:1]
    path.write_bytes(flatbuffer.write(model))
    made = compile_file(path, [148 / 256, 158 / 256])
    assert made.content == add_metadata(splice.splice(multi, order, [20, 30, 0]))
    with pytest.raises(UserError, match="tensors that are not among its graph's outputs"):
        flatbuffer.read(path.read_bytes())


class _Two(tf.Module):
    """Two exits on one dense layer, and another signature."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        shapes = {"shared": (12, 8), "early": (8, 3), "middle": (8, 8), "late": (8, 3)}
        for name, shape in shapes.items():
            setattr(self, name, tf.constant(rng.normal(size=shape) * 2, tf.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, 12), tf.float32)])
    def classify(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.nn.relu(x @ self.shared)
        deep = tf.nn.relu(features @ self.middle)
        return {
            "late": tf.nn.softmax(deep @ self.late),
            "early": tf.nn.softmax(features @ self.early),
        }

    @tf.function(input_signature=[tf.TensorSpec((1, 12), tf.float32)])
    def features(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"features": tf.nn.relu(x @ self.shared)}


def test_signatures_as_the_converter_writes_them(tmp_path: Path) -> None:
    module = _Two()
    signatures = {"classify": module.classify, "features": module.features}
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path / "saved"), signature_keys=["features", "classify"]
    )
    path = tmp_path / "multi.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(UserError, match=r"several signatures: .*choose one"):
        compile_file(path, [0.6])
    model = compile_file(path, [0.6], signature="classify")
    assert [exit_.at for exit_ in model.exits] == ["early", "late"]
    x = np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)
    found = LiteRT(model.content).run(x)
    said = [module.classify(tf.constant(sample[None])) for sample in x]
    for scores, exit_, expected in zip(found["scores"], found["exit"], said, strict=True):
        assert (expected["early"].numpy().max() >= 154 / 256) == (exit_ == 0)
        name = "late" if exit_ else "early"
        np.testing.assert_allclose(scores, expected[name][0], atol=1e-5)
    assert set(found["exit"]) == {0, 1}
