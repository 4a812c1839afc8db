"""A file whose outputs are not all exits: `compile --exits` says which are."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from conftest import Run
from networks import convert, inputs_for

from eexit_tf.errors import UserError
from eexit_tf.keras import keras
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import spliced

COMPILE = ("compile", "multi.tflite", "--output", "m.tflite", "--thresholds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a network of two exits, which also gives a map and the embedding behind the later."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = layers.Input((8, 8, 3), batch_size=1)
    first = layers.Conv2D(8, 3, activation="relu", name="map")(image)
    embedding = layers.Dense(16, activation="relu", name="embedding")(layers.Flatten()(first))
    pooled = layers.GlobalAveragePooling2D()(first)
    sharp = keras.initializers.RandomNormal(stddev=3.0, seed=1)
    early = layers.Dense(5, "softmax", kernel_initializer=sharp, name="early")(pooled)
    late = layers.Dense(5, "softmax", kernel_initializer=sharp, name="late")(embedding)
    path = tmp_path_factory.mktemp("embedding")
    net = keras.Model(image, [late, embedding, early, first])
    (path / "multi.tflite").write_bytes(convert(net))
    return path


def test_the_named_outputs_are_exits_in_the_order_of_cost(folder: Path) -> None:
    multi = folder / "multi.tflite"
    content = compile_file(multi, [0.8], exits=["late", "early"]).content
    assert spliced.inspect(content).exits == ("early", "late")
    x = inputs_for(content)
    said = Tflm(multi.read_bytes()).run(x)
    stays = said["early"].max(axis=-1) < spliced.int8_threshold(0.8)
    assert set(stays) == {True, False}
    for runtime in (LiteRT, Tflm):
        found = runtime(content).run(x)
        np.testing.assert_array_equal(found["exit"], stays)
        expected = np.where(stays[:, None], said["late"], said["early"])
        np.testing.assert_array_equal(found["scores"], expected)


def test_every_name_of_an_output_is_known(folder: Path, eexit_tf: Run, tmp_path: Path) -> None:
    model = flatbuffer.read((folder / "multi.tflite").read_bytes())
    outputs = model.signatureDefs[0].outputs
    early = next(entry for entry in outputs if schema.text(entry.name) == "early")
    outputs.append(fb.TensorMapT("again, early", early.tensorIndex))
    (tmp_path / "multi.tflite").write_bytes(flatbuffer.write(model))
    for names, exits in (("late,early", "early"), ('late,"again, early"', "again, early")):
        run = eexit_tf(*COMPILE, "0.8", "--exits", names, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert f"exits {exits} (" in run.stdout


def test_what_only_others_need_may_be_of_any_kind(folder: Path) -> None:
    model = flatbuffer.read((folder / "multi.tflite").read_bytes())
    main, everything = model.subgraphs[0], model.signatureDefs[0]
    named = {schema.text(entry.name): entry for entry in everything.outputs}
    main.tensors.append(fb.TensorT(np.int32([1, 16]), fb.TensorType.FLOAT16, 0, "norm"))
    op = fb.OperatorT(schema.operator_code(model, fb.BuiltinOperator.L2_NORMALIZATION, 1))
    op.inputs = np.int32([named["embedding"].tensorIndex])
    op.outputs = np.int32([len(main.tensors) - 1])
    main.operators.append(op)
    main.outputs = np.append(main.outputs, op.outputs).astype(np.int32)
    everything.outputs.append(fb.TensorMapT("norm", int(op.outputs[0])))
    infer = fb.SignatureDefT(everything.inputs, [named["early"], named["late"]], "infer", 0)
    model.signatureDefs.append(infer)
    path = folder / "any_kind.tflite"
    path.write_bytes(flatbuffer.write(model))
    expected = compile_file(folder / "multi.tflite", [0.8], exits=["early", "late"]).content
    assert compile_file(path, [0.8], signature="infer").content == expected
    chosen = {"signature": schema.text(everything.signatureKey), "exits": ["early", "late"]}
    assert compile_file(path, [0.8], **chosen).content == expected
    with pytest.raises(UserError, match="float16 is not one of"):
        compile_file(path, [0.8], signature=chosen["signature"], exits=["early", "norm"])


def test_the_command_takes_their_names(eexit_tf: Run, folder: Path) -> None:
    done = eexit_tf(*COMPILE, "0.8", "--exits", "early, late", cwd=folder)
    assert done.returncode == 0, done.stderr
    made = (folder / "m.tflite").read_bytes()
    assert made == compile_file(folder / "multi.tflite", [0.8], exits=["early", "late"]).content


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["0.8"], "has 4 exits (map, early, embedding, late): expected 3 thresholds, got 1; if"),
        (["0.8,0.8,0.8"], "one of the outputs is no exit, name those that are with --exits"),
        (
            ["0.8", "--exits", "early,embedding"],
            "5 classes in int8, embedding gives 16 in int8; if",
        ),
        (["0.8", "--exits", "early,lat"], "no output 'lat' in the file; its outputs are "),
        (["0.8", "--exits", "early,early"], "has 1 of its outputs named as exits; expected"),
        (["0.8", "--exits", '"early,late'], "is not a list of names: unexpected end of data"),
        (["0.8", "--exits", "early\nlate"], "is not a list of names: new-line"),
        (["0.8,0.8", "--exits", "early,late"], "expected 1 threshold, got 2\n"),
    ],
)
def test_what_cannot_be_is_explained(
    eexit_tf: Run, folder: Path, arguments: list[str], said: str
) -> None:
    done = eexit_tf(*COMPILE, *arguments, cwd=folder)
    assert done.returncode == 2
    assert said in done.stderr
