"""How far a bound lies above the known policies: lines over a staircase.

A bound on right answers is a line over total cost: `height + slope x total`. It holds for some
policies and matters in a window of costs. There its *lead* is the most by which it exceeds the
known policies: the most right answers that those policies may add.
"""

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.known import Known
from eexit_tf.policy_search.tables import Floats, Ints

SLOPES = 64
ROUNDING = 1e-6
"""Right answers that floating point may be wrong by."""


class Lines:
    """The policies known at one time, seen along a set of slopes.

    They are a staircase: step s goes from the total `first[s]` to `last[s]` with `correct[s]`
    right answers. Sparse tables (Bender and Farach-Colton, LATIN 2000) say for every slope and
    range of steps how far the staircase reaches above and below a line. Policies that are found
    later only shorten the leads.

    Args:
        slack: a lead of interest is larger.

    Attributes:
        slopes: right answers per MAC, ascending from 0.
    """

    def __init__(self, known: Known, slack: int) -> None:
        self.first, self.last, correct = known.rivals
        self.real = real = correct >= max(known.least, 0)
        self.slopes = _slopes(self.first[real], correct[real])
        # Whatever is accurate enough counts where nothing is known that is.
        self.correct = np.where(real, correct, known.least - 1 - slack)
        first, last = self.first[:, None] * self.slopes, self.last[:, None] * self.slopes
        self._below = _range_maxima(last - self.correct[:, None])
        self._above = _range_maxima(np.where(real[:, None], correct[:, None] - first, -np.inf))

    def choose(self, low: Ints, high: Ints, window_low: Ints, window_high: Ints) -> NDArray:
        """The slope for each window, as a place in `slopes`.

        A line that rests on the known policies from low to high should lie as little as
        possible above those in the window.
        """
        rest = self._rest(low, high)
        return (rest + self._exceed(window_low, window_high)).argmin(axis=1)

    def lead(self, height: Floats, slope: NDArray, low: Ints, high: Ints) -> tuple[Ints, Floats]:
        """The leads of lines over windows, and how much of them is the staircase's, not theirs.

        The latter is what a line would lead by that rests on the known policies of the window.

        Args:
            height: right answers at no cost.
            slope: places in `slopes`.
        """
        row = np.arange(len(height))
        exceed = self._exceed(low, high)[row, slope]
        rest = self._rest(low, high)[row, slope]
        return np.floor(height + exceed + ROUNDING).astype(np.int64), rest + exceed

    def middle(self, low: Ints, high: Ints) -> Ints:
        """Where to cut windows in two: at the step in the middle, or halfway within one."""
        i, j = self._step(low), self._step(high)
        middle = np.where(i < j, self.first[(i + j + 1) // 2] - 1, (low + high) // 2)
        return np.clip(middle, low, high - 1)

    def _step(self, total: Ints) -> NDArray[np.intp]:
        return np.searchsorted(self.first, total, side="right") - 1

    def _rest(self, low: Ints, high: Ints) -> Floats:
        """(windows, slopes): the height of a line that rests on the known policies."""
        i, j = self._step(low), self._step(high)
        start = (
            np.where(self.real[i], self.correct[i], -np.inf)[:, None] - low[:, None] * self.slopes
        )
        after = _maximum(self._above, np.minimum(i + 1, j), j)
        return np.where((i < j)[:, None], np.maximum(start, after), start)

    def _exceed(self, low: Ints, high: Ints) -> Floats:
        """(windows, slopes): how much a line of height 0 exceeds the known policies by."""
        i, j = self._step(low), self._step(high)
        end = np.minimum(self.last[j], high)[:, None] * self.slopes - self.correct[j, None]
        before = _maximum(self._below, i, np.maximum(j - 1, i))
        return np.where((i < j)[:, None], np.maximum(before, end), end)


def _slopes(first: Ints, correct: Ints) -> Floats:
    """Around the slope of the known front from its first to its last policy, and 0."""
    rise, run = 1, max(int(first.max(initial=1)), 1)
    if len(first) > 1:
        rise, run = int(correct[-1] - correct[0]), int(first[-1] - first[0])
    return np.r_[0.0, rise / run * np.geomspace(1 / 50, 20, SLOPES - 1)]


def _range_maxima(values: Floats) -> Floats:
    """(levels, rows, columns): at level l, the maxima over 2^l rows from each row on."""
    levels = len(values).bit_length()
    tables = np.empty((levels, *values.shape))
    tables[0] = values
    for level in range(1, levels):
        half = 1 << level - 1
        np.maximum(tables[level - 1, :-half], tables[level - 1, half:], out=tables[level, :-half])
        tables[level, -half:] = tables[level - 1, -half:]
    return tables


def _maximum(tables: Floats, first: NDArray, last: NDArray) -> Floats:
    """(ranges, columns): maxima over the rows from first to last, inclusive."""
    level = np.frexp(last - first + 1)[1] - 1
    return np.maximum(tables[level, first], tables[level, last - (1 << level) + 1])
