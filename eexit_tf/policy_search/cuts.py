"""Cutting all policies into boxes: quick where exits are few, also with many samples.

The search divides all policies into boxes (intervals of thresholds, see `boxes`), each with
a window of costs. A box's *lead* is a bound on how many more right answers than the known
policies its policies have anywhere in its window; a box without a lead is done. Boxes with the
largest lead are cut first, so that the largest lead that is left is at any time a proven bound
on what is missed: a search that is too large can stop and say how good it is.

Three things, all exact, keep that small:

* **Useful thresholds.** Lowering a threshold lets samples leave earlier, which is cheaper. It
  costs accuracy only if a sample that then leaves is wrong here and right at a later exit. So
  levels without such samples are merged with the next lower ones (`tables`).
* **Narrowing.** The bound is a sum over exits of functions of one threshold. Thresholds at which
  it falls short of its maximum by as much as the box leads by cannot lead; they go.
* **Good policies first.** Some are known before, and each box offers the policy at which its
  bound is reached.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.boxes import Bounded, Boxes
from eexit_tf.policy_search.known import Known
from eexit_tf.policy_search.lines import Lines
from eexit_tf.policy_search.relaxation import Relaxation
from eexit_tf.policy_search.tables import Allowed, Flags, Ints, Path, Tables
from eexit_tf.policy_search.waiting import Waiting

BATCH = 512
"""Boxes that are cut together."""
RENEW = 6
"""Batches that are compared with the same known policies."""
TOGETHER = 1 << 18
"""Numbers that are looked at together: few calls, and temporary arrays that still fit the cache."""
MEMORY_BYTES = 1 << 28
"""Of the boxes that wait."""


class Cuts:
    """Branch and bound; see the module. Arguments and `missed` as of `search.Search`.

    Args:
        allowed: whether policies may use a set of exits.
    """

    def __init__(
        self, tables: Tables, known: Known, allowed: Allowed, slack: int, effort: float
    ) -> None:
        self.tables, self.known = tables, known
        self.effort, self.slack, self.missed = effort, slack, slack
        self._keeps = cache(lambda code: allowed(_exits(code)))
        self._relaxation = Relaxation(self.tables, slack)
        self._waiting: Waiting[Boxes] = Waiting(1, BATCH, MEMORY_BYTES)
        self._age = 0

    def run(self) -> None:
        """Search until nothing is left to find, or the effort is spent."""
        limit = min(self.known.limit, self._relaxation.most_total())
        whole = [self._relaxation.whole(last, limit) for last in range(self.tables.exits)]
        self._bound(Boxes.joined(whole))
        while self._waiting.largest()[0] and self.effort > 0:
            self._bound(self._waiting.pop(0))
        self._give_up(self._waiting.largest()[0])

    def _bound(self, boxes: Boxes) -> None:
        """Bound boxes, offer their best policies, and have the parts that still lead wait."""
        if self._age % RENEW == 0:
            self._lines = Lines(self.known, self.slack)
        self._age += 1
        undecided = np.bitwise_count(boxes.undecided).sum(axis=1, dtype=np.int64)
        numbers = undecided + self.tables.samples // 16 + self._relaxation.gains
        group = np.cumsum(numbers) // TOGETHER
        for few in (boxes.take(group == number) for number in np.unique(group)):
            bounded = self._relaxation.bound(few, self._lines)
            self.effort -= bounded.numbers
            self._offer(few, bounded)
            go_on = (few.lead > self.slack) & ~bounded.exact
            parts = self._cut(few, bounded, np.flatnonzero(go_on))
            self._give_up(self._waiting.push(0, parts, parts.lead))

    def _offer(self, boxes: Boxes, bounded: Bounded) -> None:
        allowed = self._keep_bounds(self._relaxation.asked(bounded.best), boxes.last)
        few = np.flatnonzero(allowed)

        def path(i: int) -> Path:
            thresholds, last = bounded.best[few[i]], int(boxes.last[few[i]])
            asked = np.flatnonzero(thresholds <= self._relaxation.top)
            return (*((int(j), int(thresholds[j])) for j in asked), (last, 0))

        self.known.offer(bounded.right[few], bounded.total[few], path)

    def _keep_bounds(self, asked: Flags, last: Ints) -> Flags:
        """Which sets of exits keep the bounds: (boxes, exits) those asked, and the last one."""
        used = asked.copy()
        used[np.arange(len(last)), last] = True
        codes = used @ (np.uint64(1) << np.arange(self.tables.exits, dtype=np.uint64))
        sets, which = np.unique(codes, return_inverse=True)
        return np.array([self._keeps(code) for code in sets.tolist()], np.bool_)[which]

    def _cut(self, boxes: Boxes, bounded: Bounded, which: NDArray[np.intp]) -> Boxes:
        """The parts of some of the boxes: of their windows, of an interval, or all again."""
        split, rows = bounded.split[which], np.arange(len(which))
        parts = boxes.take(which)
        low, high = parts.low[rows, split], parts.high[rows, split]
        again = bounded.shrunk[which] | (low == high)
        window = ~again & bounded.bent[which] & (parts.window_low < parts.window_high)
        interval = ~again & ~window
        lower, upper = parts, parts.take(~again)
        middle = self._lines.middle(parts.window_low, parts.window_high)
        lower.window_high = np.where(window, middle, lower.window_high)
        upper.window_low = np.where(window, middle + 1, parts.window_low)[~again]
        middle = np.clip(bounded.middle[which], low, high - 1)
        lower.high[rows[interval], split[interval]] = middle[interval]
        cut = interval[~again]
        upper.low[np.flatnonzero(cut), split[interval]] = middle[interval] + 1
        parts = Boxes.joined([lower, upper])
        return parts.take(self._keep_bounds(self._relaxation.asked(parts.high), parts.last))

    def _give_up(self, lead: int) -> None:
        """Say that boxes with up to this lead, 0 for none, are not looked at."""
        if lead:
            # Where too accurate a policy is asked for, leads count from that accuracy.
            self.missed = max(self.missed, lead + max(self.known.least, 0))


def _exits(code: int) -> tuple[int, ...]:
    """Those with a bit in the code."""
    return tuple(j for j in range(code.bit_length()) if code >> j & 1)
