"""What branching over exits needs to know of the samples, as bit sets and packed counts."""

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.tables import Flags, Ints, Tables, Words

FIELD = 20  # bits of a packed count
MASK = (1 << FIELD) - 1
MOST_SAMPLES = MASK


def pack(flags: Flags) -> Words:
    """Bit sets over the last axis, (..., samples) to (..., words)."""
    packed = np.packbits(flags, axis=-1)
    padded = np.pad(packed, [(0, 0)] * (packed.ndim - 1) + [(0, -packed.shape[-1] % 8)])
    return padded.view(np.uint64)


def unpack(bits: Words, samples: int) -> NDArray[np.uint8]:
    """0 or 1 for each sample, (sets, words) to (sets, samples)."""
    return np.unpackbits(bits.view(np.uint8), axis=-1, count=samples)


def count(bits: Words) -> Ints:
    """How many are in each set, (..., words) to (...)."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)


class BranchTables:
    """A network's exits on at most `MOST_SAMPLES` samples, arranged for branching.

    Attributes:
        tables: see `tables`.
        below: at each exit, the bit sets of the samples below the classes 1, 2, ...
        reach: at each exit, the bit sets of the samples for which the next tap, the one after
            it, ... is the first with an exit that is right.
        reach_steps: at each exit, what it costs at least to leave at the taps of `reach`, rising.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.below: list[Words] = []
        self._weights: list[Ints] = []
        self.reach: list[Words] = []
        self.reach_steps: list[Ints] = []
        for j in range(tables.exits):
            classes = np.arange(1, len(tables.thresholds[j]) + 1)
            self.below.append(pack(tables.classes[j] < classes[:, None]))
            later = tables.right[j + 1 :].any(axis=0).astype(np.int64)
            counts = 1 + (tables.right[j].astype(np.int64) << FIELD) + (later << 2 * FIELD)
            self._weights.append(counts[tables.order[j]])
            self._reach(j)

    def _reach(self, j: int) -> None:
        tables, costs = self.tables, self.tables.costs
        seen = np.zeros(tables.samples, np.bool_)
        sets: list[NDArray[np.bool_]] = []
        steps: list[int] = []
        for tap in sorted(set(costs.trunk_macs[j + 1 :])):
            heads = [k for k in range(j + 1, tables.exits) if costs.trunk_macs[k] == tap]
            step = min(int(tables.steps[j + 1, k]) for k in heads)
            right = tables.right[heads].any(axis=0) & ~seen
            seen |= right
            # A later tap with cheaper heads may be the cheaper one: then it sets the price.
            while steps and steps[-1] >= step:
                steps.pop()
                right = right | sets.pop()
            sets.append(right)
            steps.append(step)
        self.reach.append(pack(np.array(sets, np.bool_).reshape(len(sets), tables.samples)))
        self.reach_steps.append(np.array(steps, np.int64))

    def sums(self, remaining: NDArray[np.uint8], j: int) -> tuple[Ints, Ints, Ints]:
        """Over the samples up to each class of exit j: how many, right here, right later.

        Args:
            remaining: (sets, samples), 0 or 1.

        Returns:
            Three of (sets, classes), cumulative.
        """
        weighted = remaining[:, self.tables.order[j]] * self._weights[j]
        packed = np.cumsum(np.add.reduceat(weighted, self.tables.start[j], axis=1), axis=1)
        return packed & MASK, (packed >> FIELD) & MASK, packed >> 2 * FIELD
