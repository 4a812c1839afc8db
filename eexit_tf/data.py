"""Labelled data, checked and split three ways.

Every choice (thresholds, exits, checkpoints) is made on the validation part, which is cut from
the training part; the test part is for one report. The split is fixed and does not depend on
the seed of a search, so that two commands can never disagree about what is test data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eexit_tf import sources
from eexit_tf.errors import UserError
from eexit_tf.raw_checks import Part, checked_labels, checked_names, checked_parts, largest
from eexit_tf.sources import Raw

SPLIT_SEED = 20240131
HELD_OUT = 0.2
"""Part of the data that is cut off for validation, and for test where there is none."""
MOST_HELD_OUT = 5000
"""Samples that are cut off at most: of large data, more is worth more in training."""

BYTES = 255.0
"""What bytes are divided by."""


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


def labelled(samples: tuple[Any, Any], classes: int) -> Samples:
    """Samples that a network of so many classes can be asked about.

    Args:
        samples: inputs, and labels (samples,) or (samples, 1).

    Returns:
        The same, with int64 labels (samples,).

    Raises:
        UserError: there are none, not as many labels as inputs, or labels are not from 0 to
            classes - 1.
    """
    x, y = samples
    y = checked_labels("the samples", y)
    if not len(y):
        raise UserError("expected labelled samples, got none")
    if y.max() >= classes:
        raise UserError(f"the data has labels up to {y.max()}, the network only {classes} classes")
    if len(x) != len(y):
        raise UserError(f"there are {len(x)} inputs and {len(y)} labels; expected as many")
    return Samples(np.asarray(x), y)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint parts of one labelled data set: `train`, `validation` and `test`.

    Only data for a search has samples in all of them. Each is scaled when it is first asked for, as
    a hundred samples of one part are often all that is wanted.

    Attributes:
        name: as the user typed it.
        raw: the parts by name, as they were given.
        class_names: one for each label; none if it is not for a search.
        divisor: what the raw values are divided by (255 for bytes), so that a device
            can do the same to its own.
        offset: what is added then.
    """

    name: str
    raw: Mapping[str, Part]
    class_names: tuple[str, ...]
    divisor: float
    offset: float = 0.0

    @cached_property
    def train(self) -> Samples:
        return self._scaled("train")

    @cached_property
    def validation(self) -> Samples:
        return self._scaled("validation")

    @cached_property
    def test(self) -> Samples:
        return self._scaled("test")

    def _scaled(self, name: str) -> Samples:
        x, y = self.raw[name]
        x = x.astype(np.float32)
        x /= np.float32(self.divisor)
        if self.offset:
            x += np.float32(self.offset)
        return Samples(x, y)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.raw["train"][0].shape[1:]
        return int(height), int(width), int(channels)

    def part(self, name: str) -> Samples:
        """`train`, `validation` or `test`.

        Raises:
            UserError: it has no samples.
        """
        if not len(self.raw[name][1]):
            raise UserError(
                f"data set {self.name} has no {name} part: train and validation are cut from its "
                f"training data, of which there is none, or too little"
            )
        part: Samples = getattr(self, name)
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
    given, test = checked_parts(name, raw, for_search)
    class_names: tuple[str, ...] = ()
    if for_search:
        class_names = checked_names(name, raw.class_names, given[1], (test or given)[1])
    if test is None:
        given, test = _cut(*given)
    divisor = _divisor((given if len(given[1]) else test)[0])
    train, validation = _cut(*given)
    raw_parts = {"train": train, "validation": validation, "test": test}
    return Dataset(name, raw_parts, class_names, divisor)


def _divisor(x: NDArray[Any]) -> float:
    """Brings the inputs to about [-1, 1]; a power of two for anything but bytes.

    A division by a constant can be folded into the int8 input's scale on a device, so that it
    costs nothing there.
    """
    if x.dtype == np.uint8:
        return BYTES
    most = largest(x)
    # float32 has no larger power of two than 2 ** 127.
    return float(2.0 ** min(np.ceil(np.log2(most)), 127)) if most > 0 else 1.0


def _cut(x: NDArray[Any], y: NDArray[np.int64]) -> tuple[Part, Part]:
    """Hold out a part of every class, at least one sample of each: what is kept, what is held."""
    rng = np.random.default_rng(SPLIT_SEED)
    held = np.zeros(len(y), bool)
    part = min(HELD_OUT, MOST_HELD_OUT / max(len(y), 1))
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        held[members[: max(1, round(part * len(members)))]] = True
    return (x[~held], y[~held]), (x[held], y[held])
