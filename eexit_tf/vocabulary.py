"""The project's words: an exit, an operating point, a front.

Frozen dataclasses that check themselves and go to JSON and back. No TensorFlow here.

**Levels.** A softmax in int8 has 256 values, so a confidence is an integer *level* from 0 to
255 everywhere in this project: ``confidence = level / 256``, int8 value ``= level - 128``. A
sample leaves at an exit when its level there is at least the exit's threshold. The last exit of
a policy has threshold 0: whatever reaches it leaves.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import log
from typing import Any, TypeVar

from eexit_tf.bounds import Bounds
from eexit_tf.errors import UserError
from eexit_tf.ranges import check_above_0, check_part

LEVELS = 256
"""How many values a confidence has."""
MOST_INT8_CLASSES = 511
"""Of a softmax in int8: where the exponentials sum up to 512 or more, as those of 512 equal logits
do, the kernels of LiteRT and TFLM end the whole process."""

NAME_SEPARATOR = "__"
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Exit:
    """A place where a network can stop: a tap of the backbone and the head behind it.

    Args:
        at: name of the backbone layer whose output feeds the head (the tap).
        head: kind of the head, see `eexit_tf.heads`; `"own"` for a classifier that the
            backbone brought along.
    """

    at: str
    head: str = "pool_dense"

    def __post_init__(self) -> None:
        if not self.at or not self.head or NAME_SEPARATOR in self.at + self.head:
            raise UserError(
                f"an exit needs a tap and a head, neither of them containing "
                f"{NAME_SEPARATOR!r}, but got {self}"
            )

    @property
    def name(self) -> str:
        """The exit's name as an output of a Keras network and of a `.tflite` signature."""
        return f"{self.at}{NAME_SEPARATOR}{self.head}"

    @classmethod
    def parse(cls, name: str) -> "Exit":
        """The exit behind an output's name; a name that is not ours is a head of its own."""
        parts = name.split(NAME_SEPARATOR)
        if len(parts) == 2 and all(parts):
            return cls(*parts)
        return cls(re.sub("__+", "_", name) or "output", "own")


@dataclass(frozen=True)
class ExitUse:
    """An exit as one policy uses it.

    Attributes:
        at, head: see `Exit`.
        threshold: confidence from which a sample leaves here; 0 at the last exit.
        share: part of the validation samples that leave here, 0 to 1.
        macs: what a sample that leaves here has cost: backbone up to the tap, this head,
            and every earlier head and decision that was executed on the way.
    """

    at: str
    head: str
    threshold: float
    share: float
    macs: int

    @property
    def exit(self) -> Exit:
        return Exit(self.at, self.head)


