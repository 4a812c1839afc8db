"""What a network's exits need of flash and of TFLM's arena."""

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 16
"""Of tensors in TFLM's arena, in bytes."""


@dataclass(frozen=True)
class Needs:
    """What operators need, in bytes.

    Attributes:
        flash: of the file.
        persistent: of the arena, for as long as the network is set up.
        planning: of the arena, only while memory is planned, when no feature map is there yet.
    """

    flash: int = 0
    persistent: int = 0
    planning: int = 0

    def __add__(self, other: "Needs") -> "Needs":
        return Needs(
            self.flash + other.flash,
            self.persistent + other.persistent,
            self.planning + other.planning,
        )


@dataclass(frozen=True)
class ExitMemory:
    """Needs of a network's candidate exits, in the order of execution; see `ExitCosts`.

    Attributes:
        trunks: cumulative, of the backbone up to each tap and of what every network has.
        heads: of each head alone, with its decision.
        trunk_peaks: the most bytes of feature maps that live at a time up to each tap.
        early_peaks: the same of each head, beside what the backbone needs to go on.
        last_peaks: of each head where it is the last one.
        trunk_preparation: the most bytes of the arena that an operator up to each tap takes while
            it is prepared, when there is no feature map yet.
        head_preparation: the same of each head.
    """

    trunks: tuple[Needs, ...]
    heads: tuple[Needs, ...]
    trunk_peaks: tuple[int, ...]
    early_peaks: tuple[int, ...]
    last_peaks: tuple[int, ...]
    trunk_preparation: tuple[int, ...]
    head_preparation: tuple[int, ...]

    def flash_bytes(self, chosen: Sequence[int]) -> int:
        """Of the file with just these exits (ascending indices)."""
        return self._needs(chosen).flash

    def arena_bytes(self, chosen: Sequence[int]) -> int:
        """Of the arena that the network with just these exits needs, as `Arena.needed_bytes`."""
        *early, last = chosen
        needs = self._needs(chosen)
        peaks = [self.early_peaks[index] for index in early]
        peak = max(*peaks, self.trunk_peaks[last], self.last_peaks[last])
        preparation = max(self.trunk_preparation[last], *(self.head_preparation[i] for i in chosen))
        return aligned(max(peak, preparation, needs.planning) + needs.persistent)

    def _needs(self, chosen: Sequence[int]) -> Needs:
        heads = (self.heads[index] for index in chosen)
        return sum(heads, self.trunks[chosen[-1]])


def aligned(size: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT
