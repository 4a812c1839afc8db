"""What `--augment` takes."""

import pytest

from eexit_tf.augmentation import Augmentation
from eexit_tf.errors import UserError


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
