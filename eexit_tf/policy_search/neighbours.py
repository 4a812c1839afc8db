"""Good policies fast: try every change of one exit in the policies that are known.

Pareto local search (Paquete et al., 2004): a neighbour of a policy has one exit added, dropped or
given another threshold, or another last exit. One pass over the samples scores all thresholds
of an exit at once. What this finds is not complete, but branch and bound needs good policies to
compare with from the start.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.known import Known
from eexit_tf.policy_search.tables import Flags, Ints, Path, Tables

Allowed = Callable[[tuple[int, ...]], bool]


class Neighbours:
    """Offers neighbours of known policies to the known ones.

    Args:
        allowed: whether a set of exits keeps the bounds.
    """

    def __init__(self, tables: Tables, known: Known, allowed: Allowed) -> None:
        self.tables, self.known, self.allowed = tables, known, allowed
        self._seen: set[Path] = set()

    def run(self, rounds: int, policies: int) -> None:
        """Go on until nothing changes; at most so many rounds of so many policies each."""
        for last in range(self.tables.exits):
            self._close((), np.ones(self.tables.samples, np.bool_), 0, 0, last)
        for _ in range(rounds):
            new = [path for _, path in self.known.front() if path not in self._seen]
            if not new:
                return
            places = np.unique(np.linspace(0, len(new) - 1, min(policies, len(new))).astype(int))
            for place in places:
                self._around(new[place])

    def _around(self, path: Path) -> None:
        """Offer all neighbours of one policy."""
        self._seen.add(path)
        tables = self.tables
        last = path[-1][0]
        used = dict(path)
        remaining = np.ones(tables.samples, np.bool_)
        correct = total = 0
        before: Path = ()
        for j in range(tables.exits):
            if j > last:
                break
            self._close(before, remaining, correct, total, j)
            if j < last:
                after = path[len(before) + (j in used) :]
                self._scan(before, remaining, correct, total, j, after)
            else:
                for k in range(j + 1, tables.exits):
                    self._scan(before, remaining, correct, total, j, ((k, 0),))
            if j in used and j < last:
                at = before[-1][0] + 1 if before else 0
                leave = remaining & (tables.classes[j] >= used[j])
                total += int(remaining.sum()) * (int(tables.steps[at, j]) + tables.costs.decision)
                correct += int(tables.right[j, leave].sum())
                remaining = remaining & ~leave
                before = (*before, (j, used[j]))
        for k in range(last + 1, tables.exits):
            self._close(before, remaining, correct, total, k)

    def _close(
        self, before: Path, remaining: NDArray[np.bool_], correct: int, total: int, last: int
    ) -> None:
        """Offer the policy that goes from `before` straight to its last exit."""
        path = (*before, (last, 0))
        if self.allowed(tuple(j for j, _ in path)):
            at = before[-1][0] + 1 if before else 0
            right = np.array([correct + int(self.tables.right[last, remaining].sum())])
            paid = np.array([total + int(remaining.sum()) * int(self.tables.steps[at, last])])
            self.known.offer(right, paid, lambda _: path)

    def _scan(
        self,
        before: Path,
        remaining: NDArray[np.bool_],
        correct: int,
        total: int,
        j: int,
        after: Path,
    ) -> None:
        """Offer `before`, exit j with each of its thresholds, `after`."""
        tables = self.tables
        if not len(tables.thresholds[j]):
            return
        if not self.allowed((*(i for i, _ in before), j, *(i for i, _ in after))):
            return
        right, paid = self._after(j, after)
        at = before[-1][0] + 1 if before else 0
        total += int(remaining.sum()) * (int(tables.steps[at, j]) + tables.costs.decision)
        here = tables.right[j].astype(np.int64)
        gain = self._cumulative(j, remaining * (right.astype(np.int64) - here))
        cost = self._cumulative(j, remaining * paid)
        base = correct + int(here[remaining].sum())
        self.known.offer(base + gain, total + cost, lambda t: (*before, (j, t + 1), *after))

    def _after(self, j: int, after: Path) -> tuple[Flags, Ints]:
        """Right or not, and further MACs of each sample that passes exit j."""
        tables = self.tables
        right = np.zeros(tables.samples, np.bool_)
        paid = np.zeros(tables.samples, np.int64)
        remaining = np.ones(tables.samples, np.bool_)
        at = j + 1
        for i, t in after:
            decision = tables.costs.decision if i != after[-1][0] else 0
            paid += remaining * (tables.steps[at, i] + decision)
            leave = remaining & (tables.classes[i] >= t)
            right |= leave & tables.right[i]
            remaining ^= leave
            at = i + 1
        return right, paid

    def _cumulative(self, j: int, values: Ints) -> Ints:
        """Sums over the samples below each of exit j's thresholds."""
        tables = self.tables
        return np.cumsum(np.add.reduceat(values[tables.order[j]], tables.start[j]))[:-1]
