"""What a source of data gave, checked and brought to one form before it is cut and scaled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.sources import Raw

SERIES = 8
"""How many times longer than wide inputs without a dimension for channels are to be time series."""
FEWEST_PER_CLASS = 5
"""Samples of each class in what is given for training, so that each part has some of it."""
UNLIKE = 16
"""How many times larger floats and whole numbers are than each other in other units."""

Part = tuple[NDArray[Any], NDArray[np.int64]]
"""Inputs, (samples, ...), and as many labels, (samples,)."""


def checked_parts(name: str, raw: Raw, for_search: bool) -> tuple[Part, Part | None]:
    """What is there for training, which may be empty if it is not for a search, and for test.

    Raises:
        UserError: shapes, types or values are not fit.
    """

    def checked(part: str, x: Any, y: Any) -> Part:
        return _checked(f"data set {name}, {part} part", x, y, for_search)

    if raw.x_train is None:
        if for_search:
            raise UserError(f"data set {name} has no training part, which a search needs")
        x_test, y_test = test = checked("test", raw.x_test, raw.y_test)
        return (x_test[:0], y_test[:0]), test
    train = checked("train", raw.x_train, raw.y_train)
    if raw.x_test is None:
        return train, None
    test = checked("test", raw.x_test, raw.y_test)
    _check_alike(name, train[0], test[0])
    return train, test


def checked_names(
    name: str, given: Any, y: NDArray[np.int64], y_test: NDArray[np.int64]
) -> tuple[str, ...]:
    """One for each class, after checking that the labels are 0, 1, 2, … and each often enough.

    Raises:
        UserError: they are not, or there are not as many names as classes.
    """
    present, counts = np.unique(y, return_counts=True)
    if len(present) < 2:
        raise UserError(f"data set {name}: there is only one class, {present[0]}, to tell apart")
    classes = len(present)
    absent = np.setdiff1d(np.arange(classes), present)
    if len(absent):
        raise UserError(
            f"data set {name}: labels must be 0 to {classes - 1} for {classes} classes, but go up "
            f"to {present[-1]}, and no training sample has {absent[0]}; number the classes without "
            f"gaps (numpy.unique(y, return_inverse=True) does)"
        )
    if y_test.max() >= classes:
        raise UserError(
            f"data set {name}: test has the label {y_test.max()}, train only 0 to {classes - 1}"
        )
    names = np.arange(classes) if given is None else _array(f"data set {name}", "names", given)
    if names.shape != (classes,):
        raise UserError(
            f"data set {name}: expected {classes} class names, one for each class, but got "
            f"an array of shape {names.shape}"
        )
    said = tuple(n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in names)
    if counts.min() < FEWEST_PER_CLASS:
        raise UserError(
            f"data set {name}: class {said[counts.argmin()]} has {counts.min()} samples; at least "
            f"{FEWEST_PER_CLASS} are needed, to have some in every part"
        )
    return said


def check_finite(where: str, x: NDArray[Any]) -> None:
    """Refuse floating-point inputs, (samples, ...), of which some are no numbers or infinite.

    Raises:
        UserError: says how many samples.
    """
    # The extremes tell it without an array of the data's size.
    if x.dtype.kind == "f" and x.size and not np.isfinite([x.min(), x.max()]).all():
        bad = int((~np.isfinite(x)).any(axis=tuple(range(1, x.ndim))).sum())
        raise UserError(f"{where}: {bad} of {len(x)} inputs hold NaN or infinity; remove them")


def _checked(where: str, x_given: Any, y_given: Any, for_search: bool) -> Part:
    """Inputs and labels of one part; images are (samples, height, width, channels)."""
    x, y = _inputs(where, x_given, for_search), checked_labels(where, y_given)
    if len(x) != len(y):
        raise UserError(f"{where}: {len(x)} inputs, but {len(y)} labels; there must be one each")
    if len(x) == 0:
        raise UserError(f"{where}: there are no samples")
    return x, y


def _inputs(where: str, given: Any, for_search: bool) -> NDArray[Any]:
    x = _array(where, "inputs", given)
    if x.dtype.kind not in "buif":
        raise UserError(f"{where}: inputs must be numbers, but are {x.dtype}")
    if x.ndim == 3:
        x = x[:, np.newaxis] if _is_series(x.shape) else x[..., np.newaxis]
    if for_search and (x.ndim != 4 or 0 in x.shape[1:]):
        raise UserError(
            f"{where}: inputs must be (samples, height, width), (samples, steps, channels) or "
            f"(samples, height, width, channels), but are {x.shape}"
        )
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise UserError(f"{where}: inputs must be (samples, ...), but are {x.shape}")
    if x.dtype.kind == "f":
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)  # what a network takes; infinite where that is too small
        check_finite(where, x)
    return x


def _is_series(shape: tuple[int, ...]) -> bool:
    """Whether (samples, a, b) are time series of a steps with b channels, not gray images.

    Series are long and have few channels. They become images of height 1; who gives four
    dimensions decides it himself.
    """
    return shape[2] > 0 and shape[1] >= SERIES * shape[2]


def checked_labels(where: str, given: Any) -> NDArray[np.int64]:
    """Labels, (samples,), which may be given as (samples, 1).

    Raises:
        UserError: they are not one whole number from 0 on for each sample.
    """
    y = _array(where, "labels", given)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # as Keras gives CIFAR's labels
    if not y.size and y.ndim == 1:
        y = y.astype(np.int64)  # an empty list
    if y.ndim != 1 or y.dtype.kind not in "ui":
        advice = ""
        if y.ndim == 2:
            advice = "; of one-hot labels take the argmax"
        elif y.dtype.kind in "bf" and (y == np.rint(y)).all():
            advice = "; y.astype(int) gives them"
        elif y.dtype.kind in "USO":
            advice = "; np.unique(labels, return_inverse=True) gives the names and the numbers"
        raise UserError(
            f"{where}: labels must be whole numbers, one for each sample, "
            f"but are {y.dtype} of shape {y.shape}{advice}"
        )
    y = y.astype(np.int64)
    if (y < 0).any():
        raise UserError(f"{where}: labels must not be negative, but go down to {y.min()}")
    return y


def _array(where: str, what: str, given: Any) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError as error:  # lists of different lengths
        raise UserError(f"{where}: the {what} are not one array: {error}") from error


def _check_alike(name: str, x: NDArray[Any], x_test: NDArray[Any]) -> None:
    if x_test.shape[1:] != x.shape[1:]:
        raise UserError(
            f"data set {name}: train and test inputs must have one shape, but train has "
            f"{x.shape[1:]}, test {x_test.shape[1:]}"
        )
    if (x.dtype == np.uint8) != (x_test.dtype == np.uint8):
        raise UserError(
            f"data set {name}: train and test inputs must be in the same units, but train is "
            f"{x.dtype}, test {x_test.dtype}, and only bytes are divided by 255"
        )
    if (x.dtype.kind == "f") != (x_test.dtype.kind == "f"):
        reach, reach_test = largest(x), largest(x_test)
        if max(reach, reach_test) > UNLIKE * min(reach, reach_test) > 0:
            raise UserError(
                f"data set {name}: train and test inputs must be in the same units, but train is "
                f"{x.dtype} up to {reach:g}, test {x_test.dtype} up to {reach_test:g}"
            )


def largest(x: NDArray[Any]) -> float:
    """The largest magnitude, without another array of the data's size."""
    return max(float(x.max()), -float(x.min()))