@dataclass(frozen=True)
class OperatingPoint:
    """One policy on one trained network, and what it does on the validation data.

    Attributes:
        id: unique within a front; `eexit-tf convert --pick ID` takes it.
        trial: the trial that trained the network.
        val_accuracy: part of the validation samples answered right, 0 to 1.
        mean_macs: multiply-accumulates a sample, averaged over the validation samples.
        max_macs: multiply-accumulates of a sample that leaves at the last exit.
        params: weights and biases of the network with just these exits.
        exits: in the order of execution; the last one is always taken.
        expected_accuracy: `val_accuracy` less what it owes to the choice among many policies
            (`policy_optimism`): what to expect on fresh samples; none if not estimated.
        flash_bytes, arena_bytes: of the compiled file with 8-bit weights, estimated
            (`memory_estimates`); none if unknown.
    """

    id: str
    trial: str
    val_accuracy: float
    mean_macs: float
    max_macs: int
    params: int
    exits: tuple[ExitUse, ...]
    expected_accuracy: float | None = None
    flash_bytes: int | None = None
    arena_bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.exits:
            raise ValueError(f"operating point {self.id} has no exits")

    def meets(self, bounds: Bounds) -> bool:
        return bounds.allow(
            accuracy=self.val_accuracy,
            mean_macs=self.mean_macs,
            max_macs=self.max_macs,
            params=self.params,
            flash_bytes=self.flash_bytes,
            arena_bytes=self.arena_bytes,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "OperatingPoint":
        """A point as `to_json` wrote it.

        Raises:
            ValueError: its accuracy or its mean MACs are none.
        """
        accuracy, mean_macs = float(value["val_accuracy"]), float(value["mean_macs"])
        check_part("val_accuracy", accuracy)
        check_above_0("mean_macs", mean_macs)
        return cls(
            id=str(value["id"]),
            trial=str(value["trial"]),
            val_accuracy=accuracy,
            mean_macs=mean_macs,
            max_macs=int(value["max_macs"]),
            params=int(value["params"]),
            exits=tuple(
                ExitUse(
                    at=str(use["at"]),
                    head=str(use["head"]),
                    threshold=float(use["threshold"]),
                    share=float(use["share"]),
                    macs=int(use["macs"]),
                )
                for use in value["exits"]
            ),
            expected_accuracy=_if_there(float, value.get("expected_accuracy")),
            flash_bytes=_if_there(int, value.get("flash_bytes")),
            arena_bytes=_if_there(int, value.get("arena_bytes")),
        )


def _if_there(kind: Callable[[Any], Number], value: Any) -> Number | None:
    return None if value is None else kind(value)


@dataclass(frozen=True)
class Front:
    """Operating points none of which is dominated, sorted by mean MACs.

    Attributes:
        points: accuracy rises with mean MACs along them.
        evaluated_policies: how many policies were accounted for to find them.
        gap: no policy beats the points at its mean MACs by more accuracy than this, proven;
            0 is exact.
    """

    points: tuple[OperatingPoint, ...]
    evaluated_policies: int = 0
    gap: float = 0.0

    def __iter__(self) -> Iterator[OperatingPoint]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    def within(self, bounds: Bounds) -> "Front":
        """The points that keep the bounds."""
        kept = tuple(point for point in self.points if point.meets(bounds))
        return Front(kept, self.evaluated_policies, self.gap)

    def best(self, **bounds: Any) -> OperatingPoint:
        """The most accurate point within the bounds, which are given as those of `Bounds`.

        Raises:
            UserError: no point keeps the bounds.
        """
        return self._at_least_one(Bounds(**bounds))[-1]

    def knee(self, bounds: Bounds | None = None) -> OperatingPoint:
        """The point farthest above the line from the front's first point to its last.

        Both axes are scaled to the front's own extent, cost on a logarithmic scale: the point
        after which more accuracy gets expensive.

        Raises:
            UserError: no point keeps the bounds.
        """
        points = self._at_least_one(bounds or Bounds())
        first, last = points[0], points[-1]
        width = log(last.mean_macs / first.mean_macs) or 1.0
        height = (last.val_accuracy - first.val_accuracy) or 1.0

        def above(point: OperatingPoint) -> float:
            along = log(point.mean_macs / first.mean_macs) / width
            return (point.val_accuracy - first.val_accuracy) / height - along

        return max(reversed(points), key=above)  # of equals the most accurate

    def find(self, point_id: str) -> OperatingPoint:
        """The point with this id.

        Raises:
            UserError: there is none.
        """
        for point in self.points:
            if point.id == point_id:
                return point
        known = ", ".join(point.id for point in self.points)
        raise UserError(f"no point {point_id!r} in the front; it has {known or 'no points'}")

    def _at_least_one(self, bounds: Bounds) -> tuple[OperatingPoint, ...]:
        points = self.within(bounds).points
        if points:
            return points
        if not self.points:
            raise UserError("the front has no points")
        cheapest, best = self.points[0], self.points[-1]
        said = (
            f"no point of the front keeps {bounds}; its points go from "
            f"{cheapest.val_accuracy:.2%} at {cheapest.mean_macs:,.0f} mean MACs to "
            f"{best.val_accuracy:.2%} at {best.mean_macs:,.0f}"
        )
        if bounds != bounds.of_policies:
            flash = min(point.flash_bytes or 0 for point in self.points)
            arena = min(point.arena_bytes or 0 for point in self.points)
            said += f", and need about {flash:,} bytes of flash and {arena:,} of arena or more"
        raise UserError(said)


def counted(count: int, what: str) -> str:
    """`1 exit`, `2 exits`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
