"""Where data comes from, how it is cut in three and what it looks like then."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eexit_tf import sources
from eexit_tf.data import HELD_OUT, MOST_HELD_OUT, Dataset, load, split
from eexit_tf.errors import UserError
from eexit_tf.sources import Raw

CLASSES = 3
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 8, 9), dtype=np.uint8)
Y = np.arange(60) % CLASSES
X_TEST, Y_TEST = X[:12], Y[:12]


def raw(x: np.ndarray = X, y: np.ndarray = Y, **test: np.ndarray) -> Raw:
    return Raw(x, y, **test)


def rows(x: np.ndarray) -> set[bytes]:
    """Samples as something to compare and count."""
    return {sample.tobytes() for sample in x}


def fingerprint(data: Dataset) -> str:
    digest = hashlib.sha256()
    for part in (data.train, data.validation, data.test):
        digest.update(part.x.tobytes() + part.y.tobytes())
    return digest.hexdigest()


# Sources. Each makes data in a folder, which is the current one, and returns its name.


def npz(folder: Path, test: bool) -> str:
    more = {"x_test": X_TEST, "y_test": Y_TEST} if test else {}
    np.savez(folder / "data.npz", x_train=X, y_train=Y, class_names=list("abc"), **more)
    return "data.npz"


def save_images(folder: Path, x: np.ndarray, y: np.ndarray) -> None:
    for number, (image, label) in enumerate(zip(x, y, strict=True)):
        place = folder / "abc"[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:03}.png")


def image_folder(folder: Path, test: bool) -> str:
    save_images(folder / "images" / ("train" if test else ""), X, Y)
    if test:
        save_images(folder / "images" / "test", X_TEST, Y_TEST)
    (folder / "images" / "a note.txt").write_text("not a class")
    (folder / "images" / ".hidden").mkdir()
    return "images"


def function(folder: Path, test: bool) -> str:
    np.savez(folder / "arrays.npz", x=X, y=Y)
    (folder / "a_users_module.py").write_text(
        "import numpy as np\n"
        "def load_data():\n"
        "    stored = np.load('arrays.npz')\n"
        "    x, y = stored['x'], stored['y']\n"
        "    return (x, y[:, None]), (x[:12], y[:12, None])\n"
    )
    return "a_users_module:load_data"


@pytest.mark.parametrize("test", [False, True], ids=["without test", "with test"])
@pytest.mark.parametrize("source", [npz, image_folder, function])
def test_sources(
    source: Callable[[Path, bool], str],
    test: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    data = load(source(tmp_path, test))
    has_test = test or source is function
    assert data.classes == CLASSES
    assert data.class_names == (("0", "1", "2") if source is function else ("a", "b", "c"))
    assert data.input_shape == (8, 9, 1)
    assert data.divisor == 255
    assert len(data.test.y) == 12
    assert len(data.train.y) + len(data.validation.y) == (60 if has_test else 48)
    given = (X / np.float32(255)).astype(np.float32)
    everything = np.concatenate([part.x for part in (data.train, data.validation, data.test)])
    assert rows(everything[..., 0]) == rows(given)
    for part in (data.train, data.validation, data.test):
        labels = {sample.tobytes(): label for sample, label in zip(given, Y, strict=True)}
        assert [labels[sample.tobytes()] for sample in part.x] == part.y.tolist()
    if has_test:
        np.testing.assert_array_equal(np.sort(data.test.y), np.sort(Y_TEST))


def test_digits() -> None:
    data = load("digits")
    assert data.input_shape == (8, 8, 1)
    assert data.class_names == tuple("0123456789")
    assert sum(len(data.part(name).y) for name in ("train", "validation", "test")) == 1797
    assert data.train.x.max() == 1


@pytest.mark.parametrize("name", sources.KERAS_NAMES)
def test_keras_data_sets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from eexit_tf.keras import keras

    stored = (X, Y[:, None]), (X_TEST, Y_TEST[:, None])
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: stored)
    data = load(name)
    assert data.name == name
    np.testing.assert_array_equal(data.test.y, Y_TEST)


def test_a_keras_data_set_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from eexit_tf.keras import keras

    def fail() -> None:
        raise OSError("no network")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    with pytest.raises(UserError, match=r"mnist: Keras could not download it \(no network\)"):
        load("mnist")


@pytest.mark.parametrize(
    ("stored", "channels", "value"),
    [
        (Image.new("L", (9, 8), 51), 1, (51,)),
        (Image.new("LA", (9, 8), (51, 255)), 1, (51,)),
        (Image.new("1", (9, 8), 1), 1, (255,)),
        (Image.new("RGB", (9, 8), (51, 102, 204)), 3, (51, 102, 204)),
        (Image.new("RGBA", (9, 8), (51, 102, 204, 255)), 3, (51, 102, 204)),
        (Image.new("RGB", (9, 8), (51, 102, 204)).quantize(4), 3, (51, 102, 204)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_what_an_image_shows_counts_not_how_it_is_stored(
    stored: Image.Image, channels: int, value: tuple[int, ...], tmp_path: Path
) -> None:
    for number in range(12):
        place = tmp_path / f"class{number % 2}"
        place.mkdir(exist_ok=True)
        stored.save(place / f"{number}.png")
    data = load(str(tmp_path))
    assert data.input_shape == (8, 9, channels)
    np.testing.assert_array_equal(data.train.x[0, 0, 0], np.float32(value) / np.float32(255))


# The split.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("test", [False, True], ids=["without test", "with test"])
def test_parts_are_disjoint_exhaustive_and_stratified(seed: int, test: bool) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1, 2], [5, 40, 155]))
    x = np.zeros((200, 8, 8, 1), np.float32)
    x[:, 0, 0, 0] = np.arange(200) / 256  # a number for each sample, kept by powers of two
    given = raw(x, y, x_test=x[:1], y_test=y[:1]) if test else raw(x, y)
    data = split("numbered", given)
    parts = [data.train, data.validation, *([] if test else [data.test])]
    numbers = [np.rint(part.x[:, 0, 0, 0] * data.divisor * 256).astype(int) for part in parts]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(200))
    for part, mine in zip(parts, numbers, strict=True):
        np.testing.assert_array_equal(y[mine], part.y)
    left = np.bincount(y)
    for part in reversed(parts[1:]):
        held = np.bincount(part.y, minlength=3)
        np.testing.assert_array_equal(held, np.maximum(1, np.rint(HELD_OUT * left)))
        left = left - held


def test_of_large_data_no_more_is_held_out_than_needed() -> None:
    y = np.repeat([0, 1], [40_000, 10_000])
    data = split("large", raw(np.zeros((len(y), 8, 8, 1), np.uint8), y))
    for part in (data.validation, data.test):
        assert np.bincount(part.y).tolist() == [0.8 * MOST_HELD_OUT, 0.2 * MOST_HELD_OUT]


def test_the_split_is_the_same_in_another_process() -> None:
    there = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import test_data as t; print(t.fingerprint(t.split('', t.raw())))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == fingerprint(split("", raw()))


def test_the_split_of_digits_never_changes() -> None:
    """What was test data once must stay it; every published figure depends on it."""
    assert fingerprint(load("digits")) == (
        "f2d2ae32230529f6f79cb5d57f85735f6cc415e9c9a48346f8d1fd68b03f9f9b"
    )


# Values.


@pytest.mark.parametrize(
    ("x", "divisor"),
    [
        (X, 255.0),
        (X // 255, 255.0),
        (X > 99, 1.0),
        (X.astype(np.int16), 256.0),
        (X.astype(np.int16) - 256, 256.0),
        (X / 255, 1.0),
        (X.astype(np.float64), 256.0),
        (X / 255 * 1000, 1024.0),
        (X / 255e6, 2.0**-19),
        (X * 0.0, 1.0),
        (X / 255 * 3e38, 2.0**127),
    ],
)
def test_scaling(x: np.ndarray, divisor: float) -> None:
    data = split("scaled", raw(x, Y, x_test=x, y_test=Y))
    assert data.divisor == divisor
    assert data.test.x.dtype == np.float32
    expected = x.astype(np.float32) / np.float32(divisor)
    np.testing.assert_array_equal(data.test.x[..., 0], expected)
    assert np.abs(data.test.x).max() <= 2


def test_class_names_may_be_bytes() -> None:
    data = split("bytes", Raw(X, Y, class_names=np.array([n.encode() for n in "abü"])))
    assert data.class_names == ("a", "b", "ü")


def test_labels_may_be_a_column() -> None:
    data = split("column", raw(X, Y[:, None], x_test=X, y_test=Y[:, None]))
    np.testing.assert_array_equal(data.test.y, Y)
    assert data.test.y.dtype == np.int64


def test_drawing_samples() -> None:
    part = split("", raw()).train
    few = part.draw(7, seed=1)
    assert len(few.y) == len(few.x) == 7
    assert rows(few.x) <= rows(part.x)
    np.testing.assert_array_equal(few.x, part.draw(7, seed=1).x)
    assert len(part.draw(10_000, seed=1).y) == len(part.y)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((128, 6), (1, 128, 6)),
        ((49, 10), (49, 10, 1)),
        ((28, 28), (28, 28, 1)),
        ((1, 50, 9), (1, 50, 9)),
        ((128, 9), (1, 128, 9)),
        ((128, 1), (1, 128, 1)),
    ],
)
def test_windows_of_sensor_data_are_images_of_height_1(
    given: tuple[int, ...], taken: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).normal(size=(40, *given)).astype(np.float32)
    data = split("some", Raw(x, np.arange(40) % 2))
    assert data.input_shape == taken
    assert set(data.train.x.ravel()) <= set((x / np.float32(data.divisor)).ravel())


def test_a_validation_part_of_ones_own_is_refused(tmp_path: Path) -> None:
    path, x, y = tmp_path / "d.npz", np.zeros((50, 8, 8), np.uint8), np.arange(50) % 2
    np.savez(path, x_train=x, y_train=y, x_val=x, y_val=y)
    with pytest.raises(UserError, match="has x_val, but a validation part is cut from"):
        load(str(path))
