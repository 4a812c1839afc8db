"""Augmentation: what is done to samples, and what `--augment` takes."""

import numpy as np
import pytest

from eexit_tf.augmentation import Augmentation
from eexit_tf.errors import UserError
from eexit_tf.keras import tf


def augmented(augmentation: Augmentation, x: np.ndarray, times: int) -> np.ndarray:
    tf.random.set_seed(1)
    one = tf.data.Dataset.from_tensors((x, 7)).repeat(times).map(augmentation)
    samples, labels = zip(*one.as_numpy_iterator(), strict=True)
    assert set(labels) == {7}
    return np.stack(samples)


def test_flips_mirror_about_half_of_the_samples() -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    given = augmented(Augmentation(flip=True), x, 100)
    flipped = (given == x[:, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (given == x).all(axis=(1, 2, 3))).all()
    assert 30 < flipped.sum() < 70


def test_shifts_move_by_every_distance_and_not_along_short_sides() -> None:
    x = np.arange(10, dtype=np.float32).reshape(1, 10, 1)
    given = augmented(Augmentation(shift=2), x, 100)
    moved = {int(row[5] - 5) for row in given[:, 0, :, 0]}
    assert moved == {-2, -1, 0, 1, 2}
    assert given.shape == (100, *x.shape)


def test_cutout_sets_one_square_to_0() -> None:
    x = np.ones((9, 9, 2), np.float32)
    given = augmented(Augmentation(cutout=3), x, 100)
    holes = (given == 0).all(axis=-1)
    assert ((given == 0).any(axis=-1) == holes).all()
    assert holes.sum(axis=(1, 2)).max() == 9
    assert (holes.sum(axis=(1, 2)) >= 4).all()  # at a corner
    assert holes.any(axis=0).all()


def test_bytes_stay_bytes() -> None:
    x = np.full((9, 9, 2), 200, np.uint8)
    given = augmented(Augmentation(flip=True, shift=2, cutout=3), x, 10)
    assert given.dtype == np.uint8
    assert set(np.unique(given)) == {0, 200}


@pytest.mark.parametrize("wrong", [{"shift": -1}, {"cutout": -2}])
def test_negative_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="0 or more"):
        Augmentation(**wrong)  # type: ignore[arg-type]


def test_augmentation_is_read_in_any_order() -> None:
    assert Augmentation.parse("shift=4, flip") == Augmentation(flip=True, shift=4)
    assert Augmentation.parse("cutout=8") == Augmentation(cutout=8)


@pytest.mark.parametrize("text", ["", "flip,", "turn", "flip=1", "shift", "shift=-1", "cutout=x"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(UserError, match=r"expected flip, shift=N or cutout=N"):
        Augmentation.parse(text)


def test_no_augmentation_is_false() -> None:
    assert not Augmentation()
    assert Augmentation(shift=1)
