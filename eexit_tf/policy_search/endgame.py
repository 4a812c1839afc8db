"""The last three exits at once: every pair of thresholds of a state from one cumulative table."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.branch_tables import BranchTables
from eexit_tf.policy_search.tables import Ints, Path

Offer = Callable[[tuple[int, ...], Ints, Ints], None]
"""Takes the exits used, and the gain in right answers and MACs, (states, [class, [class]])."""


class Endgame:
    """All that can follow when three exits are left, but for leaving all at the next one.

    Samples are counted by their classes at the first two of the exits. Cumulative sums along both
    axes say how many are below any pair of thresholds, and how many of these the second and
    the third exit are right on; that is all it takes to score a policy (Crow's summed-area
    tables, SIGGRAPH 1984).
    """

    def __init__(self, branching: BranchTables) -> None:
        self.branching = branching
        self.tables = tables = branching.tables
        self.exits = tuple(range(tables.exits - 3, tables.exits))
        j, k, last = self.exits
        classes = tables.classes[[j, k]].astype(np.intp)
        self.shape = (len(tables.thresholds[j]) + 1, len(tables.thresholds[k]) + 1)
        self._cell = classes[0] * self.shape[1] + classes[1]
        ones = np.ones(tables.samples)
        self._weights = (ones, tables.right[k].astype(float), tables.right[last].astype(float))

    @property
    def cells(self) -> int:
        return self.shape[0] * self.shape[1]

    def score(self, remaining: NDArray[np.uint8], at: int, offer: Offer) -> None:
        """Offer every policy that uses two or three of the exits.

        Args:
            remaining: (states, samples), 0 or 1.
            at: exit at which the states are.
        """
        j, k, last = self.exits
        steps, decision = self.tables.steps, self.tables.costs.decision
        state, sample = np.nonzero(remaining)
        place = state * self.cells + self._cell[sample]
        below, right_k, right_last = (
            self._cumulative(place, weights[sample], len(remaining)) for weights in self._weights
        )
        left = below[:, -1, -1, None]
        stay_j, stay_k = below[:, :-1, -1], below[:, -1, :-1]
        _, right_j, _ = self.branching.sums(remaining, j)
        leave_j = right_j[:, -1:] - right_j[:, :-1]
        leave_k = right_k[:, -1, -1, None] - right_k[:, -1, :-1]
        first_j = left * (int(steps[at + 1, j]) + decision)
        first_k = left * (int(steps[at + 1, k]) + decision)
        offer((j, k), leave_j + right_k[:, :-1, -1], first_j + stay_j * steps[j + 1, k])
        offer((j, last), leave_j + right_last[:, :-1, -1], first_j + stay_j * steps[j + 1, last])
        offer((k, last), leave_k + right_last[:, -1, :-1], first_k + stay_k * steps[k + 1, last])
        first = first_j + stay_j * (int(steps[j + 1, k]) + decision)
        answered = leave_j + right_k[:, :-1, -1]
        gain = (right_last - right_k)[:, :-1, :-1]
        offer(
            (j, k, last),
            answered[:, :, None] + gain,
            first[:, :, None] + below[:, :-1, :-1] * steps[k + 1, last],
        )

    def _cumulative(self, place: Ints, weights: NDArray[np.float64], states: int) -> Ints:
        """(states, classes, classes): sums over the samples up to both classes."""
        sums = np.bincount(place, weights, states * self.cells).astype(np.int64)
        return sums.reshape(states, *self.shape).cumsum(axis=1).cumsum(axis=2)


def ending(exits: tuple[int, ...], classes: tuple[int, ...]) -> Path:
    """The end of a path: thresholds below the given classes but one, 0 at the last exit."""
    return (*((j, t + 1) for j, t in zip(exits, classes, strict=False)), (exits[-1], 0))
