"""Boxes of policies, and the most right answers that any policy in a box can have.

A *box* is an interval of thresholds at each exit. A sample *may* leave at an exit where its class
reaches the interval's lower end and *must* where it reaches the upper one. Samples with one exit
left are decided. Each other sample is charged to the first exit where it may leave: that exit's
threshold decides about it, and if it stays it gets the best of what follows, consistent with the
other thresholds or not. So the bound is a sum of functions of one threshold each, whose maxima
are read from cumulative sums. It errs only about samples that are undecided at two exits or more,
so that it tightens with the square of a box's width, and about who asks exits that may be left out:
their thresholds are charged for the samples that surely come by.

What is bounded is right answers less slope times MACs, with a slope from `lines`.
"""

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.bits import ExitBits
from eexit_tf.policy_search.boxes import Bounded, Boxes, Pairs
from eexit_tf.policy_search.lines import ROUNDING, Lines
from eexit_tf.policy_search.tables import Flags, Floats, Ints, Tables

SHRUNK = 0.85
"""Boxes that keep fewer of their undecided samples are bounded again before they are cut."""


class Relaxation:
    """Bounds boxes.

    Args:
        slack: smaller leads, and equal ones, are of no interest.

    Attributes:
        gains: numbers that a box's functions of thresholds are held in.
    """

    def __init__(self, tables: Tables, slack: int) -> None:
        self.tables, self.slack, self.exits = tables, slack, tables.exits
        self.bits = bits = ExitBits(tables.exits)
        self.top = np.array([len(thresholds) for thresholds in tables.thresholds], np.int64)
        self.slots = int(self.top.max()) + 2
        self.gains = self.exits * self.slots
        self.trunk = np.array(tables.costs.trunk_macs, np.int64)
        self.asking = np.array(tables.costs.head_macs, np.int64) + tables.costs.decision
        self._classes = bits.words(tables.classes.T)
        self._right = bits.numbers(bits.words(tables.right.T))

    def whole(self, last: int, limit: int) -> Boxes:
        """The box of all policies with this last exit and up to this total cost."""
        one, samples = np.ones(1, np.int64), self.tables.samples
        return Boxes(
            low=np.where(np.arange(self.exits) < last, 1, self.top + 1)[None],
            high=(self.top + 1)[None],
            last=last * one,
            window_low=0 * one,
            window_high=limit * one,
            undecided=np.packbits(np.ones((1, samples), np.bool_), axis=1),
            leaves=np.zeros((1, self.exits), np.int64),
            right=0 * one,
            lead=samples * one,
        )

    def most_total(self) -> int:
        """More than any policy costs in all."""
        return self.tables.samples * int(self.trunk[-1] + self.asking.sum())

    def asked(self, thresholds: Ints) -> Flags:
        """Which exits are asked, not counting the last one, with (boxes, exits) thresholds."""
        return thresholds <= self.top

    def leave_macs(self, asked: Flags, last: Ints) -> Ints:
        """(boxes, exits): what leaving at each exit costs if the given ones are asked before."""
        before = np.cumsum(asked * self.asking, axis=1) - asked * self.asking
        macs = self.trunk + self.asking + before
        macs[np.arange(len(last)), last] -= self.tables.costs.decision
        return macs

    def bound(self, boxes: Boxes, lines: Lines) -> Bounded:
        """Bound boxes and update them: samples are decided, windows and intervals narrowed.

        Thresholds go that cannot lead by more than the slack.
        """
        shape = (len(boxes), self.exits)
        pairs = self._decide(boxes)
        self._leave_out(boxes, pairs)
        box = pairs.box
        firsts = pairs.may & -pairs.may
        first, end = self.bits.place(firsts), self.bits.place(pairs.must)
        at_first = box * self.exits + first
        charged, ending = _sums(at_first, shape), _sums(box * self.exits + end, shape)

        some, every = self.asked(boxes.low), self.asked(boxes.high)
        possible = some.copy()
        possible[np.arange(len(boxes)), boxes.last] = True
        cost = self.leave_macs(every, boxes.last)
        # Of heads at one tap the first may be dearer: the least that this or a later exit costs.
        least = np.where(possible, cost, cost.max())
        least = np.minimum.accumulate(least[:, ::-1], axis=1)[:, ::-1]
        most = np.where(possible, self.leave_macs(some, boxes.last), 0)
        most = np.maximum.accumulate(most, axis=1)
        low = (boxes.leaves * cost + charged * least).sum(axis=1)
        high = ((boxes.leaves + ending) * most).sum(axis=1)
        boxes.window_low = np.maximum(boxes.window_low, low)
        boxes.window_high = np.minimum(boxes.window_high, high)
        empty = boxes.window_low > boxes.window_high
        window = boxes.window_low, np.maximum(boxes.window_low, boxes.window_high)
        slope = lines.choose(low, high, *window)
        price = lines.slopes[slope][:, None]

        leaving = ((firsts & pairs.right) != 0) - (price * cost).ravel()[at_first]
        staying = self._staying(pairs, price * cost, price * least)
        level = self.bits.byte(pairs.classes, first)
        gain = np.bincount(
            at_first * self.slots + level + 1,
            staying - leaving,
            len(boxes) * self.gains,
        )
        gain = gain.reshape(*shape, self.slots).astype(np.float64, copy=False)
        # Exits that may be left out: asking costs at least this, of those who leave further on.
        # Who leaves there has paid for it already.
        sure = _from_here_on(boxes.leaves + charged) - boxes.leaves - charged
        asking = np.where(some & ~every, price * self.asking * sure, 0.0)
        gain[:, :, 0] -= asking
        gain[:, np.arange(self.exits), self.top + 1] += asking
        np.cumsum(gain, axis=2, out=gain)
        most_gain = gain.max(axis=2)
        height = (
            boxes.right
            - (boxes.leaves * cost * price).sum(axis=1)
            + pairs.reduce(np.add, leaving)
            + most_gain.sum(axis=1)
        )
        lead, staircase = lines.lead(height, slope, *window)
        boxes.lead = np.where(empty, 0, np.minimum(boxes.lead, lead))

        best = np.clip(gain.argmax(axis=2), boxes.low, boxes.high)
        taken = self._reached(pairs.classes, best, pairs.counts) & pairs.may | pairs.must
        taken &= -taken
        answered = (taken & pairs.right) != 0
        at_taken = box * self.exits + self.bits.place(taken)
        leaves = boxes.leaves + _sums(at_taken, shape)

        # Thresholds that cannot lead by more than the slack go.
        kept = most_gain[:, :, None] - gain < np.maximum(lead - self.slack, 1)[:, None, None]
        inside = np.arange(self.slots)
        kept &= (inside >= boxes.low[:, :, None]) & (inside <= boxes.high[:, :, None])
        boxes.low = kept.argmax(axis=2)
        boxes.high = self.slots - 1 - kept[:, :, ::-1].argmax(axis=2)
        stays = (level >= boxes.low.ravel()[at_first]) & (level < boxes.high.ravel()[at_first])
        left = pairs.reduce(np.add, stays.astype(np.int64))
        shrunk = left < SHRUNK * pairs.counts

        beyond = _from_here_on(boxes.leaves + ending) - boxes.leaves - ending
        optional = (some & ~every) * (price * self.asking * beyond + ROUNDING)
        some_pairs, few = pairs.of((boxes.lead > self.slack) & ~shrunk)
        error = np.maximum(staying[few], leaving[few])
        error -= answered[few] - (price * cost).ravel()[at_taken[few]]
        split, middle = self._split(some_pairs, error, charged, optional)
        return Bounded(
            numbers=(4 + self.bits.width) * len(box) + gain.size + boxes.undecided.size,
            best=best,
            right=boxes.right + pairs.reduce(np.add, answered.astype(np.int64)),
            total=(leaves * self.leave_macs(self.asked(best), boxes.last)).sum(axis=1),
            bent=2 * staircase > lead,
            exact=pairs.counts == 0,
            shrunk=shrunk,
            split=split,
            middle=middle,
        )

    def _decide(self, boxes: Boxes) -> Pairs:
        """The undecided samples; those that no longer are move to the boxes' counts."""
        samples = self.tables.samples
        flags = np.unpackbits(boxes.undecided, axis=1, count=samples)
        where = np.flatnonzero(flags.view(np.bool_))
        counts = np.bitwise_count(boxes.undecided).sum(axis=1, dtype=np.int64)
        box = np.repeat(np.arange(len(boxes)), counts)
        sample = where - box * samples
        classes = self._classes[sample]
        must = self._reached(classes, boxes.high, counts)
        must |= np.repeat(self.bits.single(boxes.last), counts)
        must &= -must
        may = self._reached(classes, boxes.low, counts) & (must - self.bits.one) | must
        right = self._right[sample]
        done = np.flatnonzero(may == must)
        place = box[done] * self.exits + self.bits.place(must[done])
        boxes.leaves = boxes.leaves + _sums(place, boxes.leaves.shape)
        answered = box[done[(must[done] & right[done]) != 0]]
        boxes.right = boxes.right + _sums(answered, boxes.right.shape)
        counts = counts - _sums(box[done], counts.shape)
        flags.ravel()[where[done]] = 0
        boxes.undecided = np.packbits(flags, axis=1)
        left = np.flatnonzero(may != must)
        return Pairs(counts, box[left], classes[left], may[left], must[left], right[left])

    def _leave_out(self, boxes: Boxes, pairs: Pairs) -> None:
        """Leave out the exits that a box may ask but at which nobody may leave."""
        ways = pairs.reduce(np.bitwise_or, pairs.may)
        useless = ~self.bits.flags(ways) & (boxes.high > self.top)
        boxes.low = np.where(useless, boxes.high, boxes.low)

    def _staying(self, pairs: Pairs, cost: Floats, least: Floats) -> Floats:
        """The best that a sample can get that does not leave at its first exit.

        Args:
            cost: (boxes, exits), slope times the MACs of leaving there.
            least: the same, of leaving there or later.
        """
        rest = pairs.may & (pairs.may - self.bits.one)
        hit = rest & pairs.right
        answer = np.where(hit, hit, rest)
        at = pairs.box * self.exits + self.bits.place(answer & -answer)
        right = hit != 0
        one = rest == pairs.must
        # Where several follow: right where that is cheapest, or wrong where that is cheaper yet.
        next_exit = pairs.box * self.exits + self.bits.place(rest & -rest)
        several = np.maximum(right - least.ravel()[at], -least.ravel()[next_exit])
        return np.where(one, right - cost.ravel()[at], several)

    def _split(
        self, pairs: Pairs, error: Floats, charged: Ints, optional: Floats
    ) -> tuple[Ints, Ints]:
        """The interval to cut: where the bound errs most, in the middle of what is undecided.

        Args:
            pairs: of the boxes that will be cut; of no use for others.
            error: (pairs,), by how much the bound exceeds what the best thresholds do.
            optional: (boxes, exits), by how much it errs as an exit may be left out.
        """
        boxes = len(pairs.counts)
        rows = np.arange(boxes)
        open_bits = pairs.may ^ pairs.must
        several = (open_bits & (open_bits - self.bits.one)) != 0
        wrong = np.flatnonzero(several & (error > ROUNDING))
        weight = self.bits.sums(open_bits[wrong], pairs.box[wrong], error[wrong], boxes)
        weight = weight + ROUNDING * charged
        split = np.maximum(weight, optional).argmax(axis=1)
        here = np.flatnonzero(open_bits & np.repeat(self.bits.single(split), pairs.counts))
        box = pairs.box[here]
        level = self.bits.byte(pairs.classes[here], split[box])
        heavy = np.where(several[here], error[here], 0) + ROUNDING
        counts = (
            np.bincount(box * self.slots + level, heavy, boxes * self.slots)
            .reshape(boxes, self.slots)
            .cumsum(axis=1)
        )
        middle = (2 * counts >= counts[:, -1:]).argmax(axis=1)
        leave_out = optional[rows, split] > weight[rows, split]
        return split, np.where(leave_out, self.top[split], middle)

    def _reached(self, classes: NDArray[np.uint64], thresholds: Ints, counts: Ints) -> NDArray:
        """At which exits a sample's class reaches its box's thresholds; none if left out.

        Args:
            thresholds: (boxes, exits).
            counts: (boxes,), samples of each box.
        """
        limits = np.repeat(self.bits.words(np.minimum(thresholds, 255)), counts, axis=0)
        asked = self.bits.numbers(self.bits.words(self.asked(thresholds)))
        return self.bits.at_least(classes, limits) & np.repeat(asked, counts)


def _from_here_on(counts: Ints) -> Ints:
    """(boxes, exits), the sums over each exit and those behind it."""
    return np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]


def _sums(places: NDArray, shape: tuple[int, ...]) -> Ints:
    """How often each place occurs."""
    return np.bincount(places, minlength=int(np.prod(shape))).reshape(shape)
