"""A folder of all kinds of bad input, and of the good input that it is compared with."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from networks import convert, keras_network
from PIL import Image

X = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
Y = np.arange(60) % 3
FLOAT = X.astype(np.float32)
FLOAT[7, 2, 3] = np.nan

# Arrays in a `.npz` beside or instead of X and Y, and what is said of them.
ARRAYS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "labels short": ({"y_train": Y[:-1]}, "60 inputs, but 59 labels"),
    "labels float": ({"y_train": Y / 1.0}, "labels must be whole numbers.* float64"),
    "labels one-hot": ({"y_train": np.eye(3)[Y]}, "take the argmax"),
    "labels text": (
        {"y_train": Y.astype(str)},
        "labels must be whole numbers.* <U.*return_inverse",
    ),
    "labels with gaps": ({"y_train": Y * 2}, "without gaps"),
    "labels huge": ({"y_train": Y * 10**12}, "go up to 2000000000000"),
    "labels from 1": ({"y_train": Y + 1}, "go up to 3, and no training sample has 0"),
    "labels negative": ({"y_train": Y - 1}, "must not be negative, but go down to -1"),
    "one class": ({"y_train": Y * 0}, "only one class, 0, to tell apart"),
    "rare class": ({"y_train": np.where(np.arange(60) < 4, 1, 0)}, "class 1 has 4 samples.* 5"),
    "NaN": ({"x_train": FLOAT}, "1 of 60 inputs hold NaN"),
    "infinite": ({"x_train": X * 1e300}, "60 of 60 inputs hold NaN or infinity"),
    "too small": ({"x_train": X[:, :4]}, "4 x 8, too small.* at least 8 x 8"),
    "channels first": ({"x_train": np.stack([X] * 3, 1)}, "channels must be the last"),
    "few steps": ({"x_train": np.zeros((60, 40, 6))}, r"40 x 6.*\(samples, 1, steps, channels\)"),
    "flat": ({"x_train": X.reshape(60, 64)}, r"\(samples, height, width\).* \(60, 64\)"),
    "five dimensions": ({"x_train": X[..., None, None]}, r"but are \(60, 8, 8, 1, 1\)"),
    "no columns": ({"x_train": X[..., :0]}, r"\(samples, height, width\).* \(60, 8, 0, 1\)"),
    "text": ({"x_train": X.astype(str)}, "inputs must be numbers, but are <U"),
    "no samples": ({"x_train": X[:0], "y_train": Y[:0]}, "there are no samples"),
    "objects": ({"x_train": np.array([[1], [2, 3]], object)}, "object arrays"),
    "class names": ({"class_names": np.array(["a", "b"])}, "expected 3 class names"),
    "test without labels": ({"x_test": X}, "both or none of x_test and y_test"),
    "test of other shape": ({"x_test": np.stack([X, X], 3), "y_test": Y}, "one shape"),
    "test of other units": ({"x_test": X / 255, "y_test": Y}, "uint8, test float32"),
    "test of whole numbers": (
        {"x_train": X / 255, "x_test": X.astype(np.int32), "y_test": Y},
        "train is float32 up to 1, test int32 up to 255",
    ),
    "test of other classes": (
        {"x_test": X, "y_test": Y + 1},
        "test has the label 3, train only 0 to 2",
    ),
}

MINE = """
NUMBER = 42
def nonsense(): return 42
def nothing(): pass
def ragged(): return ([[1], [2, 3]], [0, 1]), ([[1], [2, 3]], [0, 1])
def words(): return ("a", "b"), ("c", "d")
def divide(): return 1 / 0
def leaves(): raise SystemExit(3)
def fails(): return divide()
"""


def make_inputs(place: Path, search: Path, digits: Path) -> None:
    """Fill a folder.

    Args:
        search: a finished one, of `digits`.
    """
    make_arrays(place)
    make_folders(place / "folders")
    make_tflite(place)
    make_searches(place, search, digits)
    (place / "mine.py").write_text(MINE)
    (place / "syntax.py").write_text("def load(:\n")
    (place / "lacks.py").write_text("import nowhere_either\n")


def save_images(folder: Path, **classes: list[np.ndarray]) -> None:
    for name, images in classes.items():
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / name / f"{number}.png")


def make_folders(place: Path) -> None:
    good = list(X[:6])
    (place / "none").mkdir(parents=True)
    save_images(place / "empty_class", a=good, b=[])
    save_images(place / "broken", a=good, b=good)
    content = (place / "broken" / "a" / "0.png").read_bytes()
    (place / "broken" / "b" / "broken.png").write_bytes(content[: len(content) // 2])
    save_images(place / "sizes", a=[X[0], X[1], np.zeros((8, 9), np.uint8)])
    save_images(place / "kinds", a=[X[0], X[1], np.zeros((8, 8, 3), np.uint8)])
    save_images(place / "nested", a=good, b=good)
    save_images(place / "nested" / "b", more=good)
    save_images(place / "other_kind", a=good, b=good)
    Image.fromarray(X[0]).save(place / "other_kind" / "b" / "last.tif")
    save_images(place / "deep", a=[X[0].astype(np.uint16) * 256], b=good)
    save_images(place / "parts" / "train", a=good, b=good)
    save_images(place / "parts" / "test", a=good, c=good)
    save_images(place / "validation" / "train", a=good, b=good)
    save_images(place / "validation" / "val", a=good, b=good)


def make_arrays(place: Path) -> None:
    np.savez(place / "good.npz", x_train=X, y_train=Y)
    np.savez(place / "wide.npz", x_train=np.zeros((60, 8, 9)), y_train=Y)
    np.savez(place / "classes.npz", x_train=X.astype(np.float32), y_train=np.arange(60) % 7)
    np.savez(place / "other_keys.npz", images=X, labels=Y)
    for name, (arrays, _) in ARRAYS.items():
        np.savez(place / f"{name}.npz", **{"x_train": X, "y_train": Y, **arrays})
    content = (place / "good.npz").read_bytes()
    (place / "truncated.npz").write_bytes(content[: len(content) // 2])
    middle = len(content) // 2
    damaged = content[:middle] + bytes(b ^ 255 for b in content[middle : middle + 9])
    (place / "damaged.npz").write_bytes(damaged + content[middle + 9 :])
    (place / "empty.npz").touch()
    (place / "random.npz").write_bytes(X.tobytes())
    with (place / "really_npy.npz").open("wb") as file:
        np.save(file, X)
    (place / "a_folder.npz").mkdir()


def make_tflite(place: Path) -> None:
    from eexit_tf.tflite.compiler import compile_file

    # Seed 11 is one whose networks take one channel.
    (place / "multi.tflite").write_bytes(convert(keras_network(11, 3)))
    (place / "single.tflite").write_bytes(convert(keras_network(11, 1)))
    (place / "float.tflite").write_bytes(convert(keras_network(11, 3), int8=False))
    early = compile_file(place / "multi.tflite", [0.9, 0.8]).content
    (place / "early.tflite").write_bytes(early)
    (place / "truncated.tflite").write_bytes(early[: len(early) // 2])
    (place / "random.tflite").write_bytes(X.tobytes())
    (place / "empty.tflite").touch()
    (place / "a_folder.tflite").mkdir()


def make_searches(place: Path, search: Path, digits: Path) -> None:
    shutil.copy(digits, place / "digits.npz")
    shutil.copytree(search, place / "found")
    (place / "stranger" / "trials" / "of_something_else").mkdir(parents=True)
    front = json.loads((search / "front.json").read_text())
    content = json.dumps(front).encode()
    for name, damaged in {
        "truncated": content[: len(content) // 2],
        "binary": X.tobytes(),
        "schema": json.dumps({**front, "schema": 99}).encode(),
        "keys": b'{"schema": 1}',
        "deep": b"[" * 100_000,
        "free": json.dumps(with_points(front, mean_macs=0)).encode(),
        "nan": json.dumps(with_points(front, val_accuracy=float("nan"))).encode(),
        "flash": json.dumps(with_points(front, flash_bytes="much")).encode(),
        "volume": json.dumps({**front, "hypervolume": "much"}).encode(),
    }.items():
        (place / f"front_{name}").mkdir()
        (place / f"front_{name}" / "front.json").write_bytes(damaged)
    for name in (
        "search_damaged",
        "search_schema",
        "no_weights",
        "weights_damaged",
        "no_oracle",
        "no_trial",
        "trial_damaged",
        "trial_gone",
        "trial_edited",
        "moved",
    ):
        shutil.copytree(search, place / name)
    (place / "weights_damaged/trials/trial_0/network.weights.h5").write_bytes(X.tobytes())
    (place / "no_oracle/trials/oracle.json").unlink()
    (place / "no_trial/trials/trial_0/trial.json").unlink()
    (place / "trial_damaged/trials/trial_0/front.json").write_text("{}")
    (place / "trial_gone/trials/trial_0/front.json").unlink()
    edited = place / "trial_edited/trials/trial_0/trial.json"
    trial = json.loads(edited.read_text())
    del trial["hyperparameters"]["values"]["shrink"]
    edited.write_text(json.dumps(trial))
    (place / "search_damaged" / "search.json").write_text('{"schema": 1, "seed"')
    manifest = json.loads((search / "search.json").read_text())
    (place / "search_schema/search.json").write_text(json.dumps(manifest | {"schema": 99}))
    next((place / "no_weights").glob("trials/*/*.h5")).unlink()
    moved = {**front, "dataset": "moved-away.npz"}
    (place / "moved" / "front.json").write_text(json.dumps(moved))


def with_points(front: dict[str, Any], **changes: object) -> dict[str, Any]:
    """A front with points of which something is not as a search writes it."""
    return {**front, "points": [{**point, **changes} for point in front["points"]]}
