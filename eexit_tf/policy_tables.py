"""Tables that the policy search reads: samples sorted at each exit, step costs, the known front."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.vocabulary import Bounds

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Path = tuple[tuple[int, int], ...]
"""A policy inside the search: (exit, class) for each of its exits; samples of that class (see
`Tables`) and higher ones leave. 0 at the last exit."""

NEVER = np.iinfo(np.int64).max
FIELD = 20  # bits of a packed count
MASK = (1 << FIELD) - 1


def pack(flags: NDArray[np.bool_]) -> Words:
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


class Tables:
    """A network's exits on some samples, arranged for the search.

    At each exit the levels are merged into *classes*, ascending, such that every useful threshold
    is the lower end of a class: just below it must be a sample that is wrong here and right at a
    later exit, or else the threshold would better be lower.

    Attributes:
        order: at each exit, the samples by class.
        start: at each exit, where each class starts in `order`.
        below: at each exit, the bit sets of the samples below the classes 1, 2, ...
        later: (exits, samples), whether a later exit is right.
        steps: (exits + 1, exits), MACs of a sample from one exit (row 0: the start) to another
            and its head, without decisions.
        reach: at each exit, the bit sets of the samples for which the next tap, the one after
            it, ... is the first with an exit that is right.
        reach_steps: at each exit, what it costs at least to leave at the taps of `reach`, rising.
    """

    def __init__(self, outputs: ExitOutputs, costs: ExitCosts) -> None:
        self.costs = costs
        self.levels, self.right = outputs.levels, outputs.right
        self.exits, self.samples = outputs.levels.shape
        if self.samples > MASK:
            raise ValueError(f"the search takes up to {MASK:,} samples, but got {self.samples:,}")
        self.later = np.zeros_like(self.right)
        for j in range(self.exits - 1, 0, -1):
            self.later[j - 1] = self.later[j] | self.right[j]
        trunk = np.array([0, *costs.trunk_macs], np.int64)
        self.steps = trunk[None, 1:] - trunk[:, None] + np.array(costs.head_macs, np.int64)
        self.thresholds: list[Ints] = []
        self.order: list[NDArray[np.intp]] = []
        self.start: list[NDArray[np.intp]] = []
        self.below: list[Words] = []
        self.weights: list[Ints] = []
        for j in range(self.exits):
            self._sort(j)
        self.reach: list[Words] = []
        self.reach_steps: list[Ints] = []
        for j in range(self.exits):
            self._reach(j)

    def _sort(self, j: int) -> None:
        levels = self.levels[j].astype(np.int64)
        occurring = np.unique(levels)
        missed = np.unique(levels[self.later[j] & ~self.right[j]])
        above = np.searchsorted(occurring, missed, side="right")
        thresholds = occurring[above[above < len(occurring)]]
        classes = np.searchsorted(thresholds, levels, side="right")
        order = np.argsort(classes, kind="stable")
        self.thresholds.append(thresholds)
        self.order.append(order)
        self.start.append(np.searchsorted(classes[order], np.arange(len(thresholds) + 1)))
        self.below.append(pack(np.less(levels, thresholds[:, None])))
        counts = 1 + (self.right[j].astype(np.int64) << FIELD)
        self.weights.append((counts + (self.later[j].astype(np.int64) << 2 * FIELD))[order])

    def _reach(self, j: int) -> None:
        seen = np.zeros(self.samples, np.bool_)
        sets: list[NDArray[np.bool_]] = []
        steps: list[int] = []
        for tap in sorted(set(self.costs.trunk_macs[j + 1 :])):
            heads = [k for k in range(j + 1, self.exits) if self.costs.trunk_macs[k] == tap]
            step = min(int(self.steps[j + 1, k]) for k in heads)
            right = self.right[heads].any(axis=0) & ~seen
            seen |= right
            # A later tap with cheaper heads may be the cheaper one: then it sets the price.
            while steps and steps[-1] >= step:
                steps.pop()
                right = right | sets.pop()
            sets.append(right)
            steps.append(step)
        self.reach.append(pack(np.array(sets, np.bool_).reshape(len(sets), self.samples)))
        self.reach_steps.append(np.array(steps, np.int64))

    def sums(self, remaining: NDArray[np.uint8], j: int) -> tuple[Ints, Ints, Ints]:
        """Over the samples up to each class of exit j: how many, right here, right later.

        Args:
            remaining: (sets, samples), 0 or 1.

        Returns:
            Three of (sets, classes), cumulative.
        """
        weighted = remaining[:, self.order[j]] * self.weights[j]
        packed = np.cumsum(np.add.reduceat(weighted, self.start[j], axis=1), axis=1)
        return packed & MASK, (packed >> FIELD) & MASK, packed >> 2 * FIELD

    def canonical(self, path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Exits and thresholds of a path, each threshold halfway between the levels it parts."""
        remaining = np.ones(self.samples, np.bool_)
        levels = []
        for j, t in path[:-1]:
            leave = remaining & (self.levels[j] >= self.thresholds[j][t - 1])
            remaining = remaining & ~leave
            low = int(self.levels[j, remaining].max(initial=0))
            high = int(self.levels[j, leave].min(initial=255))
            levels.append(low + (high - low + 1) // 2)
        return tuple(j for j, _ in path), (*levels, 0)


class Known:
    """The best policies known so far, and which bound another one would have to beat.

    Args:
        limit: totals beyond this are of no interest.
        least: neither are fewer right answers.
    """

    def __init__(self, samples: int, limit: int, least: int) -> None:
        self.limit, self.least = limit, least
        self.cheapest = np.full(samples + 1, NEVER)
        """The lowest total for at least so many right answers."""
        self._paths: list[Path] = [()] * (samples + 1)
        self.offered = 0

    def offer(self, correct: Ints, total: Ints, path: Callable[[int], Path]) -> None:
        """Take the policies that are better; `path` gives one by its place in the arrays."""
        self.offered += correct.size
        good = np.flatnonzero(total < self.cheapest[correct])
        for i in good[np.lexsort((total[good], -correct[good]))]:
            k = int(correct[i])
            if total[i] < self.cheapest[k]:
                self.__dict__.pop("rivals", None)
                worse = int(np.searchsorted(self.cheapest[: k + 1], total[i], side="right"))
                self.cheapest[worse : k + 1] = total[i]
                self._paths[k] = path(int(i))

    def front(self) -> Iterator[tuple[int, Path]]:
        """Right answers and path of each known policy that no other known one dominates."""
        last = np.append(self.cheapest[1:] != self.cheapest[:-1], True)
        for k in np.flatnonzero((self.cheapest < NEVER) & last):
            yield int(k), self._paths[k]

    @cached_property
    def rivals(self) -> tuple[Ints, Ints, Ints]:
        """(first, last, correct): from which total to which, the most right answers known."""
        correct = np.array([k for k, _ in self.front()], np.int64)
        first = np.array([-1, *self.cheapest[correct]], np.int64)
        last = np.append(first[1:] - 1, self.limit)
        inside = first <= self.limit
        return (
            first[inside],
            np.minimum(last, self.limit)[inside],
            np.insert(correct, 0, -1)[inside],
        )

    def lead(self, most: NDArray[np.float64], correct: Ints) -> Ints:
        """How many more right answers than known there may be, most (..., rivals) of them."""
        lead = np.floor(most) - correct
        if self.least:
            short = correct < self.least
            lead[..., short] = np.where(most[..., short] < self.least, 0, most[..., short] + 1)
        return lead.max(axis=-1).astype(np.int64)


def limits(bounds: Bounds, samples: int) -> tuple[int, int]:
    """(largest total MACs, fewest right answers) that keep the bounds, never too strict."""
    most = NEVER // 4 if bounds.max_mean_macs is None else int(bounds.max_mean_macs * samples) + 1
    accuracy = np.arange(samples + 1) / samples
    return most, int(np.argmax(accuracy >= (bounds.min_accuracy or 0.0)))
