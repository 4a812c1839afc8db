"""What operators cost in multiply-accumulates, and what that makes of a set of exits.

**The convention**, used for Keras layers and for `.tflite` operators alike:

==================================  =========================================================
convolution                         output elements x kernel height x kernel width x input
                                    channels
depthwise convolution               output elements x kernel height x kernel width
dense                               inputs x outputs
average and maximum pooling, mean   one for each input element read (output elements x window)
add, standalone ReLU                one for each output element
softmax                             one for each class
decision by the maximum             one for each class (the maximum) and one comparison
decision by the margin              five for each class (the maximum, its place, the comparison
                                    with that place, the selection of the others, their maximum),
                                    one subtraction and one comparison
bias, fused activation, batch norm  nothing: folded into the operator before; of a batch norm that
                                    is not, two for each output element
reshape, pad, slice, concatenate,   nothing: they move or relabel data
quantise
==================================  =========================================================

Pooling, additions, softmax and decisions are additions, comparisons and selections rather than
multiply-accumulates; they are charged as one each so that nothing that is computed is free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypedDict

from eexit_tf.bounds import Bounds
from eexit_tf.confidences import Confidence
from eexit_tf.memory import ExitMemory
from eexit_tf.vocabulary import Exit


def conv_macs(output: Sequence[int], kernel: Sequence[int], input_channels: int) -> int:
    """Convolution; `output` is (height, width, channels), `kernel` (height, width)."""
    return prod(output) * prod(kernel) * input_channels


def depthwise_macs(output: Sequence[int], kernel: Sequence[int]) -> int:
    """Depthwise convolution; shapes as in `conv_macs`."""
    return prod(output) * prod(kernel)


def dense_macs(inputs: int, outputs: int) -> int:
    """Fully connected layer."""
    return inputs * outputs


def pool_macs(output: Sequence[int], window: Sequence[int]) -> int:
    """Pooling, also global (window = the whole map): every element read is charged."""
    return prod(output) * prod(window)


def elementwise_macs(output: Sequence[int]) -> int:
    """Add, standalone ReLU, softmax: one for each output element."""
    return prod(output)


def decision_macs(classes: int, confidence: Confidence = "max") -> int:
    """The decision at an exit; see the table."""
    return 5 * classes + 2 if confidence == "margin" else classes + 1


class Size(TypedDict):
    """See `PolicyScore`, which has the same."""

    max_macs: int
    params: int
    flash_bytes: int | None
    arena_bytes: int | None


@dataclass(frozen=True)
class ExitCosts:
    """Costs of a network's candidate exits, in the order of execution.

    Exit i needs the first `trunk_macs[i]` of the backbone (cumulative, not falling) and its
    head. A policy that uses the exits i < j < k charges a sample that leaves at k the trunk up
    to k, the heads of i, j and k, and the decisions at i and j.

    Attributes:
        exits: the candidates.
        trunk_macs, trunk_params: cumulative, backbone up to each tap.
        head_macs, head_params: of each head alone.
        decision: MACs of one decision (`decision_macs`).
        memory: estimates of flash and arena, where there are some.
    """

    exits: tuple[Exit, ...]
    trunk_macs: tuple[int, ...]
    head_macs: tuple[int, ...]
    trunk_params: tuple[int, ...]
    head_params: tuple[int, ...]
    decision: int
    memory: ExitMemory | None = None

    def __post_init__(self) -> None:
        lengths = {
            len(self.exits),
            len(self.trunk_macs),
            len(self.head_macs),
            len(self.trunk_params),
            len(self.head_params),
        }
        if len(lengths) != 1:
            raise ValueError(f"costs of different numbers of exits: {self}")
        if list(self.trunk_macs) != sorted(self.trunk_macs):
            raise ValueError(f"exits must be in the order of execution, but trunk is {self}")

    def __len__(self) -> int:
        return len(self.exits)

    def leave_macs(self, chosen: Sequence[int]) -> tuple[int, ...]:
        """What a sample costs that leaves at each of the chosen exits (ascending indices)."""
        paid, costs = 0, []
        for position, index in enumerate(chosen):
            paid += self.head_macs[index]
            if position < len(chosen) - 1:
                paid += self.decision
            costs.append(self.trunk_macs[index] + paid)
        return tuple(costs)

    def alone_macs(self, index: int) -> int:
        """What the network costs with this exit alone, always taken."""
        return self.trunk_macs[index] + self.head_macs[index]

    def params(self, chosen: Sequence[int]) -> int:
        """Weights and biases of the network cut down to the chosen exits."""
        return self.trunk_params[chosen[-1]] + sum(self.head_params[i] for i in chosen)

    def flash_bytes(self, chosen: Sequence[int]) -> int | None:
        """Estimated, of the file with just the chosen exits; none if unknown."""
        return None if self.memory is None else self.memory.flash_bytes(chosen)

    def arena_bytes(self, chosen: Sequence[int]) -> int | None:
        """Estimated, of the arena that TFLM needs for that file; none if unknown."""
        return None if self.memory is None else self.memory.arena_bytes(chosen)

    def keep(self, chosen: Sequence[int], bounds: Bounds) -> bool:
        """Whether a network with just the chosen exits keeps the bounds that it can break."""
        return bounds.allow(
            max_macs=self.leave_macs(chosen)[-1],
            params=self.params(chosen),
            # Estimates take their time.
            flash_bytes=None if bounds.max_flash is None else self.flash_bytes(chosen),
            arena_bytes=None if bounds.max_arena is None else self.arena_bytes(chosen),
        )

    def size(self, chosen: Sequence[int]) -> Size:
        """What a network with just the chosen exits is, however often they are taken."""
        return Size(
            max_macs=self.leave_macs(chosen)[-1],
            params=self.params(chosen),
            flash_bytes=self.flash_bytes(chosen),
            arena_bytes=self.arena_bytes(chosen),
        )
