"""Boxes of policies, and what bounding them finds out.

A *box* is an interval of thresholds at each exit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.tables import Flags, Ints
from eexit_tf.policy_search.waiting import Rows


@dataclass
class Boxes(Rows):
    """Boxes, each with a window of total costs that is of interest.

    Attributes:
        low, high: (boxes, exits), both ends of each exit's interval, in classes. One beyond the
            highest class leaves the exit out; so it is from the last exit on.
        last: (boxes,), the exit where all leave.
        window_low, window_high: (boxes,), total MACs, both included.
        undecided: (boxes, bytes), bit sets of samples.
        leaves: (boxes, exits), decided samples by the exit where they leave.
        right: (boxes,), how many of these are answered right.
        lead: (boxes,), how many more right answers than known there may be in the window.
    """

    low: Ints
    high: Ints
    last: Ints
    window_low: Ints
    window_high: Ints
    undecided: NDArray[np.uint8]
    leaves: Ints
    right: Ints
    lead: Ints


@dataclass
class Bounded:
    """What bounding boxes found out, (boxes, ...) each.

    Attributes:
        numbers: how many were looked at.
        best: (boxes, exits), thresholds that reach the bound.
        right, total: what the policy with these does.
        bent: whether more of the lead comes from the known policies, which do not lie on a line,
            than from the bound, so that a smaller window helps more than a smaller box.
        exact: nothing is undecided; `best` is the box's one policy.
        shrunk: the intervals have shrunk so much that the box should be bounded again.
        split, middle: which interval to cut in two, and after which threshold; of no use for boxes
            that need not be cut.
    """

    numbers: int
    best: Ints
    right: Ints
    total: Ints
    bent: Flags
    exact: Flags
    shrunk: Flags
    split: Ints
    middle: Ints


@dataclass
class Pairs:
    """Undecided samples of all boxes, one after the other; bit k stands for exit k.

    Attributes:
        counts: (boxes,), pairs of each box.
        box: (pairs,), ascending.
        classes: (pairs, words), a byte an exit.
        may: where the sample may leave, up to where it must.
        right: exits that answer it right.
    """

    counts: Ints
    box: NDArray[np.intp]
    classes: NDArray[np.uint64]
    may: NDArray
    must: NDArray
    right: NDArray

    def of(self, boxes: Flags) -> tuple["Pairs", NDArray[np.intp]]:
        """The pairs of some of the boxes, and their places; the others are left without any."""
        few = np.flatnonzero(np.repeat(boxes, self.counts))
        some = Pairs(
            counts=self.counts * boxes,
            box=self.box[few],
            classes=self.classes[few],
            may=self.may[few],
            must=self.must[few],
            right=self.right[few],
        )
        return some, few

    def reduce(self, function: np.ufunc, values: NDArray) -> NDArray:
        """(boxes,), the values of each box's pairs taken together; 0 without pairs."""
        some = self.counts > 0
        result = np.zeros(len(self.counts), values.dtype)
        if len(values):
            starts = np.cumsum(self.counts) - self.counts
            result[some] = function.reduceat(values, starts[some])
        return result
