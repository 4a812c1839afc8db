"""Exact search over all policies by branch and bound on bit sets.

A *state* is a policy in the making: exits and thresholds so far, the set of samples that have
not left yet, how many left with a right answer, and the multiply-accumulates paid. It branches
into every later exit with every threshold. Two rules, both exact, keep that small:

* **Useful thresholds.** Lowering a threshold lets samples leave earlier, which is cheaper. It
  costs accuracy only if more of them could be right at some later exit than are right here.
  So, going up through the thresholds, only those at which (right at some later exit) - (right
  here), counted over the samples below the threshold, reaches a new maximum can be on the front.
* **Bound.** Whatever follows, a remaining sample is at best answered right at the cheapest later
  exit that is right on it. If even that does not beat a policy that is known, the state is done.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.vocabulary import Bounds

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]

BATCH = 2048
NEVER = np.iinfo(np.int64).max


def pack(flags: NDArray[np.bool_]) -> Words:
    """Bit sets over the last axis, (..., samples) to (..., words)."""
    packed = np.packbits(flags, axis=-1)
    fill = -packed.shape[-1] % 8
    padded = np.pad(packed, [(0, 0)] * (packed.ndim - 1) + [(0, fill)])
    return padded.view(np.uint64)


def count(bits: Words) -> Ints:
    """How many are in each set, (..., words) to (...)."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)


class Search:
    """Branch and bound; see the module.

    Args:
        slack: correct answers that the found policies may miss.
    """

    def __init__(
        self, outputs: ExitOutputs, costs: ExitCosts, bounds: Bounds, slack: int = 0
    ) -> None:
        self.costs, self.bounds, self.slack = costs, bounds, slack
        self.outputs = outputs
        self.exits, self.samples = outputs.levels.shape
        self.explicit, self.missed = 0, slack
        # Fewer right answers than this are out of bounds, whatever the tolerance.
        least = bounds.min_accuracy or 0.0
        self.least = int(np.argmax(np.arange(self.samples + 1) / self.samples >= least))
        self.right = pack(outputs.right)
        self.below = [pack(np.less(row, np.unique(row)[1:, None])) for row in outputs.levels]
        self.steps = self._steps()
        self.later = [pack(outputs.right[e + 1 :].any(axis=0)) for e in range(self.exits)]
        # The cheapest total for at least so many right, and the policy that has it.
        self.cheapest = np.full(self.samples + 1, NEVER)
        self.path: list[tuple[tuple[int, int], ...]] = [()] * (self.samples + 1)

    def _steps(self) -> Ints:
        """(exits + 1, exits): what a sample pays from one exit (row 0: the start) to another."""
        trunk = np.array([0, *self.costs.trunk_macs], np.int64)
        return trunk[None, 1:] - trunk[:, None] + np.array(self.costs.head_macs, np.int64)

    def run(self) -> None:
        everything = pack(np.ones(self.samples, np.bool_))
        self._branch(-1, everything, 0, 0, 0, ())

    def _branch(
        self, last: int, bits: Words, correct: int, total: int, worst: int, path: tuple
    ) -> None:
        remaining = int(count(bits))
        for j in range(last + 1, self.exits):
            paid = total + remaining * int(self.steps[last + 1, j])
            worst_here = worst + int(self.steps[last + 1, j])
            here = bits & self.right[j]
            chosen = (*path, (j, -1))
            if self._allowed(worst_here, chosen):
                self._offer(correct + int(count(here)), paid, chosen)
            if j == self.exits - 1:
                continue
            paid += remaining * self.costs.decision
            worst_here += self.costs.decision
            stay = bits & self.below[j]
            left = count(stay)
            right_stay = count(stay & self.right[j])
            hope = count(stay & self.later[j]) - right_stay
            record = np.maximum.accumulate(np.r_[0, hope])
            for t in np.flatnonzero(record[1:] > record[:-1]):
                if left[t] < remaining:
                    got = correct + int(count(here) - right_stay[t])
                    if self._hopeful(j, stay[t], got, paid):
                        self._branch(j, stay[t], got, paid, worst_here, (*path, (j, int(t))))

    def _allowed(self, worst: int, path: tuple[tuple[int, int], ...]) -> bool:
        return (self.bounds.max_macs is None or worst <= self.bounds.max_macs) and (
            self.bounds.max_params is None
            or self.costs.params([j for j, _ in path]) <= self.bounds.max_params
        )

    def _offer(self, correct: int, total: int, path: tuple[tuple[int, int], ...]) -> None:
        self.explicit += 1
        better = np.flatnonzero(self.cheapest[: correct + 1] > total)
        self.cheapest[better] = total
        for k in better:
            self.path[k] = path

    def _hopeful(self, last: int, bits: Words, correct: int, total: int) -> bool:
        order = sorted(range(last + 1, self.exits), key=lambda j: self.steps[0, j])
        least = int(self.steps[last + 1, order[0]])
        total += int(count(bits)) * least
        for j in order:
            now = bits & self.right[j]
            bits = bits & ~now
            n = int(count(now))
            k = np.arange(1, n + 1)
            rise = int(self.steps[last + 1, j]) - least
            enough = np.maximum(correct + k - self.slack, self.least)
            if (self.cheapest[enough] > total + k * rise).any():
                return True
            correct, total = correct + n, total + n * rise
        return False

    def policies(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Exits and thresholds of the policies found, by cost, none dominated."""
        for k in range(self.samples + 1):
            total = self.cheapest[k]
            if total == NEVER or (k < self.samples and self.cheapest[k + 1] == total):
                continue
            exits = tuple(j for j, _ in self.path[k])
            remaining = np.ones(self.samples, np.bool_)
            thresholds = []
            for j, t in self.path[k][:-1]:
                levels = self.outputs.levels[j]
                high = int(np.unique(levels)[t + 1])
                leave = remaining & (levels >= high)
                stay = remaining & (levels < high)
                low = int(levels[stay].max())
                high = int(levels[leave].min())
                thresholds.append(low + (high - low + 1) // 2)
                remaining = stay
            yield exits, (*thresholds, 0)
