"""A network gets data in its own units and shape, without being told."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from click.testing import CliRunner
from networks import convert, keras_network
from one_operator import SOUND, given

from eexit_tf.cli import cli
from eexit_tf.data import load
from eexit_tf.errors import UserError
from eexit_tf.keras import keras
from eexit_tf.tflite import export, flatbuffer, retune, units
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.segments import split
from eexit_tf.tflite.splicing.metadata import add_metadata
from eexit_tf.tflite.units import in_units_of

CLASSES = 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "bytes.npz"
    x = (rng.random((120, 1, 1, 3)) * rng.integers(0, 256, (120, 8, 8, 3))).astype(np.uint8)
    np.savez(path, x_train=x, y_train=rng.permutation(np.arange(120) % CLASSES))
    return path


def compiled(path: Path, dataset: Path, factor: float) -> Path:
    """A network that takes the data times a factor, and says the same of it for every factor."""
    net = keras_network(4, 2, classes=CLASSES)
    stem = next(layer for layer in net.layers if layer.get_weights())
    kernel, bias = stem.get_weights()
    stem.set_weights([kernel / factor, bias])
    path.write_bytes(convert(net, samples=load(str(dataset)).train.x[:32] * factor))
    compile_file(path, [0.8]).save(path)
    return path


def test_bytes_are_recognised_by_the_reach_of_the_input(tmp_path: Path, dataset: Path) -> None:
    data, said = load(str(dataset)), {}
    for factor in (1, 255):
        path = compiled(tmp_path / f"{factor}.tflite", dataset, factor)
        assert in_units_of(path, data).test.x.max() == pytest.approx(factor * data.test.x.max())
        json_path = tmp_path / f"{factor}.result.json"
        args = ["evaluate", path, "--dataset", dataset, "--json", json_path, "--quiet"]
        result = CliRunner().invoke(cli, list(map(str, args)))
        assert result.exit_code == 0, result.output
        said[factor] = json.loads(json_path.read_text())
    assert said[255] == said[1]
    assert 0 < said[1]["exits"][0]["share"] < 1


@pytest.mark.parametrize("form", ["file", "segments"])
def test_bytes_go_from_minus_1_to_1_where_the_input_does(
    tmp_path: Path, dataset: Path, form: str
) -> None:
    data, path = load(str(dataset)), tmp_path / "m.tflite"
    path.write_bytes(convert(keras_network(4, 2, classes=CLASSES), samples=2 * data.train.x - 1))
    made = compile_file(path, [0.3])
    if form == "segments":
        split(made).save(path := tmp_path / "m.segments")
    else:
        made.save(path)
    given, raw = in_units_of(path, data), np.load(dataset)
    np.testing.assert_allclose(given.train.x.max(), raw["x_train"].max() / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(given.test.x, 2 * data.test.x - 1, atol=1e-6)
    own = tmp_path / "own.npz"  # the same by the user's own hand
    np.savez(own, x_train=raw["x_train"] / np.float32(127.5) - 1, y_train=raw["y_train"])
    np.testing.assert_allclose(in_units_of(path, load(str(own))).test.x, given.test.x, atol=1e-6)


@pytest.mark.parametrize(("mean", "std"), [(0.13, 0.31), (0.5, 0.25), (0.5, 1)])
def test_bytes_are_refused_where_the_input_goes_below_0_in_another_way(
    tmp_path: Path, dataset: Path, mean: float, std: float
) -> None:
    data, path, own = load(str(dataset)), tmp_path / "m.tflite", tmp_path / "own.npz"
    x = (data.train.x - mean) / std
    path.write_bytes(convert(keras_network(4, 2, classes=CLASSES), samples=x))
    made = compile_file(path, [0.3])
    made.save(path)
    for command in (
        ["evaluate", path, "--dataset", dataset],
        ["benchmark", path, "--dataset", dataset, "--samples", 3],
        ["retune", path, "--dataset", dataset, "--max-mean-macs", "1M"],
    ):
        result = CliRunner().invoke(cli, [*map(str, command), "--quiet"])
        assert result.exit_code == 2
        assert "in the network's own units" in " ".join(result.stderr.split())
    np.savez(own, x_test=x, y_test=data.train.y)
    np.testing.assert_allclose(in_units_of(path, load(str(own), False)).test.x, x, atol=1e-6)
    replace(made, input=replace(made.input, divisor=255.0)).save(path)
    assert in_units_of(path, data) is data  # its card knows


@pytest.mark.parametrize(
    ("low", "high", "given"),
    [
        *((-1, 1, (127.5, -1)), (-1.1, 0.9, (127.5, -1)), (-0.9, 1.1, (127.5, -1))),
        *((-1.2, 1, None), (-0.8, 1, None), (-1, 1.2, None), (-1, 0.8, None)),
        *((-0.04, 1, (255, 0)), (0, 15, (255, 0)), (0, 17, (1, 0)), (-10, 255, (1, 0))),
    ],
)
def test_an_input_need_not_reach_as_far_as_bytes_do(
    board_file: Path, dataset: Path, low: float, high: float, given: tuple[float, float] | None
) -> None:
    data, path = load(str(dataset)), board_file  # without a card
    with patch.object(units, "_reach", lambda _: (low, high)):
        if given is None:
            with pytest.raises(UserError, match=f"takes numbers from {low:g} to {high:g}, "):
                in_units_of(path, data)
        else:
            found = in_units_of(path, data)
            assert (found.divisor, found.offset) == given


@pytest.mark.parametrize("spread", [0.001, 3.0, 300.0])
def test_other_numbers_are_given_as_the_network_was_calibrated(
    tmp_path: Path, spread: float
) -> None:
    rng, path, npz = np.random.default_rng(0), tmp_path / "m.tflite", tmp_path / "data.npz"
    x = rng.normal(scale=spread, size=(60, 17)).astype(np.float32)
    np.savez(npz, x_train=x, y_train=np.arange(60) % CLASSES)
    data = load(str(npz), for_search=False)
    assert data.divisor != 1
    for divisor in (1.0, data.divisor):
        path.write_bytes(convert(flat_network((17,)), samples=x[:30] / divisor))
        made = compile_file(path, [0.3])
        made.save(path)
        given = in_units_of(path, data)
        assert given.divisor == divisor
        np.testing.assert_array_equal(
            given.test.x * np.float32(divisor), data.test.x * np.float32(data.divisor)
        )
        replace(made, input=replace(made.input, divisor=4096.0)).save(path)
        assert in_units_of(path, data).divisor == 4096
        replace(made, origin={"dataset": "data"}).save(path)
        assert in_units_of(path, data).divisor == 1
    path.write_bytes(convert(flat_network((17,)), int8=False))
    compile_file(path, [0.3]).save(path)
    assert in_units_of(path, data).divisor == 1


def test_pixels_that_were_divided_before_stay_as_they_are(tmp_path: Path) -> None:
    """The card of a network for bytes says 255, which numbers from 0 to 1 are not to be."""
    path, npz = tmp_path / "m.tflite", tmp_path / "data.npz"
    x = np.random.default_rng(0).random((60, 17), np.float32)
    np.savez(npz, x_train=x, y_train=np.arange(60) % CLASSES)
    data = load(str(npz), for_search=False)
    path.write_bytes(convert(flat_network((17,)), samples=x[:30]))
    made = compile_file(path, [0.3])
    replace(made, input=replace(made.input, divisor=255.0)).save(path)
    assert in_units_of(path, data) is data


def test_what_bytes_are_to_a_float_network_is_said_where_nothing_tells(tmp_path: Path) -> None:
    path, npz = tmp_path / "m.tflite", tmp_path / "data.npz"
    x = np.random.default_rng(0).integers(0, 256, (60, 17)).astype(np.uint8)
    np.savez(npz, x_test=x, y_test=np.arange(60) % CLASSES)
    path.write_bytes(convert(flat_network((17,)), int8=False))
    made = compile_file(path, [0.3])
    made.save(path)
    command = ["evaluate", str(path), "--dataset", str(npz)]
    said = CliRunner().invoke(cli, command)
    assert said.exit_code == 0
    assert "hint: nothing says what" in said.stderr
    assert "they are divided by 255" in said.stderr
    replace(made, origin={"dataset": "data"}, input=replace(made.input, divisor=255.0)).save(path)
    assert "hint" not in CliRunner().invoke(cli, command).stderr


def flat_network(shape: tuple[int, ...]) -> keras.Model:
    """Two exits behind an input of any shape."""
    inputs = keras.layers.Input(shape, batch_size=1)
    x = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(inputs))
    y = keras.layers.Dense(8, activation="relu")(x)
    exits = [keras.layers.Dense(CLASSES, activation="softmax")(z) for z in (x, y)]
    return keras.Model(inputs, exits)


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        ((17,), (17,)),
        ((40, 3), (40, 3)),
        ((12, 12), (12, 12)),
        ((12, 12), (12, 12, 1)),
        ((12, 12, 1), (144,)),
        ((9, 7), (9, 7)),
    ],
)
def test_samples_of_any_shape_are_run(
    tmp_path: Path, taken: tuple[int, ...], given: tuple[int, ...]
) -> None:
    rng, path, data = np.random.default_rng(0), tmp_path / "m.tflite", tmp_path / "data.npz"
    x = rng.uniform(-1, 1, (60, *given)).astype(np.float32)
    np.savez(data, x_train=x, y_train=np.arange(60) % CLASSES)
    path.write_bytes(convert(flat_network(taken), samples=x[:16].reshape(-1, *taken)))
    compile_file(path, [0.3]).save(path)
    for command in (
        ["evaluate", path, "--dataset", data],
        ["benchmark", path, "--dataset", data, "--samples", 3],
        ["retune", path, "--dataset", data, "--max-mean-macs", "1M"],
    ):
        result = CliRunner().invoke(cli, [*map(str, command), "--quiet"])
        assert result.exit_code == 0, result.output


def test_samples_that_would_be_scrambled_keep_their_shape() -> None:
    model = flatbuffer.read(convert(flat_network((9, 7, 3))))
    for shape in ((3, 9, 7), (7, 9, 3), (63, 3), (9, 7, 4)):
        assert quantise(model, np.zeros((2, *shape))).shape == (2, *shape)
    assert quantise(model, np.zeros((2, 1, 9, 7, 3))).shape == (2, 9, 7, 3)


def test_samples_are_rounded_to_steps_and_clipped() -> None:
    model = flatbuffer.read(given(0, scale=0.5, zero=3)(SOUND["TANH"]).content("TANH"))
    steps = quantise(model, np.array([[-99, -0.75, -0.25, 0.25, 0.75, 99]]))
    assert steps.tolist() == [[-128, 1, 3, 3, 5, 127]]


def test_a_file_without_its_card_says_what_data_is_divided_by(
    tmp_path: Path, board_network: bytes
) -> None:
    path, npz = tmp_path / "m.tflite", tmp_path / "data.npz"
    x = np.linspace(-10, 10, 12 * 64, dtype=np.float32).reshape(12, 8, 8, 1)
    np.savez(npz, x_test=x, y_test=np.arange(12) % 4)
    path.write_bytes(add_metadata(board_network, 32.0))
    assert in_units_of(path, load(str(npz), for_search=False)).divisor == 32
    export(path, tmp_path / "project", format="cc")
    header = next((tmp_path / "project").rglob("*_model.h"))
    assert "kInputDivisor = 32.0f;" in header.read_text()
    assert retune(path, [0.5, 0.6]).input.divisor == 32
