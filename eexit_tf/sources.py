"""Where data comes from: built-in names, `.npz` files, folders of images, the user's functions.

What is read here is not checked yet; `eexit_tf.raw_checks` does that for every source alike.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.own_functions import call_explained, import_function, is_function

KERAS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")
NAMES = ("digits", *KERAS_NAMES)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
OTHER_SUFFIXES = (".gif", ".tif", ".tiff", ".webp")
"""Of images that would be left out without a word."""
GRAY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")
"""Beginnings of Pillow's modes with more than 8 bits a channel."""


class Raw(NamedTuple):
    """Data as a source gave it, before any check; one of the two parts may be missing."""

    x_train: Any = None
    y_train: Any = None
    x_test: Any = None
    y_test: Any = None
    class_names: Any = None


def read(name: str) -> Raw:
    """Read the data that a name stands for; see `eexit_tf.data.load`.

    Raises:
        UserError: there is no such data, or it cannot be read.
    """
    if name == "digits":
        return _read_digits()
    if name in KERAS_NAMES:
        return _read_keras(name)
    if name.endswith(".npz"):
        return _read_npz(Path(name))
    if Path(name).is_dir():
        return _read_folder(Path(name))
    if is_function(name):
        return _read_function(name)
    raise UserError(
        f"unknown data set {name!r}: expected one of {', '.join(NAMES)}, the path of an .npz "
        f"file, a folder with one folder of images for each class, or module:function"
    )


def _read_digits() -> Raw:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # The values go from 0 to 16; 255 of them would be a byte image like any other.
    x = (digits.images * (255 / 16)).astype(np.uint8)
    return Raw(x, digits.target, class_names=[str(n) for n in digits.target_names])


def _read_keras(name: str) -> Raw:
    from eexit_tf.keras import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise UserError(
            f"data set {name}: Keras could not download it ({error}); "
            f"download it elsewhere and pass the path of its .npz"
        ) from error
    return Raw(x_train, y_train, x_test, y_test)


def _read_npz(path: Path) -> Raw:
    if not path.is_file():
        raise UserError(f"no such .npz file: {path}")
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise UserError(f"{path} is not an .npz file; numpy.savez writes one")
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = stored.files
            arrays = {key: stored[key] for key in found if key in Raw._fields}
    # A damaged archive can fail in any way that zipfile, zlib and numpy have.
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as an .npz file of plain number arrays (truncated, damaged, "
            f"or object arrays in it?): {error}"
        ) from error
    if further := [key for key in found if key.startswith(("x_val", "y_val"))]:
        raise UserError(
            f"{path} has {further[0]}, but a validation part is cut from the training part; join "
            f"the two, or leave it out"
        )
    labelled = [part for part in ("train", "test") if f"x_{part}" in arrays]
    if not labelled or labelled != [part for part in ("train", "test") if f"y_{part}" in arrays]:
        raise UserError(
            f"{path} must have x_train and y_train, and either both or none of x_test and y_test "
            f"(or these two alone, to measure a network on), but has "
            f"{', '.join(sorted(found)) or 'no arrays'}"
        )
    return Raw(**arrays)


def _read_function(name: str) -> Raw:
    function = import_function(f"data set {name}", name)
    function_name = name.partition(":")[2]
    value = call_explained(f"data set {name}: {function_name}()", function)
    try:
        (x_train, y_train), (x_test, y_test) = value
    except (TypeError, ValueError) as error:
        raise UserError(
            f"data set {name}: expected ((x_train, y_train), (x_test, y_test)), as Keras's "
            f"load_data returns it, but {function_name}() returned {_short(value)}"
        ) from error
    return Raw(x_train, y_train, x_test, y_test)


def _short(value: object) -> str:
    said = repr(value)
    return f"{type(value).__name__} {said if len(said) <= 60 else said[:57] + '...'}"


def _read_folder(path: Path) -> Raw:
    if not any(_folders(path / part) for part in ("train", "test")):
        x, y, names = _read_class_folders(path)
        return Raw(x, y, class_names=names)
    parts = _folders(path)
    if parts == ["test"]:
        x_test, y_test, names = _read_class_folders(path / "test")
        return Raw(x_test=x_test, y_test=y_test, class_names=names)
    if parts not in (["train"], ["test", "train"]):
        raise UserError(
            f"{path}: expected train and test, with one folder of images for each class in both, "
            f"or one of them, but there are {', '.join(parts)}; a validation part is cut from train"
        )
    x_train, y_train, names = _read_class_folders(path / "train")
    if "test" not in parts:
        return Raw(x_train, y_train, class_names=names)
    x_test, y_test, test_names = _read_class_folders(path / "test")
    if test_names != names:
        raise UserError(
            f"{path}: train and test must have the same classes, but train has "
            f"{', '.join(names)}, and test {', '.join(test_names)}"
        )
    return Raw(x_train, y_train, x_test, y_test, names)


def _folders(path: Path) -> list[str]:
    """The names of the visible folders in a folder, if it is one."""
    if not path.is_dir():
        return []
    return sorted(f.name for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))


def _read_class_folders(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    names = _folders(path)
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    first: Path | None = None
    for label, name in enumerate(names):
        files = _images(path / name)
        if not files:
            raise UserError(f"{path / name} has no images ({', '.join(IMAGE_SUFFIXES)}) in it")
        for file in files:
            first = first or file
            image = _read_image(file)
            if images and image.shape != images[0].shape:
                raise UserError(
                    f"all images must be of one size and kind, but {first} is "
                    f"{_kind(images[0])} and {file} is {_kind(image)}"
                )
            images.append(image)
            labels.append(label)
    if not images:
        raise UserError(f"{path} has no folders of images in it; expected one for each class")
    return np.stack(images), np.array(labels), names


def _images(path: Path) -> list[Path]:
    files = sorted(f for f in path.iterdir() if not f.name.startswith("."))
    for file in files:
        if file.is_dir() or file.suffix.lower() in OTHER_SUFFIXES:
            what = "a folder" if file.is_dir() else "an image of another kind"
            raise UserError(
                f"{file} is {what}; expected images ({', '.join(IMAGE_SUFFIXES)}) in each class's "
                f"folder"
            )
    return [f for f in files if f.suffix.lower() in IMAGE_SUFFIXES]


def _read_image(file: Path) -> NDArray[np.uint8]:
    """(height, width) of a gray image, (height, width, 3) of any other.

    Palettes and alpha channels are how a file is stored, not what it shows.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            mode = image.mode
            deep = mode.startswith(DEEP_MODES)
            kept = image if deep else image.convert("L" if mode in GRAY_MODES else "RGB")
            pixels = np.asarray(kept)
    # Decoders fail on a damaged file in many ways: OSError, SyntaxError, ValueError, …
    except Exception as error:
        raise UserError(f"{file} cannot be read as an image: {error}") from error
    if deep:
        raise UserError(
            f"{file} has more than 8 bits a channel (mode {mode}), which would be cut off; "
            f"convert the images to 8 bits, or pass the values in an .npz file"
        )
    return pixels


def _kind(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[0]} x {image.shape[1]} {'gray' if image.ndim == 2 else 'RGB'}"
