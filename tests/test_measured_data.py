"""Data for a network that is there need not be fit for training: the network has the classes."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from networks import convert, keras_network
from PIL import Image

from eexit_tf.data import load, split
from eexit_tf.errors import UserError
from eexit_tf.sources import Raw
from eexit_tf.tflite.compiler import compile_file

X = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
Y = np.arange(60) % 5
DATA = {
    "gaps": {"x_train": X, "y_train": np.where(Y == 2, 0, Y)},
    "two classes": {"x_train": X, "y_train": 3 + Y % 2, "x_test": X, "y_test": Y % 2},
    "one class": {"x_train": X, "y_train": Y * 0 + 3, "x_test": X, "y_test": Y * 0 + 3},
    "few": {"x_train": X[:12], "y_train": Y[:12], "x_test": X, "y_test": Y},
}
"""What a search refuses, of a network with five classes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("measured")
    network = convert(keras_network(11, 3), samples=X[..., None] / 255)
    (place / "m.tflite").write_bytes(network)
    compile_file(place / "m.tflite", [0.9, 0.8]).save(place / "m.tflite")
    for name, arrays in DATA.items():
        np.savez(place / f"{name}.npz", **arrays)
    np.savez(place / "test.npz", x_test=X, y_test=Y)
    np.savez(place / "other classes.npz", x_test=X, y_test=Y + 1)
    np.savez(place / "too few.npz", x_train=X[:5], y_train=Y[:5])
    for label in "abcde":
        (place / "images" / "test" / label).mkdir(parents=True)
        Image.fromarray(X[0]).save(place / "images" / "test" / label / "0.png")
    return place


COMMANDS = {
    "evaluate": [],
    "benchmark": ["--samples", 3],
    "retune": ["--max-mean-macs", "1G", "--output", "r.tflite"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("data", DATA)
def test_labels_that_a_search_refuses(eexit_tf: Run, folder: Path, command: str, data: str) -> None:
    with pytest.raises(UserError, match=r"class|label"):
        load(str(folder / f"{data}.npz"))
    more = map(str, COMMANDS[command])
    done = eexit_tf(command, "m.tflite", "--dataset", f"{data}.npz", *more, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["evaluate", "benchmark"])
@pytest.mark.parametrize("data", ["test.npz", "images"])
def test_test_data_alone(eexit_tf: Run, folder: Path, command: str, data: str) -> None:
    more = map(str, COMMANDS[command])
    done = eexit_tf(command, "m.tflite", "--dataset", data, *more, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluate m.tflite --dataset test.npz --split train", "test.npz has no train part: train"),
        ("evaluate m.tflite --dataset test.npz --split validation", "has no validation part"),
        ("retune m.tflite --dataset test.npz --max-mean-macs 1G", "has no validation part"),
        ("evaluate m.tflite --dataset too_few.npz --split train", "of which there is none, or too"),
        ("evaluate m.tflite --dataset other_classes.npz", "labels up to 5, the network only 5"),
        ("benchmark m.tflite --dataset other_classes.npz", "labels up to 5, the network only 5"),
        ("search --dataset test.npz --output out", "test.npz has no training part"),
        ("search --dataset images --output out", "images has no training part"),
    ],
)
def test_what_is_not_there_is_refused(eexit_tf: Run, folder: Path, line: str, said: str) -> None:
    arguments = [word.replace("_", " ") for word in line.split()]
    done = eexit_tf(*arguments, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_the_parts_are_those_of_a_search() -> None:
    for test in ({}, {"x_test": X, "y_test": Y}):
        raw = Raw(X, Y, **test)
        searched, measured = split("some", raw), split("some", raw, for_search=False)
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(measured.part(part).x, searched.part(part).x)
            np.testing.assert_array_equal(measured.part(part).y, searched.part(part).y)
