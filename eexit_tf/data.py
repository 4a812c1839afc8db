"""Labelled data, checked and split three ways.

Every choice (thresholds, exits, checkpoints) is made on the validation part, which is cut from
the training part; the test part is for one report. The split is fixed and does not depend on
the seed of a search, so that two commands can never disagree about what is test data.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eexit_tf import sources
from eexit_tf.errors import UserError
from eexit_tf.sources import Raw

SPLIT_SEED = 20240131
HELD_OUT = 0.2
"""Part of the data that is cut off for validation, and for test where there is none."""
MOST_HELD_OUT = 5000
"""Samples that are cut off at most: of large data, more is worth more in training."""

BYTES = 255.0
"""What bytes are divided by."""

SERIES = 8
"""How many times longer than wide inputs without a dimension for channels are to be time series."""
FEWEST_PER_CLASS = 5
"""Samples of each class in what is given for training, so that each part has some of it."""


Part = tuple[NDArray[Any], NDArray[np.int64]]


class Samples(NamedTuple):
    """Inputs as the network takes them, and their labels.

    Attributes:
        x: float32, (samples, height, width, channels); as given if it is not for a search.
        y: int64, (samples,), from 0 to classes - 1.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def draw(self, count: int, seed: int) -> "Samples":
        """So many of them at random, in their own order; all if there are fewer."""
        rng = np.random.default_rng(seed)
        picked = np.sort(rng.permutation(len(self.y))[:count])
        return Samples(self.x[picked], self.y[picked])


def check_labels(labels: NDArray[np.integer], classes: int) -> None:
    """Refuse samples that a network of so many classes cannot be asked about.

    Raises:
        UserError: there are none, or labels are not from 0 to classes - 1.
    """
    if not len(labels):
        raise UserError("expected labelled samples, got none")
    low, high = labels.min(), labels.max()
    if low < 0:
        raise UserError(f"the data has labels from {low} on, expected from 0")
    if high >= classes:
        raise UserError(f"the data has labels up to {high}, the network only {classes} classes")


def check_finite(where: str, x: NDArray[Any]) -> None:
    """Refuse floating-point inputs, (samples, ...), of which some are no numbers or infinite.

    Raises:
        UserError: says how many samples.
    """
    # The extremes tell it without an array of the data's size.
    if x.dtype.kind == "f" and x.size and not np.isfinite([x.min(), x.max()]).all():
        bad = int((~np.isfinite(x)).any(axis=tuple(range(1, x.ndim))).sum())
        raise UserError(f"{where}: {bad} of {len(x)} inputs hold NaN or infinity; remove them")


@dataclass(frozen=True)
class Dataset:
    """Three disjoint parts of one labelled data set.

    Attributes:
        name: as the user typed it.
        train, validation, test: see `Samples`. Only data for a search has some in all of them.
        class_names: one for each label; none if it is not for a search.
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
        """`train`, `validation` or `test`.

        Raises:
            UserError: it has no samples.
        """
        part: Samples = getattr(self, name)
        if not len(part.y):
            raise UserError(
                f"data set {self.name} has no {name} part: train and validation are cut from its "
                f"training data, of which there is none, or too little"
            )
        return part


def load(name: str, for_search: bool = True) -> Dataset:
    """Load and check the data set and cut it into its three parts.

    Args:
        name: `digits`; a Keras data set (`mnist`, `fashion_mnist`, `cifar10`, `cifar100`); the
            path of an `.npz` with `x_train`, `y_train` and, if there is one, `x_test`, `y_test`
            and `class_names` (windows of sensor data are (samples, steps, channels)); a folder
            with one folder of images a class (or with such folders under `train` and `test`); or
            `module:function`, which returns the same as Keras's own `load_data`.
        for_search: the inputs must be images or series, with some samples of each class.
            Otherwise they are for a network that is there: they may have any shape and any labels,
            and test data alone will do.

    Raises:
        UserError: there is no such data, or it is not fit for that.
    """
    return split(name, sources.read(name), for_search)


def split(name: str, raw: Raw, for_search: bool = True) -> Dataset:
    """Check raw arrays and cut them into train, validation and test; see `load`.

    Raises:
        UserError: shapes, labels or values are not fit.
    """
    given, test = _given(name, raw, for_search)
    class_names: tuple[str, ...] = ()
    if for_search:
        class_names = _class_names(name, raw.class_names, given[1], (test or given)[1])
    if test is None:
        given, test = _cut(*given)
    divisor = _divisor((given if len(given[1]) else test)[0])
    train, validation = _cut(*given)

    def samples(x: NDArray[Any], y: NDArray[np.int64]) -> Samples:
        return Samples(x.astype(np.float32) / np.float32(divisor), y)

    return Dataset(
        name=name,
        train=samples(*train),
        validation=samples(*validation),
        test=samples(*test),
        class_names=class_names,
        divisor=divisor,
    )


def _given(name: str, raw: Raw, for_search: bool) -> tuple[Part, Part | None]:
    """What is there for training, which may be empty if it is not for a search, and for test."""

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


def _checked(where: str, x_given: Any, y_given: Any, for_search: bool) -> Part:
    """Inputs, see `Samples`, and labels (samples,) of one part."""
    x, y = _inputs(where, x_given, for_search), _labels(where, y_given)
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


def _labels(where: str, given: Any) -> NDArray[np.int64]:
    y = _array(where, "labels", given)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # as Keras gives CIFAR's labels
    if y.ndim != 1 or y.dtype.kind not in "ui":
        advice = "; of one-hot labels take the argmax" if y.ndim == 2 else ""
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


def _class_names(
    name: str, given: Any, y: NDArray[np.int64], y_test: NDArray[np.int64]
) -> tuple[str, ...]:
    """One for each class, after checking that the labels are 0, 1, 2, … and each often enough."""
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
    if counts.min() < FEWEST_PER_CLASS:
        raise UserError(
            f"data set {name}: class {present[counts.argmin()]} has {counts.min()} samples; at "
            f"least {FEWEST_PER_CLASS} are needed, to have some in every part"
        )
    names = np.arange(classes) if given is None else _array(f"data set {name}", "names", given)
    if names.shape != (classes,):
        raise UserError(
            f"data set {name}: expected {classes} class names, one for each class, but got "
            f"an array of shape {names.shape}"
        )
    return tuple(n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in names)


def _divisor(x: NDArray[Any]) -> float:
    """Brings the inputs to about [-1, 1]; a power of two for anything but bytes.

    A division by a constant can be folded into the int8 input's scale on a device, so that it
    costs nothing there.
    """
    if x.dtype == np.uint8:
        return BYTES
    largest = float(np.abs(x.astype(np.float32)).max())
    # float32 has no larger power of two than 2 ** 127.
    return float(2.0 ** min(np.ceil(np.log2(largest)), 127)) if largest > 0 else 1.0


def _cut(x: NDArray[Any], y: NDArray[np.int64]) -> tuple[Part, Part]:
    """Hold out a part of every class, at least one sample of each: what is kept, what is held."""
    rng = np.random.default_rng(SPLIT_SEED)
    held = np.zeros(len(y), bool)
    part = min(HELD_OUT, MOST_HELD_OUT / max(len(y), 1))
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        held[members[: max(1, round(part * len(members)))]] = True
    return (x[~held], y[~held]), (x[held], y[held])
