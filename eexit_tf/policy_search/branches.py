"""Branching over policies exit by exit: exact, and quick where samples are few, exits many.

A *state* is a policy in the making: exits and thresholds so far, the set of samples that have
not left yet, how many left with a right answer, and the multiply-accumulates paid. It branches
into every later exit with every threshold. Four things, all exact, keep that small:

* **Useful thresholds.** Lowering a threshold lets samples leave earlier, which is cheaper. It
  costs accuracy only if more of them could be right at some later exit than are right here.
  So, going up through the thresholds, only those at which (right at some later exit) - (right
  here), counted over the remaining samples below the threshold, reaches a new maximum can be on
  the front.
* **Bound.** Whatever follows, a remaining sample is at best answered right at the cheapest later
  tap with an exit that is right on it. Filling a budget with the cheapest of these answers
  bounds the right answers at every total cost. A state's *lead* is the most by which that
  exceeds the policies known, over all costs; a state without a lead is done.
* **Order.** `neighbours` finds good policies first; then the states with the largest
  lead branch first. The largest lead that is left is at any time a proven bound on what is
  missed, so that a search that is too large can stop and say how good it is.
* **Endgame.** When three exits are left, `endgame` scores all that can follow at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.branch_tables import BranchTables, count, pack, unpack
from eexit_tf.policy_search.endgame import Endgame, ending
from eexit_tf.policy_search.known import Known
from eexit_tf.policy_search.tables import Allowed, Ints, Path, Tables, Words
from eexit_tf.policy_search.waiting import Rows, Waiting

BATCH = 1024
"""States that branch together."""
CELLS = 1 << 21
"""Numbers in the largest temporary arrays."""
MEMORY_BYTES = 1 << 28
"""Of the states that wait."""


@dataclass
class States(Rows):
    """Policies in the making, all at the same exit.

    Attributes:
        bits: (states, words), the samples that have not left.
        left: how many these are.
        correct: right answers of those that have left.
        total: MACs paid by all samples so far.
        node: place in the search's tree, from which the path is read.
    """

    bits: Words
    left: Ints
    correct: Ints
    total: Ints
    node: Ints


class Branches:
    """Branch and bound; see the module. `slack`, `effort` and `missed` as of `search.Search`.

    Args:
        tables: the network's exits on the samples.
        known: the policies known before; better ones are added.
        allowed: whether policies may use a set of exits.
    """

    def __init__(
        self, tables: Tables, known: Known, allowed: Allowed, slack: int, effort: float
    ) -> None:
        self.tables, self.known, self.allowed = tables, known, allowed
        self.branching = BranchTables(tables)
        self.effort = effort
        self.missed = slack
        self._waiting: Waiting[States] = Waiting(tables.exits, BATCH, MEMORY_BYTES)
        self._grain = 1 + tables.samples // 256  # leads are rounded up to a multiple of it
        self._endgame = Endgame(self.branching) if self.tables.exits > 2 else None
        self._tree: list[tuple[int, int, int]] = [(-1, -1, 0)]  # parent, exit, class

    def run(self) -> None:
        """Search until nothing is left to find, or the effort is spent."""
        samples = self.tables.samples
        zero = np.zeros(1, np.int64)
        start = pack(np.ones((1, samples), np.bool_))
        self._branch(-1, States(start, zero + samples, zero, zero, zero))
        while True:
            largest, last = self._waiting.largest()
            if largest <= self.missed:
                return
            states = self._waiting.pop(last)
            lead = self._lead(last, states)
            if self.effort > 0:
                self._branch(last, states.take(lead > self.missed))
            else:
                self.missed = max(self.missed, int(lead.max()))

    def _path(self, node: int) -> Path:
        path: Path = ()
        while node:
            node, j, t = self._tree[node]
            path = ((j, t), *path)
        return path

    def _branch(self, last: int, states: States) -> None:
        """Offer what leaves everything at the next exit; have every useful threshold wait."""
        closing = self._endgame if last == self.tables.exits - 4 else None
        size = self.tables.samples + (closing.cells if closing else 0)
        step = max(1, CELLS // size)
        for begin in range(0, len(states), step):
            self._branch_few(last, states.take(slice(begin, begin + step)), closing)

    def _branch_few(self, last: int, states: States, closing: Endgame | None) -> None:
        tables = self.tables
        remaining = unpack(states.bits, tables.samples)
        for j in range(last + 1, tables.exits):
            self.effort -= remaining.size
            left, right, later = self.branching.sums(remaining, j)
            total = states.total + states.left * tables.steps[last + 1, j]
            fits = self._fit(states, (j,))
            self.known.offer(
                (states.correct + right[:, -1])[fits],
                total[fits],
                lambda i, j=j, node=states.node[fits]: (*self._path(int(node[i])), (j, 0)),  # type: ignore[misc]
            )
            if not closing and j < tables.exits - 1 and len(tables.thresholds[j]):
                total = total + states.left * self.tables.costs.decision
                self._children(j, states, total, left, right, later)

        if closing:
            self.effort -= 8 * closing.cells * len(states)
            closing.score(remaining, last, lambda *ends: self._offer_ends(states, *ends))

    def _offer_ends(self, states: States, exits: tuple[int, ...], gain: Ints, cost: Ints) -> None:
        """Offer what the endgame scored; see `endgame.Offer`."""
        fits = self._fit(states, exits)
        gain, cost = gain[fits], cost[fits]
        dims = (1,) * (gain.ndim - 1)

        def path(i: int) -> Path:
            row, *classes = (int(v) for v in np.unravel_index(i, gain.shape))
            return (*self._path(int(states.node[fits[row]])), *ending(exits, tuple(classes)))

        correct = states.correct[fits].reshape(-1, *dims) + gain
        total = states.total[fits].reshape(-1, *dims) + cost
        self.known.offer(correct.ravel(), total.ravel(), path)

    def _fit(self, states: States, ends: tuple[int, ...]) -> NDArray[np.intp]:
        """Which of the states keep the bounds when they end with these exits."""
        paths = [self._path(int(node)) for node in states.node]
        return np.flatnonzero([self.allowed((*(i for i, _ in path), *ends)) for path in paths])

    def _children(
        self, j: int, states: States, total: Ints, left: Ints, right: Ints, later: Ints
    ) -> None:
        """Have the states wait that follow with exit j; sums as from `BranchTables.sums`."""
        hope = np.maximum(later - right, 0)[:, :-1]
        record = np.maximum.accumulate(np.pad(hope, [(0, 0), (1, 0)]), axis=1)
        useful = (record[:, 1:] > record[:, :-1]) & (left[:, :-1] < states.left[:, None])
        parent, t = np.nonzero(useful)
        correct = states.correct[parent] + right[parent, -1] - right[parent, t]
        total, left, later = total[parent], left[parent, t], later[parent, t]
        # Everything right at the cheapest next exit is a quick first bound.
        first, _, rivals = self.known.rivals
        least = total + left * self.branching.reach_steps[j][0]
        rival = np.maximum(rivals[np.searchsorted(first, least, side="right") - 1], 0)
        hopeful = np.flatnonzero(
            correct + later > np.where(rival < self.known.least, 0, rival + self.missed)
        )
        step = max(1, CELLS // self.branching.below[j].shape[1] // 8)
        for begin in range(0, len(hopeful), step):
            few = hopeful[begin : begin + step]
            bits = states.bits[parent[few]] & self.branching.below[j][t[few]]
            new = States(bits, left[few], correct[few], total[few], few)
            lead = self._lead(j, new)
            keep = np.flatnonzero(lead > self.missed)
            new = new.take(keep)
            new.node = np.arange(len(keep)) + len(self._tree)
            parents = states.node[parent[few[keep]]].tolist()
            classes = (t[few[keep]] + 1).tolist()
            self._tree.extend(zip(parents, [j] * len(keep), classes, strict=True))
            rounded = -(-lead[keep] // self._grain) * self._grain
            self.missed = max(self.missed, self._waiting.push(j, new, rounded))

    def _lead(self, last: int, states: States) -> Ints:
        """The most right answers that may follow beyond those known, over all costs."""
        sets, prices = self.branching.reach[last], self.branching.reach_steps[last]
        reach = np.stack([count(states.bits & one) for one in sets], axis=1)
        self.effort -= states.bits.size * len(sets)
        _, end, rivals = self.known.rivals
        lead = np.empty(len(states), np.int64)
        step = max(1, CELLS // len(rivals) // 8)
        for begin in range(0, len(states), step):
            few = slice(begin, begin + step)
            within = np.cumsum(reach[few], axis=1).astype(float)
            money = (end - (states.total[few] + states.left[few] * prices[0])[:, None]).astype(
                float
            )
            most = np.repeat(within[:, -1:], len(rivals), axis=1)
            spent = np.zeros(len(within))
            for tap in range(1, len(sets)):
                rise = float(prices[tap] - prices[0])
                line = (money - spent[:, None]) * (1 / rise)
                line += within[:, tap - 1, None] + 1e-6
                np.minimum(most, line, out=most)
                spent += reach[few, tap] * rise
            most += states.correct[few, None]
            most[money < 0] = -1
            lead[few] = self._beyond(most, rivals)
            self.effort -= most.size * len(sets)
        return lead

    def _beyond(self, most: NDArray[np.float64], correct: Ints) -> Ints:
        """How many more right answers than known there may be, most (..., rivals) of them."""
        lead, least = np.floor(most) - correct, self.known.least
        if least:
            short = correct < least
            lead[..., short] = np.where(most[..., short] < least, 0, most[..., short] + 1)
        return lead.max(axis=-1).astype(np.int64)
