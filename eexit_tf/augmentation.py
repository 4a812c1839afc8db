"""Augmentation of training samples, in `tf.data`: drawn anew for every sample in every epoch."""

import re
from dataclasses import dataclass
from typing import Any

from eexit_tf.errors import UserError
from eexit_tf.keras import tf

Tensor = Any


@dataclass(frozen=True)
class Augmentation:
    """What is done to each training sample; maps over a `tf.data` set of single samples.

    Attributes:
        flip: mirror left and right, every second time. For photographs, not for digits.
        shift: move by up to so many rows and columns, edges mirrored (He et al. 2015: 4 on
            CIFAR-10). A side that is too short is not moved along.
        cutout: side of a square that is set to 0 (DeVries and Taylor 2017); 0 for none.

    Raises:
        UserError: a shift or a square smaller than 0.
    """

    flip: bool = False
    shift: int = 0
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.shift < 0 or self.cutout < 0:
            raise UserError(f"shift and cutout must be 0 or more, but are {self}")

    @classmethod
    def parse(cls, text: str) -> "Augmentation":
        """Read what `--augment` takes: `flip,shift=4,cutout=8`, in any order, each of them or not.

        Raises:
            UserError: anything else.
        """
        found: dict[str, int | bool] = {}
        for part in text.split(","):
            match = re.fullmatch(r"(flip)|(shift|cutout)=(\d+)", part.strip())
            if not match:
                raise UserError(
                    f"augmentation {text!r} has {part!r}; expected flip, shift=N or cutout=N, "
                    f"with commas between them"
                )
            flip, kind, size = match.groups()
            found[flip or kind] = bool(flip) or int(size)
        return cls(**found)  # type: ignore[arg-type]  # the expression allows no other

    def __bool__(self) -> bool:
        return self != Augmentation()

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Change a sample (height, width, channels); its label stays."""
        if self.flip:
            x = tf.image.random_flip_left_right(x)
        if self.shift:
            edges = [[min(self.shift, side - 1)] * 2 for side in x.shape[:2]]
            x = tf.image.random_crop(tf.pad(x, [*edges, [0, 0]], "REFLECT"), x.shape)
        if self.cutout:
            x *= tf.cast(self._hole(x.shape), x.dtype)
        return x, y

    def _hole(self, shape: Any) -> Tensor:
        """False in the square, true elsewhere, (height, width, 1)."""
        inside = []
        for side in shape[:2]:
            centre = tf.random.uniform((), 0, side, tf.int32)
            first = centre - self.cutout // 2
            place = tf.range(side)
            inside.append((place >= first) & (place < first + self.cutout))
        return ~(inside[0][:, None] & inside[1][None, :])[..., None]


UNCHANGED = Augmentation()
