"""Where data comes from: built-in names, `.npz` files, folders of images, the user's functions.

What is read here is not checked yet; `eexit_tf.data` does that for every source alike.
"""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eexit_tf.errors import UserError

KERAS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")
NAMES = ("digits", *KERAS_NAMES)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
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


def is_function(name: str) -> bool:
    """Whether a name has the form `module:function`."""
    module, colon, function = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), function])


def import_function(what: str, name: str) -> Callable[..., Any]:
    """The user's own function that `module:function` names.

    Args:
        what: it is for; begins every message.
        name: `module:function`.

    Raises:
        UserError: there is none, or importing it fails.
    """
    if not is_function(name):
        raise UserError(f"{what}: expected module:function")
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's own module, beside which the command is typed
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        if lacking is not None and f"{module_name}.".startswith(f"{lacking}."):
            raise UserError(
                f"{what}: there is no module {lacking}, neither in {Path.cwd()} nor "
                f"among what is installed"
            ) from error
        raise _error_of_the_user(f"{what}: {module_name} cannot be imported", error) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(
            f"{what}: {module_name} ({module.__file__}) has no function {function_name}"
        )
    found: Callable[..., Any] = function
    return found


def parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """What the user's own function takes, without keywords that it need not be given.

    Raises:
        UserError: Python cannot tell.
    """
    try:
        taken = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} is no function of yours: {error}") from error
    return [p for p in taken if p.kind != p.KEYWORD_ONLY]


def call(what: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """What a function of the user's returns; `sys.exit` in it does not end the command unexplained.

    Args:
        what: it is for; begins the message.
        function: any other exception of it is passed on.
        given, named: what it takes.

    Raises:
        UserError: it wants to end the process.
    """
    try:
        return function(*given, **named)
    except SystemExit as error:
        raise _error_of_the_user(f"{what} wants to end the command", error) from error


def _read_function(name: str) -> Raw:
    function = import_function(f"data set {name}", name)
    function_name = name.partition(":")[2]
    try:
        value = function()
    except (Exception, SystemExit) as error:
        raise _error_of_the_user(f"data set {name}: {function_name}() failed", error) from error
    try:
        (x_train, y_train), (x_test, y_test) = value
    except (TypeError, ValueError) as error:
        raise UserError(
            f"data set {name}: expected ((x_train, y_train), (x_test, y_test)), as Keras's "
            f"load_data returns it, but {function_name}() returned {_short(value)}"
        ) from error
    return Raw(x_train, y_train, x_test, y_test)


def _error_of_the_user(what: str, error: BaseException) -> UserError:
    """An error in the user's own code: what it says, and the lines of that code that led to it."""
    ours = (__file__, importlib.__file__)
    lines = [
        f"  {frame.filename}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen ")
    ]
    said = "".join(traceback.format_exception_only(error)).strip()
    return UserError("\n".join([f"{what}: {said}", *lines[-8:]]))


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
    files = (f for f in path.iterdir() if not f.name.startswith("."))
    return sorted(f for f in files if f.suffix.lower() in IMAGE_SUFFIXES)


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
