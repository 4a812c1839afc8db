"""The best policies that a search knows so far, and what another one has to beat."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from eexit_tf.bounds import Bounds
from eexit_tf.policy_search.tables import Ints, Path

NEVER = np.iinfo(np.int64).max


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


def limits(bounds: Bounds, samples: int) -> tuple[int, int]:
    """(largest total MACs, fewest right answers) that keep the bounds, never too strict."""
    most = NEVER // 4 if bounds.max_mean_macs is None else int(bounds.max_mean_macs * samples) + 1
    accuracy = np.arange(samples + 1) / samples
    return most, int(np.argmax(accuracy >= (bounds.min_accuracy or 0.0)))
