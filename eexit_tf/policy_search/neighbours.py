"""Good policies fast: try every change of one exit in the policies that are known.

Pareto local search (Paquete et al., 2004): a neighbour of a policy has one exit added, dropped or
given another threshold, or another last exit. One pass over the samples scores all thresholds
of an exit at once. What this finds is not complete, but branch and bound needs good policies to
compare with from the start: the better they are, the fewer boxes it looks at.

Sums are of whole numbers below 2^53, which float64 holds exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.known import Known
from eexit_tf.policy_search.tables import Allowed, Floats, Ints, Path, Tables


@dataclass
class _Here:
    """What a policy has done when its samples arrive at an exit.

    Attributes:
        before: its exits so far.
        there: the samples that have not left.
        correct: right answers of those that have.
        total: MACs paid by all.
    """

    before: Path
    there: NDArray[np.intp]
    correct: int
    total: int


class Neighbours:
    """Offers neighbours of known policies to the known ones.

    Args:
        allowed: whether a set of exits keeps the bounds.
    """

    def __init__(self, tables: Tables, known: Known, allowed: Allowed) -> None:
        self.tables, self.known, self.allowed = tables, known, allowed
        self._seen: set[Path] = set()
        self._offered: set[tuple[Path, int, Path]] = set()
        self._classes = tables.classes.astype(np.intp)
        self._right = tables.right.astype(float)
        self._trunk = tables.costs.trunk_macs

    def run(self, rounds: int, policies: int) -> None:
        """Go on until nothing changes; at most so many rounds of so many policies each."""
        for last in range(self.tables.exits):
            self._close(self._start(), last)
        for _ in range(rounds):
            new = [path for _, path in self.known.front() if path not in self._seen]
            if not new:
                return
            places = np.unique(np.linspace(0, len(new) - 1, min(policies, len(new))).astype(int))
            for place in places:
                self._around(new[place])

    def _start(self) -> _Here:
        return _Here((), np.arange(self.tables.samples), 0, 0)

    def _around(self, path: Path) -> None:
        """Offer all neighbours of one policy."""
        self._seen.add(path)
        exits, last = self.tables.exits, path[-1][0]
        answers = self._answers(path)
        here = self._start()
        for j in range(last + 1):
            self._close(here, j)
            passed = len(here.before)
            used = j == path[passed][0]
            if j == last:
                for k in range(j + 1, exits):
                    self._scan(here, j, ((k, 0),), *self._answers(((k, 0),))[0])
                continue
            self._scan(here, j, path[passed + used :], *answers[passed + used])
            if used:
                self._pass(here, *path[passed])
        for k in range(last + 1, exits):
            self._close(here, k)

    def _pass(self, here: _Here, j: int, t: int) -> None:
        """Have the samples of class t and higher leave at exit j."""
        leave = self._classes[j, here.there] >= t
        here.total += len(here.there) * (self._steps(here, j) + self.tables.costs.decision)
        here.correct += int(np.count_nonzero(self.tables.right[j, here.there[leave]]))
        here.there = here.there[~leave]
        here.before = (*here.before, (j, t))

    def _new(self, before: Path, j: int, after: Path) -> bool:
        """Whether this is offered for the first time: neighbours have neighbours in common."""
        known = len(self._offered)
        self._offered.add((before, j, after))
        return len(self._offered) > known

    def _steps(self, here: _Here, j: int) -> int:
        return int(self.tables.steps[here.before[-1][0] + 1 if here.before else 0, j])

    def _close(self, here: _Here, last: int) -> None:
        """Offer the policy whose next exit is its last."""
        path = (*here.before, (last, 0))
        if self._new(here.before, last, ()) and self.allowed(tuple(j for j, _ in path)):
            right = int(np.count_nonzero(self.tables.right[last, here.there]))
            paid = len(here.there) * self._steps(here, last)
            self.known.offer(
                np.array([here.correct + right]), np.array([here.total + paid]), lambda _: path
            )

    def _scan(self, here: _Here, j: int, after: Path, right: Floats, macs: Floats) -> None:
        """Offer exit j next, with each of its thresholds, then `after` with these answers."""
        tables, there = self.tables, here.there
        if not (len(tables.thresholds[j]) and self._new(here.before, j, after)):
            return
        if not self.allowed((*(i for i, _ in here.before), j, *(i for i, _ in after))):
            return
        classes, right_here = self._classes[j, there], self._right[j, there]
        gain = self._below(j, classes, right[there] - right_here)
        cost = self._below(j, classes, macs[there] - self._trunk[j])
        correct = here.correct + int(right_here.sum())
        total = here.total + len(there) * (self._steps(here, j) + tables.costs.decision)
        before = here.before
        self.known.offer(correct + gain, total + cost, lambda t: (*before, (j, t + 1), *after))

    def _answers(self, path: Path) -> list[tuple[Floats, Floats]]:
        """Of each exit on, for every sample: right or not, and MACs, those of the trunk from 0."""
        costs = self.tables.costs
        last = path[-1][0]
        macs = np.full(self.tables.samples, float(self._trunk[last] + costs.head_macs[last]))
        answers = [(self._right[last], macs)]
        for j, t in reversed(path[:-1]):
            right, macs = answers[-1]
            leave = self._classes[j] >= t
            asked = costs.head_macs[j] + costs.decision
            answers.append(
                (
                    np.where(leave, self._right[j], right),
                    np.where(leave, self._trunk[j], macs) + asked,
                )
            )
        return answers[::-1]

    def _below(self, j: int, classes: NDArray[np.intp], values: Floats) -> Ints:
        """Sums over the samples below each of exit j's thresholds."""
        each = np.bincount(classes, values, len(self.tables.thresholds[j]) + 1)
        return np.cumsum(each[:-1]).astype(np.int64)
