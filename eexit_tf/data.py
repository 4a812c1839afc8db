"""Labelled data: built-in names, `.npz` files, folders and functions, split three ways.

Every choice (thresholds, exits, checkpoints) is made on the validation part, which is cut from
the training part; the test part is for one report. The split is fixed and does not depend on
the seed of a search, so that two commands can never disagree about what is test data.
"""

import importlib
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eexit_tf.errors import UserError

SPLIT_SEED = 20240131
HELD_OUT = 0.2
"""Part of the data that is cut off for validation, and for test where there is none."""

KERAS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")
NAMES = ("digits", *KERAS_NAMES)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
SMALLEST_SIDE = 8
FEWEST_PER_CLASS = 5


class Samples(NamedTuple):
    """Inputs as the network takes them, and their labels.

    Attributes:
        x: float32, (samples, height, width, channels).
        y: int64, (samples,), from 0 to classes - 1.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def draw(self, count: int, seed: int) -> "Samples":
        """So many of them at random, in their own order; all if there are fewer."""
        rng = np.random.default_rng(seed)
        picked = np.sort(rng.permutation(len(self.y))[:count])
        return Samples(self.x[picked], self.y[picked])


@dataclass(frozen=True)
class Dataset:
    """Three disjoint parts of one labelled data set.

    Attributes:
        name: as the user typed it.
        train, validation, test: see `Samples`.
        class_names: one for each label.
        divisor: what the raw values were divided by (255 for bytes), so that a device
            can do the same to its own.
    """

    name: str
    train: Samples
    validation: Samples
    test: Samples
    class_names: tuple[str, ...]
    divisor: float

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.train.x.shape[1:]
        return int(height), int(width), int(channels)

    def part(self, name: str) -> Samples:
        """`train`, `validation` or `test`."""
        part: Samples = getattr(self, name)
        return part


class Raw(NamedTuple):
    """Data as a source gave it, before any check; the test part may be missing."""

    x_train: Any
    y_train: Any
    x_test: Any = None
    y_test: Any = None
    class_names: Any = None


def load(name: str) -> Dataset:
    """Load and check the data set and cut it into its three parts.

    Args:
        name: `digits`; a Keras data set (`mnist`, `fashion_mnist`, `cifar10`, `cifar100`); the
            path of an `.npz` with `x_train`, `y_train` and, if there is one, `x_test`, `y_test`
            and `class_names`; a folder with one folder of images a class (or with such folders
            under `train` and `test`); or `module:function`, which returns the same as Keras's
            own `load_data`.

    Raises:
        UserError: there is no such data, or it is not fit for training.
    """
    return split(name, _read(name))


def split(name: str, raw: Raw) -> Dataset:
    """Check raw arrays and cut them into train, validation and test.

    Raises:
        UserError: shapes, labels or values are not fit for training.
    """
    x, y = _checked(name, "train", raw.x_train, raw.y_train)
    divisor = _divisor(np.asarray(raw.x_train))
    if raw.x_test is None:
        x, y, x_test, y_test = _cut(x, y)
    else:
        x_test, y_test = _checked(name, "test", raw.x_test, raw.y_test)
        if x_test.shape[1:] != x.shape[1:]:
            raise UserError(
                f"data set {name}: train inputs are {x.shape[1:]}, test inputs {x_test.shape[1:]}"
            )
    class_names = _class_names(name, raw.class_names, y, y_test)
    x, y, x_validation, y_validation = _cut(x, y)

    def samples(x: NDArray[Any], y: NDArray[np.int64]) -> Samples:
        return Samples(x.astype(np.float32) / np.float32(divisor), y)

    return Dataset(
        name=name,
        train=samples(x, y),
        validation=samples(x_validation, y_validation),
        test=samples(x_test, y_test),
        class_names=class_names,
        divisor=divisor,
    )


def _read(name: str) -> Raw:
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        # The values go from 0 to 16; 255 of them would be a byte image like any other.
        x = (digits.images * (255 / 16)).astype(np.uint8)
        return Raw(x, digits.target, class_names=[str(n) for n in digits.target_names])
    if name in KERAS_NAMES:
        return _read_keras(name)
    if name.endswith(".npz"):
        return _read_npz(Path(name))
    if Path(name).is_dir():
        return _read_folder(Path(name))
    if ":" in name:
        return _read_function(name)
    raise UserError(
        f"unknown data set {name!r}: expected one of {', '.join(NAMES)}, the path of an .npz "
        f"file, a folder with one folder of images for each class, or module:function"
    )


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
        raise UserError(f"no such file: {path}")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files if key in Raw._fields}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as an .npz file of plain arrays: {error}"
        ) from error
    missing = [key for key in ("x_train", "y_train") if key not in arrays]
    if missing or ("x_test" in arrays) != ("y_test" in arrays):
        raise UserError(
            f"{path} must have x_train and y_train, and either both or none of x_test and "
            f"y_test, but has {', '.join(sorted(arrays)) or 'none of them'}"
        )
    return Raw(**arrays)


def _read_function(name: str) -> Raw:
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's own module, beside which the command is typed
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"data set {name!r}: cannot be imported: {error}") from error
    value = function()
    try:
        (x_train, y_train), (x_test, y_test) = value
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} must return ((x_train, y_train), (x_test, y_test)) as Keras's load_data "
            f"does, but returned {type(value).__name__}"
        ) from error
    return Raw(x_train, y_train, x_test, y_test)


def _read_folder(path: Path) -> Raw:
    if (path / "train").is_dir():
        x_train, y_train, names = _read_class_folders(path / "train")
        if not (path / "test").is_dir():
            return Raw(x_train, y_train, class_names=names)
        x_test, y_test, test_names = _read_class_folders(path / "test")
        if test_names != names:
            raise UserError(f"{path}: train has the classes {names}, test has {test_names}")
        return Raw(x_train, y_train, x_test, y_test, names)
    x, y, names = _read_class_folders(path)
    return Raw(x, y, class_names=names)


def _read_class_folders(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    from PIL import Image, UnidentifiedImageError

    names = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    images, labels = [], []
    for label, name in enumerate(names):
        for file in sorted((path / name).iterdir()):
            if file.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            try:
                with Image.open(file) as image:
                    # Palettes and alpha channels are how a file is stored, not what it shows.
                    images.append(np.asarray(image.convert("L" if image.mode in "1L" else "RGB")))
            except (UnidentifiedImageError, OSError) as error:
                raise UserError(f"{file} cannot be read as an image: {error}") from error
            labels.append(label)
    if not images:
        raise UserError(f"{path} has no folders with {', '.join(IMAGE_SUFFIXES)} images in them")
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise UserError(f"{path}: all images must have one shape, but there are {sorted(shapes)}")
    return np.stack(images), np.array(labels), names


def _checked(
    name: str, part: str, x_given: Any, y_given: Any
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    where = f"data set {name}, {part} part"
    x, y = np.asarray(x_given), np.asarray(y_given)
    if x.dtype.kind not in "buif":
        raise UserError(f"{where}: inputs must be numbers, but are {x.dtype}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # as Keras gives CIFAR's labels
    if y.ndim != 1 or y.dtype.kind not in "ui":
        raise UserError(
            f"{where}: labels must be whole numbers, one for each sample, "
            f"but are {y.dtype} of shape {y.shape}"
        )
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4:
        raise UserError(
            f"{where}: inputs must be (samples, height, width) or (samples, height, width, "
            f"channels), but are {x.shape}"
        )
    if len(x) != len(y):
        raise UserError(f"{where}: {len(x)} inputs, but {len(y)} labels; there must be one each")
    if len(x) == 0:
        raise UserError(f"{where}: there are no samples")
    if min(x.shape[1:3]) < SMALLEST_SIDE:
        raise UserError(
            f"{where}: inputs are {x.shape[1]} x {x.shape[2]}, too small for the search space, "
            f"which needs at least {SMALLEST_SIDE} x {SMALLEST_SIDE}"
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(axis=(1, 2, 3)).sum())
        raise UserError(f"{where}: {bad} of {len(x)} inputs hold NaN or infinity; remove them")
    return x, y.astype(np.int64)


def _class_names(name: str, given: Any, *labels: NDArray[np.int64]) -> tuple[str, ...]:
    y, y_test = labels
    if y.min() < 0 or y_test.min() < 0:
        raise UserError(f"data set {name}: labels must not be negative, but go down to {y.min()}")
    present, counts = np.unique(y, return_counts=True)
    if len(present) < 2:
        raise UserError(f"data set {name}: there is only one class, {present[0]}, to tell apart")
    classes = int(y.max()) + 1
    if given is not None:
        names = tuple(str(n) for n in given)
        if len(names) < classes:
            raise UserError(f"data set {name}: {len(names)} class names for {classes} classes")
        classes = len(names)
    else:
        names = tuple(str(n) for n in range(classes))
    if y_test.max() >= classes:
        raise UserError(
            f"data set {name}: test has the label {y_test.max()}, train only 0 to {classes - 1}"
        )
    if len(present) < classes:
        absent = sorted(set(range(classes)) - set(present.tolist()))
        raise UserError(
            f"data set {name}: labels must be 0 to {classes - 1} without gaps, but no training "
            f"sample has {_list(absent)}"
        )
    if counts.min() < FEWEST_PER_CLASS:
        raise UserError(
            f"data set {name}: class {present[counts.argmin()]} has {counts.min()} samples; at "
            f"least {FEWEST_PER_CLASS} are needed to cut off a validation part"
        )
    return names


def _list(values: Sequence[int]) -> str:
    shown = ", ".join(str(v) for v in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"


def _divisor(x: NDArray[Any]) -> float:
    """Brings the inputs to about [-1, 1]; a power of two for anything but bytes.

    A division by a constant can be folded into the int8 input's scale on a device, so that it
    costs nothing there.
    """
    if x.dtype == np.uint8:
        return 255.0
    largest = float(np.abs(x.astype(np.float32)).max())
    return float(2.0 ** np.ceil(np.log2(largest))) if largest > 0 else 1.0


def _cut(
    x: NDArray[Any], y: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
    """Hold out a part of every class, at least one sample of each."""
    rng = np.random.default_rng(SPLIT_SEED)
    held = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        held[members[: max(1, round(HELD_OUT * len(members)))]] = True
    return x[~held], y[~held], x[held], y[held]
